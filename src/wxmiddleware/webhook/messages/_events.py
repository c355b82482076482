"""What happens at official accounts and mini programs. Events and fields: docs/wechat.md#messages-and-events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._base import Event, code, listed, number, text, whole, wire

__all__ = [
    "ClickEvent",
    "KfSessionEvent",
    "LocationEvent",
    "LocationSelectEvent",
    "MassSentEvent",
    "MediaCheckEvent",
    "PictureEvent",
    "PublishedEvent",
    "ScanCodeEvent",
    "ScanEvent",
    "SubscribeEvent",
    "SubscribeMsgChangeEvent",
    "SubscribeMsgPopupEvent",
    "SubscribeMsgSentEvent",
    "TempSessionEvent",
    "TemplateSentEvent",
    "UnsubscribeEvent",
    "ViewEvent",
    "ViewMiniProgramEvent",
]

_PREFIX = "qrscene_"
_PAID = "last_trade_no_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeEvent(Event):
    """A new follower; `key` and `ticket` are there if a QR code with a scene led them here."""

    key: str = wire("EventKey", read=text)
    ticket: str = wire("Ticket")

    @property
    def scene(self) -> str:
        """The QR code's scene, which arrives as ``qrscene_…``; empty if the follower came in another way."""
        return self.key.removeprefix(_PREFIX) if self.key.startswith(_PREFIX) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeEvent(Event):
    """A follower has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEvent(Event):
    """A follower scanned a QR code; `key` is its scene, without the prefix that `SubscribeEvent` has."""

    key: str = wire("EventKey", read=text)
    ticket: str = wire("Ticket")

    @property
    def scene(self) -> str:
        """The QR code's scene; empty if the follower came by a payment (``last_trade_no_…``)."""
        return "" if self.key.startswith(_PAID) else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationEvent(Event):
    """Where a follower is, in degrees; `precision` is in metres."""

    latitude: float | None = wire("Latitude", read=number)
    longitude: float | None = wire("Longitude", read=number)
    precision: float | None = wire("Precision", read=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickEvent(Event):
    """A menu button was tapped."""

    key: str = wire("EventKey", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEvent(Event):
    """A menu button that opens a page was tapped."""

    url: str = wire("EventKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewMiniProgramEvent(Event):
    """A menu button that opens a mini program was tapped; `path` is its page."""

    path: str = wire("EventKey")
    menu_id: str = wire("MenuId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCodeEvent(Event):
    """A code was scanned with a menu button; `scan_type` is ``qrcode`` or ``barcode``, `result` what it says."""

    key: str = wire("EventKey", read=text)
    scan_type: str = wire("ScanCodeInfo.ScanType")
    result: str = wire("ScanCodeInfo.ScanResult", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureEvent(Event):
    """Pictures are being sent with a menu button; each of `pictures` has ``PicMd5Sum``. They follow as messages."""

    key: str = wire("EventKey", read=text)
    count: int = wire("SendPicsInfo.Count", read=whole)
    pictures: tuple[Mapping[str, Any], ...] = listed("SendPicsInfo.PicList")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationSelectEvent(Event):
    """A place is being sent with a menu button, in degrees. It follows as a message, too."""

    key: str = wire("EventKey", read=text)
    latitude: float | None = wire("SendLocationInfo.Location_X", read=number)
    longitude: float | None = wire("SendLocationInfo.Location_Y", read=number)
    scale: float | None = wire("SendLocationInfo.Scale", read=number)
    label: str = wire("SendLocationInfo.Label", read=text)
    poi_name: str = wire("SendLocationInfo.Poiname", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSentEvent(Event):
    """A template message has arrived, or not: ``success``, ``failed:user block``, ``failed:system failed``."""

    sent_id: str = wire("MsgID")
    status: str = wire("Status")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeMsgPopupEvent(Event):
    """A user was asked for leave to send; each of `templates` has ``TemplateId`` and ``SubscribeStatusString``."""

    templates: tuple[Mapping[str, Any], ...] = listed("SubscribeMsgPopupEvent.List", "List")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeMsgChangeEvent(Event):
    """A user took leave to send back; each of `templates` has ``TemplateId`` and ``SubscribeStatusString``."""

    templates: tuple[Mapping[str, Any], ...] = listed("SubscribeMsgChangeEvent.List", "List")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeMsgSentEvent(Event):
    """A subscription message was sent, or not; each of `templates` has ``TemplateId``, ``MsgID``, ``ErrorStatus``."""

    templates: tuple[Mapping[str, Any], ...] = listed("SubscribeMsgSentEvent.List", "List")


@dataclass(frozen=True, slots=True, kw_only=True)
class MassSentEvent(Event):
    """A message to many was sent. Each of `articles` has ``ArticleIdx`` and ``ArticleUrl``; the numbers are users."""

    sent_id: str = wire("MsgID")
    status: str = wire("Status")
    total: int = wire("TotalCount", read=whole)
    filtered: int = wire("FilterCount", read=whole)
    sent: int = wire("SentCount", read=whole)
    failed: int = wire("ErrorCount", read=whole)
    articles: tuple[Mapping[str, Any], ...] = listed("ArticleUrlResult.ResultList")
    copyright_checks: tuple[Mapping[str, Any], ...] = listed("CopyrightCheckResult.ResultList")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvent(Event):
    """A draft was published, or not: `status` is ``0`` if it was. Each of `articles` has ``article_url``."""

    publish_id: str = wire("PublishEventInfo.publish_id")
    status: str = wire("PublishEventInfo.publish_status")
    article_id: str = wire("PublishEventInfo.article_id")
    articles: tuple[Mapping[str, Any], ...] = listed("PublishEventInfo.article_detail.item")
    failed: tuple[Any, ...] = listed("PublishEventInfo.fail_idx")


@dataclass(frozen=True, slots=True, kw_only=True)
class KfSessionEvent(Event):
    """A customer-service session began, ended (`account`) or moved (`from_account`, `to_account`)."""

    account: str = wire("KfAccount")
    from_account: str = wire("FromKfAccount")
    to_account: str = wire("ToKfAccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class TempSessionEvent(Event):
    """A user opened a mini program's customer service; `session_from` is the button's ``session-from``."""

    session_from: str = wire("SessionFrom", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCheckEvent(Event):
    """A picture or sound was checked: `suggest` is ``pass``, ``risky`` or ``review``, `trace_id` that of the call."""

    appid: str = wire("appid")
    trace_id: str = wire("trace_id")
    suggest: str = wire("result.suggest")
    label: str = wire("result.label")
    errcode: int = wire("errcode", read=code)
    details: tuple[Mapping[str, Any], ...] = listed("detail")
