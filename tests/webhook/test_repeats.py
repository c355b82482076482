"""Once, and in time: what WeChat repeats, and what takes long."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware import Account, APIError, Runtime, TokenProvider
from wxmiddleware._rules.models import Loaded, Record
from wxmiddleware.simulator import WeChat
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import (
    ImageReply,
    Message,
    RawReply,
    Reply,
    TextReply,
    TransferReply,
    VideoReply,
    Webhook,
    _seen,
    send_reply,
)
from wxmiddleware.webhook._flow import Answer, Do, Handle, Pause, Read, Request
from wxmiddleware.webhook._gate import Push
from wxmiddleware.webhook._seen import Answered, Deduplicator, MessageStatus
from wxmiddleware.webhook._wire import Format
from wxmiddleware.webhook.messages import message_from

from .conftest import MakeSite
from .sites import AT_NOW
from .wechat import NOW, Pusher, text

PATIENCE = 20.0


class Slow:
    """A handler that takes until the test lets it go."""

    def __init__(self, says: Any = "at last") -> None:
        self.says = says
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.calls = 0

    def __call__(self, message: Message) -> Any:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(PATIENCE)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Letterbox:
    """Where late replies go."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Reply]] = []
        self.came = threading.Event()

    def __call__(self, message: Message, reply: Reply) -> None:
        self.got.append((message.from_user, reply))
        self.came.set()


@pytest.fixture
def slow() -> Iterator[Slow]:
    handler = Slow()
    yield handler
    handler.go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestRepeats:
    def test_same_answer(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """A repeat, signed and encrypted anew, gets the first one's answer, and is not handled."""
        calls: list[str] = []

        def handler(message: Message) -> str:
            calls.append("x")
            return f"number {len(calls)}"

        site = make_site(handler, **safe)
        answers = [pusher.opened(site.push(pusher.sealed(text(), nonce=nonce)).body) for nonce in "123"]

        assert ["x"] == calls
        assert 1 == len(set(answers))
        assert "number 1" in answers[0]

    def test_same_request(self, make_site: MakeSite, pusher: Pusher) -> None:
        """So does one that is the same to the letter: a plain one, too, whose nonce has been here."""
        calls: list[str] = []

        def handler(message: Message) -> str:
            calls.append("x")
            return "once"

        site = make_site(handler)
        pushed = pusher.plain(text())

        assert 1 == len({site.push(pushed).body for _ in range(3)})
        assert ["x"] == calls

    def test_nothing_said(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A repeat of what was answered success is answered success."""
        calls: list[Message] = []
        site = make_site(calls.append)

        assert [(200, b"success")] * 2 == [site.push(pusher.plain(text(), nonce=nonce)).short for nonce in "12"]
        assert 1 == len(calls)

    def test_others(self, make_site: MakeSite, pusher: Pusher) -> None:
        """Other messages are none; nor are the same words to another, or an event of another second."""
        calls: list[Message] = []
        site = make_site(calls.append)
        event = text().replace("[text]", "[event]").replace("<MsgId>1</MsgId>", "<Event>CLICK</Event>")
        later = event.replace("1348831860", "1348831861")
        for nonce, body in enumerate([text(), text(msg_id="2"), text(sender="oBob"), event, event, later]):
            site.push(pusher.plain(body, nonce=str(nonce)))

        assert 5 == len(calls)

    def test_no_number(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A MsgId of 0 says nothing: two messages that have it are two, and each has its repeats."""
        calls: list[Message] = []
        site = make_site(calls.append)
        for nonce, content in enumerate("abab"):
            site.push(pusher.plain(text(content, msg_id="0"), nonce=str(nonce)))

        assert 2 == len(calls)

    def test_waits_for_the_first(
        self, make_site: MakeSite, pusher: Pusher, slow: Slow, pool: ThreadPoolExecutor
    ) -> None:
        """A repeat that comes while the first is at work waits, and gets the same answer."""
        site = make_site(slow)
        answers = [pool.submit(site.push, pusher.plain(text(), nonce=nonce)) for nonce in "123"]
        assert slow.begun.acquire(timeout=PATIENCE)
        slow.go.set()

        assert 1 == len({each.result().body for each in answers})
        assert b"at last" in answers[0].result().body
        assert 1 == slow.calls

    def test_told_success(self, make_site: MakeSite, pusher: Pusher, slow: Slow, pool: ThreadPoolExecutor) -> None:
        """If the first takes longer than there is time, the repeat is told success."""
        site = make_site(slow, deadline=0.1)
        answers = [pool.submit(site.push, pusher.plain(text(), nonce=nonce)) for nonce in "123"]

        assert [(200, b"success")] * 3 == [each.result().short for each in answers]
        assert 1 == slow.calls

    @pytest.mark.parametrize("deadline", [None, 4.5])
    def test_failure(self, make_site: MakeSite, pusher: Pusher, deadline: float | None) -> None:
        """A handler that fails is answered 500, and the repeat is handled."""
        answers: Iterator[Exception | str] = iter([RuntimeError("no"), "yes"])

        def handler(message: Message) -> str:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        site = make_site(handler, deadline=deadline)
        if site.face == "wsgi":  # there the server answers
            with pytest.raises(RuntimeError, match="no"):
                site.push(pusher.plain(text()))
        else:
            assert 500 == site.push(pusher.plain(text())).status

        assert b"yes" in site.push(pusher.plain(text())).body

    def test_what_a_handler_cannot_return(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A handler that returns something else fails."""
        site = make_site(lambda message: 7)
        if site.face == "wsgi":
            with pytest.raises(TypeError, match="not a int"):
                site.push(pusher.plain(text()))
        else:
            assert 500 == site.push(pusher.plain(text())).status

    def test_replay(self, make_site: MakeSite, pusher: Pusher) -> None:
        """In plain mode a signed URL is good for the message that it came with, and no other."""
        site = make_site(lambda message: "mine")
        site.push(pusher.plain(text()))

        assert 403 == site.push(pusher.plain(text("pay me", msg_id="2"))).status

    def test_answer_of_an_error_page(self, pusher: Pusher) -> None:
        """What an app answers with another status is passed on, and not remembered."""
        from werkzeug.test import Client

        from wxmiddleware.webhook.wsgi import WebhookMiddleware

        statuses = iter(["302 Found", "200 OK"])

        def app(environ: Any, start_response: Any) -> list[bytes]:
            start_response(next(statuses), [("Location", "/x")])
            return [b"x"]

        client = Client(WebhookMiddleware(app, path="/wechat", token="AAAAA", runtime=AT_NOW))
        pushed = pusher.plain(text())

        assert [302, 200] == [client.post(pushed.url, data=pushed.body).status_code for _ in range(2)]


class TestDeadline:
    def test_late(self, make_site: MakeSite, pusher: Pusher, safe: Any, slow: Slow) -> None:
        """A handler that takes long is answered success in time, and its reply is sent afterwards."""
        box = Letterbox()
        site = make_site(slow, deadline=0.1, late=box, **safe)
        first = site.push(pusher.sealed(text()))
        repeat = site.push(pusher.sealed(text()))
        slow.go.set()
        assert box.came.wait(PATIENCE)
        last = site.push(pusher.sealed(text()))

        assert [(200, b"success")] * 3 == [first.short, repeat.short, last.short]
        assert [("oAda", TextReply("at last"))] == box.got
        assert 1 == slow.calls

    def test_through_the_api(
        self, make_site: MakeSite, pusher: Pusher, slow: Slow, wechat: WeChat, wechat_account: Account
    ) -> None:
        """With a provider the reply is sent as a customer-service message, also if the token was taken away."""
        wechat.reject_unicode_escapes = True
        provider = TokenProvider(wechat_account)
        provider.get_token()
        wechat.steal()
        slow.says = "终于"
        done = threading.Event()

        def late(message: Message, reply: Reply) -> None:
            send_reply(provider, message.from_user, reply)
            done.set()

        site = make_site(slow, deadline=0.1, late=late)
        site.push(pusher.plain(text()))
        slow.go.set()
        assert done.wait(PATIENCE)

        assert [("oAda", {"content": "终于"})] == [(sent.touser, sent.body["text"]) for sent in wechat.sent]

    def test_provider(
        self,
        make_site: MakeSite,
        pusher: Pusher,
        slow: Slow,
        wechat: WeChat,
        wechat_account: Account,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The provider itself may be given. That the reply was sent is in the log; to whom, and what, is not."""
        caplog.set_level("INFO", "wxmiddleware")
        site = make_site(slow, deadline=0.1, late=TokenProvider(wechat_account))
        site.push(pusher.plain(text()))
        slow.go.set()
        _until(lambda: "A late reply was sent" in caplog.text)

        assert ["oAda"] == [sent.touser for sent in wechat.sent]
        ours = "".join(record.getMessage() for record in caplog.records if record.name == "wxmiddleware")
        assert not any(word in ours for word in ("oAda", "at last"))

    @pytest.mark.parametrize(
        ("sent", "answer"),
        [
            ([], Answer(200, b"success")),
            ([], Answer(200, b"")),
            ([], Answer(200, b"<html>")),
            ([], Answer(404, b"<xml><MsgType>text</MsgType><Content>hi</Content></xml>")),
            ([TextReply("hi")], Answer(200, b"<xml><MsgType>text</MsgType><Content>hi</Content></xml>")),
            *(([reply], reply) for reply in (TransferReply(), RawReply("x"), VideoReply("m", thumb_media_id="t"))),
        ],
    )
    def test_what_is_sent(self, sent: Any, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A reply is sent as it was returned, also what the sender then refuses; what else is lost, the log says."""
        box = Letterbox()
        webhook = Webhook(token="x", late=box)
        push = Push(message_from({"FromUserName": "oAda", "MsgType": "text"}), b"", Format.XML, None)
        answer = answer if isinstance(answer, Answer) else webhook.answer(push, answer)
        for step in webhook._afterwards(push.message, ("a",), answer):
            assert isinstance(step, Do)
            step.function()

        assert sent == [reply for _, reply in box.got]
        assert ("is lost" in caplog.text) is (not sent and answer.body not in (b"", b"success"))

    @pytest.mark.parametrize("what", ["handler", "sender", "nobody to send it"])
    def test_late_failure(
        self, make_site: MakeSite, pusher: Pusher, slow: Slow, caplog: pytest.LogCaptureFixture, what: str
    ) -> None:
        """What fails afterwards is in the log, with no token in it; a repeat is not handled again."""

        def late(message: Message, reply: Reply) -> None:
            raise RuntimeError("GET /x?access_token=SECRET&a=b")

        if what == "handler":
            slow.says = RuntimeError("GET /x?access_token=SECRET&a=b")
        site = make_site(slow, deadline=0.1, **({"late": late} if what == "sender" else {}))
        site.push(pusher.plain(text()))
        slow.go.set()
        told = "is lost" if what == "nobody to send it" else "access_token=***"
        _until(lambda: told in caplog.text)

        assert "SECRET" not in caplog.text
        assert (200, b"success") == site.push(pusher.plain(text())).short
        assert 1 == slow.calls

    def test_no_deadline(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """Without a deadline the handler runs where the request does, as long as it takes."""
        threads: list[str] = []

        def handler(message: Message) -> str:
            threads.append(threading.current_thread().name)
            return "x"

        site = make_site(handler, deadline=None, **safe)

        assert "[x]" in pusher.opened(site.push(pusher.sealed(text())).body)
        assert not threads[0].startswith("wxmiddleware")

    def test_full(self, make_site: MakeSite, pusher: Pusher, slow: Slow) -> None:
        """When too many are at work, WeChat is asked to come again, and then served."""
        site = make_site(slow, deadline=0.1, concurrency=1)
        site.push(pusher.plain(text(), nonce="1"))
        full = site.push(pusher.plain(text(msg_id="2"), nonce="2"))
        slow.go.set()
        _until(lambda: not _at_work())
        _until(lambda: site.push(pusher.plain(text(msg_id="2"), nonce="2")).status == 200)

        assert (503, "5") == (full.status, full.headers["Retry-After"])
        assert 2 == slow.calls

    @pytest.mark.parametrize("make_site", ["asgi", "starlette"], indirect=True)
    def test_async_sender(self, make_site: MakeSite, pusher: Pusher, slow: Slow) -> None:
        """In an event loop the late reply may be sent by an async function."""
        box = Letterbox()

        async def late(message: Message, reply: Reply) -> None:
            box(message, reply)

        site = make_site(slow, deadline=0.1, late=late)
        site.push(pusher.plain(text()))
        slow.go.set()

        assert box.came.wait(PATIENCE)

    @pytest.mark.parametrize("make_site", ["wsgi", "flask"], indirect=True)
    def test_async_sender_in_threads(self, make_site: MakeSite) -> None:
        """Elsewhere that is a mistake."""

        async def late(message: Message, reply: Reply) -> None: ...

        with pytest.raises(ValueError, match="no event loop"):
            make_site(late=late)

    @pytest.mark.parametrize("make_site", ["asgi"], indirect=True)
    def test_stopping(self, make_site: MakeSite, pusher: Pusher, slow: Slow) -> None:
        """A server that stops waits for a handler that was answered for."""
        box = Letterbox()
        site = make_site(slow, deadline=0.1, late=box)
        site.push(pusher.plain(text()))
        threading.Timer(0.2, slow.go.set).start()
        site.close()

        assert [("oAda", TextReply("at last"))] == box.got


def _at_work() -> bool:
    return any(thread.name == "wxmiddleware-webhook" for thread in threading.enumerate())


def _until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(PATIENCE / 1000)
    raise AssertionError("It never came true.")


class Clocked:
    """A memory on a clock of the test's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = MemoryStore(clock=lambda: self.now)
        self.seen = Deduplicator(self.store, 660.0)


class TestSeen:
    """The memory by itself."""

    @pytest.mark.parametrize("shared", [False, True])
    def test_life(self, shared: bool, tmp_path: Path) -> None:
        """New for one, busy for others, done for all."""
        seen = Deduplicator(JSONFileStore(tmp_path / "seen.json") if shared else None, 660.0)
        standings = [seen.claim(("wx1", "a"), None)[0], seen.claim(("wx1", "a"), None)[0]]
        seen.finish(("wx1", "a"), Answered(b"\xff<xml/>", "text/xml"))

        assert [MessageStatus.NEW, MessageStatus.BUSY] == standings
        assert (MessageStatus.DONE, Answered(b"\xff<xml/>", "text/xml")) == seen.claim(("wx1", "a"), None)

    def test_released(self) -> None:
        """What was given back is new."""
        seen = Deduplicator(None, 660.0)
        seen.claim(("wx1", "a"), None)
        seen.release(("wx1", "a"))

        assert MessageStatus.NEW is seen.claim(("wx1", "a"), None)[0]

    def test_nonce(self) -> None:
        """A nonce belongs to the message that it came with."""
        seen = Deduplicator(None, 660.0)

        assert [MessageStatus.NEW, MessageStatus.BUSY, MessageStatus.REPLAYED, MessageStatus.NEW] == [
            seen.claim(("wx1", message), ("wx1", nonce))[0]
            for message, nonce in [("a", "1"), ("a", "1"), ("b", "1"), ("b", "2")]
        ]

    def test_forgets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer is forgotten after a minute, a message after its time, and nothing is left of it."""
        monkeypatch.setattr(_seen, "_RECORDS", 1)
        world = Clocked()
        world.seen.claim(("wx1", "a"), ("wx1", "1"))
        world.seen.finish(("wx1", "a"), Answered(b"x", "text/xml"))
        world.now += 61
        world.seen.claim(("wx1", "b"), None)
        later = world.seen.claim(("wx1", "a"), ("wx1", "1"))
        world.now += 600
        anew = world.seen.claim(("wx1", "a"), None)
        record = world.store.load("wx:wx1:webhook:00").record
        assert record is not None
        assert record.value is not None
        kept = json.loads(record.value)

        assert [(MessageStatus.DONE, Answered()), (MessageStatus.NEW, None)] == [later, anew]
        assert ["busy", "busy"] == sorted(what for _, what, *_ in kept.values())

    def test_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flood fills a fixed number of records of a fixed size: old answers make room first, then old messages."""
        monkeypatch.setattr(_seen, "_RECORDS", 2)
        world = Clocked()
        sizes: dict[str, list[int]] = {}
        save = world.store.save

        def measured(key: str, record: Record, version: Any) -> Any:
            sizes.setdefault(key, []).append(len(record.value or ""))
            return save(key, record, version)

        world.store.save = measured  # type: ignore[method-assign]
        for n in range(30):
            world.now += 0.001
            world.seen.finish(("wx1", f"{n}"), Answered(b"x" * 8000, "text/xml"))
        answers = [world.seen.claim(("wx1", f"{n}"), None) for n in range(30)]
        for n in range(1000):
            world.now += 0.001
            world.seen.claim(("wx1", f"{n} more"), None)

        done = MessageStatus.DONE
        assert {(done, Answered()), (done, Answered(b"x" * 8000, "text/xml"))} == set(answers)
        assert 2 == len(sizes)
        assert 40_000 < max(max(each) for each in sizes.values()) <= 48_000
        claimed = [world.seen.claim(("wx1", each), None)[0] for each in ("0", "999 more")]
        assert [MessageStatus.NEW, MessageStatus.BUSY] == claimed

    def test_no_openids(self) -> None:
        """Neither key nor record shows whose message it was."""
        world = Clocked()
        saved: list[str] = []
        save = world.store.save

        def noted(key: str, record: Record, version: Any) -> Any:
            saved.append(f"{key} {record.value}")
            return save(key, record, version)

        world.store.save = noted  # type: ignore[method-assign]
        world.seen.claim(("wx1", "id", "gh_1", "oAda", "1"), ("wx1", "NONCE"))

        assert saved
        assert not any(word in line for line in saved for word in ("oAda", "gh_1", "NONCE"))

    def test_killed(self, tmp_path: Path) -> None:
        """What a process had claimed that was killed is new for the next."""
        path = tmp_path / "seen.json"
        pid = os.fork()
        if pid == 0:
            Deduplicator(JSONFileStore(path), 660.0).claim(("wx1", "a"), None)
            os._exit(0)
        os.waitpid(pid, 0)

        assert MessageStatus.NEW is Deduplicator(JSONFileStore(path), 660.0).claim(("wx1", "a"), None)[0]

    def test_one_wins(self, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
        """Of many at once, one gets the message."""
        stores = [JSONFileStore(tmp_path / "seen.json") for _ in range(8)]
        claims = [pool.submit(Deduplicator(store, 660.0).claim, ("wx1", "a"), None) for store in stores]

        assert [MessageStatus.BUSY] * 7 + [MessageStatus.NEW] == sorted(each.result()[0] for each in claims)

    def test_broken_store(self, caplog: pytest.LogCaptureFixture) -> None:
        """While the store fails, the process remembers by itself; the log does not quote the store."""

        class Broken:
            shared = True

            def load(self, key: str) -> Loaded:
                raise RuntimeError("redis://:PASSWORD@host")

            def save(self, key: str, record: Record, version: Any) -> Any: ...

        seen = Deduplicator(Broken(), 660.0)

        assert [MessageStatus.NEW, MessageStatus.BUSY] == [seen.claim(("wx1", "a"), None)[0] for _ in range(2)]
        assert "RuntimeError" in caplog.text
        assert "PASSWORD" not in caplog.text

    @pytest.mark.parametrize("value", ["[]", "{", '{"a": 1}', '{"a": ["x"]}', "7"])
    def test_overwritten(self, value: str) -> None:
        """A record that something else has written is replaced."""
        world = Clocked()
        for n in range(256):
            world.store.save(f"wx:wx1:webhook:{n:02x}", Record(value=value, expires_at=9e9), 0)

        assert [MessageStatus.NEW, MessageStatus.BUSY] == [world.seen.claim(("wx1", "a"), None)[0] for _ in range(2)]


class TestSendReply:
    """The customer-service API."""

    @pytest.fixture
    def provider(self, wechat_account: Account) -> TokenProvider:
        return TokenProvider(wechat_account)

    def test_kinds(self, wechat: WeChat, provider: TokenProvider) -> None:
        """All kinds but a transfer can be sent."""
        with pytest.raises(APIError, match="cannot send a TransferReply"):
            send_reply(provider, "oAda", TransferReply())
        send_reply(provider, "oAda", ImageReply("MEDIA"))
        send_reply(provider, "oAda", TextReply("half \ud83d"))

        assert [("image", {"media_id": "MEDIA"}), ("text", {"content": "half \ufffd"})] == [
            (sent.body["msgtype"], sent.body[sent.body["msgtype"]]) for sent in wechat.sent
        ]

    def test_errcode(self, provider: TokenProvider) -> None:
        """What WeChat does not take is an error with its errcode."""
        with pytest.raises(APIError, match="errcode 40003") as caught:
            send_reply(provider, "nobody", TextReply("x"))

        assert 40003 == caught.value.errcode

    @pytest.mark.parametrize(("fault", "sent"), [("html", 0), ("reset", 0), ("lost", 1)])
    def test_no_answer(self, wechat: WeChat, provider: TokenProvider, fault: str, sent: int) -> None:
        """No answer is an error that shows no token, and nothing is sent again: it may have arrived."""
        wechat.faults.add("/cgi-bin/message/custom/send", fault)
        token = provider.get_token()
        with pytest.raises(APIError, match="gave no answer") as caught:
            send_reply(provider, "oAda", TextReply("x"))

        assert (None, None) == (caught.value.__cause__, caught.value.__context__)
        assert token not in str(caught.value)
        assert sent == len(wechat.sent)

    def test_told(
        self, make_site: MakeSite, pusher: Pusher, provider: TokenProvider, slow: Slow, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A late reply that WeChat does not take is in the log, with its errcode."""
        site = make_site(slow, deadline=0.1, late=provider)
        site.push(pusher.plain(text(sender="nobody")))
        slow.go.set()
        _until(lambda: "A late reply was not sent" in caplog.text)

        assert "40003" in caplog.text
        assert "nobody" not in caplog.text


class TestWithoutThreads:
    """Where there are none to be had, or they lie frozen: the request's own thread does it all."""

    @pytest.mark.parametrize("make_site", ["wsgi", "flask"], indirect=True)
    def test_no_more(self, make_site: MakeSite, pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that may start no more threads serves all the same."""
        site = make_site(lambda message: threading.current_thread().name)
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name.startswith("wxmiddleware-webhook"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)

        assert threading.current_thread().name.encode() in site.push(pusher.plain(text())).body

    @pytest.mark.parametrize("make_site", ["wsgi"], indirect=True)
    def test_frozen(self, make_site: MakeSite, pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where threads freeze, a body is read without one."""
        monkeypatch.setattr("wxmiddleware.webhook._threads.threads_freeze", lambda: True)
        started: list[str] = []
        start = threading.Thread.start

        def noting(thread: threading.Thread) -> None:
            started.append(thread.name)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noting)

        assert 200 == make_site(lambda message: "x").push(pusher.plain(text())).status
        assert "wxmiddleware-webhook-body" not in started


def test_no_deadline(pusher: Pusher) -> None:
    """Without a deadline a repeat waits as long as the first: WeChat cuts the second try, and the third brings it."""
    now = [0.0]
    webhook = Webhook(token="AAAAA", runtime=Runtime(clock=lambda: now[0], time=lambda: float(NOW)), deadline=None)
    pushed = pusher.plain(text())
    request = Request("POST", pushed.url.partition("?")[2], None, "6.6.6.6", "")
    talks = [webhook.serve(request) for _ in range(2)]
    handle, pause = (step_of(talk, pushed.body) for talk in talks)
    assert isinstance(handle, Handle)
    for now[0] in (5.0, 100.0):
        assert isinstance(pause, Pause)
        pause = step_of(talks[1])
    handle.attempt.deliver(webhook.answer(handle.push, "at last"))
    first, second = (
        answer_of(talk, value) for talk, value in zip(talks, (handle.attempt.give_up(), None), strict=True)
    )

    assert b"at last" in first.body
    assert first.body == second.body


def step_of(talk: Any, body: bytes | None = None) -> Any:
    """Take steps of a flow until one is not a look into memory."""
    step = next(talk) if body is not None else talk.send(None)
    while isinstance(step, Read | Do):
        step = talk.send(body if isinstance(step, Read) else step.function())
    return step


def answer_of(talk: Any, value: Any) -> Any:
    """Take steps until the answer."""
    try:
        while True:
            step = talk.send(value)
            value = step.function() if isinstance(step, Do) else None
    except StopIteration as end:
        return end.value
