"""
What WeChat pushes, typed and immutable.

``fields`` of each message holds all that arrived, also what this module has no name for. Kinds and events after
[SK-EV] and [SK-MSG]; what is in none of these classes arrives as a plain `Message` or `Event`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from types import MappingProxyType
from typing import Any

__all__ = [
    "ClickEvent",
    "ComponentTicket",
    "Event",
    "ImageMessage",
    "LinkMessage",
    "LocationEvent",
    "LocationMessage",
    "Message",
    "Notice",
    "ScanEvent",
    "SubscribeEvent",
    "TemplateSentEvent",
    "TextMessage",
    "UnsubscribeEvent",
    "VideoMessage",
    "ViewEvent",
    "VoiceMessage",
    "message_from",
]


def _string(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None or isinstance(value, (dict, list)) else str(value)


def _whole(value: object) -> int:
    text = _string(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _number(value: object) -> float | None:
    try:
        return float(_string(value))
    except ValueError:
        return None


def _wire(name: str, read: Callable[[object], Any] = _string, *, secret: bool = False) -> Any:
    return field(default=read(None), repr=not secret, metadata={"wire": name, "read": read})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    Anything that WeChat pushes.

    A field that did not arrive is the empty string, 0, or ``None`` where it is a measure.

    Attributes:
        to_user: The account's original id (``gh_…``); at WeCom the corpid.
        from_user: The sender's openid; at WeCom the user id.
        create_time: Seconds since 1970.
        kind: ``MsgType``: ``text``, ``event``, …
        msg_id: A number of 64 bits as text; cloud functions send others. Events have none.
        agent_id: WeCom's app.
        fields: All that arrived, under WeChat's own names, read-only; nested elements are mappings and tuples.
    """

    to_user: str = _wire("ToUserName")
    from_user: str = _wire("FromUserName")
    create_time: int = _wire("CreateTime", _whole)
    kind: str = _wire("MsgType")
    msg_id: str = _wire("MsgId")
    agent_id: str = _wire("AgentID")
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __reduce__(self) -> tuple[object, ...]:
        # A job queue may carry it; read-only mappings cannot be pickled.
        return message_from, (_thawed(self.fields),)

    def identity(self, body: bytes = b"") -> tuple[str, ...]:
        """
        What the repeats of this push have in common, and no other push has. [RSM] [SK-MSG].

        Args:
            body: Stands in for one that has neither an id nor a time.
        """
        if self.msg_id:
            return ("id", self.to_user, self.from_user, self.msg_id)
        if not self.create_time:
            return ("body", hashlib.sha256(body).hexdigest())
        names = ("AppId", "SuiteId", "Event", "InfoType", "EventKey", "MsgID", "AuthorizerAppid", "AuthCorpId")
        return (
            "at",
            self.to_user,
            self.from_user,
            str(self.create_time),
            *(_string(self.fields.get(n)) for n in names),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessage(Message):
    """A text."""

    content: str = _wire("Content")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMessage(Message):
    """A picture: where it lies for a while, and under which id ``media/get`` gives it."""

    pic_url: str = _wire("PicUrl")
    media_id: str = _wire("MediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceMessage(Message):
    """A voice message; `recognition` is its text, if the account has speech recognition."""

    media_id: str = _wire("MediaId")
    format: str = _wire("Format")
    recognition: str = _wire("Recognition")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoMessage(Message):
    """A video; its ``kind`` is ``video`` or ``shortvideo``."""

    media_id: str = _wire("MediaId")
    thumb_media_id: str = _wire("ThumbMediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationMessage(Message):
    """A place that the user has chosen, in degrees."""

    latitude: float | None = _wire("Location_X", _number)
    longitude: float | None = _wire("Location_Y", _number)
    scale: float | None = _wire("Scale", _number)
    label: str = _wire("Label")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMessage(Message):
    """A link."""

    title: str = _wire("Title")
    description: str = _wire("Description")
    url: str = _wire("Url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Message):
    """Something that happened; `event` says what."""

    event: str = _wire("Event")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeEvent(Event):
    """A new follower; `key` and `ticket` are there if a QR code with a scene led them here."""

    key: str = _wire("EventKey")
    ticket: str = _wire("Ticket")

    @property
    def scene(self) -> str:
        """The QR code's scene."""
        return self.key.removeprefix("qrscene_")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeEvent(Event):
    """A follower has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEvent(Event):
    """A follower scanned a QR code; `key` is its scene."""

    key: str = _wire("EventKey")
    ticket: str = _wire("Ticket")

    @property
    def scene(self) -> str:
        """The QR code's scene."""
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationEvent(Event):
    """Where a follower is, in degrees; `precision` is in metres."""

    latitude: float | None = _wire("Latitude", _number)
    longitude: float | None = _wire("Longitude", _number)
    precision: float | None = _wire("Precision", _number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickEvent(Event):
    """A menu button was tapped."""

    key: str = _wire("EventKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEvent(Event):
    """A menu button that opens a page was tapped."""

    url: str = _wire("EventKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSentEvent(Event):
    """A template message has arrived, or not: ``success``, ``failed:user block``, ``failed:system failed``."""

    sent_id: str = _wire("MsgID")
    status: str = _wire("Status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Message):
    """
    What WeChat tells a component platform or a suite. It comes from no user, and is answered ``success``.

    Attributes:
        info: ``InfoType``: ``component_verify_ticket``, ``authorized``, ``unauthorized``, …
        appid: The platform it is for; at WeCom the suite.
    """

    info: str = _wire("InfoType")
    appid: str = _wire("AppId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTicket(Notice):
    """The ``component_verify_ticket`` that a component platform fetches its token with. A secret. [CVT]."""

    ticket: str = _wire("ComponentVerifyTicket", secret=True)


_KINDS: dict[str, type[Message]] = {
    "text": TextMessage,
    "image": ImageMessage,
    "voice": VoiceMessage,
    "video": VideoMessage,
    "shortvideo": VideoMessage,
    "location": LocationMessage,
    "link": LinkMessage,
}
# Their names come in capitals, in small letters and mixed.
_EVENTS: dict[str, type[Message]] = {
    "subscribe": SubscribeEvent,
    "unsubscribe": UnsubscribeEvent,
    "scan": ScanEvent,
    "location": LocationEvent,
    "click": ClickEvent,
    "view": ViewEvent,
    "templatesendjobfinish": TemplateSentEvent,
}
_NOTICES: dict[str, type[Message]] = {"component_verify_ticket": ComponentTicket}


def message_from(fields: Mapping[str, Any]) -> Message:
    """Make the message that `fields`, under WeChat's own names, are."""
    kind = _class_for(fields)
    known = {
        each.name: each.metadata["read"](fields.get(each.metadata["wire"]))
        for each in fields_of(kind)
        if "wire" in each.metadata
    }
    return kind(**known, fields=_frozen(fields))


def _class_for(fields: Mapping[str, Any]) -> type[Message]:
    if "MsgType" not in fields and "InfoType" in fields:
        return _NOTICES.get(_string(fields["InfoType"]), Notice)
    kind = _string(fields.get("MsgType"))
    if kind == "event":
        return _EVENTS.get(_string(fields.get("Event")).lower(), Event)
    return _KINDS.get(kind, Message)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(each) for name, each in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _thawed(each) for name, each in value.items()}
    return list(map(_thawed, value)) if isinstance(value, tuple) else value
