"""The shell's commands for an app of WeCom, against the simulator; and what is meant for the other kind of account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from wxmiddleware import TokenProvider, WeComAccount
from wxmiddleware._rules.models import Record
from wxmiddleware.cli import OK, REFUSED, UNAVAILABLE, USAGE, main
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import record_key, store_from_url

CORPID, SECRET, AGENTID = "ww1", "secret-of-an-app", 1000002
_NAMES = ("APPID", "CORPID", "SECRET", "AGENTID", "BASE_URL", "REALM")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without an account and without a store."""
    for name in ("WXM_STORE", *(f"{service}_{name}" for service in ("WECHAT", "WECOM") for name in _NAMES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def app(wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> WeComAccount:
    """An app of a corp, in the environment."""
    wechat.add_app(CORPID, SECRET, agentid=AGENTID)
    given = {"CORPID": CORPID, "SECRET": SECRET, "AGENTID": str(AGENTID), "BASE_URL": wechat_server.url}
    for name, value in given.items():
        monkeypatch.setenv(f"WECOM_{name}", value)
    return WeComAccount(CORPID, SECRET, agentid=AGENTID, base_url=wechat_server.url)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store's."""
    return f"file:{tmp_path / 'token.json'}"


def accepted(app: WeComAccount, token: str) -> bool:
    """Whether WeCom takes it for a call."""
    asked = requests.get(f"{app.base_url}/cgi-bin/department/list", {"access_token": token}, timeout=30)
    return bool(asked.json()["errcode"] == 0)


def test_token(app: WeComAccount, capsys: Any) -> None:
    """--wecom takes the app that the environment names."""
    assert OK == main(["token", "--wecom"])

    out, err = capsys.readouterr()
    assert accepted(app, out.strip())
    assert "" == err


def test_options(app: WeComAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """The options say instead what the environment says, and mean --wecom by themselves."""
    for name in ("CORPID", "SECRET", "AGENTID", "BASE_URL"):
        monkeypatch.setenv(f"WECOM_{name}", "https://wrong.example" if name == "BASE_URL" else "wrong")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    options = ["--corpid", CORPID, "--agentid", str(AGENTID), "--base-url", app.base_url]

    assert OK == main(["token", *options, "--secret-file", str(tmp_path / "secret")])
    assert accepted(app, capsys.readouterr().out.strip())


def test_one_record(app: WeComAccount, wechat: WeChat, url: str, capsys: Any) -> None:
    """The record is the one that the app's Python processes use."""
    with TokenProvider(app, store=store_from_url(url)) as provider:
        token = provider.get_token()

    assert OK == main(["token", "--wecom", "--store", url])
    assert f"{token}\n" == capsys.readouterr().out
    assert 1 == wechat.fetches()


def test_min_ttl(app: WeComAccount, wechat: WeChat, capsys: Any) -> None:
    """WeCom gives no later one before the end, and that is said."""
    wechat.lifetime = 3000

    assert UNAVAILABLE == main(["token", "--wecom", "--min-ttl", "5000"])
    assert "WeCom gives the same token until the end of its life" in capsys.readouterr().err


def test_inspect(app: WeComAccount, capsys: Any) -> None:
    """The status of the app's token."""
    assert OK == main(["inspect", "--wecom", "--json"])

    status = json.loads(capsys.readouterr().out)
    assert (CORPID, "wecom", "fresh") == (status["appid"], status["kind"], status["state"])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["1", "2", None]),
        (["--wecom"], ["1", "2", None]),
        (["--corpid", CORPID], ["1", "2"]),
        (["--agentid", "2"], ["2"]),
        (["--corpid", CORPID, "--agentid", "3"], []),
        (["--appid", "wx1"], [None]),
    ],
)
def test_inspect_a_store(url: str, options: list[str], found: list[str | None], capsys: Any) -> None:
    """A store is asked for all that it holds, or for the account or app that is named."""
    put(url, f"wx:wecom:{CORPID}/1:wecom", f"wx:wecom:{CORPID}/2:wecom", "wx:wechat:wx1:stable")

    assert OK == main(["inspect", "--store", url, "--json", *options])
    records = json.loads(capsys.readouterr().out)["records"]
    assert sorted(found, key=str) == sorted((each["app"] for each in records), key=str)


def test_inspect_a_store_without_a_list(
    app: WeComAccount, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Of a store that cannot tell what it holds, as memcached cannot, the app's record is asked for; not its secret."""
    put(url, record_key(app, "wecom"), record_key(app, "stable"))
    monkeypatch.setattr("wxmiddleware.cli.store.FleetStore.keys", lambda _: None)
    monkeypatch.delenv("WECOM_SECRET")

    assert OK == main(["inspect", "--store", url, "--wecom", "--json"])
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert ("wecom", str(AGENTID)) == (record["kind"], record["app"])


def test_nearly_over(url: str, capsys: Any) -> None:
    """Near its end a token of WeCom's is to be renewed, as any."""
    put(url, "wx:wecom:ww1/1:wecom", left=100.0)

    assert OK == main(["inspect", "--store", url, "--json"])
    assert "ahead" == json.loads(capsys.readouterr().out)["records"][0]["state"]


def test_retry(app: WeComAccount, url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A secret was set right: the pause is over at once."""
    monkeypatch.setenv("WXM_STORE", url)
    monkeypatch.setenv("WECOM_SECRET", "not-the-secret")
    assert REFUSED == main(["token", "--wecom"])
    monkeypatch.setenv("WECOM_SECRET", SECRET)

    assert [OK, OK] == [main(["retry", "--wecom"]), main(["token", "--wecom"])]
    out, err = capsys.readouterr()
    assert accepted(app, out.splitlines()[-1])
    assert not [word for word in (SECRET, "not-the-secret") if word in out + err]


@pytest.mark.parametrize("command", ["token", "keep", "retry", "inspect"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--wecom", "--appid", "wx1"], "--corpid and --agentid"),
        (["--agentid", "7", "--appid", "wx1"], "--corpid and --agentid"),
        (["--wecom", "--source", "classic"], "one endpoint"),
        (["--corpid", ""], "--corpid is empty"),
        (["--agentid", ""], "--agentid is empty"),
        (["--appid", CORPID], "that is a CorpID"),
    ],
)
def test_mixed(app: WeComAccount, url: str, command: str, options: list[str], says: str, capsys: Any) -> None:
    """What belongs to the other kind of account is refused, and WeChat is not asked."""
    put(url, "wx:wechat:wx1:stable")

    assert USAGE == main([command, "--store", url, *options])
    out, err = capsys.readouterr()
    assert "" == out
    assert says in err


def test_not_said(app: WeComAccount, capsys: Any) -> None:
    """Where only an app of WeCom is in the environment, the message says how to take it."""
    assert USAGE == main(["token"])
    assert "add --wecom" in capsys.readouterr().err


def test_said_and_not_there(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """An official account is none of WeCom's apps."""
    monkeypatch.setenv("WECHAT_APPID", "wx1")
    monkeypatch.setenv("WECHAT_SECRET", SECRET)

    assert USAGE == main(["token", "--wecom"])
    assert "WECOM_CORPID and WECOM_SECRET" in capsys.readouterr().err


def test_sink_without_an_agentid(
    app: WeComAccount, wechat: WeChat, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A file that nobody could find is not written."""
    monkeypatch.delenv("WECOM_AGENTID")
    (tmp_path / "out").mkdir()

    assert USAGE == main(["keep", "--wecom", "--store", url, "--sink", str(tmp_path / "out")])
    assert "WECOM_AGENTID" in capsys.readouterr().err
    assert 0 == wechat.fetches()


def put(url: str, *keys: str, left: float = 7200.0) -> None:
    """Have the store hold a record under each of these keys."""
    store = store_from_url(url)
    for key in keys:
        loaded = store.load(key)
        sent = loaded.now + left - 7200
        record = Record(7, "T0ken", expires_at=loaded.now + left, sent_at=sent, received_at=sent)
        assert store.save(key, record, loaded.version) is not None
