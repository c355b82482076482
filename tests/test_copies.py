"""What holds locks and connections is copied as itself, and says what to do instead of pickling it."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from support.leaks import shown

from wxmiddleware import Account, ProviderPool, TokenProvider, with_token
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.platform import Platform
from wxmiddleware.requests import WeChatAuth, mask_errors
from wxmiddleware.stores.encrypted import EncryptedStore
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memcached import MemcachedStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.stores.redis import RedisStore
from wxmiddleware.stores.sql import SQLStore

SECRET = "d0123456789abcdef0123456789abcde"
TOKEN = "66_abc"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def provider() -> TokenProvider:
    return TokenProvider(Account("wx00000000000000a1", SECRET))


MAKERS: dict[str, Callable[[Path], Any]] = {
    "TokenProvider": lambda path: provider(),
    "ProviderPool": lambda path: ProviderPool(lambda appid: provider()),
    "Platform": lambda path: Platform(Account("wx00000000000000a1", SECRET), store=JSONFileStore(path / "x.json")),
    "JSSDK": lambda path: JSSDK(provider()),
    "MemoryStore": lambda path: MemoryStore(),
    "RedisStore": lambda path: RedisStore.from_url("redis://127.0.0.1:9"),
    "MemcachedStore": lambda path: MemcachedStore.from_url("memcached://127.0.0.1:9"),
    "SQLStore": lambda path: SQLStore.from_url(f"sqlite:///{path}/x.db"),
    "EncryptedStore": lambda path: EncryptedStore(MemoryStore(), KEY),
}


@pytest.fixture(params=MAKERS)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """One of each."""
    return MAKERS[request.param](tmp_path)


def test_a_copy_is_the_thing_itself(one: Any) -> None:
    """Also within something else that is copied: settings, an app's config."""
    config = {"wechat": [one]}

    assert copy.copy(one) is one
    assert copy.deepcopy(one) is one
    assert copy.deepcopy(config)["wechat"][0] is one


@pytest.mark.parametrize("name", ["TokenProvider", "RedisStore", "MemcachedStore", "SQLStore", "EncryptedStore"])
def test_with_closes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has connections, or is over when it is closed, is closed at the end of a block, whatever ended it."""
    made = MAKERS[name](tmp_path)
    close = Mock()
    monkeypatch.setattr(type(made), "close", close)
    with suppress(ZeroDivisionError), made as here:
        assert here is made
        close.assert_not_called()
        raise ZeroDivisionError

    close.assert_called_once_with()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_says_what_to_do(one: Any, protocol: int) -> None:
    """With every protocol, and without a secret."""
    with pytest.raises(TypeError, match=rf"A {type(one).__name__} is not pickled.*Make one in each process") as caught:
        pickle.dumps([one], protocol)

    assert SECRET not in shown(caught.value)


def test_a_pool_of_processes() -> None:
    """It is what people meet first."""
    with ProcessPoolExecutor(1) as pool, pytest.raises(TypeError, match="Make one in each process"):
        pool.submit(repr, provider()).result()


def test_a_session_with_our_auth() -> None:
    """Its copy has the same provider and is shielded like it; a pickle of it is told."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    session = mask_errors(requests.Session())
    session.auth = auth = WeChatAuth(provider())
    copied = copy.deepcopy(session)
    plain = pickle.loads(pickle.dumps(mask_errors(requests.Session())))

    assert isinstance(copied.auth, WeChatAuth)
    assert copied.auth.provider is auth.provider
    assert copied is not session
    for each in (copied, plain, copy.deepcopy(plain)):
        each.auth = None
        with pytest.raises(requests.ConnectionError) as caught:
            each.get(f"{url}/x", params={"access_token": TOKEN}, timeout=5)

        assert TOKEN not in shown(caught.value)
    with pytest.raises(TypeError, match="TokenProvider is not pickled"):
        pickle.dumps(session)


@with_token(provider=provider)
def decorated(access_token: str, openid: str) -> str:
    """A function of a module."""
    return openid


def test_a_decorated_function() -> None:
    """It is pickled by its name, as any function is."""
    assert copy.deepcopy(decorated) is decorated
    assert pickle.loads(pickle.dumps(decorated)) is decorated
