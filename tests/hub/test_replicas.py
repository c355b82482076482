"""Two replicas on one Redis, and 64 callers: tokens are stolen, a replica is killed, Redis is killed and comes back."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stores.redis_server import RedisServer

from wxmiddleware.hub import new_key
from wxmiddleware.simulator import SimulatorServer, WeChat

from .served import Served, until

pytestmark = [pytest.mark.processes, pytest.mark.servers]
GATEWAY, DIRECT = "/cgi-bin/getcallbackip", "/cgi-bin/get_api_domain_ip"
CALLERS = 64
Answer = dict[str, Any]


class Client:
    """
    A service that calls WeChat again and again, in one of four shapes. It goes to the other replica if one is gone.

    Args:
        number: Decides the shape, the account and the replica.
        world: What it finds there.
    """

    def __init__(self, number: int, world: World) -> None:
        self.world, self.shape = world, ("sdk", "stable", "bearer", "direct")[number % 4]
        self.appid = world.appids[number // 4 % len(world.appids)]
        self.key = world.keys["direct" if self.shape == "direct" else "sdk"]
        self.hubs = [f"http://{each.host}" for each in world.replicas]
        if number % 8 < 4:
            self.hubs.reverse()
        self.token = ""
        self.calls, self.lost = 0, 0
        self.wrong: list[Answer] = []

    async def run(self, http: httpx.AsyncClient) -> None:
        while not self.world.over.is_set():
            answer = await self.once(http)
            if answer.get("errcode", 0) != 0:
                self.wrong.append(answer)
            self.calls += 1
            await asyncio.sleep(0.1)

    async def once(self, http: httpx.AsyncClient) -> Answer:
        if self.shape == "bearer":
            return await self.hub(
                http, "GET", f"/{self.appid}{GATEWAY}", headers={"Authorization": f"Bearer {self.key}"}
            )
        if not self.token:
            await self.ask(http)
        if self.shape != "direct":
            return await self.hub(http, "GET", GATEWAY, params={"access_token": self.token})
        answer = await self.call_wechat(http)
        for _ in range(3):  # as co-wechat-api does: a replica that gave it no token yet learns by the second
            if answer.get("errcode") == 40001:
                await self.ask(http)
                answer = await self.call_wechat(http)
        return answer

    async def call_wechat(self, http: httpx.AsyncClient) -> Answer:
        answer: Answer = (await http.get(self.world.url + DIRECT, params={"access_token": self.token})).json()
        return answer

    async def ask(self, http: httpx.AsyncClient) -> None:
        said = {"grant_type": "client_credential", "appid": self.appid, "secret": self.key}
        if self.shape == "stable":
            answer = await self.hub(http, "POST", "/cgi-bin/stable_token", json=said)
        else:
            answer = await self.hub(http, "GET", "/cgi-bin/token", params=said)
        self.token = answer.get("access_token", "")
        if not self.token:
            self.wrong.append(answer)

    async def hub(self, http: httpx.AsyncClient, method: str, path: str, **more: Any) -> Answer:
        for hub in list(self.hubs):
            try:
                answer: Answer = (await http.request(method, hub + path, **more)).json()
                return answer
            except httpx.TransportError:
                self.lost += 1
                self.hubs.reverse()
        return {"errcode": "no replica answers"}


class World:
    """A simulated WeChat with four accounts, Redis, two replicas and the callers."""

    def __init__(self, room: Path, server: SimulatorServer, redis: RedisServer) -> None:
        self.wechat, self.url, self.redis, self.over = server.wechat, server.url, redis, threading.Event()
        others = [self.wechat.add_account(f"wx{number:016x}", f"{number:032x}") for number in range(1, 4)]
        self.appids = [self.wechat.appid, *(each.appid for each in others)]
        self.keys = {"sdk": new_key(), "direct": new_key()}
        self.replicas = [self.replica(room / str(number), server) for number in range(2)]
        for each in self.replicas:
            each.start()
        self.clients = [Client(number, self) for number in range(CALLERS)]
        self.threads = [threading.Thread(target=self.load, args=(part,)) for part in range(2)]
        for thread in self.threads:
            thread.start()

    def replica(self, room: Path, server: SimulatorServer) -> Served:
        room.mkdir()
        made = Served(room, server)
        listed = ", ".join(f'"{appid}"' for appid in self.appids)
        made.env |= {f"SECRET_{appid}": account.secret for appid, account in self.wechat.accounts.items()}
        top = f'listen = ["127.0.0.1:0", "unix:{room}/hub.sock"]\nsecrets = {{ env = "HUB_SECRET" }}\n'
        top += f'store = "{self.redis.url}"\n'
        accounts = [
            f'[accounts.{appid}]\nsecret = {{ env = "SECRET_{appid}" }}\nsource = "classic"\nbase_url = "{self.url}"\n'
            for appid in self.appids
        ]
        callers = [
            made.caller_of("sdk", self.keys["sdk"], ""),
            made.caller_of("direct", self.keys["direct"]),
        ]
        made.write(top, *accounts, *(each.replace(f'["{self.wechat.appid}"]', f"[{listed}]") for each in callers))
        return made

    def load(self, part: int) -> None:
        async def all_of_them() -> None:
            async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as http:
                await asyncio.gather(*(each.run(http) for each in self.clients[part::2]))

        asyncio.run(all_of_them())

    def each_calls(self, times: int = 2) -> None:
        """Wait until each caller has called so often more."""
        wanted = {each: each.calls + times for each in self.clients}
        until(lambda: all(each.calls >= calls for each, calls in wanted.items()))

    def steal(self, appid: str) -> None:
        """Have another service fetch a token: ours is dead in that moment."""
        self.wechat.steal(appid, "classic")
        self.each_calls()

    def close(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def told(self, what: Callable[[Answer], object]) -> int:
        """Count lines of the audit of both."""
        return sum(bool(what(line)) for each in self.replicas for line in each.audit)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with RedisServer(tmp_path) as redis, SimulatorServer(WeChat(overlap=0)) as server:
        made = World(tmp_path, server, redis)
        yield made
        made.close()
        for each in made.replicas:
            each.close()


def test_two_replicas(world: World) -> None:
    """One fetch for each theft, no call that fails, and an audit that says what WeChat's own log says."""
    wechat, (first, second) = world.wechat, world.replicas
    world.each_calls()
    boot = [wechat.fetches(appid) for appid in world.appids]

    world.steal(world.appids[0])
    second.process.kill()
    world.each_calls()
    world.steal(world.appids[1])
    second.process.wait()
    world.redis.kill()
    until(lambda: first.says("store_failed"))
    world.each_calls(10)
    world.redis.start()
    until(lambda: first.says("store_back"))
    world.steal(world.appids[2])
    world.close()

    assert [1, 1, 1, 1] == boot
    assert [2, 2, 2, 1] == [wechat.fetches(appid) for appid in world.appids]
    assert [] == [answer for each in world.clients for answer in each.wrong]
    assert Counter() == Counter(line["result"] for each in world.replicas for line in each.audit) - Counter(ok=10**9)
    # A call is in the audit of a replica that was killed meanwhile, or its caller has lost the answer.
    lost = sum(each.lost for each in world.clients)
    passed = world.told(lambda line: line["face"] == "gateway")
    healed = world.told(lambda line: line["face"] == "gateway" and line.get("healed"))
    assert 0 <= wechat.calls(GATEWAY) - passed - healed <= 2 * lost
    assert 3 <= healed
    assert all(each.calls >= 15 for each in world.clients)
