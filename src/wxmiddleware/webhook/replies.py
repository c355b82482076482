"""
What a handler answers with, in the two shapes it travels in.

In time, it is the body of the response (a passive reply: docs/wechat.md#replies). Too late for that, it is sent through
the customer-service API (``/cgi-bin/message/custom/send``), which takes all of them but `TransferReply` and `RawReply`.
At WeCom that is ``/cgi-bin/message/send``, which takes no `MusicReply` either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from wxmiddleware.exceptions import ConfigurationError

from ._wire import Format, Unreadable, read, write

if TYPE_CHECKING:
    from .messages import Message

__all__ = [
    "Article",
    "ImageReply",
    "MusicReply",
    "NewsReply",
    "RawReply",
    "Reply",
    "TextReply",
    "TransferReply",
    "VideoReply",
    "VoiceReply",
    "parse_reply",
    "reply_from",
]


class Reply:
    """What all replies have in common: nothing but that a handler may return them."""

    __slots__ = ()

    kind: ClassVar[str] = ""

    def _passive(self) -> dict[str, Any]:
        """The fields of the passive reply beside those that all have."""
        raise NotImplementedError

    def _active(self) -> dict[str, Any] | None:
        """What the customer-service API wants under the kind's name; ``None`` if it takes no such reply."""
        return None


@dataclass(frozen=True, slots=True)
class TextReply(Reply):
    """A text. A handler may as well return a string."""

    content: str

    kind: ClassVar[str] = "text"

    def _passive(self) -> dict[str, Any]:
        return {"Content": self.content}

    def _active(self) -> dict[str, Any]:
        return {"content": self.content}


@dataclass(frozen=True, slots=True)
class ImageReply(Reply):
    """A picture that was uploaded with ``media/upload``."""

    media_id: str

    kind: ClassVar[str] = "image"

    def _passive(self) -> dict[str, Any]:
        return {"Image": {"MediaId": self.media_id}}

    def _active(self) -> dict[str, Any]:
        return {"media_id": self.media_id}


@dataclass(frozen=True, slots=True)
class VoiceReply(Reply):
    """A voice message that was uploaded."""

    media_id: str

    kind: ClassVar[str] = "voice"

    def _passive(self) -> dict[str, Any]:
        return {"Voice": {"MediaId": self.media_id}}

    def _active(self) -> dict[str, Any]:
        return {"media_id": self.media_id}


@dataclass(frozen=True, slots=True)
class VideoReply(Reply):
    """A video that was uploaded; `thumb_media_id` is used only by the customer-service API."""

    media_id: str
    title: str = ""
    description: str = ""
    thumb_media_id: str = ""

    kind: ClassVar[str] = "video"

    def _passive(self) -> dict[str, Any]:
        return {"Video": _given(MediaId=self.media_id, Title=self.title, Description=self.description)}

    def _active(self) -> dict[str, Any]:
        return _given(
            media_id=self.media_id,
            thumb_media_id=self.thumb_media_id,
            title=self.title,
            description=self.description,
        )


@dataclass(frozen=True, slots=True)
class MusicReply(Reply):
    """Music at a URL, with the id of an uploaded picture; `hq_url` is played over Wi-Fi."""

    thumb_media_id: str
    url: str = ""
    hq_url: str = ""
    title: str = ""
    description: str = ""

    kind: ClassVar[str] = "music"

    def _passive(self) -> dict[str, Any]:
        return {
            "Music": _given(
                Title=self.title,
                Description=self.description,
                MusicUrl=self.url,
                HQMusicUrl=self.hq_url,
                ThumbMediaId=self.thumb_media_id,
            )
        }

    def _active(self) -> dict[str, Any]:
        return _given(
            title=self.title,
            description=self.description,
            musicurl=self.url,
            hqmusicurl=self.hq_url,
            thumb_media_id=self.thumb_media_id,
        )


@dataclass(frozen=True, slots=True)
class Article:
    """One article of a `NewsReply`."""

    title: str
    description: str = ""
    picture_url: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class NewsReply(Reply):
    """
    Articles with pictures. WeChat shows one in most situations, and eight at the very most; more are left out.

    Raises:
        ConfigurationError: There is none.
    """

    articles: Sequence[Article]

    kind: ClassVar[str] = "news"

    def __post_init__(self) -> None:
        object.__setattr__(self, "articles", tuple(self.articles))
        if not self.articles:
            raise ConfigurationError("NewsReply(articles) needs at least one article; WeChat takes no news without.")

    def _passive(self) -> dict[str, Any]:
        items = [
            {"Title": one.title, **_given(Description=one.description, PicUrl=one.picture_url, Url=one.url)}
            for one in self.articles
        ]
        return {"ArticleCount": len(items), "Articles": items}

    def _active(self) -> dict[str, Any]:
        items = [
            {"title": one.title, **_given(description=one.description, url=one.url, picurl=one.picture_url)}
            for one in self.articles
        ]
        return {"articles": items}


@dataclass(frozen=True, slots=True)
class TransferReply(Reply):
    """Hand the user over to the people of the customer service; to one of them, if an account of theirs is named."""

    account: str = ""

    kind: ClassVar[str] = "transfer_customer_service"

    def _passive(self) -> dict[str, Any]:
        return {"TransInfo": {"KfAccount": self.account}} if self.account else {}


@dataclass(frozen=True, slots=True)
class RawReply(Reply):
    """A body that is sent as it is, in encrypted modes inside the encryption."""

    body: bytes | str
    content_type: str = field(default=str(Format.JSON), kw_only=True)


def _given(**fields: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def reply_from(value: object) -> Reply | None:
    """
    Make a reply of what a handler returned; ``None`` if nothing is to be said.

    Raises:
        TypeError: It returned something else than a reply, a string or ``None``.
    """
    if value is None or isinstance(value, Reply):
        return value
    if isinstance(value, str):
        return None if value in ("", "success") else TextReply(value)
    raise TypeError(f"A webhook's handler returns a reply, a string or None, not a {type(value).__name__}.")


def render(reply: Reply, message: Message, style: Format, now: float) -> tuple[bytes, str]:
    """Give the body of the passive reply to `message`, not encrypted, and its Content-Type."""
    if isinstance(reply, RawReply):
        return reply.body.encode() if isinstance(reply.body, str) else bytes(reply.body), reply.content_type
    head: dict[str, Any] = {
        "ToUserName": message.from_user,
        "FromUserName": message.to_user,
        "CreateTime": int(now),
        "MsgType": reply.kind,
    }
    return write({**head, **reply._passive()}, style), str(style)


def parse_reply(body: bytes) -> Reply | None:
    """
    Read a passive reply, as an app behind the middleware wrote it.

    Returns:
        The reply; ``None`` if it is none, or of a kind that is not known.
    """
    try:
        fields, _ = read(body)
    except Unreadable:
        return None
    kind = fields.get("MsgType")
    part = _Part(fields.get(str(kind).capitalize()))
    match kind:
        case "text":
            return TextReply(_Part(fields)["Content"])
        case "image":
            return ImageReply(part["MediaId"])
        case "voice":
            return VoiceReply(part["MediaId"])
        case "video":
            return VideoReply(part["MediaId"], part["Title"], part["Description"])
        case "music":
            urls = part["MusicUrl"], part["HQMusicUrl"]
            return MusicReply(part["ThumbMediaId"], *urls, part["Title"], part["Description"])
        case "news":
            articles = [_article(_Part(one)) for one in _items(fields.get("Articles"))]
            return NewsReply(articles) if articles else TextReply("")  # WeChat takes no news that say nothing
        case "transfer_customer_service":
            return TransferReply(_Part(fields.get("TransInfo"))["KfAccount"])
    return None


def _article(part: _Part) -> Article:
    return Article(part["Title"], part["Description"], part["PicUrl"], part["Url"])


def _items(articles: object) -> list[Any]:
    items = articles.get("item") if isinstance(articles, Mapping) else articles
    return [one for one in (items if isinstance(items, list) else [items]) if isinstance(one, Mapping)]


class _Part:
    """A nested element, of which nobody knows whether it is there."""

    def __init__(self, fields: object) -> None:
        self._fields = fields if isinstance(fields, Mapping) else {}

    def __getitem__(self, name: str) -> str:
        value = self._fields.get(name, "")
        return value if isinstance(value, str) else ""
