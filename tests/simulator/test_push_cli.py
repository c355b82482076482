"""``wxmiddleware push`` against real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stores.redis_server import free_port

from simulator.test_push import served
from simulator.webhooks import AES_KEY, TEXT, TOKEN, Webhook
from wxmiddleware.cli import main
from wxmiddleware.simulator._pusher import BUSY

APPID = "wx0123456789abcdef"


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with the webhook's token and nothing else."""
    for name in ("WECHAT_AES_KEY", "WECHAT_APPID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WECHAT_TOKEN", TOKEN)
    return monkeypatch


@pytest.fixture
def encrypted(env: pytest.MonkeyPatch) -> None:
    """The environment has what encryption needs, too."""
    env.setenv("WECHAT_AES_KEY", AES_KEY)
    env.setenv("WECHAT_APPID", APPID)


@pytest.fixture
def webhook() -> Webhook:
    return Webhook(APPID)


@pytest.fixture
def url(webhook: Webhook) -> Iterator[str]:
    with served(webhook) as url:
        yield url


def test_text(url: str, capsys: Any) -> None:
    """A text is pushed; what came back and what the user sees is printed."""
    assert main(["push", "text", "--to", url, "hello"]) == 0
    out, err = capsys.readouterr()

    assert "" == err
    assert "try 1" in out
    assert "<Content>you said hello</Content>" in out
    assert out.endswith("WeChat is content.\nThe user sees: you said hello\n")


def test_long_text(url: str, webhook: Webhook, capsys: Any) -> None:
    """A reply that is too long for WeChat is minded, and the user sees the apology."""
    webhook.reply = TEXT.replace("you said {Content}", "a" * 2049).format_map

    assert main(["push", "text", "--to", url, "hello"]) == 1
    assert "WeChat minds: The text has 2049 bytes" in (out := capsys.readouterr().out)
    assert out.endswith(f"The user sees: {BUSY}\n")


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        ("", "The user sees nothing yet."),
        ("success", "The user sees nothing yet."),
        ("image", "The user sees: a reply of the type image"),
        ("transfer_customer_service", "The user is handed over to the customer service."),
    ],
)
def test_seen(url: str, webhook: Webhook, reply: str, seen: str, capsys: Any) -> None:
    """What the user sees is said also of an answer that is no text."""
    message = TEXT.replace(">text<", f">{reply}<").replace(
        "<Content>you said {Content}</Content>", "<Image><MediaId>m</MediaId></Image>" if reply == "image" else ""
    )
    webhook.reply = message.format_map if reply not in ("", "success") else lambda message: reply

    assert main(["push", "text", "--to", url, "hello"]) == 0
    assert seen == capsys.readouterr().out.splitlines()[-1]


def test_nobody_sees(url: str, webhook: Webhook, capsys: Any) -> None:
    """Of what no user has caused nothing is said."""
    webhook.reply = lambda message: ""
    for line in (["verify"], ["text", "a", "--forged"]):
        main(["push", *line, "--to", url])

    assert "The user" not in capsys.readouterr().out


def test_verify(url: str, webhook: Webhook, capsys: Any) -> None:
    """The URL is verified."""
    assert main(["push", "verify", "--to", url]) == 0
    assert capsys.readouterr().out.startswith("verify\n")
    assert "echostr" in webhook.queries[0]


def test_event(url: str, webhook: Webhook, capsys: Any) -> None:
    """An event has the fields and the user that are given."""
    webhook.reply = lambda message: ""

    assert main(["push", "event", "SCAN", "--to", url, "--field", "EventKey=a=b", "--openid", "oMe"]) == 0
    assert {"Event": "SCAN", "EventKey": "a=b", "FromUserName": "oMe"}.items() <= webhook.messages[0].items()
    assert "(empty)" in capsys.readouterr().out


def test_message(url: str, webhook: Webhook) -> None:
    """A message of any type has the fields that are given, and its own ones may be replaced."""
    webhook.reply = lambda message: ""

    assert main(["push", "message", "image", "--to", url, "--field", "MediaId=m", "--field", "MsgId=7"]) == 0
    assert {"MsgType": "image", "MediaId": "m", "MsgId": "7"}.items() <= webhook.messages[0].items()


@pytest.mark.usefixtures("encrypted")
@pytest.mark.parametrize("mode", [None, "plain", "compatible", "safe"])
def test_modes(url: str, webhook: Webhook, mode: str | None, capsys: Any) -> None:
    """With a key in the environment safe mode is the default, and the decrypted reply is printed."""
    assert main(["push", "text", "--to", url, "hello", *(("--mode", mode) if mode else ())]) == 0
    out = capsys.readouterr().out

    assert (mode != "plain") == ("decrypted" in out)
    assert (mode != "plain") == ("encrypt_type" in webhook.queries[0])
    assert (mode in (None, "safe")) == ("Content" not in webhook.bodies[0])
    assert "The user sees: you said hello" in out


@pytest.mark.usefixtures("encrypted")
def test_wecom(url: str, webhook: Webhook) -> None:
    """WeCom's verification and message."""
    assert main(["push", "verify", "--wecom", "--to", url]) == 0
    assert main(["push", "text", "a", "--wecom", "--to", url]) == 0
    assert APPID == webhook.messages[0]["ToUserName"]


@pytest.mark.usefixtures("encrypted")
def test_notice(url: str, webhook: Webhook) -> None:
    """A platform's ticket."""
    webhook.reply = lambda message: "success"

    assert main(["push", "notice", "component_verify_ticket", "--component", "--to", url]) == 0
    assert "component_verify_ticket" == webhook.messages[0]["InfoType"]


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["notice", "suite_ticket"], "WECOM_SUITE_ID"),
        (["verify"], "WECOM_PROVIDER_CORPID"),
        (["text", "a"], "WECOM_CORPID"),
    ],
)
@pytest.mark.usefixtures("encrypted")
def test_suite(
    url: str,
    webhook: Webhook,
    words: list[str],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind of push to a suite has its own receiver, whose variable is asked for."""
    webhook.reply = lambda message: "success"
    monkeypatch.delenv(variable, raising=False)
    assert main(["push", *words, "--suite", "--to", url]) == 2
    assert f"Set {variable} to" in capsys.readouterr().err
    monkeypatch.setenv(variable, APPID)
    main(["push", *words, "--suite", "--json", "--to", url])

    attempt = json.loads(capsys.readouterr().out)["tries"][0]
    assert 200 == attempt["status"]  # this webhook reads what is for APPID only


def test_json_body(url: str, webhook: Webhook) -> None:
    """--body json pushes as to a mini program."""
    webhook.reply = lambda message: '{"a":1}'

    assert main(["push", "text", "hello", "--body", "json", "--to", url]) == 0
    assert "hello" == json.loads(webhook.bodies[0])["Content"]


@pytest.mark.parametrize("status", ["200 OK", "500 No"])
def test_json(url: str, webhook: Webhook, status: str, capsys: Any) -> None:
    """--json prints one object; the exit code is the same."""
    webhook.status = status
    code = main(["push", "text", "hello", "--json", "--to", url])
    printed = json.loads(capsys.readouterr().out)

    assert (printed["ok"], code) in [(True, 0), (False, 1)]
    assert [int(status[:3])] * (1 if code == 0 else 3) == [each["status"] for each in printed["tries"]]
    assert printed["shown"] == ("you said hello" if code == 0 else BUSY)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("307 Elsewhere", "WeChat follows no redirect."),
        ("401 No", "A login"),
        ("403 No", "If the webhook has refused it, its log says why;"),
        ("404 No", "The app has no view at this path."),
        ("405 No", "GET (to verify the URL) and POST (pushes)"),
        ("502 No", "The app's log says why."),
    ],
)
def test_hint(url: str, webhook: Webhook, status: str, hint: str, capsys: Any) -> None:
    """A status that WeChat does not take comes with what it mostly means."""
    webhook.status = status

    assert main(["push", "text", "hello", "--tries", "1", "--to", url]) == 1
    assert f"WeChat minds: The HTTP status is {status[:3]}, not 200. " in (out := capsys.readouterr().out)
    assert hint in out


def test_nobody_listens(capsys: Any) -> None:
    """A port where nothing listens is named as such."""
    assert main(["push", "verify", "--to", f"http://127.0.0.1:{free_port()}/wechat"]) == 1
    assert "(ConnectionRefusedError). Nothing listens there" in capsys.readouterr().out


def test_problems(url: str, webhook: Webhook, capsys: Any) -> None:
    """A reply that WeChat minds is 1, with the reason and what the user sees."""
    webhook.reply = TEXT.replace("1700000000", "\x1b[31mred").format_map

    assert main(["push", "text", "a", "--to", url]) == 1
    out = capsys.readouterr().out
    assert f"The user sees: {BUSY}\n" in out
    assert "WeChat minds: " in out
    assert "\x1b" not in out


def test_late(url: str, webhook: Webhook, capsys: Any) -> None:
    """In real time, too, a late answer is none."""
    webhook.reply = lambda message: ""

    assert main(["push", "text", "a", "--to", url, "--patience", "0", "--tries", "2"]) == 1
    assert capsys.readouterr().out.count("s  no answer\n") == 2


@pytest.mark.parametrize("checked", [True, False])
def test_forged(url: str, webhook: Webhook, checked: bool, capsys: Any) -> None:
    """--forged succeeds where a webhook looks at the signature."""
    webhook.checked = checked

    assert main(["push", "verify", "--forged", "--to", url]) == (0 if checked else 1)
    assert ("not let in" in capsys.readouterr().out) == checked


@pytest.mark.parametrize(
    "line",
    [
        "text --to http://127.0.0.1/",
        "event --to http://127.0.0.1/",
        "verify extra --to http://127.0.0.1/",
        "text a --mode safe --to http://127.0.0.1/",
        "text a --wecom --to http://127.0.0.1/",
        "text a --field novalue --to http://127.0.0.1/",
        "text a --field openid=o --to http://127.0.0.1/",
        "text a --tries 0 --to http://127.0.0.1/",
        "text a --to 127.0.0.1/",
        "text a",
        "poke --to http://127.0.0.1/",
        "notice authorized --to http://127.0.0.1/",
    ],
)
def test_useless(line: str, capsys: Any) -> None:
    """A wrong line is 2, with a word about what to do."""
    assert main(["push", *line.split()]) == 2
    assert capsys.readouterr().err


def test_needs_token(env: pytest.MonkeyPatch, capsys: Any) -> None:
    """Without WECHAT_TOKEN nothing is pushed."""
    env.delenv("WECHAT_TOKEN")

    assert main(["push", "text", "a", "--to", "http://127.0.0.1/"]) == 2
    assert "WECHAT_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--mode", "safe"], ["--mode", "compatible"], ["--wecom"], ["--component"]])
def test_needs_key(options: list[str], capsys: Any) -> None:
    """What is always encrypted needs WECHAT_AES_KEY, and says so."""
    assert main(["push", "text", "a", *options, "--to", "http://127.0.0.1/"]) == 2
    assert "WECHAT_AES_KEY" in capsys.readouterr().err


def test_needs_receiver(env: pytest.MonkeyPatch, capsys: Any) -> None:
    """Encryption needs to know for whom."""
    env.setenv("WECHAT_AES_KEY", AES_KEY)

    assert main(["push", "text", "a", "--to", "http://127.0.0.1/"]) == 2
    assert "WECHAT_APPID" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "name"), [("--token", "WECHAT_TOKEN"), ("--aes-key", "WECHAT_AES_KEY")])
@pytest.mark.parametrize("form", ["{} s3cret", "{}=s3cret", "{}"])
def test_no_secret_on_the_command_line(option: str, name: str, form: str, capsys: Any) -> None:
    """Token and key are refused as options with a better way, and not repeated."""
    assert main(["push", "text", "a", "--to", "http://127.0.0.1/", *form.format(option).split()]) == 2
    err = capsys.readouterr().err

    assert name in err
    assert "s3cret" not in err


def test_nothing_secret_is_printed(url: str, env: pytest.MonkeyPatch, capsys: Any) -> None:
    """Neither token nor key is printed, whatever comes back."""
    key = "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
    for name, value in (("TOKEN", "s3cret-word"), ("AES_KEY", key), ("APPID", APPID)):
        env.setenv(f"WECHAT_{name}", value)
    for more in ([], ["--json"], ["--forged"]):
        main(["push", "text", "a", "--to", url, *more])
    printed = "".join(capsys.readouterr())

    assert "403" in printed
    assert not [secret for secret in ("s3cret-word", key) if secret in printed]


def test_as_a_program(url: str) -> None:
    """The installed command does it in a process of its own."""
    command = [sys.executable, "-m", "wxmiddleware", "push", "text", "hello", "--to", url]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert "you said hello" in done.stdout
