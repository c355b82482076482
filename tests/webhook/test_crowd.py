"""How long a worker that serves one request at a time waits. With a real server: `processes/test_webhooks.py`."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import Client

from wxmiddleware.webhook import Message, _crowd
from wxmiddleware.webhook._crowd import Crowd, others_wait
from wxmiddleware.webhook.wsgi import WebhookMiddleware

from .sites import AT_NOW
from .wechat import Pusher, text

FOR_EVER = 1000.0


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """A connection that nobody accepts."""
    with socket.create_connection(listening.getsockname()) as made:
        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crowd, "_MOMENT", 0.01)
    monkeypatch.setattr(_crowd, "_LOOK", 0.01)


class TestOthers:
    def test_seen(self, listening: socket.socket, waiting: socket.socket) -> None:
        """A connection in the backlog is seen until it is accepted."""
        before = len(os.listdir("/dev/fd"))
        assert others_wait()
        listening.accept()[0].close()

        assert not others_wait()
        assert before == len(os.listdir("/dev/fd"))

    def test_unknown(self, waiting: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where that cannot be seen, nobody waits."""
        monkeypatch.delattr(select, "poll")

        assert not others_wait()


@pytest.mark.usefixtures("quick")
class TestCrowd:
    def test_left(self, waiting: socket.socket) -> None:
        """While others wait, a handler whose answer can be sent later is left alone."""
        crowd, there = Crowd(), threading.Event()
        crowd.wait(there, FOR_EVER, hurry=True)

        assert not there.is_set()

    def test_right_behind(self, listening: socket.socket, waiting: socket.socket) -> None:
        """So is that of the last of a crowd, which has been in the backlog as long."""
        crowd, there = Crowd(), threading.Event()
        crowd.wait(there, FOR_EVER, hurry=True)
        listening.accept()[0].close()
        crowd.wait(there, FOR_EVER, hurry=True)

        assert not there.is_set()

    @pytest.mark.parametrize("hurry", [True, False])
    def test_alone(self, hurry: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """While nobody waits, or only in passing, the handler is waited for."""
        there = threading.Event()
        seen = iter([False, True, False, True, False])

        def look() -> bool:
            found = next(seen, None)
            if found is None:
                there.set()
            return bool(found)

        monkeypatch.setattr(_crowd, "others_wait", look)
        Crowd().wait(there, FOR_EVER, hurry=hurry)

        assert there.is_set()

    def test_in_time(self, waiting: socket.socket) -> None:
        """A handler that is quick is waited for in any case."""
        there = threading.Event()
        there.set()
        Crowd().wait(there, FOR_EVER, hurry=True)

    def test_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The deadline ends it."""
        monkeypatch.setattr(_crowd, "others_wait", lambda: False)
        there = threading.Event()
        Crowd().wait(there, 0.03, hurry=True)

        assert not there.is_set()

    def test_warned(self, waiting: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
        """Without another way for the answer there is nothing to gain from leaving; the log says once what helps."""
        crowd = Crowd()
        for _ in range(2):
            crowd.wait(threading.Event(), 0.1, hurry=False)

        assert ["late=provider" in line for line in caplog.messages] == [True]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("alone", "late", "body"), [(True, True, b"success"), (True, False, b"at last"), (False, True, b"at last")]
)
def test_who(
    waiting: socket.socket, pusher: Pusher, monkeypatch: pytest.MonkeyPatch, alone: bool, late: bool, body: bytes
) -> None:
    """Only a worker that serves one at a time leaves a handler alone, and only if there is late=."""
    go_on = threading.Event()
    sent: list[object] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if alone and late:
            go_on.wait(30)
        else:
            threading.Event().wait(0.1)
        start_response("200 OK", [])
        return [b"<xml><MsgType>text</MsgType><Content>at last</Content></xml>"]

    def send(message: Message, reply: object) -> None:
        sent.append(reply)

    monkeypatch.setattr("wxmiddleware.webhook._threads._crowd", Crowd())
    site = WebhookMiddleware(
        app, path="/wechat", token="AAAAA", runtime=AT_NOW, late=send if late else None, deadline=FOR_EVER
    )
    pushed = pusher.plain(text())
    answer = Client(site).post(pushed.url, data=pushed.body, environ_overrides={"wsgi.multithread": not alone})
    go_on.set()

    assert body in answer.data
    for thread in threading.enumerate():
        if thread.name == "wxmiddleware-webhook":
            thread.join(30)
    assert (1 if alone and late else 0) == len(sent)
