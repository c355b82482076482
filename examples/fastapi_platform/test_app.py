"""The platform against the simulator: from the first ticket to a call for an account, and until it leaves."""

from __future__ import annotations

import html
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from starlette.testclient import TestClient

from wxmiddleware.simulator import ASGITransport, Pusher, SimulatedPlatform, SimulatorServer, WeChat

APPID, TOKEN, KEY = "wxfedcba9876543210", "AAAAA", "A" * 43


@pytest.fixture
def wechat() -> WeChat:
    """One whose clock is the app's: the app looks at how old a push is."""
    return WeChat(overlap=0)


@pytest.fixture
def there(wechat: WeChat) -> SimulatedPlatform:
    return wechat.add_platform(APPID, "secret-of-the-platform")


@pytest.fixture
def server(wechat: WeChat) -> Iterator[SimulatorServer]:
    with SimulatorServer(wechat) as server:
        yield server


@pytest.fixture
def module(there: SimulatedPlatform, server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The app's module, fresh for each test."""
    settings = {"APPID": APPID, "SECRET": there.secret, "BASE_URL": server.url, "TOKEN": TOKEN, "AES_KEY": KEY}
    for name, value in settings.items():
        monkeypatch.setenv(f"WECHAT_{name}", value)
    monkeypatch.setenv("WXM_STORE", f"file:{tmp_path}/platform.json")
    monkeypatch.setenv("PLATFORM_HOME", "https://saas.test")
    spec = importlib.util.spec_from_file_location("example_platform", Path(__file__).with_name("app.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(module: Any) -> Iterator[TestClient]:
    with TestClient(module.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def pusher(module: Any, wechat: WeChat) -> Iterator[Pusher]:
    options: dict[str, Any] = {"token": TOKEN, "aes_key": KEY, "profile": "component", "receiver": APPID}
    with Pusher(wechat, ASGITransport(module.app), url="http://saas.test/events", tries=1, **options) as pusher:
        yield pusher


def visit(client: TestClient, server: SimulatorServer, agent: str = "Firefox") -> Any:
    """Click on the link of the start page, and follow WeChat's redirect."""
    page = client.get("/start", headers={"User-Agent": agent}).text
    found = re.search('href="([^"]+)"', page)
    assert found is not None
    link = urlsplit(html.unescape(found[1]))
    back = requests.get(f"{server.url}{link.path}?{link.query}", allow_redirects=False, timeout=10)
    return client.get(back.headers["Location"].removeprefix("https://saas.test"))


def pushed(pusher: Pusher, there: SimulatedPlatform) -> bool:
    """Push the newest notice, and tell whether WeChat is content."""
    return pusher.push(there.notices[-1]).ok


@pytest.mark.parametrize("agent", ["Firefox", "MicroMessenger"])
def test_from_the_first_ticket_on(
    client: TestClient, pusher: Pusher, server: SimulatorServer, there: SimulatedPlatform, wechat: WeChat, agent: str
) -> None:
    """A ticket, a link, a redirect, its notice, a call; the notice that the account has left, and no call."""
    url = f"/accounts/{wechat.appid}/users/oAda"
    assert client.get("/start").status_code == 503
    there.push_ticket()
    assert pushed(pusher, there)
    assert {"appid": wechat.appid} == visit(client, server, agent).json()
    assert pushed(pusher, there)
    assert client.get(url).json()["openid"] == "oAda"
    wechat.revoke(slot="authorizer")
    assert client.get(url).status_code == 200

    there.unauthorise()
    assert pushed(pusher, there)
    assert client.get(url).status_code == 503
    assert wechat.calls("/cgi-bin/component/api_query_auth") == 1


def test_the_notice_alone(client: TestClient, pusher: Pusher, there: SimulatedPlatform, wechat: WeChat) -> None:
    """An owner who closes the browser too early has authorised all the same."""
    there.push_ticket()
    pushed(pusher, there)
    there.authorise()
    pushed(pusher, there)

    assert client.get(f"/accounts/{wechat.appid}/users/oAda").status_code == 200


def test_repeated(client: TestClient, pusher: Pusher, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A notice that cannot be handled is not answered success; WeChat repeats it, and it is handled then."""
    there.authorise()
    authorised = there.notices[-1]
    assert not pusher.push(authorised).ok
    there.push_ticket()
    pushed(pusher, there)

    assert pusher.push(authorised).ok
    assert client.get(f"/accounts/{wechat.appid}/users/oAda").status_code == 200
