"""Holds a conversation in a thread: the WSGI side."""

from __future__ import annotations

import contextvars
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import get_content_length, get_input_stream

from wxmiddleware._flight import threads_freeze

from ._conversation import (
    Answer,
    Attempt,
    Conversation,
    Do,
    Failed,
    Handle,
    Pause,
    Read,
    Request,
    Spoilt,
    Step,
    Webhook,
)
from ._gate import Push

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Handles a push; what it delivers is the answer.
Work: TypeAlias = "Callable[[Push, Callable[[Answer], None]], None]"

_CHUNK = 65_536
# Where servers leave the connection: gunicorn, and werkzeug's own.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def serve(webhook: Webhook, environ: WSGIEnvironment, work: Work) -> Answer:
    """
    Answer a WSGI request.

    Raises:
        Exception: What `work` has raised in time.
    """
    request = Request(
        method=environ.get("REQUEST_METHOD", ""),
        query=environ.get("QUERY_STRING", ""),
        length=get_content_length(environ),
        peer=environ.get("REMOTE_ADDR", ""),
        forwarded=environ.get("HTTP_X_FORWARDED_FOR", ""),
    )
    return _hold(webhook.serve(request), environ, work)


def _hold(conversation: Conversation, environ: WSGIEnvironment | None = None, work: Work | None = None) -> Answer:
    send: Callable[[Any], Step] = conversation.send
    what: Any = None
    while True:
        try:
            step = send(what)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        try:
            send, what = conversation.send, _do(step, environ, work)
        except Exception as error:
            send, what = conversation.throw, error


def _do(step: Step, environ: WSGIEnvironment | None, work: Work | None) -> Any:
    match step:
        case Do(function):
            return function()
        case Pause(seconds):
            return time.sleep(seconds)
        case Read(limit, seconds):
            assert environ is not None
            return _read(environ, limit, seconds)
        case Handle(push, attempt, seconds):
            assert work is not None
            return _handle(work, push, attempt, seconds)


def _handle(work: Work, push: Push, attempt: Attempt, seconds: float | None) -> Answer | Failed | None:
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
                _hold(rest)
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
    there.wait(seconds)
    return attempt.give_up()


def _read(environ: WSGIEnvironment, limit: int, seconds: float) -> bytes | Spoilt:
    if threads_freeze():
        return _read_all(environ, limit)
    # Nothing in WSGI ends a read that waits. So another thread reads, and is left behind if it takes too long.
    found: list[bytes | Spoilt] = []
    reader = threading.Thread(
        target=lambda: found.append(_read_all(environ, limit)), name="wxmiddleware-webhook-body", daemon=True
    )
    try:
        reader.start()
    except RuntimeError:  # no more threads
        return _read_all(environ, limit)
    reader.join(seconds)
    if found:
        return found[0]
    for name in _SOCKETS:
        if (connection := environ.get(name)) is not None:
            _end_reading(connection)
    return Spoilt.SLOW


def _read_all(environ: WSGIEnvironment, limit: int) -> bytes | Spoilt:
    try:
        # With one more than the limit, its end can be seen.
        stream = get_input_stream(environ, max_content_length=limit + 1)
        # A stream without a length may hand out less than it was asked for.
        parts, room = [], limit + 1
        while room > 0 and (part := stream.read(min(room, _CHUNK))):
            parts.append(part)
            room -= len(part)
    except RequestEntityTooLarge:
        return Spoilt.LARGE
    except (HTTPException, OSError, ValueError):  # cut off; or closed, when its time was over
        return Spoilt.GONE
    if room == 0:
        return Spoilt.LARGE
    body = b"".join(parts)
    length = get_content_length(environ)
    return body if length is None or len(body) == length else Spoilt.GONE


def _end_reading(connection: Any) -> None:
    with suppress(OSError, AttributeError):
        connection.shutdown(socket.SHUT_RD)  # the thread that reads wakes up, and ends
