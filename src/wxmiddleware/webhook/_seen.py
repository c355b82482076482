"""
Deduplication: which messages were here before, which process handles each, and what each was answered.

WeChat repeats a push that was not answered in time, maybe to another worker. So the memory may be any token store. In
it the messages are spread over a fixed number of records, each with the newest ones: no store fills up with them, also
one without expiry, and compare-and-swap lets one worker win. Keys are digests, from which nobody can read whose message
it was.

A memory has a name, and messages of the same memory are told apart by what their repeats have in common.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from wxmiddleware._rules.models import Record
from wxmiddleware._runtime.process import gone, name
from wxmiddleware.exceptions import StoreError
from wxmiddleware.stores import TokenStore
from wxmiddleware.stores._keys import key_of_messages
from wxmiddleware.stores.memory import MemoryStore

_logger = logging.getLogger("wxmiddleware")

_RECORDS = 256
_LONGEST = 48_000  # MySQL's TEXT ends at 64 KiB
_ANSWERS_LAST = 60.0  # seconds; the last repeat comes after twenty
_TRIES = 50

#: The name of a memory, and what is known by the rest.
Known: TypeAlias = "tuple[str, ...]"
# When it is forgotten; what it is: claimed, done or a nonce; what belongs to that; since when.
_Entry: TypeAlias = "tuple[float, str, Any, float]"
_Entries: TypeAlias = "dict[str, _Entry]"
_Decide: TypeAlias = "Callable[[_Entry | None, float], tuple[_Entry | None, Any]]"


class MessageStatus(StrEnum):
    """What a memory knows of a message."""

    NEW = "new"  # it was not here before; the caller handles it
    BUSY = "busy"  # a handler is at work on it
    DONE = "done"  # it was answered
    REPLAYED = "replayed"  # its nonce was used for another message


@dataclass(frozen=True, slots=True)
class Answered:
    """The body that a message was answered with, not encrypted; nothing was ``success``."""

    body: bytes = field(default=b"success", repr=False)
    content_type: str = "text/plain; charset=utf-8"


def keys_of(whose: str) -> list[str]:
    """The keys of the records in which the messages of a memory may be kept."""
    return [key_of_messages(whose, number) for number in range(_RECORDS)]


class Deduplicator:
    """
    Remembers messages, so that each is handled once (deduplication).

    Args:
        store: Where they are remembered; the memory of this process by default.
        keep: Seconds that a message is remembered.
    """

    __slots__ = ("_keep", "_local", "_store", "shared")

    def __init__(self, store: TokenStore | None, keep: float) -> None:
        self._local = MemoryStore()
        self._store: TokenStore = self._local if store is None else store
        self._keep = keep
        self.shared = self._store.shared

    def claim(self, message: Known, nonce: Known | None) -> tuple[MessageStatus, Answered | None]:
        """
        Claim a message.

        Returns:
            What is known of it, `MessageStatus.NEW` if the caller is to handle it; and its answer, if it was answered.

        Args:
            message: Its memory, and what its repeats have in common.
            nonce: A memory, and what may come with this message only. ``None`` if the signature covers the message.
        """
        owner = _digest("message", *message)
        if nonce is not None and not self._change(nonce, "nonce", lambda e, now: self._noted(e, now, owner)):
            return MessageStatus.REPLAYED, None
        standing: tuple[MessageStatus, Answered | None] = self._change(message, "message", self._claimed)
        return standing

    def finish(self, message: Known, answer: Answered) -> None:
        """Remember the answer of a message."""
        kept = [base64.b64encode(answer.body).decode(), answer.content_type]
        self._change(message, "message", lambda _, now: ((now + self._keep, "done", kept, now), None))

    def release(self, message: Known) -> None:
        """Give a message back: handling it has failed, and a repeat may try again."""
        self._change(message, "message", lambda _entry, _now: (None, None))

    def _claimed(self, entry: _Entry | None, now: float) -> tuple[_Entry | None, tuple[MessageStatus, Answered | None]]:
        if entry is not None and entry[1] == "done":
            return entry, (MessageStatus.DONE, _answered(entry[2]))
        if entry is not None and not gone(entry[2]):
            return entry, (MessageStatus.BUSY, None)
        # New; or the process that handled it has ended without an answer.
        return (now + self._keep, "busy", name(), now), (MessageStatus.NEW, None)

    def _noted(self, entry: _Entry | None, now: float, owner: str) -> tuple[_Entry | None, bool]:
        if entry is not None:
            return entry, entry[2] == owner
        return (now + self._keep, "nonce", owner, now), True

    def _change(self, known: Known, what: str, decide: _Decide) -> Any:
        whose, *rest = known
        digest = _digest(what, *rest)
        key = key_of_messages(whose, int(digest[:8], 16) % _RECORDS)
        try:
            return self._swap(self._store, key, digest, decide)
        except Exception as error:  # a client's own; its text may quote a password or the answer
            problem = type(error).__name__
        _logger.warning(
            "The store of the webhook has failed (%s). This process remembers by itself meanwhile.", problem
        )
        return self._swap(self._local, key, digest, decide)

    def _swap(self, store: TokenStore, key: str, digest: str, decide: _Decide) -> Any:
        for _ in range(_TRIES):
            loaded = store.load(key)
            entries = _read(loaded.record)
            before = entries.get(digest)
            if before is not None and before[0] <= loaded.now:
                before = None
            after, result = decide(before, loaded.now)
            if after == before:
                return result
            entries.pop(digest, None)
            if after is not None:
                entries[digest] = after
            if store.save(key, _written(entries, loaded.now), loaded.version) is not None:
                return result
        raise StoreError("Others save all the time.")


def _answered(kept: Any) -> Answered:
    return Answered(base64.b64decode(kept[0]), kept[1]) if kept else Answered()


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def _read(record: Record | None) -> _Entries:
    try:
        raw = json.loads(record.value or "{}") if record is not None else {}
        return {digest: (float(one[0]), str(one[1]), one[2], float(one[3])) for digest, one in raw.items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}  # another program's, or a later version's: nothing in it can be used


def _written(entries: _Entries, now: float) -> Record:
    """Make a record of the newest messages that there is room for, then of the newest answers."""
    newest = sorted(((d, each) for d, each in entries.items() if each[0] > now), key=lambda each: -each[1][3])
    kept: _Entries = {}
    end, room = now, _LONGEST
    for digest, (until, what, more, since) in newest:
        kept[digest] = (until, what, None if what == "done" else more, since)
        room -= _size(kept[digest])
        if room < 0:
            del kept[digest]
            break
        end = max(end, until)
    for digest, entry in newest:
        if digest in kept and entry[3] > now - _ANSWERS_LAST and _size(entry) - _size(kept[digest]) <= room:
            room -= _size(entry) - _size(kept[digest])
            kept[digest] = entry
    return Record(value=json.dumps(kept), expires_at=end)


def _size(entry: _Entry) -> int:
    # At most, with its digest; what json makes of it would take long to ask for each.
    more = entry[2] or ""
    return 110 + (len(more) if isinstance(more, str) else sum(map(len, more)))
