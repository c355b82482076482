"""Runs a flow in a thread: the WSGI side."""

from __future__ import annotations

import contextvars
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from wxmiddleware._rules.paths import text_of
from wxmiddleware._runtime.drive import drive
from wxmiddleware._runtime.threads import start_thread, threads_freeze

from ._crowd import Crowd
from ._flow import (
    Answer,
    Attempt,
    BodyError,
    CapacityLimiter,
    Do,
    Failed,
    Flow,
    Handle,
    Pause,
    Read,
    Request,
    Step,
    Webhook,
    length_of,
)
from ._gate import Push

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Handles a push; what it delivers is the answer.
Work: TypeAlias = "Callable[[Push, Callable[[Answer], None]], None]"

_CHUNK = 65_536
# Where servers leave the connection: gunicorn, and werkzeug's own.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
_GRACE = 1.0  # seconds in which a reader that was woken ends
# How many bodies may be on their way at once. Not every server lets go of a thread that waits for a stranger's next
# byte; more than so many threads there never are.
_readers = CapacityLimiter(64)
_crowd = Crowd()


def serve(webhook: Webhook, environ: WSGIEnvironment, work: Work, path: str = "", hint: str = "") -> Answer:
    """
    Answer a WSGI request.

    Args:
        path: The webhook's path below what the app is mounted at, if it has but one; else the request's own.
        hint: What the log is to say as well if the request is refused.

    Raises:
        Exception: What `work` has raised in time.
    """
    request = Request(
        method=environ.get("REQUEST_METHOD", ""),
        query=environ.get("QUERY_STRING", ""),
        length=_length(environ),
        peer=environ.get("REMOTE_ADDR", ""),
        forwarded=environ.get("HTTP_X_FORWARDED_FOR", ""),
        path=text_of(environ.get("SCRIPT_NAME", "") + (path or environ.get("PATH_INFO", ""))),
        hint=hint,
    )
    return _run(webhook.serve(request), environ, work)


def _length(environ: WSGIEnvironment) -> int | None:
    # A chunked body has no length, and a Content-Length beside the chunks does not count.
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    return None if chunked else length_of(environ.get("CONTENT_LENGTH") or "")


def _run(flow: Flow, environ: WSGIEnvironment | None = None, work: Work | None = None) -> Answer:
    return drive(flow, lambda step: _do(step, environ, work))


def _do(step: Step, environ: WSGIEnvironment | None, work: Work | None) -> Any:
    match step:
        case Do(function):
            return function()
        case Pause(seconds):
            return time.sleep(seconds)
        case Read(limit, seconds):
            assert environ is not None
            return _read(environ, limit, seconds)
        case Handle(push, attempt, seconds, hurry):
            assert work is not None
            assert environ is not None
            alone = environ.get("wsgi.multithread") is False and not threads_freeze()
            return _handle(work, push, attempt, seconds, hurry=hurry if alone else None)


def _handle(
    work: Work, push: Push, attempt: Attempt, seconds: float | None, *, hurry: bool | None
) -> Answer | Failed | None:
    there = threading.Event()

    def deliver(answer: Answer) -> None:
        attempt.deliver(answer)
        there.set()

    def run() -> None:
        try:
            try:
                work(push, deliver)
            except BaseException as error:  # also what would end a thread of the server's: it is raised there
                attempt.deliver(Failed(error))
            there.set()
            rest = attempt.afterwards()
            if rest is not None:
                _run(rest)
        finally:
            attempt.ended()

    if seconds is None:
        run()
        return attempt.give_up()
    # Not a daemon: a process that ends lets it finish what WeChat was told is in hand.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="wxmiddleware-webhook")
    try:
        thread.start()
    except RuntimeError:  # no more threads
        run()
    if hurry is None:
        there.wait(seconds)
    else:
        _crowd.wait(there, seconds, hurry=hurry)
    return attempt.give_up()


def _read(environ: WSGIEnvironment, limit: int, seconds: float) -> bytes | BodyError:
    if threads_freeze():
        return _read_all(environ, limit)
    if not _readers.enter():
        return BodyError.BUSY
    # Nothing in WSGI ends a read that waits. So another thread reads, and is left behind if it takes too long.
    found: list[bytes | BodyError] = []
    connection = next((environ[name] for name in _SOCKETS if environ.get(name) is not None), None)

    def read() -> None:
        try:
            found.append(_read_all(environ, limit))
        finally:
            _readers.leave()

    end = time.monotonic() + seconds
    with _timed(connection, end):
        reader = start_thread(read, "wxmiddleware-webhook-body")
        if reader is None:
            read()
            return found[0]
        reader.join(seconds)
        if found and not (found[0] is BodyError.GONE and time.monotonic() >= end):
            return found[0]
        _end_reading(connection)
        reader.join(_GRACE if connection is not None else 0.0)
    return BodyError.SLOW


def _read_all(environ: WSGIEnvironment, limit: int) -> bytes | BodyError:
    held = _held(environ)
    kept = held.get("_cached_data")
    if isinstance(kept, bytes):
        return kept if len(kept) <= limit else BodyError.LARGE
    stream = held.get("stream")
    try:
        if stream is None:
            _rewind(environ["wsgi.input"])
            # With one more than the limit, its end can be seen.
            stream = get_input_stream(environ, max_content_length=limit + 1)
        # A stream without a length may hand out less than it was asked for.
        parts, room = [], limit + 1
        while room > 0 and (part := stream.read(min(room, _CHUNK))):
            parts.append(part)
            room -= len(part)
    except RequestEntityTooLarge:
        return BodyError.LARGE
    except (HTTPException, OSError, ValueError):  # cut off; or closed, when its time was over
        return BodyError.GONE
    if room == 0:
        return BodyError.LARGE
    body = b"".join(parts)
    length = _length(environ)
    touched = "stream" in held
    if len(body) == length or (length is None and (body or not touched)):
        return body
    return BodyError.TAKEN if touched else BodyError.GONE


def _held(environ: WSGIEnvironment) -> dict[str, Any]:
    """What werkzeug's request, which Flask's is, keeps of the body: the bytes, or the stream if that was touched."""
    return getattr(environ.get("werkzeug.request"), "__dict__", {})


def _rewind(stream: Any) -> None:
    """A body in memory or in a file, which other code has read, is still there."""
    with suppress(AttributeError, OSError, ValueError):
        if stream.seekable() and stream.tell() > 0:
            stream.seek(0)


@contextmanager
def _timed(connection: Any, end: float) -> Iterator[None]:
    """
    Let what is read from a TLS connection be over in time.

    The plain connection is shut down for reading when the time is over. A TLS connection would forget its state in
    that moment, so that the server writes its answer in clear. Here each read waits for what is left of the time.
    """
    if not _is_tls(connection):
        yield
        return
    before = connection.gettimeout()

    def timed(read: Callable[..., Any]) -> Callable[..., Any]:
        def timed_read(*args: Any, **kwargs: Any) -> Any:
            connection.settimeout(max(0.001, end - time.monotonic()))
            return read(*args, **kwargs)

        return timed_read

    names = ("recv", "recv_into")
    for name in names:
        setattr(connection, name, timed(getattr(connection, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(connection, name)
        with suppress(OSError):
            connection.settimeout(before)


def _is_tls(connection: Any) -> bool:
    return hasattr(connection, "unwrap")


def _end_reading(connection: Any) -> None:
    if not _is_tls(connection):
        with suppress(OSError, AttributeError):
            connection.shutdown(socket.SHUT_RD)  # the thread that reads wakes up, and ends
