"""What users send. Kinds and fields: docs/wechat.md#messages-and-events."""

from __future__ import annotations

from dataclasses import dataclass

from ._base import Message, number, text, whole, wire

__all__ = [
    "FileMessage",
    "ImageMessage",
    "LinkMessage",
    "LocationMessage",
    "MiniProgramPageMessage",
    "TextMessage",
    "VideoMessage",
    "VoiceMessage",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessage(Message):
    """A text."""

    content: str = wire("Content", "text.content", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMessage(Message):
    """A picture: where it lies for a while, and under which id ``media/get`` gives it."""

    pic_url: str = wire("PicUrl")
    media_id: str = wire("MediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceMessage(Message):
    """A voice message; `recognition` is its text, if the account has speech recognition."""

    media_id: str = wire("MediaId")
    format: str = wire("Format")
    recognition: str = wire("Recognition", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoMessage(Message):
    """A video; its ``kind`` is ``video`` or ``shortvideo``."""

    media_id: str = wire("MediaId")
    thumb_media_id: str = wire("ThumbMediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationMessage(Message):
    """A place that the user has chosen, in degrees."""

    latitude: float | None = wire("Location_X", read=number)
    longitude: float | None = wire("Location_Y", read=number)
    scale: float | None = wire("Scale", read=number)
    label: str = wire("Label", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMessage(Message):
    """A link."""

    title: str = wire("Title", read=text)
    description: str = wire("Description", read=text)
    url: str = wire("Url")


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniProgramPageMessage(Message):
    """A mini program's card, sent to its customer service; `appid` and `path` say which page it opens."""

    title: str = wire("Title", read=text)
    appid: str = wire("AppId")
    path: str = wire("PagePath")
    thumb_url: str = wire("ThumbUrl")
    thumb_media_id: str = wire("ThumbMediaId")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMessage(Message):
    """A file; `size` is in bytes. WeChat gives its name and digest, and no way to fetch it."""

    title: str = wire("Title", read=text)
    description: str = wire("Description", read=text)
    file_key: str = wire("FileKey")
    md5: str = wire("FileMd5")
    size: int = wire("FileTotalLen", read=whole)
