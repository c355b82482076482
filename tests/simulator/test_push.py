"""
The pusher against webhooks written by hand: right ones and wrong ones, each reported as what it is.

Its crypto is tested in ``test_push_vectors.py``, other people's webhooks in ``test_push_peers.py``.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from werkzeug.serving import make_server

from simulator.webhooks import AES_KEY, TEXT, TOKEN, Webhook, envelope, fields_of, seal, sign
from wxmiddleware import simulator
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import (
    ASGITransport,
    Delivery,
    PushAnswer,
    Pusher,
    PushRequest,
    SimulatedClock,
    WeChat,
    WSGITransport,
)
from wxmiddleware.simulator._pusher import BUSY

Make = Callable[..., Pusher]
CORPID = "ww0123456789abcdef"
ENCRYPTED = ["compatible", "safe"]


@pytest.fixture
def make(wechat_pusher: Make, wechat: WeChat) -> Make:
    """Make a pusher to a webhook in this process; in an encrypted mode with the key that the webhook has."""

    def made(app: Any, mode: str = "plain", **options: Any) -> Pusher:
        if isinstance(app, Webhook):
            app.receiver = options.get("receiver", wechat.appid)
        key = None if mode == "plain" else AES_KEY
        return wechat_pusher(WSGITransport(app), **{"token": TOKEN, "aes_key": key, "mode": mode, **options})

    return made


@contextmanager
def served(app: Any) -> Iterator[str]:
    """A real server with this app; its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/wechat"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(reply: str) -> Webhook:
    return Webhook(reply=lambda message: reply)


class TestRight:
    """WeChat is content."""

    @pytest.mark.parametrize("mode", ["plain", *ENCRYPTED])
    def test_text(self, make: Make, mode: str) -> None:
        """A text is answered in every mode, and the user sees the answer."""
        delivery = make(Webhook(), mode).text("hello 你好 😀")

        assert [] == delivery.codes
        assert "you said hello 你好 😀" == delivery.text == delivery.shown
        assert (1, mode != "plain") == (len(delivery.tries), delivery.encrypted)

    @pytest.mark.parametrize("mode", ["plain", *ENCRYPTED])
    @pytest.mark.parametrize("answer", ["", "success"])
    def test_nothing(self, make: Make, mode: str, answer: str) -> None:
        """``success`` and nothing are right in every mode, and the user sees nothing."""
        delivery = make(says(answer), mode).text("hello")

        assert ([], None, None) == (delivery.codes, delivery.reply, delivery.shown)

    def test_plain_reply_in_compatible_mode(self, make: Make) -> None:
        """Compatible mode takes a plain reply."""
        webhook = Webhook()
        webhook.closed = lambda reply, query: reply  # type: ignore[method-assign]
        delivery = make(webhook, "compatible").text("hello")

        assert ([], False) == (delivery.codes, delivery.encrypted)

    @pytest.mark.parametrize("mode", ["plain", *ENCRYPTED])
    def test_verify(self, make: Make, wechat: WeChat, mode: str) -> None:
        """A verification is the same in every mode, and tells WeChat where to push to."""
        pusher = make(Webhook(), mode, url="https://service.test/hook?tenant=1")

        assert pusher.verify().ok
        assert "https://service.test/hook?tenant=1" == wechat.accounts[wechat.appid].callback_url

    @pytest.mark.parametrize(
        "content",
        [
            "<MsgType>image</MsgType><Image><MediaId>1</MediaId></Image>",
            "<MsgType>voice</MsgType><Voice><MediaId>1</MediaId></Voice>",
            "<MsgType>video</MsgType><Video><MediaId>1</MediaId></Video>",
            "<MsgType>music</MsgType><Music><ThumbMediaId>1</ThumbMediaId></Music>",
            "<MsgType>news</MsgType><ArticleCount>1</ArticleCount><Articles><item><Title>a</Title></item></Articles>",
            "<MsgType>transfer_customer_service</MsgType>",
        ],
    )
    def test_kinds(self, make: Make, content: str) -> None:
        """All kinds of replies are known."""
        rest = TEXT.partition("<MsgType>")[0] + content + "</xml>"

        assert [] == make(Webhook(reply=rest.format_map)).text("hello").codes

    def test_json(self, make: Make) -> None:
        """A mini program's message is JSON and so is the reply, which may be anything."""
        webhook = says('{"demo_resp":"good luck"}')
        webhook.closed = lambda reply, query: json.dumps(  # type: ignore[method-assign]
            {
                "Encrypt": (sealed := seal(reply, webhook.receiver)),
                "MsgSignature": sign(TOKEN, "1713424427", "415670741", sealed),
                "TimeStamp": 1713424427,
                "Nonce": "415670741",
            }
        )
        delivery = make(webhook, "safe", body="json").event("debug_demo", debug_str="hello")

        assert ([], {"demo_resp": "good luck"}) == (delivery.codes, delivery.reply)
        assert "hello" == webhook.messages[0]["debug_str"]
        assert {"ToUserName", "Encrypt"} == set(json.loads(webhook.bodies[0]))

    def test_wecom(self, make: Make) -> None:
        """WeCom encrypts everything: echostr, message and reply."""
        webhook = Webhook()
        pusher = make(webhook, "safe", profile="wecom", receiver=CORPID)
        verified, delivery = pusher.verify(), pusher.text("hello")

        assert [True, True] == [verified.ok, delivery.ok]
        assert (CORPID, "1000002") == (webhook.messages[0]["ToUserName"], webhook.messages[0]["AgentID"])
        assert {"ToUserName", "Encrypt", "AgentID"} == set(fields_of(webhook.bodies[1])) - {"xml"}
        assert all({"msg_signature", "timestamp", "nonce"} == set(query) - {"echostr"} for query in webhook.queries)

    def test_wecom_json(self, make: Make) -> None:
        """WeCom's JSON writes its envelope small, both ways."""
        webhook = says('{"msgtype":"stream"}')
        webhook.closed = lambda reply, query: json.dumps(  # type: ignore[method-assign]
            {
                "encrypt": (sealed := seal(reply, CORPID)),
                "msgsignature": sign(TOKEN, "1", "2", sealed),
                "timestamp": "1",
                "nonce": "2",
            }
        )
        delivery = make(webhook, "safe", profile="wecom", receiver=CORPID, body="json").text("hello")

        assert ([], {"msgtype": "stream"}) == (delivery.codes, delivery.reply)
        assert {"tousername", "encrypt", "agentid"} == set(json.loads(webhook.bodies[0]))

    def test_component(self, make: Make) -> None:
        """A platform gets its ticket every now and then, encrypted for itself, and says success."""
        webhook = says("success")
        delivery = make(webhook, "safe", profile="component").notice()

        assert [] == delivery.codes
        assert webhook.receiver == webhook.messages[0]["AppId"]
        assert webhook.messages[0]["ComponentVerifyTicket"].startswith("ticket@@@")
        assert {"AppId", "Encrypt"} == set(fields_of(webhook.bodies[0])) - {"xml"}

    def test_modes_differ(self, make: Make) -> None:
        """Each mode has the query and the body of the page."""
        always = {"signature", "timestamp", "nonce", "openid"}
        sealed = {"encrypt_type", "msg_signature"}
        seen = {}
        for mode in ("plain", *ENCRYPTED):
            webhook = says("")
            make(webhook, mode).text("hello")
            seen[mode] = (set(webhook.queries[0]), set(fields_of(webhook.bodies[0])) - {"xml"})
        message = {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId"}

        assert {
            "plain": (always, message),
            "compatible": (always | sealed, message | {"Encrypt"}),
            "safe": (always | sealed, {"ToUserName", "Encrypt"}),
        } == seen

    def test_events_have_no_number(self, make: Make) -> None:
        """A message has a MsgId beyond 2**53, another each time; an event has none."""
        webhook = says("")
        pusher = make(webhook)
        pusher.text("a"), pusher.message("location", Location_X="23.1"), pusher.event("subscribe", EventKey="qrscene_1")
        first, second, event = webhook.messages

        assert 2**53 < int(first["MsgId"]) < int(second["MsgId"]) < 2**63
        assert ("23.1", "qrscene_1", None) == (second["Location_X"], event["EventKey"], event.get("MsgId"))

    @pytest.mark.parametrize(
        ("fields", "written"),
        [
            ({"Outer": {"List": [{"a": "1"}, {"a": "2"}]}}, "<List><a>1</a></List><List><a>2</a></List>"),
            ({"Outer": {"List": [{"a": "1"}]}}, "<Outer><List><a>1</a></List></Outer>"),
            ({"Outer": {"List": []}}, "<Outer></Outer>"),
            ({"List": ["x", "y"]}, "<List>x</List><List>y</List>"),
            ({"SendPicsInfo": {"PicList": [{"a": "1"}]}}, "<PicList><item><a>1</a></item></PicList>"),
            ({"PicList": {"item": [{"a": "1"}, {"a": "2"}]}}, "<PicList><item><a>1</a></item><item><a>2</a></item>"),
            ({"ResultList": []}, "<ResultList></ResultList>"),
            ({"MemChangeList": {"Item": ["x", "y"]}}, "<MemChangeList><Item>x</Item><Item>y</Item></MemChangeList>"),
        ],
    )
    def test_lists(self, make: Make, fields: dict[str, Any], written: str) -> None:
        """A list is the element once for each entry; only where WeChat has ``<item>`` it is in there."""
        webhook = says("")
        make(webhook).event("x", **fields)
        body = webhook.bodies[0].replace("\n", "").replace("<![CDATA[", "").replace("]]>", "")

        assert written in body

    def test_asgi(self, wechat_pusher: Make) -> None:
        """An ASGI app is pushed to as well."""
        webhook = Webhook()
        delivery = wechat_pusher(ASGITransport(asgi(webhook)), token=TOKEN).text("hello")

        assert ([], "you said hello") == (delivery.codes, delivery.text)

    def test_http(self, wechat_pusher: Make) -> None:
        """A server is pushed to as well."""
        with served(Webhook()) as url:
            pusher = wechat_pusher(url, token=TOKEN)
            deliveries = [pusher.verify(), pusher.text("hello")]

        assert [True, True] == [delivery.ok for delivery in deliveries]
        assert deliveries == pusher.deliveries

    def test_late_reply(self, make: Make, wechat: WeChat) -> None:
        """What a user got through the customer-service API can be read."""
        sent = {"touser": "oA", "msgtype": "text", "text": {"content": "at last"}}
        wechat._desk.take_message(wechat.accounts[wechat.appid], "custom", sent)

        assert (["at last"], []) == ([each.text for each in wechat.sent_to("oA")], wechat.sent_to("oB"))


def asgi(webhook: Webhook) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        query = dict(parse_qsl(scope["query_string"].decode()))
        body = (await receive())["body"].decode()
        status, answer = webhook.answer(scope["method"], query, body)
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": []})
        await send({"type": "http.response.body", "body": answer.encode()[:5], "more_body": True})
        await send({"type": "http.response.body", "body": answer.encode()[5:]})

    return app


class TestWrong:
    """WeChat minds, and it is said what."""

    @pytest.mark.parametrize(
        ("reply", "codes"),
        [
            ("success\n", ["garbage"]),
            ('"success"', ["garbage"]),
            ('{"MsgType":"text"}', ["garbage"]),
            ("<xml><a></xml>", ["garbage"]),
            ("<html><body>hello</body></html>", ["garbage"]),
            ("<!DOCTYPE xml>" + TEXT, ["garbage"]),
            (TEXT.replace("FromUserName}", "X}").replace("ToUserName}", "FromUserName}").replace("X}", "ToUserName}"),
             ["swapped", "swapped"]),
            (TEXT.replace("{ToUserName}", "somebody"), ["swapped"]),
            (TEXT.replace(">text<", ">txet<"), ["type"]),
            (TEXT.replace("<MsgType>text</MsgType>", ""), ["type"]),
            (TEXT.replace("you said {Content}", ""), ["content"]),
            (TEXT.replace(">text<", ">image<"), ["content"]),
            (TEXT.replace("1700000000", "today"), ["content"]),
            (envelope("abcd", "1", "2"), ["encrypted"]),
        ],
    )  # fmt: skip
    def test_reply(self, make: Make, reply: str, codes: list[str]) -> None:
        """A reply that WeChat cannot use is not tried again, and the user reads the apology."""
        delivery = make(Webhook(reply=lambda message: reply.format_map(message) if "xml>" in reply else reply)).text(
            "a"
        )

        assert (codes, BUSY, 1) == (delivery.codes, delivery.shown, len(delivery.tries))

    @pytest.mark.parametrize(
        ("text", "ok"),
        [
            ("a" * 2047, True),
            ("你" * 682 + "a", True),
            ("a" * 2049, False),
            ("你" * 683, False),
            ("😀" * 513, False),
            ("a" * 5000, False),
        ],
    )
    @pytest.mark.parametrize("mode", ["plain", "safe"])
    def test_long_text(self, make: Make, text: str, ok: bool, mode: str) -> None:
        """A text of more bytes than WeChat takes is minded, however few its characters are."""
        delivery = make(says(TEXT.replace("you said {Content}", text).format(FromUserName="o", ToUserName="g")), mode)
        codes = [code for code in delivery.text("a").codes if code != "swapped"]

        assert ([] if ok else ["content"]) == codes

    @pytest.mark.parametrize(
        ("count", "said", "ok"),
        [(1, 1, True), (8, 8, True), (0, 0, False), (9, 9, False), (20, 20, False), (2, 1, False), (1, "", False)],
    )
    def test_articles(self, make: Make, count: int, said: object, ok: bool) -> None:
        """Eight articles are right; none, more, or another number than was said are not."""
        items = "<item><Title>a</Title></item>" * count
        news = f"<MsgType>news</MsgType><ArticleCount>{said}</ArticleCount><Articles>{items}</Articles></xml>"
        codes = make(Webhook(reply=(TEXT.partition("<MsgType>")[0] + news).format_map)).text("hello").codes

        assert ok is ([] == codes)
        assert {"content"} >= set(codes)

    @pytest.mark.parametrize(
        ("reply", "codes"),
        [
            ({"MsgType": "text", "Content": "a"}, []),
            ({"MsgType": "text", "Content": ""}, ["content"]),
            ({"MsgType": "text", "Content": "a" * 2049}, ["content"]),
            ({"MsgType": "text", "Content": "\ud83d"}, []),
            ({"MsgType": "news", "ArticleCount": 1, "Articles": [{"Title": "a"}]}, []),
            ({"MsgType": "news", "ArticleCount": 9, "Articles": [{"Title": "a"}] * 9}, ["content"]),
            ({"MsgType": "news", "ArticleCount": 0, "Articles": []}, ["content", "content"]),
        ],
    )
    def test_limits_in_json(self, make: Make, reply: dict[str, Any], codes: list[str]) -> None:
        """In JSON the limits are the same, for what a reply says that it is."""
        assert codes == make(says(json.dumps(reply)), body="json").text("a").codes

    def test_long_text_at_wecom(self, make: Make) -> None:
        """WeCom cuts a text that is too long, which is said."""
        webhook = says(TEXT.replace("you said {Content}", "a" * 3000).format(FromUserName="o", ToUserName="g"))
        problems = make(webhook, "safe", profile="wecom", receiver=CORPID).text("a").problems

        assert ["content"] == [each.code for each in problems if "3000 bytes" in each.text and "cuts" in each.text]

    def test_no_utf8(self, wechat_pusher: Make) -> None:
        """A reply in GBK is garbage."""
        with pytest.raises(UnicodeDecodeError):
            "你好".encode("gbk").decode()
        body = TEXT.format(FromUserName="o", ToUserName="g", Content="你好").encode("gbk")

        assert ["garbage"] == wechat_pusher(lambda request: PushAnswer(200, body), token=TOKEN).text("a").codes

    @pytest.mark.parametrize(
        ("closed", "code"),
        [
            (lambda sealed: TEXT.format(FromUserName="o", ToUserName="g", Content="a"), "unencrypted"),
            (lambda sealed: envelope(sealed, "1", "2", token="another"), "signature"),
            (lambda sealed: envelope(sealed, "1", "2").replace("<Nonce>2</Nonce>", ""), "garbage"),
            (lambda sealed: envelope(seal("x", "wx00"), "1", "2"), "receiver"),
            (lambda sealed: envelope("AAAA", "1", "2"), "ciphertext"),
            (lambda sealed: envelope("你", "1", "2"), "ciphertext"),
        ],
    )
    def test_encrypted_reply(self, make: Make, closed: Callable[[str], str], code: str) -> None:
        """In safe mode the envelope is opened, and each thing in it can be wrong."""
        webhook = Webhook()
        webhook.closed = lambda reply, query: closed(seal(reply, webhook.receiver))  # type: ignore[method-assign]

        assert [code] == make(webhook, "safe").text("a").codes

    def test_encrypted_reply_in_plain_mode(self, make: Make) -> None:
        """Plain mode reads no encrypted reply, even where there is a key."""
        reply = envelope(seal("<xml></xml>", ""), "1", "2")

        assert ["encrypted"] == make(says(reply), aes_key=AES_KEY).text("a").codes

    def test_encrypted_misfit(self, make: Make) -> None:
        """What is in the envelope is judged, too."""
        webhook = Webhook(reply=TEXT.replace(">text<", ">txet<").format_map)

        assert ["type"] == make(webhook, "safe").text("a").codes

    def test_component_reply(self, make: Make) -> None:
        """A platform's notice has no reply but success."""
        for reply in ("ok", TEXT):
            assert ["garbage"] == make(says(reply), "safe", profile="component").notice("authorized").codes

    @pytest.mark.parametrize("retried", [True, False])
    def test_status(self, make: Make, retried: bool) -> None:
        """An error of the server is a failure; whether it is tried again is a knob."""
        delivery = make(Webhook(status="500 Oh no"), retry_status=retried).text("a")

        assert (["status"], BUSY, 3 if retried else 1) == (delivery.codes, delivery.shown, len(delivery.tries))

    def test_wecom_status(self, make: Make) -> None:
        """WeCom tries again whatever the knob says: its page does."""
        webhook = Webhook(status="500 Oh no")
        delivery = make(webhook, "safe", profile="wecom", receiver=CORPID, retry_status=False).text("a")

        assert 3 == len(delivery.tries)

    def test_raises(self, make: Make) -> None:
        """What the app raises is a 500, and can be looked at."""

        def reply(message: object) -> str:
            raise LookupError("secret")

        delivery = make(Webhook(reply=reply)).text("a")
        answer = delivery.tries[0].answer

        assert answer is not None
        assert "LookupError" in str(delivery.problems[0])
        assert "secret" not in repr((delivery, delivery.tries))
        assert ("secret",) == getattr(answer.error, "args", None)

    @pytest.mark.parametrize("answer", ["{}\n", '"{}"', "\ufeff{}", "1{}", "success"])
    def test_echo(self, wechat_pusher: Make, wechat: WeChat, answer: str) -> None:
        """Another echo than the one that was sent fails the verification, and nothing is tried again."""

        def echo(request: PushRequest) -> PushAnswer:
            query = dict(parse_qsl(urlsplit(request.url).query))
            return PushAnswer(200, answer.format(query["echostr"]).encode())

        before = wechat.accounts[wechat.appid].callback_url
        delivery = wechat_pusher(echo, token=TOKEN).verify()

        assert (["echo"], None, 1) == (delivery.codes, delivery.shown, len(delivery.tries))
        assert before == wechat.accounts[wechat.appid].callback_url

    def test_wecom_echo_not_decrypted(self, wechat_pusher: Make) -> None:
        """For WeCom the encrypted echostr is the wrong answer."""

        def echo(request: PushRequest) -> PushAnswer:
            return PushAnswer(200, dict(parse_qsl(urlsplit(request.url).query))["echostr"].encode())

        assert ["echo"] == wechat_pusher(echo, token=TOKEN, aes_key=AES_KEY, profile="wecom").verify().codes

    @pytest.mark.parametrize("mode", ["plain", *ENCRYPTED])
    def test_wrong_token(self, make: Make, mode: str) -> None:
        """A webhook that refuses what is WeChat's is told apart by its status."""
        pusher = make(Webhook(), mode, token="another")

        assert [["status"], ["status"]] == [pusher.verify().codes, pusher.text("a").codes]

    @pytest.mark.parametrize("mode", ["plain", *ENCRYPTED])
    def test_lets_everybody_in(self, make: Make, mode: str) -> None:
        """Forged requests find a webhook that does not look at the signature, and one that does is right."""
        for checked, codes in ((True, []), (False, ["let-in"])):
            webhook = Webhook(checked=checked)
            pusher = make(webhook, mode)
            assert [codes, codes] == [pusher.verify(forged=True).codes, pusher.text("a", forged=True).codes]


class TestTime:
    """Five seconds, and three tries."""

    def test_late(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """An answer after more than 5 s is none: the very same message comes again, three times in all."""
        webhook = Webhook(reply=lambda message: f"{wechat_clock.advance(5.01) or ''}"[:0])
        delivery = make(webhook, "safe").text("a")

        assert (["late"], BUSY) == (delivery.codes, delivery.shown)
        assert [5.01] * 3 == [pytest.approx(each.seconds) for each in delivery.tries]
        assert 1 == len({each.request.url for each in delivery.tries})
        assert 1 == len(set(webhook.bodies))

    def test_in_time(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """An answer after 5 s is one."""
        webhook = Webhook(reply=lambda message: f"{wechat_clock.advance(5)}"[:0])

        assert make(webhook).text("a").ok

    def test_second_try(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """If the second answer comes in time, WeChat is content and what was wrong with the first is kept."""
        webhook = Webhook()

        def reply(message: dict[str, Any]) -> str:
            if len(webhook.messages) == 1:
                wechat_clock.advance(6)
            return TEXT.format_map(message)

        webhook.reply = reply
        delivery = make(webhook).text("a")

        assert ("you said a", [1, 0]) == (delivery.shown, [len(each.problems) for each in delivery.tries])

    @pytest.mark.parametrize("mode", ["plain", "safe"])
    def test_signs_anew(self, make: Make, wechat_clock: SimulatedClock, mode: str) -> None:
        """On request a repeat has new stamps, and always the same MsgId."""
        webhook = Webhook(reply=lambda message: f"{wechat_clock.advance(6)}"[:0])
        delivery = make(webhook, mode, retry_signs_anew=True, tries=4).text("a")

        assert 4 == len({each.request.url for each in delivery.tries})
        assert 1 == len({message["MsgId"] for message in webhook.messages})
        assert 4 == len({query["timestamp"] for query in webhook.queries})

    def test_repeat_meets_the_first(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """The repeat arrives while the first is still at work."""
        met, webhook = threading.Event(), Webhook()

        def reply(message: dict[str, Any]) -> str:
            if len(webhook.messages) == 1:
                wechat_clock.advance(6)
                assert met.wait(20)
            met.set()
            return ""

        webhook.reply = reply
        delivery = make(webhook).text("a")

        assert (True, 2) == (delivery.ok, len(delivery.tries))

    def test_cut(self, wechat_pusher: Make, wechat_clock: SimulatedClock) -> None:
        """Over HTTP the connection is cut when the time is over."""
        ended = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                for _ in range(3):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(20)
                        request = b""
                        while not request.endswith(b"</xml>"):
                            request += connection.recv(10_000)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsucc")
                        wechat_clock.advance(6)
                        ended.append(connection.recv(10))

            thread = threading.Thread(target=serve)
            thread.start()
            codes = wechat_pusher(f"http://127.0.0.1:{listener.getsockname()[1]}/", token=TOKEN).text("a").codes
            thread.join()

        assert (["late"], [b""] * 3) == (codes, ended)

    def test_asgi_cut(self, wechat_pusher: Make, wechat_clock: SimulatedClock) -> None:
        """An ASGI app is told that WeChat has hung up."""
        seen: queue.Queue[str] = queue.Queue()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            await receive()
            wechat_clock.advance(6)
            seen.put((await receive())["type"])

        codes = wechat_pusher(ASGITransport(app), token=TOKEN, tries=2).text("a").codes

        assert (["late"], ["http.disconnect"] * 2) == (codes, [seen.get(timeout=20) for _ in range(2)])

    def test_asgi_goes_on(self, wechat_pusher: Make) -> None:
        """What an ASGI app does after its answer is not waited for, and not ended by it."""
        answered, ended = threading.Event(), threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            while not answered.is_set():
                await asyncio.sleep(0)
            ended.set()

        pusher = wechat_pusher(ASGITransport(app), token=TOKEN)

        assert pusher.text("a").ok
        answered.set()
        assert ended.wait(20)

    def test_asgi_lifespan(self, wechat_pusher: Make) -> None:
        """An ASGI app is started once before the first push, and shut down with the pusher."""
        told = []

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
            told.append("up")
            yield {"greeting": "success"}
            told.append("down")

        async def answer(request: Request) -> Response:
            return Response(request.state.greeting)

        app = Starlette(routes=[Route("/wechat", answer, methods=["POST"])], lifespan=lifespan)
        pusher = wechat_pusher(ASGITransport(app), token=TOKEN)
        oks = [pusher.text("a").ok, pusher.text("a").ok]
        pusher.close()

        assert ([True, True], ["up", "down"]) == (oks, told)

    @pytest.mark.parametrize("raises", [True, False])
    def test_asgi_without_answer(self, wechat_pusher: Make, raises: bool) -> None:
        """An ASGI app that raises, or ends without an answer, is a 500."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            assert not raises

        assert ["status"] == wechat_pusher(ASGITransport(app), token=TOKEN).text("a").codes

    def test_nobody_there(self, wechat_pusher: Make) -> None:
        """A port where nobody listens is tried three times, a verification or a forged push once."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        pusher = wechat_pusher(f"http://127.0.0.1:{port}/", token=TOKEN)
        text, verified = pusher.text("a"), pusher.verify()

        assert (["lost"], 3) == (text.codes, len(text.tries))
        assert (["lost"], 1) == (verified.codes, len(verified.tries))
        assert ["lost"] == pusher.text("a", forged=True).codes

    def test_backstop(self, wechat_pusher: Make) -> None:
        """With a clock that stands still a handler that never answers is late all the same."""
        never = threading.Event()

        def transport(request: PushRequest) -> PushAnswer:
            request.cut.then(never.set)
            never.wait()
            return PushAnswer(200)

        assert ["late"] == wechat_pusher(transport, token=TOKEN, backstop=0.01, tries=1).text("a").codes

    def test_wecom_verification(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """WeCom waits for a verification no longer than a second."""

        def app(environ: Any, start: Any) -> Any:
            wechat_clock.advance(1.1)
            return webhook(environ, start)

        webhook = Webhook(CORPID)

        assert ["late"] == make(app, "safe", profile="wecom", receiver=CORPID).verify().codes
        assert make(app, "safe", profile="wecom", receiver=CORPID).text("a").ok


class TestSuspension:
    """After failures in a row WeChat leaves a URL alone for a minute."""

    def test_suspended(self, make: Make, wechat_clock: SimulatedClock) -> None:
        """Three pushes without an answer suspend, a minute ends it."""
        webhook = Webhook(status="500 Oh no")
        pusher = make(webhook, tries=1)
        codes = [pusher.text("a").codes for _ in range(4)]
        wechat_clock.advance(59)
        codes.append(pusher.text("a").codes)
        wechat_clock.advance(1)
        webhook.status = "200 OK"

        assert [["status"]] * 3 + [["suspended"]] * 2 == codes
        assert pusher.text("a").ok
        assert 4 == len(webhook.messages)

    def test_in_a_row(self, make: Make) -> None:
        """One good answer in between and nothing is suspended."""
        webhook = Webhook()
        pusher = make(webhook, tries=1)
        for status in ("500 No", "500 No", "200 OK", "500 No", "500 No"):
            webhook.status = status
            pusher.text("a")

        assert ["status"] == pusher.text("a").codes

    @pytest.mark.parametrize("options", [{"suspend_after": 0}, {"mode": "safe", "profile": "wecom"}])
    def test_never(self, make: Make, options: dict[str, Any]) -> None:
        """It can be turned off, and WeCom does not do it."""
        pusher = make(Webhook(status="500 No"), tries=1, **options)

        assert [["status"]] * 5 == [pusher.text("a").codes for _ in range(5)]

    def test_verification_goes_through(self, make: Make) -> None:
        """A URL can be verified while pushes are suspended."""
        pusher = make(Webhook(status="500 No"), suspend_after=1)
        pusher.text("a")

        assert pusher.verify().ok


class TestHandling:
    def test_repeat(self, make: Make) -> None:
        """A delivery can be repeated with the same MsgId."""
        webhook = Webhook()
        pusher = make(webhook, "safe")
        pusher.repeat(pusher.text("a"))

        assert webhook.messages[0] == webhook.messages[1]
        assert webhook.queries[0]["nonce"] != webhook.queries[1]["nonce"]

    @pytest.mark.parametrize(
        "options",
        [
            {"token": ""},
            {"token": None},
            {"mode": "secret"},
            {"mode": "safe"},
            {"aes_key": "AAAA"},
            {"body": "yaml"},
            {"profile": "wecom"},
            {"profile": "wecom", "aes_key": AES_KEY, "mode": "compatible"},
            {"patience": -1},
            {"tries": 0},
            {"to": None},
            {"to": "ftp://a/"},
            {"to": "127.0.0.1:8000/wechat"},
            {"to": "http://u:p@a/"},
            {"to": "http://a/#b"},
            {"to": "http://a:b/"},
            {"to": "http://a/ b"},
            {"to": "http://a/你"},
        ],
    )
    def test_useless(self, wechat: WeChat, options: dict[str, Any]) -> None:
        """An argument that is of no use is refused when it is given."""
        given = {"to": "http://127.0.0.1/", "token": TOKEN, **options}

        with pytest.raises(ConfigurationError):
            Pusher(wechat, given.pop("to"), **given)

    def test_notice_needs_a_platform(self, make: Make) -> None:
        """Only a platform gets notices."""
        with pytest.raises(ConfigurationError, match="component"):
            make(Webhook()).notice()

    @pytest.mark.parametrize("body", ["xml", "json"])
    def test_unwritable(self, make: Make, body: str) -> None:
        """A field that cannot be written is refused before anything is sent."""
        webhook = Webhook()
        with pytest.raises(ConfigurationError):
            make(webhook, body=body).text("a", Field={1, 2})

        assert [] == webhook.messages

    def test_nothing_secret_shows(self, make: Make) -> None:
        """Neither token nor key is in what is shown of a pusher and its deliveries."""
        pusher = make(Webhook(), "safe", url="http://service.test/wechat?key=hidden")
        delivery = pusher.text("a", forged=True)
        shown = f"{pusher!r}{pusher._judge!r}{delivery!r}{delivery.tries!r}"

        assert not [secret for secret in (TOKEN, AES_KEY, "hidden") if secret in f"{pusher!r}{delivery!r}"]
        assert not [secret for secret in (TOKEN, AES_KEY) if secret in shown]

    def test_missing_package(self, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
        """A missing package is named with the extra that brings it."""
        for module in ("defusedxml.ElementTree", "cryptography.hazmat.primitives.ciphers"):
            with monkeypatch.context() as patched:
                patched.setitem(__import__("sys").modules, module, None)
                with pytest.raises(ConfigurationError, match=r"wxmiddleware\[webhook\]"):
                    make(Webhook(), "safe")

    def test_threads(self, make: Make) -> None:
        """Many threads push at once and each gets its own answer."""
        pusher = make(Webhook(), "safe")
        found: dict[int, Delivery] = {}
        threads = [
            threading.Thread(target=lambda i=i: found.__setitem__(i, pusher.text(f"number {i}"))) for i in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {i: f"you said number {i}" for i in range(16)} == {i: each.text for i, each in found.items()}


def test_old_names() -> None:
    """Tests that were written against the main branch go on, with a word about the new name."""
    with pytest.warns(DeprecationWarning, match="WSGICarrier is called WSGITransport now"):
        from wxmiddleware.simulator import WSGICarrier

    assert WSGICarrier is WSGITransport
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        simulator.Nothing  # noqa: B018 - the question is the test
