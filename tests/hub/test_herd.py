"""A thousand clients wait for the next token at two replicas on one Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from stores.redis_server import RedisServer

from wxmiddleware.simulator import SimulatorServer

from .served import Served

pytestmark = [pytest.mark.processes, pytest.mark.servers]
SIZE = 1000
TELLERS = 64
PATIENCE = 60.0
MOST_MEMORY = 128  # KiB for each who waits; some tens are usual


@dataclass
class Replicas:
    """Two hubs, each a process, with one account in one Redis."""

    server: SimulatorServer
    hubs: list[Served]
    headers: dict[str, str] = field(repr=False)

    def ask(self, which: int, query: str = "") -> httpx.Response:
        return self.hubs[which].http.get(f"/v1/tokens/{self.server.wechat.appid}{query}", headers=self.headers)

    def memory(self) -> list[int]:
        """What each hub has of the machine's memory, in KiB."""
        texts = [Path(f"/proc/{hub.process.pid}/status").read_text() for hub in self.hubs]
        return [int(text.split("VmRSS:")[1].split()[0]) for text in texts]


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    with ExitStack() as stack:
        redis = RedisServer(tmp_path).start()
        stack.callback(redis.kill)
        server = stack.enter_context(SimulatorServer())
        hubs: list[Served] = []
        for name in ("a", "b"):
            room = tmp_path / name
            room.mkdir()
            hub = Served(room, server)
            hub.top = hub.top.replace(f"file:{room}/tokens.json", redis.url)
            hub.caller = hubs[0].caller if hubs else hub.caller
            hub.start()
            stack.callback(hub.process.wait)
            stack.callback(hub.process.kill)
            stack.callback(hub.http.close)
            hubs.append(hub)
        headers = {"Wxmiddleware": "1", "Authorization": f"Bearer {hubs[0].key}"}
        yield Replicas(server, hubs, headers)


class Herd:
    """Clients that wait, each on a connection of its own: half at the one hub, half at the other."""

    def __init__(self, replicas: Replicas, tag: str) -> None:
        self.replicas, self.tag = replicas, tag
        self.streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def wait(self, size: int) -> None:
        appid = self.replicas.server.wechat.appid
        headers = self.replicas.headers | {"If-None-Match": self.tag, "Host": "hub", "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        for number in range(size):
            host, port = self.replicas.hubs[number % 2].host.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /v1/tokens/{appid}?wait=60 HTTP/1.1\r\n{head}\r\n".encode())
            self.streams.append((reader, writer))

    async def answers(self) -> list[tuple[float, int, dict[str, Any]]]:
        """What each was told, and when."""

        async def one(reader: asyncio.StreamReader) -> tuple[float, int, dict[str, Any]]:
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return time.monotonic(), int(head.split()[1]), json.loads(body or b"{}")

        async with asyncio.timeout(PATIENCE):
            return await asyncio.gather(*(one(reader) for reader, _ in self.streams))

    async def leave(self) -> None:
        for _, writer in self.streams:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self.streams), return_exceptions=True)


def test_theft_while_a_thousand_wait(replicas: Replicas, record_property: Any) -> None:
    """All are told, by whichever replica they wait at; however many tell of the theft, one token is fetched for it."""
    wechat = replicas.server.wechat
    first = replicas.ask(0)
    assert first.json()["generation"] == replicas.ask(1).json()["generation"]

    async def main() -> tuple[float, list[tuple[float, int, dict[str, Any]]], list[int], list[int]]:
        warm = Herd(replicas, first.headers["etag"])  # what a hub needs once is not counted
        await warm.wait(50)
        await asyncio.to_thread(replicas.ask, 0)
        await warm.leave()
        before = replicas.memory()
        herd = Herd(replicas, first.headers["etag"])
        await herd.wait(SIZE)
        for which in (0, 1) * 5:  # by then those who came before are being waited for
            await asyncio.to_thread(replicas.ask, which)
        during = replicas.memory()
        answers = asyncio.create_task(herd.answers())
        wechat.revoke()
        began = time.monotonic()
        url, claim = f"/v1/tokens/{wechat.appid}/rejected", {"generation": first.json()["generation"]}
        async with httpx.AsyncClient(headers=replicas.headers, timeout=PATIENCE) as http:
            told = await asyncio.gather(
                *(http.post(f"http://{replicas.hubs[each % 2].host}{url}", json=claim) for each in range(TELLERS))
            )
        assert {200} == {each.status_code for each in told}
        found = await answers
        await herd.leave()
        return began, found, before, during

    began, answers, before, during = asyncio.run(main())
    times = sorted(at - began for at, _, _ in answers)
    each = [(late - early) / (SIZE / 2) for early, late in zip(before, during, strict=True)]
    figures = {
        "first told after s": round(times[0], 3),
        "half": round(times[SIZE // 2], 3),
        "last": round(times[-1], 3),
        "KiB for each who waits": [round(one, 1) for one in each],
        "MiB of each hub": [round(one / 1024, 1) for one in during],
    }
    print(figures)
    record_property("figures", figures)

    assert [200] * SIZE == [status for _, status, _ in answers]
    (token,) = {said["access_token"] for _, _, said in answers}
    assert wechat.is_valid(token)
    assert 2 == wechat.fetches()
    assert max(each) < MOST_MEMORY


def test_the_end_of_a_replica(replicas: Replicas) -> None:
    """Who waits at a replica that is told to end is answered at once, and may ask the other one."""
    tag = replicas.ask(0).headers["etag"]
    replicas.ask(1)

    async def main() -> list[tuple[float, int, dict[str, Any]]]:
        herd = Herd(replicas, tag)
        await herd.wait(20)
        await asyncio.to_thread(replicas.ask, 0)
        replicas.hubs[0].process.terminate()
        assert 0 == await asyncio.to_thread(replicas.hubs[0].process.wait, 25)
        replicas.hubs[1].process.terminate()
        found = await herd.answers()
        await herd.leave()
        return found

    assert [304] * 20 == [status for _, status, _ in asyncio.run(main())]


def test_a_herd_that_comes_again_and_again(replicas: Replicas) -> None:
    """Clients that leave before they are answered leave nothing behind."""
    tag = replicas.ask(0).headers["etag"]
    replicas.ask(1)

    async def main() -> list[list[int]]:
        found = []
        for _ in range(6):
            herd = Herd(replicas, tag)
            await herd.wait(400)
            await asyncio.to_thread(replicas.ask, 0)
            await asyncio.to_thread(replicas.ask, 1)
            found.append(replicas.memory())
            await herd.leave()
        return found

    found = asyncio.run(main())
    print(found)
    grown = [late - early for early, late in zip(found[1], found[-1], strict=True)]  # from the second to the sixth
    assert max(grown) < 4 * 200 * 10  # KiB; each that waits has 18
