"""What costs too much, and what comes from elsewhere."""

from __future__ import annotations

import gc
import io
import socket
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import anyio
import pytest
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware.simulator import WeChat
from wxmiddleware.webhook import CallbackAddresses, Webhook
from wxmiddleware.webhook._flow import Request
from wxmiddleware.webhook.addresses import Networks, sender_of
from wxmiddleware.webhook.asgi import WebhookMiddleware as ASGIMiddleware
from wxmiddleware.webhook.wsgi import WebhookMiddleware as WSGIMiddleware

from .conftest import MakeSite
from .sites import AT_NOW
from .wechat import Pushed, Pusher, text

PATIENCE = 30.0
OPTIONS: dict[str, Any] = {"path": "/wechat", "token": "AAAAA", "runtime": AT_NOW}


def plain(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def over_wsgi(pushed: Pushed, stream: Any, length: int | None = None, **more: Any) -> tuple[int, bytes]:
    """Send a request whose body is a stream."""
    options = {name: more.pop(name) for name in ("limit", "body_timeout") if name in more}
    environ = EnvironBuilder(pushed.url, method="POST").get_environ()
    environ.update({"wsgi.input": stream, "wsgi.input_terminated": True})
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    environ.update(more)
    body, status, _ = run_wsgi_app(WSGIMiddleware(plain, **OPTIONS, **options), environ)
    return int(status.split()[0]), b"".join(body)


def over_asgi(
    pushed: Pushed, receive: Any, *lengths: int | bytes, headers: Iterable[tuple[bytes, bytes]] = (), **options: Any
) -> int:
    """The same, in an event loop."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"success"})

    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def main() -> None:
        path, query = pushed.url.split("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "root_path": "",
            "query_string": query.encode(),
            "headers": [
                *headers,
                *((b"content-length", one if isinstance(one, bytes) else b"%d" % one) for one in lengths),
            ],
            "client": ("127.0.0.1", 1),
        }
        await ASGIMiddleware(app, **OPTIONS, **options)(scope, receive, send)

    anyio.run(main)
    return statuses[0]


class Untouchable(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise AssertionError("It was read.")


class Endless(io.RawIOBase):
    """A body that never ends; counts what was taken."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"x" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


class TestSize:
    @pytest.mark.parametrize("length", [262_145, 50_000_000, 10**30])
    def test_said(self, pusher: Pusher, length: int) -> None:
        """A body that says that it is too large is not read."""

        async def receive() -> Any:
            raise AssertionError("It was read.")

        pushed = pusher.plain("")

        assert 413 == over_wsgi(pushed, Untouchable(), length)[0]
        assert 413 == over_asgi(pushed, receive, length)

    def test_unsigned(self, pusher: Pusher) -> None:
        """Nor is one whose plain signature is wrong."""
        assert 403 == over_wsgi(pusher.plain("").but(nonce="1"), Untouchable(), 10)[0]

    def test_found(self, pusher: Pusher) -> None:
        """One that does not say so is read up to the limit."""
        stream = Endless()
        chunks: list[int] = []

        async def receive() -> Any:
            chunks.append(1000)
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

        assert 413 == over_wsgi(pusher.plain(""), stream, limit=100_000)[0]
        assert 413 == over_asgi(pusher.plain(""), receive, limit=100_000)
        assert stream.taken <= 200_000
        assert sum(chunks) <= 101_000

    @pytest.mark.parametrize("length", [None, len(text())])
    def test_just_right(self, pusher: Pusher, length: int | None) -> None:
        """A body of just the limit is served; a byte more is not."""
        body = text().encode()
        pushed = pusher.plain(text())

        assert (200, body) == over_wsgi(pushed, io.BytesIO(body), length, limit=len(body))
        assert 413 == over_wsgi(pushed, io.BytesIO(body), length, limit=len(body) - 1)[0]

    def test_memory(self, pusher: Pusher) -> None:
        """Fifty megabytes cost no more than the limit, a few times over."""

        class Large(io.RawIOBase):
            left = 50_000_000

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                size = min(self.left, len(buffer))
                buffer[:size] = bytes(size)
                self.left -= size
                return size

        parts = iter(range(50))

        async def receive() -> Any:
            return {"type": "http.request", "body": bytes(1_000_000), "more_body": next(parts) < 49}

        gc.collect()
        tracemalloc.start()
        try:
            statuses = {over_wsgi(pusher.plain(""), Large())[0], over_asgi(pusher.plain(""), receive)}
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert {413} == statuses
        assert peak < 3_000_000

    def test_cut_off(self, pusher: Pusher) -> None:
        """A body that breaks off is a bad request."""

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        pushed = pusher.plain("")

        assert 400 == over_wsgi(pushed, io.BytesIO(b"<xml>"), 10)[0]
        assert 400 == over_asgi(pushed, receive)


class TestLengths:
    @pytest.mark.parametrize(
        ("status", "length"),
        [
            (413, "9" * 5000),
            (413, "9" * 18),
            (413, "262145"),
            (400, "-5"),
            (400, "+5"),
            (400, "1_000"),
            (400, "5,5"),
            (400, "0x10"),
            (400, "\u0665"),
            (400, "5.0"),
            (400, "many"),
        ],
    )
    def test_odd(self, pusher: Pusher, status: int, length: str) -> None:
        """What is no length is refused, and what is too long is too large; nothing is read."""

        async def receive() -> Any:
            raise AssertionError("It was read.")

        pushed = pusher.plain("")
        said = length.encode().decode("latin-1")

        assert status == over_wsgi(pushed, Untouchable(), CONTENT_LENGTH=said)[0]
        assert status == over_asgi(pushed, receive, length.encode())

    @pytest.mark.parametrize("second", [b"5", b"6"])
    def test_twice(self, pusher: Pusher, second: bytes) -> None:
        """Two lengths are none."""

        async def receive() -> Any:
            raise AssertionError("It was read.")

        assert 400 == over_asgi(pusher.plain(""), receive, b"5", second)

    @pytest.mark.parametrize("length", ["{}", " {} ", "000{}"])
    def test_fine(self, pusher: Pusher, length: str) -> None:
        """Digits are a length, with blanks around them and zeros before them."""
        body = text().encode()
        said = length.format(len(body))

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        assert 200 == over_wsgi(pusher.plain(text()), io.BytesIO(body), CONTENT_LENGTH=said)[0]
        assert 200 == over_asgi(pusher.plain(text()), receive, said.encode())

    def test_chunks(self, pusher: Pusher) -> None:
        """Beside chunks a length does not count."""
        body = text().encode()

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        more: dict[str, Any] = {"CONTENT_LENGTH": "5", "HTTP_TRANSFER_ENCODING": "chunked"}
        chunked = (b"transfer-encoding", b"chunked")

        assert 200 == over_wsgi(pusher.plain(text()), io.BytesIO(body), **more)[0]
        assert 200 == over_asgi(pusher.plain(text()), receive, b"5", headers=[chunked])


class TestSlowSenders:
    def test_threads(self, pusher: Pusher) -> None:
        """A body that does not come is answered 408 in time; the thread that waited for it ends."""
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rb", buffering=0) as stream:
            theirs.send(b"<xml>")
            got = over_wsgi(pusher.plain(""), stream, 1000, body_timeout=0.1, **{"gunicorn.socket": ours})
            for thread in threading.enumerate():
                if thread.name == "wxmiddleware-webhook-body":
                    thread.join(10)
            left = [thread for thread in threading.enumerate() if thread.name == "wxmiddleware-webhook-body"]

        assert (408, b"Too slow.\n") == got
        assert [] == left

    def test_no_socket(self, pusher: Pusher) -> None:
        """Where nothing wakes threads that wait for strangers, there are never more than 64; then 503 is answered."""
        go_on = threading.Event()

        class Slow(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                go_on.wait(PATIENCE)
                return 0

        statuses = [over_wsgi(pusher.plain(""), Slow(), 1000, body_timeout=0.001)[0] for _ in range(66)]
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "wxmiddleware-webhook-body":
                thread.join(PATIENCE)

        assert [408] * 64 + [503] * 2 == statuses
        assert 200 == over_wsgi(pusher.plain(text()), io.BytesIO(text().encode()))[0]

    def test_tasks(self, pusher: Pusher) -> None:
        """So it is in an event loop."""
        assert 408 == over_asgi(pusher.plain(""), anyio.sleep_forever, body_timeout=0.1)

    def test_trickle(self, pusher: Pusher) -> None:
        """One byte at a time wins no time."""

        async def receive() -> Any:
            await anyio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        assert 408 == over_asgi(pusher.plain(""), receive, body_timeout=0.1)


def fetched() -> None:
    """Wait until no list is being fetched."""
    for thread in threading.enumerate():
        if thread.name == "wxmiddleware-webhook-addresses":
            thread.join(PATIENCE)


class Silent:
    """A list that never comes."""

    def __init__(self, *, coming: bool = False) -> None:
        self.asked = 0
        self.coming = coming

    def allows(self, address: str) -> None:
        raise AssertionError("It would wait.")

    def known(self, address: str) -> None:
        return None

    def renew(self) -> None:
        self.asked += 1


class TestSenders:
    @pytest.mark.parametrize(
        ("expected", "peer", "forwarded", "hops"),
        [
            ("1.1.1.1", "1.1.1.1", "6.6.6.6", 0),
            ("2.2.2.2", "1.1.1.1", "6.6.6.6, 2.2.2.2", 1),
            ("2.2.2.2", "1.1.1.1", "6.6.6.6,2.2.2.2 , 3.3.3.3", 2),
            ("", "1.1.1.1", "", 1),
            ("", "1.1.1.1", "2.2.2.2", 2),
        ],
    )
    def test_who(self, expected: str, peer: str, forwarded: str, hops: int) -> None:
        """Who sent it is what the outermost proxy of ours saw; what a stranger writes to the left is not."""
        assert expected == sender_of(peer, forwarded, hops)

    @pytest.mark.parametrize(
        ("allowed", "address"),
        [
            (True, "101.226.103.7"),
            (True, "::ffff:101.226.103.7"),
            (True, "2001:db8::1"),
            (True, "[2001:db8::1]"),
            (True, "10.1.2.3"),
            (False, "101.226.104.7"),
            (False, "2001:db8::2"),
            (False, ""),
            (False, "unknown"),
            (False, "unix:"),
        ],
    )
    def test_networks(self, allowed: bool, address: str) -> None:
        """Networks, addresses and WeCom's stars are understood; what is no address is in none of them."""
        assert allowed is Networks(["101.226.103.*", "10.0.0.0/8", "2001:db8::1"]).allows(address)

    @pytest.mark.parametrize(
        ("status", "options", "forwarded"),
        [
            (200, {"senders": ["106.55.206.146"], "trusted_hops": 1}, "106.55.206.146"),
            (403, {"senders": ["106.55.206.146"], "trusted_hops": 1}, "106.55.206.146, 6.6.6.6"),
            (403, {"senders": ["106.55.206.146"]}, "106.55.206.146"),
            (403, {"senders": ["106.55.206.146"], "trusted_hops": 1}, None),
        ],
    )
    def test_checked(
        self, make_site: MakeSite, pusher: Pusher, status: int, options: Any, forwarded: str | None
    ) -> None:
        """A push from elsewhere is refused, though its signature is right."""
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

        assert status == make_site(**options).push(pusher.plain(text()), **headers).status

    @pytest.mark.parametrize(
        ("who", "hops", "forwarded"),
        [
            ("6.6.6.6", 0, "7.7.7.7"),
            ("7.7.7.7 behind 6.6.6.6", 1, "8.8.8.8, 7.7.7.7"),
            ("an unknown address behind 6.6.6.6", 1, "evil\x1b[31m"),
            ("an unknown address behind 6.6.6.6", 2, "7.7.7.7"),
        ],
    )
    def test_named(self, caplog: pytest.LogCaptureFixture, who: str, hops: int, forwarded: str) -> None:
        """The log names where a push came from that is refused, by our own proxies' word only."""
        webhook = Webhook(token="x", trusted_hops=hops)
        list(webhook.serve(Request("POST", "", 0, "::ffff:6.6.6.6", forwarded)))

        assert [f"Refused a push to the webhook from {who}: The query has no timestamp."] == caplog.messages

    def test_of_wechat(self, make_site: MakeSite, pusher: Pusher, wechat: WeChat, wechat_account: Account) -> None:
        """The list is WeChat's own, asked for once."""
        senders = CallbackAddresses(TokenProvider(wechat_account, runtime=Runtime(clock=lambda: 0.0)))
        site = make_site(senders=senders, trusted_hops=1)
        statuses = [
            site.push(pusher.plain(text()), **{"X-Forwarded-For": address}).status
            for address in ("106.55.206.146", "106.55.206.211", "6.6.6.6")
        ]

        assert [200, 200, 403] == statuses
        assert 1 == wechat.calls("/cgi-bin/getcallbackip")

    def test_fresh(self, wechat: WeChat, wechat_account: Account, caplog: pytest.LogCaptureFixture) -> None:
        """The list is renewed; while that fails the old one counts, and WeChat is left alone for a while."""
        now = [0.0]
        senders = CallbackAddresses(TokenProvider(wechat_account, runtime=Runtime(clock=lambda: now[0])), every=100)
        asked = []
        for now[0] in (0, 99, 100, 150):
            assert senders.allows("106.55.206.146")
            fetched()
            asked.append(wechat.calls("/cgi-bin/getcallbackip"))
        senders._provider.close()
        for now[0] in (200, 205, 211):
            assert senders.allows("106.55.206.146")
            fetched()

        assert [1, 1, 2, 2] == asked
        assert 2 == caplog.text.count("gave no list")

    def test_no_list(self, make_site: MakeSite, pusher: Pusher, caplog: pytest.LogCaptureFixture) -> None:
        """While there is no list a push is not refused for good; the log has no token in it."""
        account = Account("wx1", "SECRET", base_url="http://127.0.0.1:9")
        site = make_site(senders=CallbackAddresses(TokenProvider(account, timeout=0.5)))

        assert 503 == site.push(pusher.plain(text())).status
        assert "gave no list" in caplog.text
        assert "SECRET" not in caplog.text

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_strangers_wait_for_nothing(self, make_site: MakeSite, pusher: Pusher, method: str) -> None:
        """Whose signature is wrong is refused before the list is asked for, also if it takes the body to see that."""
        senders = Silent()
        site = make_site(senders=senders, aes_key=pusher.aes_key, appid=pusher.appid, plain=True)
        pushes = [pusher.plain(text()).but(nonce="1", echostr="1"), pusher.sealed(text()).but(msg_signature="0")]
        pushes += [pusher.plain(text()).but(timestamp="1"), pusher.sealed(text()).but(timestamp="1")]

        assert {403} == {site.push(each, method).status for each in pushes}
        assert 0 == senders.asked

    def test_cheap_first(self, make_site: MakeSite, pusher: Pusher) -> None:
        """Where the list is at hand, nothing else is done for a request from elsewhere."""
        pushed = pusher.sealed(text())
        site = make_site(senders=["6.6.6.6"], aes_key=pusher.aes_key, appid=pusher.appid)

        assert 403 == site.send("PUT", pushed.url).status

    def test_silence(self, make_site: MakeSite, pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
        """While WeChat gives no list, a push waits for at most two seconds of its fetch; later ones not at all."""
        now = [0.0]
        there = threading.Event()
        senders = CallbackAddresses(TokenProvider(Account("wx1", "x" * 32), runtime=Runtime(clock=lambda: now[0])))
        fetches: list[int] = []

        def fetched() -> None:
            fetches.append(1)
            now[0] += 2.0
            there.wait(PATIENCE)

        monkeypatch.setattr(senders, "_fetched", fetched)
        site = make_site(senders=senders)
        first = site.push(pusher.plain(text(msg_id="1")))
        second = site.push(pusher.plain(text(msg_id="2"), nonce="2"))
        there.set()

        assert (503, "5") == (first.status, first.headers["Retry-After"])
        assert 503 == second.status
        assert [1] == fetches

    def test_few_wait(self, pusher: Pusher) -> None:
        """No more than eight requests wait for the list at once."""
        senders = Silent(coming=True)
        webhook = Webhook(**{name: value for name, value in OPTIONS.items() if name != "path"}, senders=senders)
        pushed = pusher.plain(text())
        talks = [webhook.serve(Request("POST", pushed.url.partition("?")[2], 0, "6.6.6.6", "")) for _ in range(9)]
        steps: list[str] = []
        for talk in talks:
            next(talk)
            try:
                steps.append(type(talk.send(pushed.body)).__name__)
            except StopIteration as end:
                steps.append(end.value.status)

        assert ["Pause"] * 8 + [503] == steps

    def test_somebodys_own(self, make_site: MakeSite, pusher: Pusher) -> None:
        """An object of somebody's that tells who may push is asked, once the signature is right."""
        asked: list[str] = []

        class Own:
            def allows(self, address: str) -> bool | None:
                asked.append(address)
                return {"1.1.1.1": True, "2.2.2.2": None}.get(address, False)

        site = make_site(senders=Own(), trusted_hops=1)
        wrong = site.push(pusher.plain(text()).but(nonce="1"), **{"X-Forwarded-For": "1.1.1.1"}).status
        statuses = [
            site.push(pusher.plain(text()), **{"X-Forwarded-For": address}).status
            for address in ("1.1.1.1", "2.2.2.2", "3.3.3.3")
        ]

        assert [403, 200, 503, 403] == [wrong, *statuses]
        assert ["1.1.1.1", "2.2.2.2", "3.3.3.3"] == asked

    def test_no_more_threads(self, wechat_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, the list is fetched all the same."""

        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name == "wxmiddleware-webhook-addresses":
                raise RuntimeError("can't start new thread")
            start(thread)

        senders = CallbackAddresses(TokenProvider(wechat_account))
        monkeypatch.setattr(threading.Thread, "start", refuse)

        assert senders.allows("106.55.206.146")

    def test_no_provider(self) -> None:
        """Something else than a provider is a mistake."""
        with pytest.raises(ValueError, match="TokenProvider"):
            CallbackAddresses("wx1")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """No test leaves a reader behind."""
    yield
    assert not [t for t in threading.enumerate() if t.name == "wxmiddleware-webhook-body"]


def test_client_is_used() -> None:
    """A middleware without a body to read serves other paths."""
    assert 200 == Client(WSGIMiddleware(plain, **OPTIONS)).get("/other").status_code


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_app_hears_that_its_request_is_over(backend: str) -> None:
    """An app that waits for the end of its request, as Quart does, comes to its own: the next push finds room."""
    over: list[str] = []
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"success"})
        over.append((await receive())["type"])

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def main() -> None:
        middleware = ASGIMiddleware(app, **OPTIONS, concurrency=1)
        for number in range(3):
            pushed = Pusher().plain(text(msg_id=str(number)), str(number))

            async def receive(body: bytes = pushed.body) -> Any:
                return {"type": "http.request", "body": body, "more_body": False}

            path, query = pushed.url.split("?")
            scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": []}
            await middleware(scope, receive, send)
            with anyio.fail_after(PATIENCE):
                while len(over) <= number:
                    await anyio.sleep(0.01)

    anyio.run(main, backend=backend)

    assert ["http.disconnect"] * 3 == over
    assert [200, 0] * 3 == statuses
