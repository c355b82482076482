"""The code of docs/health.md runs: probes and status pages in each framework, behind a login."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.test import RequestFactory
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.testclient import TestClient
from support.django import set_up_django
from test_docs import blocks, python

from wxmiddleware import Account, TokenProvider
from wxmiddleware.platform import Platform
from wxmiddleware.pool import ProviderPool
from wxmiddleware.stores.memory import MemoryStore

BLOCKS = python("health.md")
PASSWORD = "the-password-of-the-operator"
# With no password, with a wrong one, and with the right one: what a browser gets.
Get = Callable[[str, str | None], tuple[int, str]]


@pytest.fixture
def provider(wechat_account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenProvider]:
    monkeypatch.setenv("STATUS_PASSWORD", PASSWORD)
    with TokenProvider(wechat_account) as provider:
        yield provider


def run(provider: TokenProvider, *words: str) -> dict[str, Any]:
    """Run the one block that has all of these words."""
    (block,) = [each for each in BLOCKS if all(word in each for word in words)]
    names: dict[str, Any] = {"__name__": "page", "provider": provider}
    exec(compile(block, "health.md", "exec"), names)
    return names


def by_flask(names: dict[str, Any]) -> Get:
    def get(path: str, password: str | None) -> tuple[int, str]:
        answer = names["app"].test_client().get(path, auth=None if password is None else ("ops", password))
        return answer.status_code, answer.get_data(as_text=True)

    return get


def by_asgi(app: Any) -> Get:
    def get(path: str, password: str | None) -> tuple[int, str]:
        answer = TestClient(app).get(path, auth=None if password is None else ("ops", password))
        return answer.status_code, answer.text

    return get


def by_starlette(names: dict[str, Any]) -> Get:
    class Login(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            known = "Basic" in conn.headers.get("authorization", "") and conn.query_params.get("login") != "wrong"
            return (AuthCredentials(["authenticated"]), SimpleUser("ops")) if known else None

    routes = [Route("/wx-status", names["wx_status"])]
    get = by_asgi(Starlette(routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=Login())]))
    return lambda path, password: get(f"{path}?login=wrong" if password != PASSWORD else path, password)


def by_django(names: dict[str, Any]) -> Get:
    set_up_django()
    views = {each.pattern._route: each.callback for each in names.get("urlpatterns", [])}
    views["wx-status"] = names.get("wx_status")

    def get(path: str, password: str | None) -> tuple[int, str]:
        request = RequestFactory().get(path)
        request.user = type("User", (), {"is_staff": password == PASSWORD})()
        theirs: Any = ModuleType("django.contrib.auth.views")  # the real one needs a database
        theirs.redirect_to_login = lambda path, url, field: HttpResponseRedirect(f"{url}?{field}={path}")
        urls = ModuleType("urls")
        vars(urls)["urlpatterns"] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, theirs.__name__, theirs)
            patch.setattr(settings, "ROOT_URLCONF", urls, raising=False)
            answer: HttpResponse = views[path.strip("/")](request)
        return answer.status_code, answer.content.decode()

    return get


PROBES = [
    (("Flask(__name__)", "readiness"), by_flask),
    (("FastAPI()", "readiness"), lambda names: by_asgi(names["app"])),
    (("urlpatterns", "readiness"), by_django),
]
PAGES = [
    (("Flask(__name__)", "StatusPage"), by_flask),
    (("FastAPI()", "StatusPage"), lambda names: by_asgi(names["app"])),
    (("starlette.authentication", "StatusPage"), by_starlette),
    (("django.contrib", "StatusPage"), by_django),
]


def test_every_block_is_tried_here() -> None:
    tried = {id(each) for each in BLOCKS for words, _ in [*PROBES, *PAGES] if all(word in each for word in words)}

    assert [each for each in BLOCKS if id(each) not in tried] == [each for each in BLOCKS if "import ping" in each]


@pytest.mark.parametrize(("words", "client"), PROBES, ids=[words[0] for words, _ in PROBES])
def test_probes(provider: TokenProvider, words: tuple[str, ...], client: Callable[[dict[str, Any]], Get]) -> None:
    get = client(run(provider, *words))
    before = get("/readyz", None)
    provider.get_token()

    assert 503 == before[0]
    assert "on its way" in before[1]
    assert 200 == get("/readyz", None)[0]
    assert 200 == get("/livez", None)[0]


@pytest.mark.parametrize(("words", "client"), PAGES, ids=[words[0] for words, _ in PAGES])
def test_pages(provider: TokenProvider, words: tuple[str, ...], client: Callable[[dict[str, Any]], Get]) -> None:
    """The operator sees the page, and nobody else does."""
    token = provider.get_token()
    get = client(run(provider, *words))
    status, text = get("/wx-status", PASSWORD)

    assert 200 == status
    assert "The account has a token" in text
    assert token not in text
    for password in (None, "wrong"):
        status, text = get("/wx-status", password)
        assert status in (302, 401, 403)
        assert provider.account.appid not in text


def test_kubernetes(provider: TokenProvider) -> None:
    """What it asks is there, in each framework."""
    (probes,) = [yaml.safe_load(code) for language, code in blocks("health.md") if language == "yaml"]
    paths = {each["httpGet"]["path"] for each in probes.values()}

    assert {"startupProbe", "readinessProbe", "livenessProbe"} == set(probes)
    assert "/livez" == probes["livenessProbe"]["httpGet"]["path"]
    assert {"/livez", "/readyz"} == paths
    assert all(path.strip("/") in block for path in paths for block in BLOCKS if "liveness" in block)


def test_statuses(provider: TokenProvider) -> None:
    (block,) = [each for each in BLOCKS if "import ping" in each]
    platform = Platform(Account("wxfedcba9876543210", "s" * 32), store=MemoryStore(), durable=True)
    names: dict[str, Any] = {"provider": provider, "store": MemoryStore(), "platform": platform}
    exec(block, names | {"pool": ProviderPool(lambda appid: provider)})
