"""How a push gets to the one who is to answer it: over HTTP, or into a WSGI or ASGI app in this process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from werkzeug.test import EnvironBuilder, run_wsgi_app

from wxmiddleware.exceptions import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["ASGITransport", "PushAnswer", "PushRequest", "Transport", "WSGITransport"]

PUSHED_FROM = ("106.55.206.146", "106.55.206.211")
"""What ``getcallbackip`` answers; pushes into an app in this process come from the first."""

_CONNECT = 5.0  # WeChat's own: docs/wechat.md#deadlines-and-repeats
_LARGEST = 1 << 20  # nobody has established what WeChat reads; replies have a few KB


class Cut:
    """Whether WeChat has cut the connection, and what is to be done then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._then: list[Callable[[], None]] = []
        self._done = False

    @property
    def done(self) -> bool:
        return self._done

    def then(self, act: Callable[[], None]) -> None:
        """Call ``act()`` when the connection is cut, or now if it is already."""
        with self._lock:
            if not self._done:
                self._then.append(act)
                return
        act()

    def __call__(self) -> None:
        with self._lock:
            self._done = True
            then, self._then = self._then, []
        for act in then:
            act()


@dataclass(frozen=True, slots=True)
class PushRequest:
    """
    One request of WeChat's.

    Attributes:
        method: ``GET`` for the verification of a URL, else ``POST``.
        url: The whole URL, with signature, timestamp and nonce in its query.
        body: What is posted.
        content_type: Of the body; ``None`` without one.
        cut: Called when WeChat stops waiting; a transport may leave it alone.
    """

    method: str
    url: str
    body: bytes = field(default=b"", repr=False)
    content_type: str | None = None
    cut: Cut = field(default_factory=Cut, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """
    What came back.

    Attributes:
        status: HTTP status.
        body: The bytes of the body.
        error: What an app in this process raised instead of answering; a server would make it a 500.
    """

    status: int
    body: bytes = b""
    error: BaseException | None = field(default=None, repr=False)


class Transport(Protocol):
    """Takes a request to the one who answers. What it raises counts as no answer."""

    def __call__(self, request: PushRequest) -> PushAnswer: ...


class HTTPCarrier:
    """Over HTTP. Follows no redirect, obeys no proxy of the environment."""

    def __call__(self, request: PushRequest) -> PushAnswer:
        parts = urlsplit(request.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT)
        with contextlib.closing(connection):
            connection.connect()
            connection.sock.settimeout(None)  # the one who waits cuts it
            sock = connection.sock
            request.cut.then(lambda: _shut(sock))
            headers = {"User-Agent": "Mozilla/4.0", "Accept": "*/*", "Connection": "close"}
            if request.content_type is not None:
                headers["Content-Type"] = request.content_type
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(request.method, target, request.body or None, headers)
            with connection.getresponse() as response:
                return PushAnswer(response.status, response.read(_LARGEST))


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class WSGITransport:
    """
    Into a WSGI app in this process, such as a Flask app.

    Args:
        app: The app.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, request: PushRequest) -> PushAnswer:
        parts = urlsplit(request.url)
        builder = EnvironBuilder(
            path=parts.path or "/",
            base_url=f"{parts.scheme}://{parts.netloc}",
            query_string=parts.query,
            method=request.method,
            data=request.body or None,
            content_type=request.content_type,
            environ_base={"REMOTE_ADDR": PUSHED_FROM[0]},
        )
        try:
            with contextlib.closing(builder):
                body, status, _ = run_wsgi_app(self._app, builder.get_environ(), buffered=True)
            return PushAnswer(int(status.partition(" ")[0]), b"".join(body)[:_LARGEST])
        except Exception as error:
            return PushAnswer(500, error=error)


_Message = MutableMapping[str, Any]
_ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]


class ASGITransport:
    """
    Into an ASGI app in this process, such as a Starlette or FastAPI app.

    One event loop in a thread of its own starts the app at the first request and serves all of them, so that what the
    app leaves running goes on after the answer. Close it to end them and to let the app shut down.

    Args:
        app: The app.
    """

    def __init__(self, app: _ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._life: _Life | None = None

    def __call__(self, request: PushRequest) -> PushAnswer:
        answer: Future[PushAnswer] = Future()
        asyncio.run_coroutine_threadsafe(self._serve(request, answer), self._running())
        return answer.result()

    def close(self) -> None:
        """Let the app shut down, cancel what still runs and end the thread."""
        with self._lock:
            loop, thread, life = self._loop, self._thread, self._life
            self._loop = self._thread = self._life = None
        if loop is not None and thread is not None and life is not None:
            with contextlib.suppress(Exception):  # an app that cannot shut down is none of WeChat's business
                asyncio.run_coroutine_threadsafe(life.end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="wechat-push-asgi", daemon=True)
                self._thread.start()
                self._life = _Life(self._app)
                asyncio.run_coroutine_threadsafe(self._life.start(), self._loop).result()
            return self._loop

    async def _serve(self, request: PushRequest, answer: Future[PushAnswer]) -> None:
        parts = urlsplit(request.url)
        headers = [(b"host", parts.netloc.encode()), (b"content-length", str(len(request.body)).encode())]
        if request.content_type is not None:
            headers.append((b"content-type", request.content_type.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": headers,
            "client": (PUSHED_FROM[0], 50000),
            "server": (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)),
            "state": {} if self._life is None else dict(self._life.state),
        }
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        request.cut.then(lambda: _call(loop, gone.set))
        unread = [request.body]
        status, body = 500, bytearray()

        async def receive() -> _Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: _Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b"")[: _LARGEST - len(body)])
                if not message.get("more_body"):
                    _settle(answer, PushAnswer(status, bytes(body)))
                    gone.set()

        try:
            await self._app(scope, receive, send)
        except Exception as error:
            _settle(answer, PushAnswer(500, error=error))
        finally:  # also when the transport is closed
            _settle(answer, PushAnswer(500, error=RuntimeError("The app ended without an answer.")))


class _Life:
    """The app's lifespan: started before the first request, ended with the transport. An app may know of none."""

    def __init__(self, app: _ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        self._events: asyncio.Queue[_Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._events.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()

    async def end(self) -> None:
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await self._task

    async def _run(self) -> None:
        async def send(message: _Message) -> None:
            if message["type"].startswith("lifespan.startup"):
                self._started.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, send)
        finally:
            self._started.set()


def _settle(answer: Future[PushAnswer], given: PushAnswer) -> None:
    if not answer.done():
        answer.set_result(given)


def _call(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop may be closed
        loop.call_soon_threadsafe(act)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop):
        loop.run_forever()


def transport_to(to: object) -> Transport:
    """
    Give the transport that fits: a URL goes over HTTP, a transport is one.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(to, str):
        return HTTPCarrier()
    if callable(to):
        return to
    raise ConfigurationError("A push goes to a URL, or through a transport such as WSGITransport(app).")
