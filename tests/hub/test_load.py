"""Thefts and renewals while many call: no call fails."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest

from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware.hub import Caller, Hub, hash_key, new_key
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken, StableToken, TokenSource

from .raw import PATH, SIGNS, served, until

CLIENTS, CALLS = 8, 60


@pytest.mark.parametrize("source", [StableToken(), ClassicToken()], ids=lambda source: source.kind)
def test_no_call_fails(source: TokenSource) -> None:
    clock = SimulatedClock(time.time(), 1.0)
    wechat, key, said, stop = WeChat(clock=clock, overlap=0), new_key(), list[int](), threading.Event()

    def call(port: int, token: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/json", **({} if token else {"Authorization": f"Bearer {key}"})}
        message = json.dumps({"touser": "oABC", "msgtype": "text", "text": {"content": "a"}})
        while not stop.is_set():
            connection.request("POST", f"{PATH}?access_token={token}" if token else PATH, message, headers)
            said.append(json.loads(connection.getresponse().read())["errcode"])
        connection.close()

    def go_on() -> None:
        count = len(said)
        until(lambda: len(said) > count + CALLS)

    with (
        SimulatorServer(wechat) as server,
        TokenProvider(
            Account(wechat.appid, wechat.secret, base_url=server.url),
            source=source,
            runtime=Runtime(clock=clock, time=clock),
        ) as provider,
    ):
        hub = Hub([provider], callers=[Caller("shop", [hash_key(key)], [wechat.appid])], secrets=[SIGNS])
        with served(hub, "patient") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", f"/cgi-bin/token?appid={wechat.appid}&secret={key}")
            token = json.loads(connection.getresponse().read())["access_token"]
            connection.close()
            clients = [
                threading.Thread(target=call, args=[port, token if i % 2 else None], daemon=True)
                for i in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            go_on()
            for theft in (wechat.revoke, wechat.steal, wechat.revoke):
                clock.advance(60)
                before = wechat.fetches()
                theft()
                until(lambda: wechat.fetches() > before)  # noqa: B023 - within the round
                go_on()
                fetched = wechat.fetches()
                clock.advance(7000)
                until(lambda: wechat.fetches() > fetched)  # noqa: B023 - within the round
                go_on()
            stop.set()
            for client in clients:
                client.join()

    assert {0} == set(said)
    assert wechat.rejections() > 0
