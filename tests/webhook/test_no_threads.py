"""A webhook in an event loop for which no thread is to be had: WeChat repeats a push, and none is handled twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.fake_provider import fake_provider

from wxmiddleware import Runtime
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import CallbackAddresses

from .conftest import MakeSite
from .wechat import Pusher, text

pytestmark = pytest.mark.parametrize("make_site", ["starlette"], indirect=True)


class SharedStore(MemoryStore):
    """A store that is asked off the event loop."""

    shared = True


@pytest.fixture
def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, the event loop gets no worker thread."""

    async def refused(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(anyio.to_thread, "run_sync", refused)


@pytest.mark.parametrize("store", [None, SharedStore()])
def test_before_the_handler(
    make_site: MakeSite,
    pusher: Pusher,
    store: Any,
    refuse_threads: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A push for which there is no thread is answered 503; its repeat is handled once there is one."""
    handled: list[str] = []
    site = make_site(lambda message: handled.append("once"), store=store)
    refuse_threads()
    first = site.push(pusher.plain(text()))
    monkeypatch.undo()
    second = site.push(pusher.plain(text()))

    assert ((503, "5"), (200, b"success"), ["once"]) == (
        (first.status, first.headers["Retry-After"]),
        second.short,
        handled,
    )
    assert "limit of threads" in caplog.text


def test_after_the_handler(make_site: MakeSite, pusher: Pusher, refuse_threads: Callable[[], None]) -> None:
    """What has been handled is remembered though there is no thread for it any more."""
    handled: list[str] = []

    def handler(message: object) -> str:
        handled.append("once")
        refuse_threads()
        return "hello"

    site = make_site(handler, store=SharedStore())
    first = site.push(pusher.plain(text()))

    assert (200, ["once"]) == (first.status, handled)


def test_list_of_addresses(make_site: MakeSite, pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
    """WeChat's addresses are not fetched in the event loop; until there is a thread, pushes are answered 503."""
    account = type("", (), {"base_url": "http://127.0.0.1:9"})
    provider = fake_provider()
    provider.account = account
    provider.runtime = Runtime(clock=lambda: 0.0)
    senders = CallbackAddresses(provider)
    fetched: list[str] = []
    monkeypatch.setattr(senders, "_fetched", lambda: fetched.append(threading.current_thread().name))
    site = make_site(senders=senders)
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "wxmiddleware-webhook-addresses":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)

    assert (503, []) == (site.push(pusher.plain(text())).status, fetched)
