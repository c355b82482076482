"""What all that WeChat pushes has in common, and how attributes are read from the fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from math import isfinite
from typing import Any, TypeVar

from .._fields import ReadOnlyDict, at, entries, frozen, plain

__all__ = ["Event", "Message", "Notice", "code", "listed", "made", "number", "text", "whole", "wire", "word"]

MessageT = TypeVar("MessageT", bound="Message")


def text(value: object) -> str:
    """Read a text as it is."""
    return value if isinstance(value, str) else "" if value is None or isinstance(value, (dict, tuple)) else str(value)


def word(value: object) -> str:
    """Read a name or an id: WeCom puts a blank before some."""
    return text(value).strip()


def whole(value: object) -> int:
    """Read a whole number, or 0."""
    digits = word(value)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0


def code(value: object) -> int:
    """Read an errcode, which may be negative; 0 if none arrived."""
    found = word(value)
    return -whole(found[1:]) if found.startswith("-") else whole(found)


def number(value: object) -> float | None:
    """Read a measure, or ``None``."""
    try:
        found = float(text(value))
    except ValueError:
        return None
    return found if isfinite(found) else None


def wire(*names: str, read: Callable[[object], Any] = word, secret: bool = False) -> Any:
    """
    Make an attribute that is read from the first of these fields that is there.

    Args:
        names: WeChat's names; a dot leads into a nested element.
        read: How.
        secret: Leave it out of the ``repr``.
    """
    paths = tuple(tuple(name.split(".")) for name in names)
    return field(default=read(None), repr=not secret, metadata={"wire": paths, "read": read})


def listed(*names: str) -> Any:
    """Make an attribute of all entries at the first of these places that has any."""
    paths = tuple(tuple(name.split(".")) for name in names)
    return field(default=(), hash=False, metadata={"wire": paths, "read": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    Anything that WeChat pushes.

    A field that did not arrive is the empty string, 0, or ``None`` where it is a measure.

    Attributes:
        to_user: The account's original id (``gh_…``); at WeCom the corpid, or the aibotid of an AI bot.
        from_user: The sender's openid; at WeCom the user id.
        create_time: Seconds since 1970; ``TimeStamp`` of a suite's notice.
        kind: ``MsgType``: ``text``, ``event``, …
        msg_id: A number of 64 bits as text; cloud functions send others. Events have none.
        agent_id: WeCom's app.
        fields: All that arrived, under WeChat's own names, in a read-only dict; in it are such dicts and tuples.
    """

    to_user: str = wire("ToUserName", "aibotid")
    from_user: str = wire("FromUserName", "from.userid")
    create_time: int = wire("CreateTime", "TimeStamp", "create_time", read=whole)
    kind: str = wire("MsgType", "msgtype")
    msg_id: str = wire("MsgId", "msgid")
    agent_id: str = wire("AgentID", "AgentId")
    fields: Mapping[str, Any] = field(default_factory=ReadOnlyDict, repr=False, hash=False)

    def all(self, name: str, /, *names: str) -> tuple[Any, ...]:
        """
        Get all entries of a list among the fields: none, one or many.

        WeChat repeats an element for each entry, in some lists within ``<item>``, and sends a list of one as the entry
        itself, in XML and in JSON. This gives a tuple in each case.

        Args:
            name: WeChat's name of the list, or of what it is nested in.
            names: The names from there to the list. ``item`` may be left out.
        """
        return entries(self.fields, (name, *names))

    def as_dict(self) -> dict[str, Any]:
        """
        Get all that arrived under WeChat's own names, in dicts and lists that ``json.dumps`` takes.

        They are copies, and hold tickets and codes, too. `message_from` makes the message of them again.
        """
        found: dict[str, Any] = plain(self.fields)
        return found

    def __reduce__(self) -> tuple[object, ...]:
        # A job queue may carry it to another release of this package, which knows more kinds.
        from . import message_from

        if message_from(self.fields) == self:
            return message_from, (plain(self.fields),)
        return _restored, (type(self), {each.name: getattr(self, each.name) for each in fields_of(self)})

    def identity(self) -> tuple[str, ...]:
        """
        What the repeats of this push have in common, and no other push has.

        A message is known by its MsgId (docs/wechat.md#deadlines-and-repeats). Events and notices have none, and what
        tells two of one second apart is another field in each kind; so they are known by all that arrived.
        """
        if self.msg_id.strip("0") and not self._happened():
            return ("id", self.to_user, self.from_user, self.agent_id, self.msg_id)
        arrived = json.dumps(self.fields, sort_keys=True)
        return ("all", hashlib.sha256(arrived.encode()).hexdigest())

    def _happened(self) -> bool:
        """Whether it is no user's words: the MsgId of an event may be that of the message that it is about."""
        return self.kind.lower() == "event" or not self.fields.keys().isdisjoint(("Event", "InfoType", "event"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Message):
    """
    Something that happened.

    Attributes:
        event: What, as WeChat writes it: in capitals, in small letters or mixed.
    """

    event: str = wire("Event", "event.eventtype")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Message):
    """
    What WeChat tells a component platform or a suite. It comes from no user, and is answered ``success``.

    Attributes:
        info: ``InfoType``: ``component_verify_ticket``, ``authorized``, ``suite_ticket``, …
        appid: The platform it is for; at WeCom the suite, or the provider's corpid if it is for no suite.
    """

    info: str = wire("InfoType")
    appid: str = wire("SuiteId", "AppId", "ServiceCorpId")


def made(kind: type[MessageT], fields: Mapping[str, Any]) -> MessageT:
    """Make a message of this class of the fields."""
    kept = frozen(fields)
    known = {each.name: _read(each.metadata, kept) for each in fields_of(kind) if "wire" in each.metadata}
    return kind(**known, fields=kept)


def _read(how: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    read = how["read"]
    if read is None:
        return next((found for path in how["wire"] if (found := entries(fields, path))), ())
    return read(next((found for path in how["wire"] if (found := at(fields, path)) not in (None, "")), None))


def _restored(kind: type[MessageT], values: Mapping[str, Any]) -> MessageT:
    return kind(**values)
