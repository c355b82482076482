"""Ways around the check: what is signed and still not WeChat's, or not for us."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import Message, RawReply, Webhook
from wxmiddleware.webhook._crypto import Cipher
from wxmiddleware.webhook._flow import Answer, Attempt, Do, Failed, Handle, Read, Request
from wxmiddleware.webhook._gate import Gate, NotAuthentic, Push, Query, Seal
from wxmiddleware.webhook._names import Names
from wxmiddleware.webhook._seen import Answered
from wxmiddleware.webhook._signature import sign
from wxmiddleware.webhook._wire import Format

from .conftest import MakeSite
from .sites import AT_NOW, Site
from .vectors import KEY_A, V3_TEXT
from .wechat import NOW, Pushed, Pusher, text

FORBIDDEN = (403, b"Forbidden.\n")
TICKET = (
    "<xml><AppId>wxc</AppId><CreateTime>1</CreateTime><InfoType>component_verify_ticket</InfoType>"
    "<ComponentVerifyTicket>ticket@@@SECRET</ComponentVerifyTicket></xml>"
)
BOT = {
    "msgid": "mid-0001",
    "aibotid": "aib-1",
    "chattype": "single",
    "from": {"userid": "zhang.san"},
    "msgtype": "text",
    "text": {"content": "hi"},
}


def ciphertext(body: bytes) -> str:
    found = re.search(rb"<Encrypt><!\[CDATA\[(.+?)\]\]>", body)
    return found[1].decode() if found else str(json.loads(body).get("Encrypt") or json.loads(body)["encrypt"])


def asked(pushed: Pushed) -> Pushed:
    """The push, with its ciphertext as an echostr."""
    return pushed.but(echostr=ciphertext(pushed.body))


def sent_back(answer: bytes) -> Pushed:
    """An answer of ours, as a push."""
    names = ("MsgSignature", "TimeStamp", "Nonce")
    found = [re.search(rf"<{name}>(?:<!\[CDATA\[)?(\w+)", answer.decode()) for name in names]
    signature, timestamp, nonce = (each[1] for each in found if each)
    return Pushed({"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}, answer)


def event(at: int = NOW, **fields: str) -> str:
    more = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return (
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>sys</FromUserName>"
        f"<CreateTime>{at}</CreateTime><MsgType>event</MsgType>{more}</xml>"
    )


class TestVerification:
    """Whoever has seen a push, or an answer of ours, cannot have it decrypted."""

    @pytest.mark.parametrize("body", [text(), TICKET, V3_TEXT, json.dumps(BOT)], ids=["text", "ticket", "json", "bot"])
    def test_pushes(self, make_site: MakeSite, pusher: Pusher, safe: Any, body: str) -> None:
        """A push is no echostr, and is served as the push that it is."""
        site = make_site(**safe)
        pushed = pusher.sealed(body)

        assert FORBIDDEN == site.push(asked(pushed), "GET").short
        assert 200 == site.push(pushed).status

    @pytest.mark.parametrize("said", ["your PIN is 4711", RawReply("4711"), RawReply('{"code":4711}')], ids=repr)
    def test_answers(self, make_site: MakeSite, pusher: Pusher, safe: Any, said: Any) -> None:
        """Nor is our own answer, also one that looks like an echostr, and in a process that has not made it."""
        answer = make_site(lambda message: said, **safe).push(pusher.sealed(text())).body

        assert "4711" in pusher.opened(answer)
        assert FORBIDDEN == make_site(**safe).push(asked(sent_back(answer)), "GET").short

    @pytest.mark.parametrize(
        "said", ["", " 1", "1\n", "two words", "{}", "<a/>", "success!", "1,2", "x" * 129, "汉字", "a\0b", '"7"']
    )
    def test_odd_echoes(self, pusher: Pusher, safe: Any, said: str) -> None:
        """Whatever is no echostr is not answered."""
        gate = Gate(token=pusher.token, **safe)
        with pytest.raises(NotAuthentic, match="no echostr"):
            gate.verify(Query(**asked(pusher.sealed(said)).query), NOW)

    @pytest.mark.parametrize("said", ["1616140317555161061", "a-B_c.9", "x" * 128])
    def test_echoes(self, pusher: Pusher, safe: Any, said: str) -> None:
        """What is one is."""
        assert said == Gate(token=pusher.token, **safe).verify(Query(**asked(pusher.sealed(said)).query), NOW)

    @pytest.mark.parametrize("echostr", ["<script>", "a b", "x" * 129, '"1"', "1\n"])
    def test_plain(self, pusher: Pusher, echostr: str) -> None:
        """In plain mode nothing else is sent back either."""
        with pytest.raises(NotAuthentic, match="no echostr"):
            Gate(token=pusher.token).verify(Query(**pusher.plain("").but(echostr=echostr).query), NOW)


class TestOwnAnswers:
    def test_posted_back(
        self, make_site: MakeSite, pusher: Pusher, safe: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An answer of ours that is posted back is refused, whoever of the fleet has made it."""
        handled: list[Message] = []
        answer = make_site(lambda message: "hello", **safe).push(pusher.sealed(text())).body
        site = make_site(handled.append, **safe)

        assert FORBIDDEN == site.push(sent_back(answer)).short
        assert [] == handled
        assert "an answer of this webhook's own" in caplog.text

    def test_marks(self) -> None:
        """An answer is known by every process that has the key, and by no other; WeChat's are no answers."""
        text = Cipher(KEY_A).encrypt(b"x", "wx1")
        heads = [b"0123456789abcdef", bytes(16)]

        assert Cipher(KEY_A).made(text)
        assert not Cipher("B" * 43).made(text)
        assert [False, False] == [Cipher(KEY_A).made(Cipher(KEY_A).encrypt(b"x", "wx1", head=head)) for head in heads]

    def test_old_key(self, pusher: Pusher) -> None:
        """So it is while the key is replaced."""
        gate = Gate(token="AAAAA", aes_key=("B" * 43, KEY_A), appid=pusher.appid)
        seal = Seal(Cipher(KEY_A), "AAAAA", pusher.appid)
        back = sent_back(seal.close(text().encode(), Format.XML, str(NOW), "1"))
        with pytest.raises(NotAuthentic, match="own"):
            gate.open(Query(**back.query), back.body)


class TestOtherTimes:
    """The signature is the same if timestamp and nonce are swapped, or digits moved."""

    @pytest.mark.parametrize(
        ("timestamp", "nonce", "later"),
        [
            (str(NOW), str(NOW + 5000), (str(NOW + 5000), str(NOW))),
            ("1714037051", "760000000", ("1760000000", "171403705")),
            ("1714037059", "486452656", ("1714037059", "486452656")),
        ],
        ids=["swapped", "moved", "as it was"],
    )
    def test_encrypted(self, pusher: Pusher, safe: Any, timestamp: str, nonce: str, later: tuple[str, str]) -> None:
        """A message that says when it was made is not young again."""
        sealed = "0"
        while sealed[0].isdecimal():  # it would be sorted between the two
            sealed = pusher.encrypt(event(int(timestamp), Event="x"), pusher.appid)
        signature = sign("AAAAA", timestamp, nonce, sealed)
        body = f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode()
        gate = Gate(token="AAAAA", **safe)
        good, bad = (Query(msg_signature=signature, timestamp=t, nonce=n) for t, n in [(timestamp, nonce), later])
        assert signature == sign("AAAAA", *later, sealed)

        assert "event" == gate.open(good, body).message.kind
        if later == (timestamp, nonce):
            return
        gate.check_query(bad, int(later[0]))
        with pytest.raises(NotAuthentic, match="stands in the nonce"):
            gate.open(bad, body)

    @pytest.mark.parametrize("at", [0, 1, 171, 1_348_831_860, 1_700_000_000, NOW, NOW - 7200, NOW + 60])
    @pytest.mark.parametrize("nonce", ["1", "171", "486452656", "1714037059", "9999999999", "é", "x" * 40, ""])
    def test_good(self, pusher: Pusher, safe: Any, at: int, nonce: str) -> None:
        """An old message, or a nonce that looks like a time, is none of these."""
        pushed = pusher.sealed(event(at, Event="x"), nonce=nonce)

        assert Gate(token="AAAAA", **safe).open(Query(**pushed.query), pushed.body)

    def test_plain(self, make_site: MakeSite, pusher: Pusher) -> None:
        """In plain mode a signature is good for one message, however its words are cut."""
        site = make_site()
        first = pusher.plain(text(), nonce=str(NOW + 9))
        swapped = first.but(timestamp=str(NOW + 9), nonce=str(NOW))
        other = dataclasses.replace(swapped, body=text("pay me", msg_id="2").encode())

        assert [200, 200, 403] == [site.push(each).status for each in (first, swapped, other)]

    def test_encrypted_then_plain(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """Where both are let in, the query of an encrypted push is good for no plain one."""
        site = make_site(**safe, plain=True)
        sealed = pusher.sealed(text())
        query = {name: sealed.query[name] for name in ("signature", "timestamp", "nonce")}

        assert [200, 200] == [site.push(sealed).status for _ in range(2)]
        assert 403 == site.push(Pushed(query, text("pay me", msg_id="2").encode())).status


class TestPaths:
    SPELLINGS = (
        "/WeChat",
        "//wechat",
        "/wechat/",
        "/x/../wechat",
        "/wechat;a=1",
        "/%77echat",
        "/wechat%0A",
        "/./wechat",
    )

    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_one_name(self, spelling: str) -> None:
        """However a path is spelled, it is the same webhook."""
        names = Names(["AAAAA"], stored=False)

        assert names.of_webhook("AAAAA", None, "/wechat") == names.of_webhook("AAAAA", None, spelling)
        assert names.of_webhook("AAAAA", None, "/wechat") != names.of_webhook("AAAAA", None, "/wechat/2")

    @pytest.mark.parametrize("make_site", ["wsgi", "asgi"], indirect=True)
    @pytest.mark.parametrize("mode", ["plain", "sealed"])
    def test_prefix(self, make_site: MakeSite, pusher: Pusher, safe: Any, mode: str) -> None:
        """A middleware is one webhook, whatever stands before its path."""
        told: list[Message] = []
        site = make_site(told.append, **(safe if mode == "sealed" else {}))
        pushed = getattr(pusher, mode)(text())
        statuses = [site.send("POST", path + pushed.url, pushed.body).status for path in ("", "/api", "/any/other")]

        assert [200] * 3 == statuses
        assert 1 == len(told)

    def test_plain(self, pusher: Pusher) -> None:
        """Another URL makes no signed query good again, not even for the same message."""
        webhook = Webhook(token="AAAAA", runtime=AT_NOW)
        pushed = pusher.plain(text())

        assert [(200, True), (200, False), (403, False)] == [
            served(webhook, pushed, path) for path in ("/wechat", "/WECHAT/", "/elsewhere")
        ]


def served(webhook: Webhook, pushed: Pushed, path: str = "/wechat") -> tuple[int, bool]:
    """Serve a push by hand: the status, and whether it was handled."""
    request = Request("POST", pushed.url.partition("?")[2], len(pushed.body), "", "", path)
    flow = webhook.serve(request)
    handled = False
    send: Callable[[Any], Any] = flow.send
    what: Any = None
    while True:
        try:
            step = send(what)
        except StopIteration as end:
            return end.value.status, handled
        send = flow.send
        match step:
            case Do(function):
                try:
                    what = function()
                except Exception as error:
                    send, what = flow.throw, error
            case Read():
                what = pushed.body
            case _:
                handled, what = True, Answer(200, b"success")


class TestMemories:
    """Each webhook hears all that is pushed to it, whoever else shares its store."""

    @pytest.mark.parametrize(
        ("one", "other", "times"),
        [
            (Pusher(), Pusher(), 1),
            (Pusher(token="one"), Pusher(token="other"), 2),
            (Pusher(aes_key="N" * 43), Pusher(aes_key="O" * 43), 2),
        ],
        ids=["the same", "another token", "another key"],
    )
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_shared(self, make_site: MakeSite, one: Pusher, other: Pusher, times: int, encrypted: bool) -> None:
        """Two apps of one account are both told."""
        store, told = MemoryStore(), list[Message]()
        for number, pusher in enumerate((one, other)):
            options = {"aes_key": pusher.aes_key, "appid": pusher.appid} if encrypted else {}
            site = make_site(told.append, token=pusher.token, store=store, **options)
            site.push((pusher.sealed if encrypted else pusher.plain)(text(), nonce=str(number)))

        assert (times if encrypted or one.token != other.token else 1) == len(told)

    @pytest.mark.parametrize("mode", ["plain", "sealed"])
    def test_two_urls(self, pusher: Pusher, safe: Any, mode: str) -> None:
        """So are two at two URLs that share token and key, too."""
        options = {
            "token": "AAAAA",
            "store": MemoryStore(),
            "runtime": AT_NOW,
            **(safe if mode == "sealed" else {}),
        }
        webhook = Webhook(**options)
        push = getattr(pusher, mode)

        assert [(200, True), (200, True), (200, False)] == [
            served(webhook, push(text(), nonce=path), path) for path in ("/one", "/two", "/two")
        ]

    @pytest.mark.parametrize("body", [TICKET, event(Event="x"), text()])
    def test_repeats(self, make_site: MakeSite, pusher: Pusher, safe: Any, body: str) -> None:
        """A repeat is one in each mode, signed and encrypted anew or not."""
        told: list[Message] = []
        site = make_site(told.append, **safe)
        pushes = [pusher.sealed(body), pusher.sealed(body, nonce="2"), pusher.compatible(body)]
        statuses = [site.push(each).status for each in [*pushes, pushes[0]]]

        assert [200] * 4 == statuses
        assert 1 == len(told)

    def test_events_of_one_second(self, make_site: MakeSite, pusher: Pusher, safe: Any) -> None:
        """Two events that differ in a field that nobody has heard of are two."""
        told: list[Message] = []
        site = make_site(told.append, **safe)
        for who in ("ada", "bob", "ada"):
            site.push(pusher.sealed(event(Event="change_contact", Unheard=who)))

        assert ["ada", "bob"] == [each.fields["Unheard"] for each in told]

    def test_replaced_key(self, pusher: Pusher) -> None:
        """While a token is replaced, a worker with both knows what one with the old one has heard."""
        old = Names(["old"], stored=True)
        new = Names(["new", "old"], stored=True)

        assert old.of_webhook("old", None, "/w") == new.of_webhook("old", None, "/w")
        assert new.of_webhook("new", None, "/w") != new.of_webhook("old", None, "/w")


class TestReceivers:
    """Whom a push may be for: asked at each push."""

    @pytest.mark.parametrize("kind", [set, dict, list, "function", "container"])
    def test_come_and_go(self, make_site: MakeSite, kind: Any) -> None:
        """Customers of a suite come and go; an answer is for whom the push was for."""
        known: Any = {} if kind is dict else [] if kind is list else set()

        class Database:
            def __contains__(self, receiver: object) -> bool:
                return receiver in known

        appid = {"function": lambda receiver: receiver in known, "container": Database()}.get(kind, known)
        site = make_site(lambda message: "hello", aes_key=KEY_A, appid=appid)
        one = Pusher(appid="wwone")
        before = site.push(one.sealed(text()))
        known.update({"wwone": 1}) if kind is dict else known.append("wwone") if kind is list else known.add("wwone")
        during = site.push(one.sealed(text()))
        known.clear()
        after = site.push(one.sealed(text(msg_id="2")))

        assert [403, 200, 403] == [before.status, during.status, after.status]
        assert "hello" in one.opened(during.body)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_fails(self, make_site: MakeSite, pusher: Pusher, caplog: pytest.LogCaptureFixture, method: str) -> None:
        """A function that raises is an outage: WeChat is asked to come again, and the log says why."""

        def ask(receiver: str) -> bool:
            raise ConnectionError("mysql://root:PASSWORD@db?secret=SECRET")

        site = make_site(aes_key=KEY_A, appid=ask)

        assert 503 == site.push(asked(pusher.sealed(text())), method).status
        assert "ConnectionError" in caplog.text
        assert "SECRET" not in caplog.text

    def test_in_a_thread(self, make_site: MakeSite, pusher: Pusher) -> None:
        """What may ask a database does not hold up the event loop."""
        threads: list[str] = []

        def ask(receiver: str | None) -> bool:
            threads.append(threading.current_thread().name)
            return True

        site = make_site(aes_key=KEY_A, appid=ask)
        site.push(pusher.sealed(text()))

        assert ("AnyIO worker thread" in threads[0]) is (site.face in ("asgi", "starlette"))

    def test_says_nothing_true(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A function that forgot to say yes says no; an async one that was hidden is an outage, and lets nobody in."""

        async def ask(receiver: str) -> bool:
            return True

        assert 403 == make_site(aes_key=KEY_A, appid=lambda receiver: None).push(pusher.sealed(text())).status
        assert (
            503
            == make_site(aes_key=KEY_A, appid=lambda receiver: ask(receiver or "")).push(pusher.sealed(text())).status
        )

    def test_exact(self, make_site: MakeSite) -> None:
        """A string is one id, and no part of it is."""
        site = make_site(aes_key=KEY_A, appid="wx12")

        assert [403, 403, 200] == [site.push(Pusher(appid=each).sealed(text())).status for each in ("wx1", "", "wx12")]


class TestBots:
    """AI bots of WeCom's."""

    @pytest.mark.parametrize("face", ["wsgi", "starlette"])
    def test_answer(self, face: str) -> None:
        """A message in small names is answered in small names, with the nonce of its URL."""
        got: list[Message] = []
        said = '{"msgtype":"stream"}'
        pusher = Pusher(appid="")

        def handler(message: Message) -> RawReply:
            got.append(message)
            return RawReply(said)

        site = Site(face, handler, aes_key=KEY_A, appid="")
        pushed = pusher.sealed(json.dumps(BOT), nonce="1597212914")
        try:
            answer = site.push(
                dataclasses.replace(pushed, body=json.dumps({"encrypt": ciphertext(pushed.body)}).encode())
            )
            usual = site.push(pusher.sealed(json.dumps({**BOT, "msgid": "2"})))
        finally:
            site.close()
        envelope = json.loads(answer.body)

        assert ["text", "text"] == [each.kind for each in got]
        assert ["mid-0001", "zhang.san"] == [got[0].msg_id, got[0].from_user]
        assert ["encrypt", "msgsignature", "timestamp", "nonce"] == list(envelope)
        assert (NOW, "1597212914") == (envelope["timestamp"], envelope["nonce"])
        assert envelope["msgsignature"] == sign("AAAAA", str(NOW), "1597212914", envelope["encrypt"])
        assert (said.encode(), "") == Cipher(KEY_A).decrypt(envelope["encrypt"])
        assert ["Encrypt", "MsgSignature", "TimeStamp", "Nonce"] == list(json.loads(usual.body))

    def test_example(self) -> None:
        """WeCom's sample of an answer comes out, and is read."""
        key, token, nonce = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "aiTokenMadeUp1", "1597212914"
        plain = b'{"msgtype":"stream","stream":{"id":"st-7f3a","finish":true,"content":"ok"}}'
        sealed = (
            "sKqRbbiSUnDhFHOvPjtUMZ2rD402SQfYkOjaonehYcE7BRXYofxiKtMCExs4pd7kYH3BFtDAY/rzQ2wviyMlUNfV2r0bHmoWszeyuueW7"
            "putUYD5DWAOnT8PfuV6vFLz"
        )
        signature = "54e1deed29b688749bed885dca82af01fbc77a00"
        query = Query(msg_signature=signature, timestamp="1788900601", nonce=nonce)
        push = Gate(token=token, aes_key=key, appid="").open(query, json.dumps({"encrypt": sealed}).encode())

        assert sealed == Cipher(key).encrypt(plain, "", head=b"0123456789abcdef")
        assert signature == sign(token, "1788900601", nonce, sealed)
        assert (plain, "stream") == (push.body, push.message.kind)


class TestBlanks:
    @pytest.mark.parametrize("blank", [" ", "\n", "\r\n\t", "\u00a0"])
    @pytest.mark.parametrize("inside", [False, True])
    @pytest.mark.parametrize("style", ["xml", "json"])
    def test_ciphertext(
        self, make_site: MakeSite, pusher: Pusher, safe: Any, blank: str, inside: bool, style: str
    ) -> None:
        """Blanks and line ends around a ciphertext, and in it, do no harm, whether they were signed or not."""
        site = make_site(**safe)
        for signed in (False, True):
            pushed = pusher.sealed(text() if style == "xml" else V3_TEXT)
            sealed = ciphertext(pushed.body)
            folded = blank + (blank.join((sealed[:60], sealed[60:])) if inside else sealed) + blank
            if style == "xml":
                body = f"<xml>\n<Encrypt><![CDATA[{folded}]]></Encrypt></xml>"
            else:
                body = json.dumps({"Encrypt": folded})
            if signed:
                pushed = pushed.but(msg_signature=sign("AAAAA", str(NOW), "486452656", read_as(folded, style)))

            assert 200 == site.push(dataclasses.replace(pushed, body=body.encode())).status


def read_as(value: str, style: str) -> str:
    """What a parser makes of line ends."""
    return value.replace("\r\n", "\n") if style == "xml" else value


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"appid": "wx1"}, "no aes_key="),
            ({"appid": "wx1", "aes_key": None}, "no aes_key="),
            ({"appid": ""}, "no aes_key="),
            ({"appid": {"wx1"}, "plain": False}, "no aes_key="),
            ({"appid": lambda receiver: True}, "no aes_key="),
            ({"appid": "wx1", "aes_key": ""}, "has 0 characters"),
            ({"appid": "wx1", "aes_key": "", "plain": True}, "has 0 characters"),
            ({"appid": "wx1", "aes_key": ()}, "aes_key must be"),
            ({"appid": "wx1", "aes_key": (KEY_A, None)}, "aes_key must be .* is None"),
            ({"appid": "wx1", "aes_key": KEY_A + "\n"}, "has 44 characters, a blank or a line end among them"),
            ({"appid": "wx1", "aes_key": " " + KEY_A[1:]}, "other characters in it, a blank"),
            ({"aes_key": KEY_A}, "appid="),
            ({"aes_key": KEY_A, "appid": None}, "appid="),
            ({"aes_key": KEY_A, "appid": ()}, "empty and will stay so"),
            ({"aes_key": KEY_A, "appid": ("wx1", None)}, "NoneType in it"),
            ({"aes_key": KEY_A, "appid": b"wx1"}, "appid= must be"),
            ({"aes_key": KEY_A, "appid": str}, "appid= must be"),
            ({"aes_key": KEY_A, "appid": 7}, "appid= must be"),
            ({"aes_key": KEY_A, "appid": "wx1\n"}, "appid begins or ends with a blank"),
            ({"aes_key": KEY_A, "appid": ["wx1", "w x"]}, "appid has a blank"),
            ({"aes_key": KEY_A, "appid": '"wx1"'}, "appid has quotes"),
            ({"token": None}, "token must be .* is None"),
            ({"token": ("SECRET", None)}, "token must be .* is None"),
            ({"token": ("SECRET", "")}, "token is empty"),
            ({"token": "SECRET\n"}, "token begins or ends with a blank or a line end"),
            ({"token": ("ok", " SECRET")}, "token begins or ends"),
            ({"token": "SECRET WORD"}, "token has a blank"),
            ({"token": "SECRET\tWORD"}, "token has a blank"),
            ({"token": "SECRET\u3000WORD"}, "token has a blank"),
            ({"token": "'SECRET'"}, "token has quotes"),
            ({"token": 'SECRET"'}, "token has quotes"),
            ({"token": "SECRET\x00"}, "do not show"),
            ({"token": "SECRET\ufeff"}, "not ASCII"),
            ({"token": "SECRET密"}, "not ASCII"),
            ({"token": "SECRET" * 6}, "has 36 characters"),
            ({"plain": "false"}, "plain must be"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], told: str) -> None:
        """A setting that cannot be right is told where it is given, and not shown."""
        with pytest.raises(ConfigurationError, match=told) as caught:
            Webhook(**{"token": "AAAAA", **options})

        assert not any(word in str(caught.value) for word in ("SECRET", KEY_A[1:]))

    def test_async(self) -> None:
        """A function that is asked must not be async."""

        async def ask(receiver: str) -> bool:
            return True

        class Ask:
            async def __call__(self, receiver: str) -> bool:
                return True

        for each in (ask, Ask(), functools.partial(ask)):
            with pytest.raises(ConfigurationError, match="async"):
                Webhook(token="AAAAA", aes_key=KEY_A, appid=each)

    @pytest.mark.parametrize(
        "options",
        [
            {"appid": "wx1", "plain": True},
            {"appid": "", "aes_key": KEY_A},
            {"appid": set(), "aes_key": KEY_A},
            {"token": "any-word_1.=", "plain": True},
            {"token": "x" * 32},
        ],
    )
    def test_right(self, options: dict[str, Any]) -> None:
        """What is explicit, and what may be right, is taken."""
        assert Webhook(**{"token": "AAAAA", **options})


class TestReprs:
    """What error trackers record of a frame shows no ticket, no secret and nothing that a user has written."""

    def test_push(self) -> None:
        """A push shows neither its body nor its message, nor does what holds a push."""
        for body in (TICKET, text("SECRET"), event(Event="x", Ticket="SECRET")):
            push = opened(body)
            attempt = Attempt(lambda outcome: iter(()), lambda outcome: False, int, dict)  # type: ignore[arg-type, return-value]
            shown = repr([push, Handle(push, attempt, 1.0, hurry=False)])

            assert "SECRET" not in shown
            assert "xml" in shown

    def test_all(self) -> None:
        """Nor does any other class that holds a body, a query, an answer or a key."""
        answer = Answer(200, b"SECRET", headers=(("Set-Cookie", "SECRET"),), reply=RawReply("SECRET"))
        values = [
            answer,
            Failed(RuntimeError("SECRET")),
            Do(functools.partial(print, "SECRET")),
            Request("GET", "signature=SECRET", None, "1.1.1.1", ""),
            Query(signature="SECRET", msg_signature="SECRET", nonce="SECRET", echostr="SECRET"),
            Seal(Cipher(KEY_A), "SECRET", "wx1", "SECRET"),
            Answered(b"SECRET"),
            Gate(token="SECRET"),
            Webhook(token="SECRET"),
        ]

        assert "SECRET" not in repr(values)


def opened(body: str) -> Push:
    pushed = Pusher().sealed(body)
    return Gate(token="AAAAA", aes_key=KEY_A, appid=Pusher.appid).open(Query(**pushed.query), pushed.body)
