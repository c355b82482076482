"""
The server of a hub: uvicorn, with bounds for clients that are slow, and an end that cuts no request.

uvicorn waits without end for a request's head and body. A client that sends one byte a minute would hold a connection
and its memory (slowloris), so each has its time here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LARGEST_HEAD = 64 * 1024  # bytes
_SILENCE = 60.0  # seconds without a byte of a body
_IDLE = 75  # seconds that a connection stays open between two requests; longer than pools of clients keep one
_FEW = 50  # connections
_logger = logging.getLogger("wxmiddleware")


class Patient(HttpToolsProtocol):
    """
    A connection whose heads of requests come in time, and are of a bounded size.

    Attributes:
        patience: Seconds for a head, from its first byte or the connection's beginning.
    """

    patience = 10.0
    _late: asyncio.TimerHandle | None = None
    _head = 0  # bytes, while one is being read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._expect(nothing=True)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it is too much of a head."""
        if self._late is not None:
            self._head += len(data)
        super().data_received(data)
        if self._late is not None and self._head > _LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begin to wait for the head's end."""
        super().on_message_begin()
        if self._late is None:
            self._expect()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What follows a body (trailers) is none: httptools calls it so all the same."""
        if self._late is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See that it is there."""
        self._expect(nothing=True)
        super().on_headers_complete()

    def _expect(self, *, nothing: bool = False) -> None:
        if self._late is not None:
            self._late.cancel()
        self._head = 0
        self._late = None if nothing else self.loop.call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Ends with Ctrl-C or SIGTERM, and tells the hub before it waits for the requests under way."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to end; at once, if Ctrl-C comes again."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        self._leave()


class _Beside(uvicorn.Server):
    """Leaves signals to the server that it stands beside."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def server(
    app: ASGIApp,
    *,
    leave: Callable[[], None],
    grace: float,
    connections: int,
    silence: float = _SILENCE,
    http: type[Patient] = Patient,
) -> uvicorn.Server:
    """
    Make the server.

    Args:
        app: What it serves.
        leave: Called when it is told to end.
        grace: Seconds for which requests may go on then.
        connections: How many there may be at once; who comes then is told 503.
        silence: Seconds that a client may send nothing of a body.
        http: What reads requests.
    """
    return _Server(_config(in_time(app, silence), grace, connections, http=http, lifespan="on"), leave)


def beside(app: ASGIApp) -> uvicorn.Server:
    """
    Make a server for a few more clients, such as Prometheus. It ends by `should_exit`.

    Args:
        app: What it serves; it is told of no lifespan.
    """
    return _Beside(_config(in_time(app), grace=1, connections=_FEW, http=Patient, lifespan="off"))


def _config(
    app: ASGIApp, grace: float, connections: int, *, http: type[Patient], lifespan: Literal["on", "off"]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan=lifespan,
        interface="asgi3",
        log_config=None,
        access_log=False,  # queries hold keys and tokens
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=max(1, round(grace)),
    )


def in_time(app: ASGIApp, silence: float = _SILENCE) -> ASGIApp:
    """Have the app see a client as gone that sends nothing of a body for so long. The client is told 408."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        more, late, begun = True, False, False

        async def received() -> Message:
            nonlocal more, late
            if not more:  # only its leaving can be waited for
                return await receive()
            try:
                async with asyncio.timeout(silence):
                    message = await receive()
            except TimeoutError:
                more, late = False, True
                return {"type": "http.disconnect"}
            more = bool(message.get("more_body", False))
            return message

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        await app(scope, received, sent)
        if late and not begun:
            headers = [(b"connection", b"close"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 408, "headers": headers})
            await send({"type": "http.response.body"})

    return bounded


def file_limit() -> int:
    """Let this process open as many files as it may, and say how many."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return 65_536 if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def note_hang_ups() -> list[int]:
    """Have SIGHUP not end this process, before `run` can act on it. Gives what `run` is to be told."""
    noted: list[int] = []
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, _: noted.append(number))
    return noted


async def run(
    made: uvicorn.Server, sockets: list[socket.socket], reload: Callable[[], Any], noted: Sequence[int] = ()
) -> None:
    """
    Serve until it is told to end.

    Args:
        made: The server.
        sockets: Where it listens.
        reload: An async function for SIGHUP.
        noted: Whether that has come before.
    """
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def hung_up() -> None:
        task = loop.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, hung_up)
    if noted:
        hung_up()
    await made.serve(sockets)
