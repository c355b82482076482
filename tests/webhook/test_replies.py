"""What is answered, in both shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.webhook import (
    Article,
    ImageReply,
    MusicReply,
    NewsReply,
    RawReply,
    Reply,
    TextReply,
    TransferReply,
    VideoReply,
    VoiceReply,
)
from wxmiddleware.webhook._wire import Format, read
from wxmiddleware.webhook.messages import message_from
from wxmiddleware.webhook.replies import parse_reply, render, reply_from

MESSAGE = message_from({"ToUserName": "gh_1", "FromUserName": "oAda", "MsgType": "text"})
REPLIES: list[Reply] = [
    TextReply("hi ]]> 你好 😀"),
    TextReply(""),
    ImageReply("m"),
    VoiceReply("m"),
    VideoReply("m", "t", "d"),
    VideoReply("m"),
    MusicReply("p", "http://u", "http://h", "t", "d"),
    MusicReply("p"),
    NewsReply([Article("a", "d", "http://p", "http://u")]),
    NewsReply([Article("a"), Article("b", url="http://u")]),
    TransferReply(),
    TransferReply("kf2001@gh_1"),
]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cc", "Cs", "Cn"]))


@pytest.mark.parametrize("style", list(Format))
@pytest.mark.parametrize("reply", REPLIES)
def test_round_trip(reply: Reply, style: Format) -> None:
    """Each reply is read as it was written, in XML and in JSON."""
    assert reply == parse_reply(render(reply, MESSAGE, style, 7.9)[0])


@pytest.mark.parametrize(
    ("reply", "inner"),
    [
        (TextReply("hi"), "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hi]]></Content>"),
        (ImageReply("m"), "<MsgType><![CDATA[image]]></MsgType><Image><MediaId><![CDATA[m]]></MediaId></Image>"),
        (
            NewsReply([Article("a", url="http://u")]),
            "<MsgType><![CDATA[news]]></MsgType><ArticleCount>1</ArticleCount>"  # noqa: ISC004 - one text
            "<Articles><item><Title><![CDATA[a]]></Title><Url><![CDATA[http://u]]></Url></item></Articles>",
        ),
        (TransferReply(), "<MsgType><![CDATA[transfer_customer_service]]></MsgType>"),
    ],
)
def test_shape(reply: Reply, inner: str) -> None:
    """The passive reply is WeChat's XML, from the account to the sender."""
    body, content_type = render(reply, MESSAGE, Format.XML, 1348831860.9)

    assert content_type == "application/xml; charset=utf-8"
    assert body.decode() == (
        "<xml><ToUserName><![CDATA[oAda]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>"
        f"<CreateTime>1348831860</CreateTime>{inner}</xml>"
    )


@given(WORDS, WORDS, WORDS)
def test_any_text(content: str, title: str, url: str) -> None:
    """Any text survives."""
    for reply in (TextReply(content), NewsReply([Article(title, content, url=url)]), VideoReply(title, url, content)):
        body, _ = render(reply, MESSAGE, Format.XML, 1.0)
        assert reply == parse_reply(body)


@given(st.text())
def test_any_character(content: str) -> None:
    """No character makes XML that cannot be read, not even half of an emoji."""
    body, _ = render(TextReply(content), MESSAGE, Format.XML, 1.0)

    assert len(content.replace("\r\n", "\n")) == len(read(body)[0]["Content"])


@pytest.mark.parametrize(
    ("reply", "active"),
    [
        (TextReply("hi"), {"content": "hi"}),
        (ImageReply("m"), {"media_id": "m"}),
        (VoiceReply("m"), {"media_id": "m"}),
        (VideoReply("m", "t", "d", "p"), {"media_id": "m", "thumb_media_id": "p", "title": "t", "description": "d"}),
        (
            MusicReply("p", "http://u", "http://h"),
            {"musicurl": "http://u", "hqmusicurl": "http://h", "thumb_media_id": "p"},
        ),
        (NewsReply([Article("a", picture_url="http://p")]), {"articles": [{"title": "a", "picurl": "http://p"}]}),
        (TransferReply(), None),
        (RawReply("x"), None),
    ],
)
def test_active(reply: Reply, active: Any) -> None:
    """What the customer-service API takes; it takes no transfer."""
    assert active == reply._active()


def test_raw() -> None:
    """A raw reply is sent as it is, with its own type."""
    assert (b"\xff", "image/png") == render(RawReply(b"\xff", content_type="image/png"), MESSAGE, Format.XML, 1.0)
    assert ("你".encode(), str(Format.JSON)) == render(RawReply("你"), MESSAGE, Format.XML, 1.0)


@pytest.mark.parametrize("value", [None, "", "success"])
def test_nothing(value: Any) -> None:
    """Nothing, or the word itself, is success."""
    assert reply_from(value) is None


def test_of_what_a_handler_returns() -> None:
    """A string is a text; a reply is itself; all else is a mistake."""
    assert TextReply("hi") == reply_from("hi")
    assert reply_from(REPLIES[2]) is REPLIES[2]
    with pytest.raises(TypeError, match="not a dict"):
        reply_from({"text": "hi"})


@pytest.mark.parametrize(
    "body", [b"success", b"", b"<xml><MsgType>hologram</MsgType></xml>", b"<xml><MsgType><a>1</a></MsgType></xml>"]
)
def test_no_reply(body: bytes) -> None:
    """What is no reply, or none that is known, is none."""
    assert parse_reply(body) is None


@pytest.mark.parametrize("articles", ["", "<Articles/>", "<Articles>x</Articles>", "<Articles><item/></Articles>"])
def test_odd_news(articles: str) -> None:
    """News without articles say nothing, as an empty text does: WeChat would tell the user of a fault."""
    assert TextReply("") == parse_reply(f"<xml><MsgType>news</MsgType>{articles}</xml>".encode())


def test_no_news() -> None:
    """News without articles are a mistake that is told at once."""
    with pytest.raises(ConfigurationError, match="at least one article"):
        NewsReply([])
