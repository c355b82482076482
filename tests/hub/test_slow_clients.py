"""Clients that send slowly, too much or nothing hold no connection for long; others do not notice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wxmiddleware.hub import Hub
from wxmiddleware.hub._listen import Address, Listeners
from wxmiddleware.hub._server import Patient, server

from .conftest import World

Talk = Callable[[int], Coroutine[Any, Any, bytes]]


class Hasty(Patient):
    patience = 0.2


def against(hub: Hub, talk: Talk, **limits: Any) -> bytes:
    """Serve a hub on a real socket, and give what a conversation with it brought."""

    async def both() -> bytes:
        listeners = Listeners([Address("127.0.0.1")], 0o660)
        port = listeners.sockets[0].getsockname()[1]
        made = server(hub, leave=hub.leave, grace=60, **{"connections": 100, **limits})
        serving = asyncio.create_task(made._serve(listeners.sockets))
        try:
            return await talk(port)
        finally:
            made.should_exit = True
            await serving

    return asyncio.run(both())


def sends(*parts: bytes) -> Talk:
    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer

    return talk


@pytest.mark.parametrize("head", [b"", b"GET /livez HTTP/1.1\r\nHost: ", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_slow_head(world: World, head: bytes) -> None:
    """It is closed, from its beginning or from the first byte of a later request."""
    first = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

    assert b"" == against(world.hub, sends(head), http=Hasty)
    if head:
        assert against(world.hub, sends(first, head), http=Hasty).endswith(b"ok\n")


def test_trickle(world: World) -> None:
    """A byte now and then does not gain it time."""

    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = asyncio.create_task(reader.read())
        writer.write(b"GET /livez HTTP/1.1\r\nX: ")
        while not answer.done():
            writer.write(b"x")
            await asyncio.sleep(0.01)
        writer.close()
        return b"" if answer.exception() else answer.result()

    assert b"" == against(world.hub, talk, http=Hasty)


def test_long_head(world: World) -> None:
    """No head grows without end."""
    line = b"X: " + b"x" * 8000 + b"\r\n"
    answer = against(world.hub, sends(b"GET /livez HTTP/1.1\r\nHost: x\r\n", *[line] * 9))

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_heads_are_not_added_up(world: World) -> None:
    """Each request of a connection may have a head of some size, and a body that is larger."""
    body = b"[" + b" " * 60_000 + b"]"
    head = b"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000
    rest = b"x" * 20_000 + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    alive = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = b""
        for _ in range(3):
            writer.write(head)
            await writer.drain()
            await sends(alive)(port)  # by then it has read the first part
            writer.write(rest)
            answers += await reader.readuntil(b"the hub)") + await reader.readuntil(b"}")
        writer.close()
        return answers

    assert 3 == against(world.hub, talk).count(b"the body is no JSON object")


def test_slow_body(world: World) -> None:
    """A body of which nothing comes is given up."""
    head = b"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    answer = against(world.hub, sends(head), silence=0.2)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_too_many(world: World) -> None:
    """Who comes when there are as many connections as it may have is told so at once."""

    async def talk(port: int) -> bytes:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        try:
            return await sends(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")(port)
        finally:
            for _, writer in held:
                writer.close()

    assert against(world.hub, talk, connections=3).startswith(b"HTTP/1.1 503 ")


def test_no_delay() -> None:
    """asyncio sends at once on sockets that say they are TCP's; others wait 40 ms for each second answer."""
    listeners = Listeners([Address("localhost")], 0o660)
    protocols = {each.proto for each in listeners.sockets}
    listeners.close()

    assert {socket.IPPROTO_TCP} == protocols
