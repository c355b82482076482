"""The way of a token that is there: what a call or a request pays, beside the least that one can write by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import requests
from requests.adapters import BaseAdapter

import wxmiddleware.httpx
import wxmiddleware.requests
from wxmiddleware import Account, TokenProvider, with_token
from wxmiddleware.asgi import TokenMiddleware as AsgiMiddleware
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import Failure, Grant
from wxmiddleware.wsgi import TokenMiddleware as WsgiMiddleware

from .. import by_hand
from ..async_peers import ASYNC_PEERS
from ..measure import Loop, instructions, ratio, take_turns, times
from ..peers import Ours, installed
from ..report import Table

TOKEN = "60_" + "k" * 154
OURS, HAND = "ours", "by hand"


class Scripted:
    """A source that answers at once."""

    kind, timeout, refresh_ahead, revokes_previous, can_force = "scripted", 5.0, 600.0, False, False

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        return Grant(TOKEN, 7200)


def calls(function: Callable[..., object], *args: object, **kwargs: object) -> Loop:
    if not args and not kwargs:

        def bare(number: int) -> None:
            for _ in range(number):
                function()

        return bare

    def loop(number: int) -> None:
        for _ in range(number):
            function(*args, **kwargs)

    return loop


def awaits(function: Callable[..., Any], *args: object) -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            with suppress(StopIteration):
                function(*args).send(None)  # nothing here ever waits, so no event loop is needed

    return loop


def awaits_in(runner: asyncio.Runner, function: Callable[[], Awaitable[object]]) -> Loop:
    async def many(number: int) -> None:
        for _ in range(number):
            await function()

    return lambda number: runner.run(many(number))


def requests_of(app: Any, path: str = "/wechat/menu") -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            app({"PATH_INFO": path}, _start_response)

    return loop


def scopes_of(app: Any, path: str = "/wechat/menu") -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            with suppress(StopIteration):
                app({"type": "http", "path": path}, None, _send).send(None)

    return loop


def subjects() -> dict[str, dict[str, Loop]]:
    """What is measured, and in which ways."""
    provider = TokenProvider(Account("wx0123456789abcdef", "a-secret-of-nobody"), source=Scripted())
    provider.get_token()
    bare = by_hand.Bare(TOKEN, time.monotonic)
    put, looked_at, looked_at_async = (
        with_token(provider),
        by_hand.looks_at_answer(bare),
        by_hand.looks_at_answer_async(bare),
    )
    apps, handmade = _Methods(put), _Methods(by_hand.looks_at_answer(bare, method=True))
    paths, below = ["/pay", "/wechat"], ("/pay/", "/wechat/")
    return {
        "get_token": {OURS: calls(provider.get_token), HAND: calls(bare.get)},
        "aget_token": {OURS: awaits(provider.aget_token), HAND: awaits(bare.aget)},
        "WSGI middleware": {
            OURS: requests_of(WsgiMiddleware(_wsgi_app, provider)),
            HAND: requests_of(by_hand.WSGI(_wsgi_app, bare)),
            "by hand, a closure": requests_of(by_hand.wsgi(_wsgi_app, bare)),
            "no-op": requests_of(by_hand.noop_wsgi(_wsgi_app)),
        },
        "WSGI middleware, paths=, chosen": {
            OURS: requests_of(WsgiMiddleware(_wsgi_app, provider, paths=paths)),
            HAND: requests_of(by_hand.WSGI(_wsgi_app, bare, below)),
            "by hand, a closure": requests_of(by_hand.wsgi(_wsgi_app, bare, below)),
        },
        "WSGI middleware, paths=, other": {
            OURS: requests_of(WsgiMiddleware(_wsgi_app, provider, paths=paths), "/about"),
            HAND: requests_of(by_hand.WSGI(_wsgi_app, bare, below), "/about"),
            "by hand, a closure": requests_of(by_hand.wsgi(_wsgi_app, bare, below), "/about"),
        },
        "ASGI middleware": {
            OURS: scopes_of(AsgiMiddleware(_asgi_app, provider)),
            HAND: scopes_of(by_hand.ASGI(_asgi_app, bare)),
            "by hand, a closure": scopes_of(by_hand.asgi(_asgi_app, bare)),
            "no-op": scopes_of(by_hand.noop_asgi(_asgi_app)),
        },
        "ASGI middleware, paths=, chosen": {
            OURS: scopes_of(AsgiMiddleware(_asgi_app, provider, paths=paths)),
            HAND: scopes_of(by_hand.ASGI(_asgi_app, bare, below)),
            "by hand, a closure": scopes_of(by_hand.asgi(_asgi_app, bare, below)),
        },
        "ASGI middleware, paths=, other": {
            OURS: scopes_of(AsgiMiddleware(_asgi_app, provider, paths=paths), "/about"),
            HAND: scopes_of(by_hand.ASGI(_asgi_app, bare, below), "/about"),
            "by hand, a closure": scopes_of(by_hand.asgi(_asgi_app, bare, below), "/about"),
        },
        "with_token, by position": {
            OURS: calls(put(_answer), "o1"),
            HAND: calls(looked_at(_answer), "o1"),
            "bare function": calls(_answer, TOKEN, "o1"),
        },
        "with_token, by keyword": {
            OURS: calls(put(_answer), openid="o1"),
            HAND: calls(looked_at(_answer), openid="o1"),
            "bare function": calls(_answer, TOKEN, openid="o1"),
        },
        "with_token, method": {
            OURS: calls(apps.answer, "o1"),
            HAND: calls(handmade.answer, "o1"),
        },
        "with_token, async": {
            OURS: awaits(put(_async_answer), "o1"),
            HAND: awaits(looked_at_async(_async_answer), "o1"),
            "bare function": awaits(_async_answer, TOKEN, "o1"),
        },
    }


def loops() -> dict[str, Loop]:
    """All of them in a row, for callgrind."""
    return {f"{subject}: {way}": loop for subject, ways in subjects().items() for way, loop in ways.items()}


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    # Short rounds: on a busy machine one that is longer than a turn on the processor measures its neighbours.
    number, rounds = (500, 3) if quick else (2_000, 250)
    yield _hot_path(number, rounds, quick=quick)
    yield _peers(number, rounds)
    yield _async_peers(number, rounds)
    yield _auth(number // 20, rounds)


def _hot_path(number: int, rounds: int, *, quick: bool) -> Table:
    counts = None if quick else instructions(__name__, number=100)
    table = Table(
        "hot-path",
        "The hot path: nanoseconds per call, each beside the least that one can write by hand",
        ["what", "way", "median", "spread", "ours / this", "instructions", "ours / this, instructions"],
        notes=[
            f"Medians of {rounds} rounds of {number} calls that take turns; the spread is that of the middle half.",
            "Instructions are counted by callgrind, and repeat." if counts else "Instructions were not counted.",
        ],
    )
    for subject, ways in subjects().items():
        taken = take_turns(ways, number=number, rounds=rounds)
        for way in ways:
            mine, count = times(taken[way]), None
            per_instruction = None
            if counts:
                count = round(counts[f"{subject}: {way}"])
                per_instruction = counts[f"{subject}: {OURS}"] / counts[f"{subject}: {way}"]
            table.add(subject, way, mine.median, mine.spread, ratio(taken[OURS], taken[way]), count, per_instruction)
    return table


def _peers(number: int, rounds: int) -> Table:
    """Reading a token that is there."""
    there, missing = installed()
    table = Table(
        "hot-path-peers",
        "A token that is there: nanoseconds to get it",
        ["who", "median", "spread", "times ours"],
        notes=[f"Not installed: {', '.join(missing)}."] if missing else [],
    )
    wechat = WeChat()
    with SimulatorServer(wechat) as server:
        # Each fetches once; that kills the token of the one before, and nobody here will know.
        peers = {peer.name: peer(wechat.appid, wechat.secret, server.url) for peer in there}
        for peer in peers.values():
            peer.token()
        taken = take_turns({name: calls(peer.token) for name, peer in peers.items()}, number=number, rounds=rounds)
    return _beside_ours(table, taken)


def _async_peers(number: int, rounds: int) -> Table:
    """The same in a task."""
    table = Table(
        "hot-path-async-peers",
        "The same in a task of asyncio, for those with an async face",
        ["who", "median", "spread", "times ours"],
    )
    wechat = WeChat()
    with SimulatorServer(wechat) as server, asyncio.Runner() as runner:
        peers = {peer.name: peer(wechat.appid, wechat.secret, server.url, _async_answer) for peer in ASYNC_PEERS}
        loops = {name: awaits_in(runner, peer.token) for name, peer in peers.items()}
        taken = take_turns(loops, number=number, rounds=rounds)
    return _beside_ours(table, taken)


def _beside_ours(table: Table, taken: dict[str, list[float]]) -> Table:
    for name, rounds_taken in taken.items():
        found = times(rounds_taken)
        table.add(name, found.median, found.spread, ratio(rounds_taken, taken[Ours.name]))
    return table


def _auth(number: int, rounds: int) -> Table:
    """Sending a request that is answered at once, in memory."""
    provider = TokenProvider(Account("wx0123456789abcdef", "a-secret-of-nobody"), source=Scripted())
    provider.get_token()
    url, query = "https://api.weixin.qq.com/cgi-bin/user/info", {"openid": "o1"}
    plain, session = requests.Session(), requests.Session()
    for each in (plain, session):
        each.mount("https://", _Canned())
    session.auth = wxmiddleware.requests.WeChatAuth(provider)
    answered = httpx.MockTransport(lambda _: httpx.Response(200, content=_BODY))
    table = Table(
        "hot-path-auth",
        "The auth classes: microseconds for a request that is answered at once, in memory",
        ["client", "with our auth", "token put in by hand", "ratio"],
    )
    with (
        httpx.Client(transport=answered) as bare,
        httpx.Client(transport=answered, auth=wxmiddleware.httpx.WeChatAuth(provider)) as client,
    ):
        for name, ours, theirs in (("requests", session, plain), ("httpx", client, bare)):
            ways = {
                OURS: calls(ours.get, url, params=query),
                HAND: calls(theirs.get, url, params={**query, "access_token": TOKEN}),
            }
            taken = take_turns(ways, number=number, rounds=rounds)
            table.add(
                name,
                times(taken[OURS]).median / 1e3,
                times(taken[HAND]).median / 1e3,
                ratio(taken[OURS], taken[HAND]),
            )
    return table


_BODY = b'{"errcode": 0, "errmsg": "ok"}'


class _Canned(BaseAdapter):
    """Answers at once."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content = _BODY
        return response

    def close(self) -> None:
        pass


class _Methods:
    """Holds a method that is decorated."""

    def __init__(self, decorate: Callable[[Any], Any]) -> None:
        def answer(self: _Methods, access_token: str, openid: str) -> dict[str, object]:
            return {"errcode": 0, "openid": openid}

        kind = type("API", (), {"answer": decorate(answer)})
        self.answer: Any = kind().answer


def _answer(access_token: str, openid: str) -> dict[str, object]:
    return {"errcode": 0, "openid": openid}


async def _async_answer(access_token: str, openid: str = "o1") -> dict[str, object]:
    return {"errcode": 0, "openid": openid}


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _start_response(*_: object) -> None:
    return None


async def _send(_: object) -> None:
    return None
