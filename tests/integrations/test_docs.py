"""Every block of docs/frameworks.md runs, and does what stands beside it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient
from webhook import routers

from wxmiddleware import Account, ProviderClosed, current_token
from wxmiddleware.simulator import WeChat

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, wechat: WeChat, wechat_account: Account) -> Callable[[str], dict[str, Any]]:
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)

    def run(what: str) -> dict[str, Any]:
        (block,) = [block for block in BLOCKS if what in block]
        page = ModuleType("page")
        monkeypatch.setitem(sys.modules, "page", page)  # Litestar looks for it
        exec(compile(block, "docs/frameworks.md", "exec"), page.__dict__)
        return page.__dict__

    return run


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_exclude(run: Any, no_token: None, path: str) -> None:
    """What is excluded is served without a token; the rest is a 503."""
    app = run("/healthz")["app"]
    app.add_url_rule(path, view_func=lambda: "fine")
    client = app.test_client()

    assert (200, 503) == (client.get(path).status_code, client.get("/").status_code)


@pytest.mark.parametrize("name", ["litestar_app", "quart_app"])
@pytest.mark.parametrize("works", [True, False])
def test_handlers(run: Any, wechat: WeChat, name: str, works: bool) -> None:
    """The app answers with its token; without one it is a 503 with Retry-After."""
    if not works:
        wechat.faults.add("/cgi-bin/stable_token", "errcode", None, errcode=40164)
    answer = TestClient(run(f"{name} =")[name]).get("/")

    assert (200 if works else 503) == answer.status_code
    assert works == ("Retry-After" not in answer.headers)


def test_django(run: Any, wechat: WeChat, no_token: None, wechat_account: Account) -> None:
    """Its middleware makes a 503 of the error, and leaves others alone."""
    from wxmiddleware import TokenProvider, use_provider

    middleware = run("# mysite/middleware.py")["TokenErrorMiddleware"](lambda request: None)
    with routers.settings_kept(), use_provider(TokenProvider(wechat_account)), pytest.raises(Exception) as caught:
        current_token()
    answer = middleware.process_exception(None, caught.value)

    assert (503, True) == (answer.status_code, int(answer["Retry-After"]) > 0)
    assert middleware.process_exception(None, ZeroDivisionError()) is None


def test_lifespan(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The start-up has a token; the provider is closed when the app has stopped."""
    names = run("closing_provider")
    with TestClient(names["starlette_app"]):
        pass

    assert int(capsys.readouterr().out) > 20
    with pytest.raises(ProviderClosed):
        names["closing_provider"].get_token()


def test_all() -> None:
    """There is a test of each."""
    assert 5 == len(BLOCKS)
