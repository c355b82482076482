"""Who comes in, and what goes out: the same behind every door."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from werkzeug.test import Client

from wxmiddleware import Runtime, TokenProvider
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.webhook import Event, Message, TextMessage, Webhook
from wxmiddleware.webhook.wsgi import WebhookMiddleware

from .conftest import MakeSite
from .sites import AT_NOW
from .vectors import KEY_A, V3, V3_TEXT, V5, V6, V8, WECOM, Sealed
from .wechat import NOW, Pushed, Pusher, sign, text

FORBIDDEN = (403, b"Forbidden.\n")


def echo(message: Message) -> str | None:
    return f"你说 {message.content}" if isinstance(message, TextMessage) else None


class TestVerification:
    def test_plain(self, make_site: MakeSite) -> None:
        """WeChat's example is answered with its echostr, as it is."""
        site = make_site(runtime=Runtime(time=lambda: 1714036504.0))
        query = (
            "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492"
            "&echostr=4375120948345356249"
        )
        got = site.send("GET", f"/wechat?{query}")

        assert (200, b"4375120948345356249") == got.short
        assert got.headers["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize(("sealed", "answer"), [(V5, b"1616140317555161061"), (V8, b"5927782489442352469")])
    @pytest.mark.parametrize("raw", [False, True], ids=["encoded", "plus sent raw"])
    def test_wecom(self, make_site: MakeSite, sealed: Sealed, answer: bytes, raw: bool) -> None:
        """WeCom's examples are answered decrypted; a plus that was not encoded is read as one."""
        options = {"token": sealed.token, "aes_key": sealed.aes_key, "appid": sealed.appid}
        site = make_site(runtime=Runtime(time=lambda: float(sealed.timestamp)), **options)
        words = {"msg_signature": sealed.signature, "timestamp": sealed.timestamp, "nonce": sealed.nonce}
        url = Pushed({**words, "echostr": sealed.encrypt}).url

        assert (200, answer) == site.send("GET", url.replace("%2B", "+") if raw else url).short

    @pytest.mark.parametrize("echostr", ["", "<script>\n", "é", "x" * 2000])
    def test_odd_echo(self, make_site: MakeSite, pusher: Pusher, echostr: str) -> None:
        """What is no echostr is not sent back."""
        assert FORBIDDEN == make_site().push(pusher.plain("").but(echostr=echostr), "GET").short

    def test_head(self, make_site: MakeSite, pusher: Pusher) -> None:
        """HEAD is GET without a body."""
        assert (200, b"") == make_site().push(pusher.plain("").but(echostr="7"), "HEAD").short


class TestPushes:
    def test_plain(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A plain push is answered plainly."""
        got = make_site(echo).push(pusher.plain(text()))

        assert 200 == got.status
        assert b"<Content><![CDATA[" + "你说 hello".encode() + b"]]></Content>" in got.body
        assert str(len(got.body)) == got.headers["Content-Length"]

    @pytest.mark.parametrize("mode", ["sealed", "compatible"])
    def test_encrypted(self, make_site: MakeSite, pusher: Pusher, safe: Any, mode: str) -> None:
        """An encrypted push is answered encrypted, with a signature of its own."""
        got = make_site(echo, **safe).push(getattr(pusher, mode)(text()))

        assert got.headers["Content-Type"].startswith("application/xml")
        assert "<Content><![CDATA[你说 hello]]></Content>" in pusher.opened(got.body)

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_success(self, make_site: MakeSite, pusher: Pusher, safe: Any, encrypted: bool) -> None:
        """Nothing to say is a bare success in every mode."""
        site = make_site(**safe, plain=True)
        pushed = (pusher.sealed if encrypted else pusher.plain)(text())

        assert (200, b"success") == site.push(pushed).short

    def test_json_example(self, make_site: MakeSite) -> None:
        """WeChat's example of an encrypted push in JSON arrives."""
        got: list[Message] = []
        site = make_site(got.append, runtime=Runtime(time=lambda: 1714112445.0), aes_key=V3.aes_key, appid=V3.appid)
        query = {"signature": "6c5c811b55cc85e0e1b54100749188c20beb3f5d", "timestamp": V3.timestamp, "nonce": V3.nonce}
        body = json.dumps({"ToUserName": "gh_97417a04a28d", "Encrypt": V3.encrypt}).encode()
        pushed = Pushed({**query, "encrypt_type": "aes", "msg_signature": V3.signature}, body)

        assert (200, b"success") == site.push(pushed).short
        assert isinstance(got[0], Event)
        assert json.loads(V3_TEXT) == dict(got[0].fields)

    def test_json_answer(self, pusher: Pusher, safe: Any, make_site: MakeSite) -> None:
        """A push in JSON is answered with an envelope in JSON."""
        body = json.dumps(
            {"ToUserName": "gh_1", "FromUserName": "oAda", "MsgType": "text", "Content": "hi", "MsgId": 7}
        )
        got = make_site(echo, **safe).push(pusher.sealed(body))

        assert got.headers["Content-Type"].startswith("application/json")
        assert "你说 hi" in pusher.opened(got.body)

    @pytest.mark.parametrize("style", ["xml", "json"])
    def test_wecom_example(self, make_site: MakeSite, style: str) -> None:
        """WeCom's example arrives, in both forms that are documented; its query has no encrypt_type."""
        got: list[Message] = []
        token, key, corpid = WECOM
        site = make_site(got.append, runtime=Runtime(time=lambda: 1409659813.0), token=token, aes_key=key, appid=corpid)
        xml = f"<xml><ToUserName>{corpid}</ToUserName><AgentID>218</AgentID><Encrypt>{V6.encrypt}</Encrypt></xml>"
        body = xml if style == "xml" else json.dumps({"tousername": corpid, "encrypt": V6.encrypt, "agentid": "218"})
        pushed = Pushed({"msg_signature": V6.signature, "timestamp": V6.timestamp, "nonce": V6.nonce}, body.encode())

        assert (200, b"success") == site.push(pushed).short
        assert ["hello"] == [message.content for message in got if isinstance(message, TextMessage)]

    def test_component_ticket(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """A platform's ticket, which is for nobody and from nobody, arrives."""
        got: list[Message] = []
        body = "<xml><AppId>wxc</AppId><CreateTime>1</CreateTime><InfoType>component_verify_ticket</InfoType></xml>"

        assert b"success" == make_site(got.append, **safe).push(pusher.sealed(body)).body
        assert ["ComponentTicket"] == [type(message).__name__ for message in got]

    def test_elsewhere(self, make_site: MakeSite) -> None:
        """Other paths are not touched."""
        assert (200, b"elsewhere") == make_site().send("GET", "/other").short

    def test_other_methods(self, make_site: MakeSite, pusher: Pusher) -> None:
        """Neither GET nor POST is not allowed."""
        got = make_site().push(pusher.plain(text()), "PUT")

        assert (405, "GET, POST") == (got.status, got.headers["Allow"])


@pytest.mark.parametrize("make_site", ["wsgi", "asgi"], indirect=True)
class TestBehindTheMiddleware:
    def test_plain_body(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """The app finds the decrypted body, with its own length and type."""
        site = make_site(echo, **safe)
        site.push(pusher.sealed(text()))
        (inner,) = site.inner
        length, kind = ("CONTENT_LENGTH", "CONTENT_TYPE") if site.face == "wsgi" else ("content-length", "content-type")

        assert text().encode() == inner["body"]
        assert (str(len(text())), "application/xml; charset=utf-8") == (inner[length], inner[kind])

    def test_headers(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """The app's other headers go out with the encrypted answer."""
        got = make_site(echo, **safe).push(pusher.sealed(text()))

        assert "1" == got.headers["X-App"]
        assert str(len(got.body)) == got.headers["Content-Length"]

    def test_slash(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A slash at the end of the URL does no harm; another path is another path."""
        site = make_site(echo)
        url = pusher.plain(text()).url

        assert 200 == site.send("POST", url.replace("?", "/?"), text().encode()).status
        assert b"elsewhere" == site.send("POST", url.replace("?", "x?"), text().encode()).body


MUTATIONS = ["signature", "nonce", "timestamp", "ciphertext", "receiver"]


class TestRefusals:
    @pytest.mark.parametrize("what", MUTATIONS)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_encrypted(self, make_site: MakeSite, pusher: Pusher, safe: Any, what: str, method: str) -> None:
        """An encrypted request of which anything was changed is refused."""
        site = make_site(echo, **safe)
        good = pusher.sealed(text())
        bad = {
            "signature": good.but(msg_signature=good.query["msg_signature"].replace("a", "b").replace("1", "2")),
            "nonce": good.but(nonce="486452657"),
            "timestamp": good.but(timestamp=str(NOW + 1)),
            "ciphertext": dataclasses.replace(good, body=good.body.replace(b"CDATA[", b"CDATA[AAAA")),
            "receiver": pusher.sealed(text(), receiver="wx0000000000000000"),
        }[what]
        if method == "GET":
            sealed = bad.body.partition(b"<Encrypt><![CDATA[")[2].partition(b"]]>")[0].decode()
            bad = bad.but(echostr=sealed)

        assert FORBIDDEN == site.push(bad, method).short
        assert 200 == site.push(good).status

    @pytest.mark.parametrize("what", MUTATIONS[:3])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_plain(self, make_site: MakeSite, pusher: Pusher, what: str, method: str) -> None:
        """So is a plain one."""
        site = make_site(echo)
        good = pusher.plain(text()).but(echostr="7")
        bad = {
            "signature": good.but(signature="0" + good.query["signature"]),
            "nonce": good.but(nonce="486452657"),
            "timestamp": good.but(timestamp=str(NOW + 1)),
        }[what]

        assert FORBIDDEN == site.push(bad, method).short
        assert 200 == site.push(good, method).status

    @pytest.mark.parametrize("off", [-301, 301])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_old(self, make_site: MakeSite, off: int, method: str) -> None:
        """A request from long ago, or from the future, is refused, though its signature is right."""
        pushed = Pusher(now=NOW + off).plain(text()).but(echostr="7")

        assert FORBIDDEN == make_site().push(pushed, method).short
        assert 200 == make_site(window=None).push(pushed, method).status
        assert 200 == make_site(window=400).push(pushed, method).status

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "signature=&timestamp=&nonce=",
            "signature=%C3%A9&timestamp=1714037059&nonce=%ff",
            "signature=é&timestamp=1714037059&nonce=1",
            "&".join(["a=1"] * 100),
            "x" * 5000,
            f"timestamp={NOW}&nonce=1&nonce=2&signature=0",
            f"timestamp={'9' * 400}&nonce=1",
            "timestamp=%D9%A1&nonce=1",
        ],
        ids=lambda query: query[:20],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_odd_queries(self, make_site: MakeSite, safe: Any, query: str, method: str) -> None:
        """Whatever a stranger puts into the query is refused."""
        site = make_site(**safe, plain=True)

        assert FORBIDDEN == site.send(method, f"/wechat?{query}", b"x" if method == "POST" else b"").short

    @pytest.mark.parametrize("more", ["nonce=1", "signature=0", "a=" + "x" * 5000, "&".join(["a=1"] * 100)])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_more(self, make_site: MakeSite, pusher: Pusher, more: str, method: str) -> None:
        """Nor may a good query have a word twice, or very much more in it."""
        good = pusher.plain(text()).but(echostr="7").url
        body = text().encode() if method == "POST" else b""

        assert FORBIDDEN == make_site().send(method, good.replace("?", f"?{more}&"), body).short
        assert 200 == make_site().send(method, good.replace("?", "?a=1&a=2&"), body).status

    @pytest.mark.parametrize("body", [b"", b"{}", b"<xml></xml>", b"\xff", b"<xml><MsgId>1</MsgId></xml>", b"[1]"])
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_odd_bodies(self, make_site: MakeSite, pusher: Pusher, safe: Any, body: bytes, encrypted: bool) -> None:
        """A body that is no message is refused, whoever signed it."""
        site = make_site(**safe, plain=True)
        pushed = pusher.sealed("x") if encrypted else pusher.plain("")

        assert FORBIDDEN == site.push(dataclasses.replace(pushed, body=body)).short
        assert FORBIDDEN == site.push(pusher.sealed(body.decode("latin-1"))).short

    def test_not_encrypted_any_more(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """With a key, what is not encrypted is refused: who has seen one signed URL could send anything."""
        assert FORBIDDEN == make_site(**safe).push(pusher.plain(text())).short

    def test_no_key(self, make_site: MakeSite, pusher: Pusher, caplog: pytest.LogCaptureFixture) -> None:
        """Without a key an encrypted push is refused, and the log says what is missing."""
        assert FORBIDDEN == make_site().push(pusher.compatible(text())).short
        assert "Give the webhook aes_key=" in caplog.text

    def test_silent(self, make_site: MakeSite, pusher: Pusher, safe: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The log names neither the token, the key, nor what a stranger has sent."""
        options = {**safe, "token": "TOKEN-IS-SECRET"}
        make_site(**options).push(pusher.sealed(text("SAID")).but(nonce="NONCE"))

        ours = "".join(record.getMessage() for record in caplog.records if record.name == "wxmiddleware")
        assert ours
        assert not any(word in ours for word in ("TOKEN-IS-SECRET", pusher.aes_key, "SAID", "NONCE"))


class TestReplacedKeys:
    @pytest.mark.parametrize("which", ["new", "old"])
    def test_both(self, make_site: MakeSite, which: str) -> None:
        """While token and key are replaced both are good, and the answer is made with what the push came with."""
        pusher = Pusher(token=which, aes_key=("N" if which == "new" else "O") * 43)
        site = make_site(echo, token=("new", "old"), aes_key=("N" * 43, "O" * 43), appid=pusher.appid)

        assert "你说 hello" in pusher.opened(site.push(pusher.sealed(text())).body)

    def test_neither(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A third is not."""
        site = make_site(token=("AAAAA", "old"), aes_key=("N" * 43, "O" * 43), appid=pusher.appid)

        assert FORBIDDEN == site.push(pusher.sealed(text())).short

    def test_several_receivers(self, make_site: MakeSite) -> None:
        """A suite is written to by its own id, and asked to verify by the company's; the answer keeps to the push."""
        site = make_site(echo, aes_key=KEY_A, appid=("suite", "corp"))

        for pusher in (Pusher(appid="suite"), Pusher(appid="corp")):
            assert "你说 hello" in pusher.opened(site.push(pusher.sealed(text())).body)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"token": ""}, "token is empty"),
            ({"token": ()}, "token must be"),
            ({"token": b"x"}, "token must be"),
            ({"aes_key": "short", "appid": "wx1"}, "has 5 characters"),
            ({"aes_key": KEY_A}, "appid="),
            ({"window": 0}, "window"),
            ({"deadline": 0}, "deadline"),
            ({"deadline": True}, "deadline"),
            ({"limit": 0}, "limit"),
            ({"concurrency": 0}, "concurrency"),
            ({"body_timeout": -1}, "body_timeout"),
            ({"store": "redis"}, "store must be"),
            ({"late": "x"}, "late must be"),
            ({"late": TokenProvider}, "the class TokenProvider"),
            ({"late": lambda message: None}, "a message and a reply"),
            ({"aes_key": KEY_A, "appid": lambda: True}, "called with an id"),
            ({"senders": ["x"]}, "senders must be"),
            ({"trusted_hops": -1}, "trusted_hops"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], told: str) -> None:
        """A mistake is told where it is made."""
        with pytest.raises(ConfigurationError, match=told):
            Webhook(**{"token": "AAAAA", **options})

    @pytest.mark.parametrize("path", ["wechat", "/wechat/*", None, b"/wechat"])
    def test_path(self, path: Any) -> None:
        """So is a path that is none."""
        with pytest.raises(ConfigurationError, match="path"):
            WebhookMiddleware(lambda e, s: [], path=path, token="x")


def handed_on(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"success"]


SAFE: dict[str, Any] = {"aes_key": Pusher.aes_key, "appid": Pusher.appid}
STRICT = Client(WebhookMiddleware(handed_on, path="/wechat", token="AAAAA", runtime=AT_NOW, **SAFE))


@given(st.sampled_from(["msg_signature", "nonce", "timestamp"]), st.text())
def test_any_other_word(name: str, word: str) -> None:
    """Any other signature, nonce or timestamp is refused."""
    good = Pusher().sealed(text())
    assume(word != good.query[name])
    bad = good.but(**{name: word.encode("utf-8", "replace").decode()})

    assert 403 == STRICT.post(bad.url, data=bad.body).status_code
    assert 403 == STRICT.get(bad.but(echostr="x", signature="").url).status_code


@given(st.integers(0, 10_000), st.text(min_size=1, max_size=3))
def test_any_other_ciphertext(at: int, new: str) -> None:
    """Any other ciphertext is refused."""
    good = Pusher().sealed(text())
    body = good.body.decode()
    at = body.index("<Encrypt>") + 9 + at % (body.index("</Encrypt>") - body.index("<Encrypt>") - 9)
    changed = (body[:at] + new + body[at + len(new) :]).encode("utf-8", "replace")
    assume(changed != good.body)

    assert 403 == STRICT.post(good.url, data=changed).status_code


@given(st.text(st.characters(codec="utf-8")))
def test_any_other_receiver(receiver: str) -> None:
    """A message for anybody else is refused."""
    assume(receiver != Pusher.appid)
    pushed = Pusher().sealed(text(), receiver=receiver)

    assert 403 == STRICT.post(pushed.url, data=pushed.body).status_code


def test_three_thousand_bodies(pusher: Pusher, safe: Any) -> None:
    """Three thousand requests that are nearly right are refused, and none is an error."""
    chance = random.Random(7)
    handled: list[Message] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        handled.append(environ["wxmiddleware.message"])
        start_response("200 OK", [])
        return [b"success"]

    client = Client(WebhookMiddleware(app, path="/wechat", token="AAAAA", runtime=AT_NOW, plain=True, **safe))
    statuses = set()
    for _ in range(3_000):
        good = pusher.sealed(text()) if chance.random() < 0.8 else pusher.plain(text())
        body, query = bytearray(good.body), good.url.removeprefix("/wechat?")
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.5:
                body[chance.randrange(len(body))] = chance.randrange(256)
            else:
                at = chance.randrange(len(query))
                query = query[:at] + chance.choice("0a=&%+é\x7f") + query[at + 1 :]
        answer = client.post(f"/wechat?{query}", data=bytes(body))
        statuses.add(answer.status_code)

    assert {200, 403} == statuses  # plain mode signs no body; and what is outside the ciphertext may change
    assert handled


def test_signed_rubbish(pusher: Pusher, safe: Any) -> None:
    """Nor are bodies an error that have a right signature, and are rubbish when they are decrypted."""
    chance = random.Random(8)
    client = Client(WebhookMiddleware(lambda e, s: [], path="/wechat", token="AAAAA", runtime=AT_NOW, **safe))
    for size in range(300):
        rubbish = "".join(chance.choice("ABCDabcd0123+/=") for _ in range(size))
        words = {"timestamp": str(NOW), "nonce": "1", "msg_signature": sign("AAAAA", str(NOW), "1", rubbish)}
        body = f"<xml><Encrypt>{rubbish}</Encrypt></xml>".encode()

        assert 403 == client.post(Pushed(words).url, data=body).status_code
