"""What wechatpy and WeRoBot encrypt and write is read, and ours by theirs: the real packages."""

from __future__ import annotations

import random
import re
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they speak of Python versions to come
    import wechatpy
    import wechatpy.crypto
    import wechatpy.enterprise.crypto
    import wechatpy.replies
    import werobot.crypto
    import werobot.parser
    import werobot.replies

from wxmiddleware.webhook import Article, ImageReply, Message, NewsReply, Reply, TextMessage, TextReply, VideoReply
from wxmiddleware.webhook._crypto import Cipher
from wxmiddleware.webhook._signature import sign
from wxmiddleware.webhook._wire import Format, read
from wxmiddleware.webhook.messages import message_from
from wxmiddleware.webhook.replies import parse_reply, render

from .conftest import MakeSite
from .vectors import V5, V6, WECOM
from .wechat import NOW, Pushed, Pusher, text

TEXTS = ["", "hello", "我是中文abcd123", "]]> & <b>", "😀" * 40, *("x" * n for n in range(1, 40))]


def field(envelope: str, name: str) -> str:
    found = re.search(rf"<{name}>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</{name}>", envelope)
    assert found is not None
    return found[1]


def by_wechatpy(body: str, pusher: Pusher, nonce: str) -> str:
    crypto = wechatpy.crypto.WeChatCrypto(pusher.token, pusher.aes_key, pusher.appid)
    return str(crypto.encrypt_message(body, nonce, str(NOW)))


def by_werobot(body: str, pusher: Pusher, nonce: str) -> str:
    crypto = werobot.crypto.MessageCrypt(pusher.token, pusher.aes_key, pusher.appid)
    return str(crypto.encrypt_message(body, str(NOW), nonce))


def opened_by_wechatpy(body: bytes, pusher: Pusher) -> str:
    crypto = wechatpy.crypto.WeChatCrypto(pusher.token, pusher.aes_key, pusher.appid)
    envelope = body.decode()
    words = field(envelope, "MsgSignature"), field(envelope, "TimeStamp"), field(envelope, "Nonce")
    return str(crypto.decrypt_message(envelope, *words))


def opened_by_werobot(body: bytes, pusher: Pusher) -> str:
    crypto = werobot.crypto.MessageCrypt(pusher.token, pusher.aes_key, pusher.appid)
    envelope = body.decode()
    words = field(envelope, "TimeStamp"), field(envelope, "Nonce"), field(envelope, "MsgSignature")
    plain: bytes = crypto.decrypt_message(*words, field(envelope, "Encrypt"))
    return plain.decode()


@pytest.mark.parametrize("opened", [opened_by_wechatpy, opened_by_werobot])
@pytest.mark.parametrize("sealed", [by_wechatpy, by_werobot])
@pytest.mark.parametrize("make_site", ["wsgi", "starlette"], indirect=True)
def test_there_and_back(make_site: MakeSite, pusher: Pusher, safe: Any, sealed: Any, opened: Any) -> None:
    """A push that one of them encrypted is read, and either of them reads the answer."""
    site = make_site(lambda message: getattr(message, "content", ""), **safe)
    for n, content in enumerate(TEXTS[1:]):
        if "]]>" in content:
            continue
        envelope = sealed(text(content, msg_id=str(n)), pusher, str(n))
        words = {"timestamp": str(NOW), "nonce": str(n), "msg_signature": field(envelope, "MsgSignature")}
        got = site.push(Pushed({**words, "encrypt_type": "aes"}, envelope.encode()))

        assert 200 == got.status
        assert f"<Content><![CDATA[{content}]]></Content>" in opened(got.body, pusher)


@pytest.mark.parametrize("content", TEXTS)
def test_ciphers(content: str) -> None:
    """Each reads what each of the three has encrypted."""
    ours, receiver = Cipher(WECOM[1]), WECOM[2]
    key = wechatpy.crypto.BaseWeChatCrypto(*WECOM).key
    theirs = [wechatpy.crypto.PrpCrypto(key), werobot.crypto.PrpCrypto(key)]
    sealed = [ours.encrypt(content.encode(), receiver), *(one.encrypt(content, receiver).decode() for one in theirs)]

    assert [(content.encode(), receiver)] * 3 == [ours.decrypt(each) for each in sealed]
    for one in theirs:
        plain = [one.decrypt(each, receiver) for each in sealed]
        assert [content] * 3 == [each.decode() if isinstance(each, bytes) else each for each in plain]


def test_wecom() -> None:
    """wechatpy's crypto for WeCom and ours agree on WeCom's examples."""
    crypto = wechatpy.enterprise.crypto.WeChatCrypto(*WECOM)

    assert "1616140317555161061" == crypto.check_signature(V5.signature, V5.timestamp, V5.nonce, V5.encrypt)
    envelope = {"Encrypt": V6.encrypt}
    theirs = crypto.decrypt_message(envelope, V6.signature, V6.timestamp, V6.nonce)
    assert theirs.encode() == Cipher(WECOM[1]).decrypt(V6.encrypt)[0]


def test_signatures() -> None:
    """Any words are signed alike."""
    chance = random.Random(3)
    for _ in range(200):
        words = ["".join(chance.choice("aZ09+/=é你") for _ in range(chance.randrange(12))) for _ in range(4)]
        assert wechatpy.crypto._get_signature(*words) == sign(*words)


@pytest.mark.parametrize(
    "body",
    [
        text(),
        text().replace("[text]", "[hologram]"),
        *(
            text().replace("<MsgId>1</MsgId>", "").replace("[text]", f"[{kind}]").replace("</xml>", f"{rest}</xml>")
            for kind, rest in [
                ("image", "<PicUrl>http://p</PicUrl><MediaId>m</MediaId><MsgId>2</MsgId>"),
                ("location", "<Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Scale>20</Scale>"),
                ("event", "<Event>subscribe</Event><EventKey>qrscene_7</EventKey><Ticket>T</Ticket>"),
                ("event", "<Event>CLICK</Event><EventKey>k</EventKey>"),
            ]
        ),
    ],
)
def test_messages(body: str) -> None:
    """wechatpy finds the same sender, time and kind in a message."""
    theirs = wechatpy.parse_message(body)
    ours: Message = message_from(read(body.encode())[0])

    assert (theirs.source, theirs.target, ours.create_time) == (ours.from_user, ours.to_user, 1348831860)
    assert isinstance(ours, TextMessage) is (theirs.type == "text")


@pytest.mark.parametrize(
    "reply",
    [
        TextReply("hi & <b> 你好 😀"),
        ImageReply("m"),
        VideoReply("m", "t", "d"),
        NewsReply([Article("t", "d", "http://p", "http://u")] * 2),  # of one alone wechatpy 1.8.18 makes letters
    ],
)
def test_replies(reply: Reply) -> None:
    """wechatpy reads our replies, and we what it makes of them."""
    message = message_from(read(text().encode())[0])
    theirs = wechatpy.replies.deserialize_reply(render(reply, message, Format.XML, 1.0)[0].decode())

    assert reply.kind == theirs.type
    assert reply == parse_reply(theirs.render().encode())


def test_reply_of_werobot() -> None:
    """A reply that WeRoBot writes is one of ours."""
    parsed = werobot.parser.parse_user_msg(text())
    theirs = werobot.replies.TextReply(message=parsed, content="hi")

    assert TextReply("hi") == parse_reply(theirs.render().encode())
