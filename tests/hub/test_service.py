"""A hub that is exchanged for another while requests are under way: what stays, and when the rest is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.hub import hash_key
from wxmiddleware.hub._service import Service
from wxmiddleware.simulator import SimulatorServer

ONE, OTHER = "wx0000000000000001", "wx0000000000000002"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file with these accounts, callers and store."""
    with SimulatorServer() as server:
        for appid in (ONE, OTHER):
            server.wechat.add_account(appid, f"{appid:0>32}")
            monkeypatch.setenv(f"SECRET_{appid}", f"{appid:0>32}")
        monkeypatch.setenv("SIGNS", "s" * 32)

        def write(*appids: str, store: str = "one", keep: str = "false", callers: tuple[str, ...] = ("a",)) -> Path:
            text = f'store = "file:{tmp_path}/{store}.json"\nkeep = {keep}\nsecrets = [{{ env = "SIGNS" }}]\n'
            for appid in appids:
                text += f'[accounts.{appid}]\nsecret = {{ env = "SECRET_{appid}" }}\nbase_url = "{server.url}"\n'
            for name in callers:
                text += f'[callers.{name}]\nkeys = ["{hash_key(name)}"]\naccounts = []\n'
            (tmp_path / "hub.toml").write_text(text)
            return tmp_path / "hub.toml"

        yield write


def providers(service: Service) -> dict[str, Any]:
    return {name: each.provider for name, each in service.hub.settings.by_name.items()}


def test_what_stays(write: Write) -> None:
    """An account that did not change keeps its provider, with all that it knows; one that went is closed."""
    service = Service(write(ONE, OTHER))
    before = providers(service)
    write(ONE, callers=("a", "b"))
    asyncio.run(service.reload())
    now = providers(service)
    service.close()

    assert [ONE] == list(now)
    assert now[ONE] is before[ONE]
    assert before[OTHER].closed
    assert ["a", "b"] == list(service.hub.settings.by_caller)


@pytest.mark.parametrize("change", ["secret", "store"])
def test_what_changed(write: Write, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(write(ONE))
    before = providers(service)
    path = write(ONE, store="two" if change == "store" else "one")
    if change == "secret":
        path.write_text(path.read_text().replace("SECRET_" + ONE, "SECRET_" + OTHER))
    asyncio.run(service.reload())
    now = providers(service)

    assert now[ONE] is not before[ONE]
    assert before[ONE].closed
    assert not now[ONE].closed
    service.close()
    assert now[ONE].closed


class Request:
    """A request whose body does not come before it is told so."""

    def __init__(self, service: Service) -> None:
        self.came, self._go = asyncio.Event(), asyncio.Event()
        scope = {"type": "http", "method": "POST", "path": "/cgi-bin/stable_token", "query_string": b"", "headers": []}
        self._task = asyncio.create_task(service(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        self.came.set()
        await self._go.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        raise AssertionError

    async def end(self) -> None:
        self._go.set()
        await self._task


def test_requests_under_way(write: Write) -> None:
    """What requests began with is closed after the last one that may need it, however often the settings change."""
    service = Service(write(ONE, OTHER))
    other = providers(service)[OTHER]
    closed: list[bool] = []

    async def changes() -> None:
        first = Request(service)
        await first.came.wait()
        write(ONE, OTHER, callers=("a", "b"))
        await service.reload()
        second = Request(service)
        await second.came.wait()
        write(ONE, store="two")
        await service.reload()
        closed.append(other.closed)
        for request in (first, second):
            await request.end()
            closed.append(other.closed)

    asyncio.run(changes())
    service.close()

    assert [False, False, True] == closed


def test_keepers(write: Write) -> None:
    """What keeps a token young stays with its provider, and ends with it."""
    service = Service(write(ONE, OTHER, keep="true"))
    service.keep()
    first = dict(service._stock._keepers)
    write(ONE, keep="true", callers=())
    asyncio.run(service.reload())
    second = dict(service._stock._keepers)
    service.close()

    assert [ONE, OTHER] == sorted(each.account.appid for each in first)
    assert list(second.values()) == [keeper for each, keeper in first.items() if each.account.appid == ONE]
    assert all(keeper._stopped.is_set() for keeper in first.values())


def test_settings_that_do_not_fit(write: Write) -> None:
    """What was made for them is closed, and what was there before is not."""
    service = Service(write(ONE))
    before = providers(service)
    path = write(ONE, OTHER)
    path.write_text(path.read_text().replace("secrets", "# secrets"))
    asyncio.run(service.reload())

    assert providers(service) == before
    assert not before[ONE].closed
    service.close()
