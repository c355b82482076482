"""Each test of a client runs with all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.api_server import Api, serving
from support.clients import CLIENTS, ClientAdapter
from support.scripted_provider import ScriptedProvider

from wxmiddleware import Account, TokenProvider


@pytest.fixture(params=CLIENTS, ids=lambda adapter: adapter.name)
def adapter_class(request: pytest.FixtureRequest) -> type[ClientAdapter]:
    """One of the clients."""
    found: type[ClientAdapter] = request.param
    return found


@pytest.fixture(scope="module")
def one_api() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def api(one_api: Api) -> Api:
    """A server that refuses the token T1, and accepts any other."""
    url = one_api.url
    one_api.__init__()  # type: ignore[misc]  # as if it were new
    one_api.url = url
    return one_api


@pytest.fixture
def scripted(api: Api) -> Any:
    """A provider of T1, T2, T3 whose account is at the server."""
    provider: Any = ScriptedProvider()
    provider.account = SimpleNamespace(base_url=api.url)
    return provider


@pytest.fixture
def adapter(adapter_class: type[ClientAdapter], scripted: Any, api: Api) -> ClientAdapter:
    """A client of the server, with the scripted tokens."""
    return adapter_class(scripted, api.url)


@pytest.fixture
def provider(wechat_account: Account) -> TokenProvider:
    """A provider of the simulated WeChat's tokens."""
    return TokenProvider(wechat_account)


@pytest.fixture
def wechat_adapter(
    adapter_class: type[ClientAdapter], provider: TokenProvider, wechat_account: Account
) -> ClientAdapter:
    """A client of the simulated WeChat."""
    return adapter_class(provider, wechat_account.base_url)


@pytest.fixture
def moved_to() -> Callable[[str], Callable[[Any], Any]]:
    """Make a server answer a redirect."""

    def to(location: str, status: int = 302) -> Callable[[Any], Any]:
        return lambda seen: (status, {"Location": location}, [b""])

    return to
