"""``wxmiddleware push --wait``: the reply that comes through the customer-service API of another process's WeChat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator.test_push import served
from simulator.webhooks import TOKEN, Webhook
from wxmiddleware.cli import main
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.simulator._late import Mailbox
from wxmiddleware.simulator._pusher import DEFAULT_OPENID

Say = Callable[..., None]


@pytest.fixture
def say(wechat: WeChat) -> Say:
    """Send a text through the customer-service API."""

    def say(text: str, to: str = DEFAULT_OPENID) -> None:
        body = {"touser": to, "msgtype": "text", "text": {"content": text}}
        wechat._desk.take_message(wechat.accounts[wechat.appid], "custom", body)

    return say


@pytest.fixture
def server(wechat: WeChat, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorServer]:
    monkeypatch.setenv("WECHAT_TOKEN", TOKEN)
    for name in ("WECHAT_AES_KEY", "WECHAT_APPID"):
        monkeypatch.delenv(name, raising=False)
    with SimulatorServer(wechat, admin=True) as server:
        monkeypatch.setenv("WECHAT_BASE_URL", server.url)
        yield server


@pytest.mark.usefixtures("server")
class TestCommand:
    @pytest.mark.parametrize("options", [[], ["--openid", "oA b/c&d"]])
    def test_late_reply(self, say: Say, capsys: Any, options: list[str]) -> None:
        """What arrives for this user after the push is shown, in the order in which it came."""
        openid = options[1] if options else DEFAULT_OPENID
        say("of before", openid)

        def reply(_: object) -> str:
            say("one\x1b[31m", openid)
            say("two", openid)
            say("for somebody else", "oB")
            return ""

        with served(Webhook(reply=reply)) as url:
            code = main(["push", "text", "hello", "--to", url, "--wait", *options])
        out = capsys.readouterr().out
        shown = [line.partition("the user sees: ")[2] for line in out.splitlines() if line.startswith("After ")]

        assert (0, ["one\\x1b[31m", "two"]) == (code, shown)

    def test_json(self, say: Say, capsys: Any) -> None:
        """--json has the messages as they were sent."""

        def reply(_: dict[str, Any]) -> str:
            say("one")
            return ""

        with served(Webhook(reply=reply)) as url:
            assert 0 == main(["push", "text", "hello", "--to", url, "--wait", "--json"])
        (late,) = json.loads(capsys.readouterr().out)["late"]

        assert ("custom", "one") == (late["kind"], late["body"]["text"]["content"])

    def test_none(self, capsys: Any) -> None:
        """If none comes in time, that is said, and the exit code is 1."""
        with served(Webhook(reply=lambda _: "success")) as url:
            assert 1 == main(["push", "text", "hello", "--to", url, "--wait", "0"])
        assert capsys.readouterr().out.endswith("No reply came through the customer-service API within 0 s.\n")

    @pytest.mark.parametrize("push", [["text", "hello"], ["text", "hello", "--forged"], ["verify"]])
    def test_not_waited(self, push: list[str], capsys: Any) -> None:
        """After a reply, and where no user waits for one, nothing is waited for."""
        with served(Webhook()) as url:
            assert 0 == main(["push", *push, "--to", url, "--wait"])
        assert "No reply" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("base_url", "wait", "told"),
        [
            (None, "5", "Set WECHAT_BASE_URL"),
            ("127.0.0.1:8080", "5", "looks like"),
            ("http://127.0.0.1:9", "5", "Start wxmiddleware simulate"),
            ("", "nan", "WECHAT_BASE_URL"),
            ("http://127.0.0.1:9", "nan", "seconds to wait"),
            ("http://127.0.0.1:9", "-1", "seconds to wait"),
        ],
    )
    def test_useless(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Any, base_url: str | None, wait: str, told: str
    ) -> None:
        """What is missing is said before anything is pushed."""
        if base_url is None:
            monkeypatch.delenv("WECHAT_BASE_URL")
        else:
            monkeypatch.setenv("WECHAT_BASE_URL", base_url)

        webhook = Webhook()
        with served(webhook) as url:
            assert main(["push", "text", "hello", "--to", url, f"--wait={wait}"]) not in (0, 1)
        assert told in capsys.readouterr().err
        assert [] == webhook.bodies


def test_without_admin(wechat: WeChat) -> None:
    """A simulator that does not serve ``/_simulator/`` says so."""
    from wxmiddleware.exceptions import ConfigurationError

    with SimulatorServer(wechat) as server, pytest.raises(ConfigurationError, match="admin=True"):
        Mailbox(server.url, "oA", 5)


def test_waits_for_pieces(server: SimulatorServer, say: Say) -> None:
    """A reply in pieces is whole when half a second has brought no other; until the first it waits to the end."""
    now = 0.0
    due = {3.0: "one", 3.4: "two", 3.8: "three", 9.0: "never seen"}

    def sleep(seconds: float) -> None:
        nonlocal now
        now = round(now + seconds, 3)
        if now in due:
            say(due[now], "oA")

    found = Mailbox(server.url, "oA", 60, clock=lambda: now, sleep=sleep).wait()

    assert [(3.0, "one"), (3.4, "two"), (3.8, "three")] == [(at, each["body"]["text"]["content"]) for at, each in found]
    assert now < 5
