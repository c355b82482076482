"""The code in docs/accounts.md does what the page says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import flask
import pytest
import requests

import wxmiddleware.sources
import wxmiddleware.sources.suite
from wxmiddleware import (
    Account,
    ConfigurationError,
    ProviderPool,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    WeComAccount,
)
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.platform import Platform
from wxmiddleware.requests import WeChatAuth
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import AuthorizerToken, ComponentToken
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.webhook.messages import Message, message_from
from wxmiddleware.wsgi import TokenMiddleware

PAGE = (Path(__file__).parent.parent / "docs" / "accounts.md").read_text(encoding="utf-8")
URL = "https://example.com/page?x=1"


def blocks(heading: str) -> list[str]:
    """The Python blocks below a heading."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = next(each for each in section if each.startswith(heading))
    return re.findall(r"^```python\n(.*?)^```$", found, re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(code, "accounts.md", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _environment(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    monkeypatch.setenv("WXM_STORE", f"file:{tmp_path}/tokens.json")


def test_every_block_is_known() -> None:
    """No block was added that nothing here runs."""
    headings = {
        "A secret that changes": 1,
        "When it is mended": 1,
        "Tickets": 3,
        "WeCom": 3,
        "Third-party": 5,
        "Many": 2,
    }

    assert headings == {heading: len(blocks(heading)) for heading in headings}
    assert sum(headings.values()) == PAGE.count("```python")


def test_table() -> None:
    """The table names each source's kind and the errcodes that it cures."""
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in PAGE.splitlines()
        if line.startswith("| `") and line.count("|") > 4
    ]
    modules = (wxmiddleware.sources, wxmiddleware.sources.suite)
    classes: list[Any] = [each for one in modules for _, each in inspect.getmembers(one, inspect.isclass)]
    sources = {each.kind: each for each in classes if isinstance(getattr(each, "kind", None), str)}
    shown = {row[0]: row[3] for row in rows}

    assert {
        kind: ", ".join(map(str, sorted(each.retryable_errcodes))) or "none" for kind, each in sources.items()
    } == shown
    assert {"component": ComponentToken, "authorizer": AuthorizerToken}.items() <= sources.items()


def test_tickets(wechat: WeChat) -> None:
    """Pages are signed, and signed again when the browser refuses."""
    sign, again, cards = blocks("Tickets")
    names = run(sign, {})
    assert "config:ok" == wechat.wx_config(URL, names["config"])

    wechat.void_tickets()
    run(again, names)
    assert "config:ok" == wechat.wx_config(URL, names["config"])

    run(cards, names)
    assert wechat.current_ticket(kind="wx_card") == names["cards"].get_token()


def test_secret_that_changes(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """The file of the secret is read when a token is fetched, and not before."""
    names = run(blocks("A secret that changes")[0], {"base_url": wechat_server.url})

    with pytest.raises(TokenUnavailable, match="gives the secret of wx8a1b2c3d4e5f6a7b"):
        names["rotating_provider"].get_token()


def test_mended(wechat: WeChat) -> None:
    """What was mended is tried at once."""
    wechat.accounts[wechat.appid].ip_allowlist = []
    provider = TokenProvider(Account.from_env())
    with pytest.raises(TokenRefused):
        provider.get_token()
    wechat.accounts[wechat.appid].ip_allowlist = None
    run(blocks("When it is mended")[0], {"provider": provider})

    assert wechat.is_valid(provider.get_token())


def test_wecom(wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: Any) -> None:
    """An app's calls are healed, and its pages signed with either ticket."""
    app = wechat.add_app("ww1", "secret-of-an-app")
    monkeypatch.setenv("WECOM_CORPID", "ww1")
    monkeypatch.setenv("WECOM_AGENTID", str(app.agentid))
    monkeypatch.setenv("WECOM_SECRET", "secret-of-an-app")
    monkeypatch.setenv("WECOM_BASE_URL", wechat_server.url)
    names = run(blocks("WeCom")[0], {"requests": requests})
    names["departments"]()
    app.revoke()

    assert 0 == names["departments"]()["errcode"]
    assert isinstance(names["contacts"].account, WeComAccount)
    assert "config:ok" == wechat.wx_config(URL, JSSDK(names["contacts"]).signature(URL))
    app.members = {"ada"}
    sent = run(blocks("WeCom")[2], names)
    assert (["The build is red."], "2") == (
        [one.text for one in wechat.sent_to("ada")],
        wechat.sent[-1].body["toparty"],
    )
    assert () == sent["delivery"].invalid_parties
    assert "agentConfig:ok" == wechat.wx_agent_config(URL, run(blocks("WeCom")[1], names)["config"])


def test_platform(wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: Any) -> None:
    """What is pushed is kept, and an authorised account has tokens."""
    there = wechat.add_platform("wxplatform", "secret-of-it")
    monkeypatch.setenv("WECHAT_APPID", "wxplatform")
    monkeypatch.setenv("WECHAT_SECRET", "secret-of-it")
    made, pushed, used, login, refused = blocks("Third-party")
    import os

    names = run(pushed, run("from wxmiddleware import with_token\n" + made, {"os": os}))
    there.push_ticket()
    names["on_notice"](_pushed(there.notices[-1]))
    link = urlsplit(names["on_visit"]())
    back = requests.get(f"{wechat_server.url}{link.path}?{link.query}", allow_redirects=False, timeout=10)
    code = dict(parse_qsl(urlsplit(back.headers["Location"]).query))["auth_code"]
    names["appid"] = names["on_authorised"](code)
    names["on_notice"](_pushed(there.notices[-1]))
    run(used, names)

    assert wechat.appid == names["appid"]
    assert ["openid"] == list(inspect.signature(names["user_info"]).parameters)
    assert wechat.is_valid(names["platform"].authorizer(names["appid"]).get_token())
    with requests.Session() as session:
        session.auth = WeChatAuth(names["platform"].provider)
        names.update(session=session, js_code=there.login())
        run(f"answer = {login}", names)
        assert "openid" in names["answer"].json()
    _check_refused(refused)


def _pushed(fields: dict[str, Any]) -> Message:
    return message_from({name: str(value) for name, value in fields.items()})


def _check_refused(code: str) -> None:
    redis = pytest.importorskip("wxmiddleware.stores.redis")
    names = {"Platform": Platform, "RedisStore": redis.RedisStore, "account": Account("wx1", "secret")}
    first, second = code.split("\n\n")

    with pytest.raises(ConfigurationError) as caught:
        run(first, names)
    assert str(caught.value).startswith(re.findall("# ConfigurationError: (.*) …", first)[0])
    run(second, names)


def test_pool(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> None:
    """A pool gives threads, tasks and middlewares the token of the right account."""
    direct, middleware = blocks("Many")
    app = flask.Flask("accounts")
    names: dict[str, Any] = {
        "Account": Account,
        "TokenProvider": TokenProvider,
        "TokenMiddleware": TokenMiddleware,
        "secret_of": {wechat.appid: wechat.secret}.get,
        "base_url": wechat_server.url,
        "store": JSONFileStore(tmp_path / "tokens.json"),
        "appid": wechat.appid,
        "app": app,
    }
    direct = re.sub(r"^await (.*?) +#.*$", r"async def task(): return await \1", direct, flags=re.MULTILINE)
    run(middleware, run(direct, names))
    app.add_url_rule("/wechat/<appid>", view_func=_token)
    import asyncio

    client = app.test_client()
    assert isinstance(names["pool"], ProviderPool)
    assert wechat.current(slot="stable") == asyncio.run(names["task"]())
    assert wechat.current(slot="stable") == client.get(f"/wechat/{wechat.appid}").text
    assert "none" == client.get("/wechat/wx-nobody").text
    assert 1 == wechat.fetches()


def _token(appid: str) -> str:
    return str(flask.request.environ.get("wxmiddleware.token", "none"))
