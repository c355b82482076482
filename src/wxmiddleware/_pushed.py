"""
The ticket that WeChat pushes to a platform, and WeCom to a suite: kept for every process that shares the store.

Where there was no token for want of a ticket, the next call asks at once: a new ticket ends those pauses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from ._engine.link import StoreLink
from ._engine.token import CachedToken
from ._rules.models import Failure, Record, is_token
from ._rules.policies import next_generation
from ._runtime.runtime import Runtime
from .exceptions import ConfigurationError, StoreError

if TYPE_CHECKING:
    from ._engine.token import Status

__all__ = ["PlatformStatus", "PushedNotice", "PushedTicket", "TicketState", "received"]

_logger = logging.getLogger("wxmiddleware")
_tickets: WeakValueDictionary[int, PushedTicket] = WeakValueDictionary()  # of this process, by id


class PushedNotice(Protocol):
    """What `Platform.handle` and `Suite.handle` read of each notice of `wxmiddleware.webhook`."""

    @property
    def info(self) -> str: ...
    @property
    def appid(self) -> str: ...


class TicketState(StrEnum):
    """What the ticket of a platform or a suite is like."""

    GOOD = "good"
    LATE = "late"  # it still serves, but WeChat's pushes do not arrive any more
    OVER = "over"
    MISSING = "missing"  # none has ever been kept
    UNKNOWN = "unknown"  # the store failed


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """
    What a platform or a suite is like: its own token, and the ticket that is needed to fetch that.

    Attributes:
        token: The status of the ``component_access_token``, or ``suite_access_token``.
        ticket: The state of the ``component_verify_ticket``, or ``suite_ticket``, in the store. It says nothing of the
            tickets themselves.
        ticket_age: Seconds since it was pushed; ``None`` if there is none.
        ticket_ends_in: Seconds for which it is good; ``None`` if there is none.
        problem: What went wrong with the store, if its state is not known.
    """

    token: Status
    ticket: TicketState
    ticket_age: float | None = None
    ticket_ends_in: float | None = None
    problem: str | None = None


class PushedTicket:
    """
    The newest ticket.

    Args:
        link: Where it lies.
        whose: The platform's AppID, or the suite id.
        kind: What it is called in keys and metrics.
        runtime: The process's clocks.
        field: What the push calls it, for messages.
        life: Seconds for which it is good.
        late: Seconds after which pushes are missing.
        warn: Whether the log says so whenever a late ticket is used.
        wants: Tells of a failure whether a new ticket may cure it.
    """

    def __init__(
        self,
        link: StoreLink,
        whose: str,
        kind: str,
        runtime: Runtime,
        *,
        field: str,
        life: float,
        late: float,
        warn: bool = False,
        wants: Callable[[Failure], bool],
    ) -> None:
        self._link, self._clock, self._field = link, runtime.clock, field
        self.whose, self.kind, self._runtime = whose, kind, runtime
        self._received_at: float | None = None  # of the newest that this process has seen
        _tickets[id(self)] = self
        self._life, self._late, self._warn, self._wants = life, late, warn, wants

    def remember(self, ticket: object, own: CachedToken, others: Iterable[CachedToken]) -> None:
        """
        Keep a ticket, and end the pauses that the want of one has caused.

        Args:
            ticket: What was pushed.
            own: The token that is fetched with it, whose pause is ended in the store, too.
            others: The tokens that are fetched with that one.

        Raises:
            ConfigurationError: It is not a ticket: empty, or not a str.
            StoreError: The store failed; the ticket is not kept.
        """
        if not isinstance(ticket, str) or not is_token(ticket.strip()):
            raise ConfigurationError(f"The ticket must be the text of {self._field}, and not empty.")

        def change(record: Record, now: float) -> Record:
            return replace(
                record,
                generation=next_generation(record.generation, now, 0.0),
                value=ticket.strip(),
                received_at=self._clock(),
                expires_at=self._clock() + self._life,
            )

        self._noted(self._link.amend(change))
        with suppress(StoreError):  # the ticket is kept; the pauses end by themselves
            self._go_on(own, others)

    def newest(self) -> str | None:
        """The newest ticket, if it is still good."""
        with suppress(StoreError):
            record = self._noted(self._link.read())
            now = self._clock()
            if now >= record.expires_at:
                return None
            if self._warn and now - record.received_at >= self._late:
                _logger.warning(
                    "The last %s came %.0f minutes ago, and one comes every ten. It is good for %.0f more: see whether "
                    "the pushes arrive, and are answered success.",
                    self._field,
                    (now - record.received_at) / 60,
                    (record.expires_at - now) / 60,
                )
            return record.value
        return None

    def status(self, token: Status) -> PlatformStatus:
        """
        Tell what the ticket in the store is like; a store that fails is told.

        Args:
            token: The status of the token that is fetched with it.
        """
        try:
            record = self._noted(self._link.read())
        except StoreError as error:
            return PlatformStatus(token, TicketState.UNKNOWN, problem=str(error))
        if record.value is None:
            return PlatformStatus(token, TicketState.MISSING)
        now = self._clock()
        age, left = now - record.received_at, record.expires_at - now
        found = TicketState.OVER if left <= 0 else TicketState.LATE if age > self._late else TicketState.GOOD
        return PlatformStatus(token, found, max(0.0, age), max(0.0, left))

    def received(self) -> float | None:
        """When the newest ticket that this process has seen came, in seconds since 1970: no I/O."""
        if self._received_at is None:
            return None
        return self._runtime.time() - (self._clock() - self._received_at)

    def _noted(self, record: Record) -> Record:
        if record.value is not None:
            self._received_at = record.received_at
        return record

    def _go_on(self, own: CachedToken, others: Iterable[CachedToken]) -> None:
        """End the pauses that the want of a ticket has caused: the shared one, and this process's own."""
        if self._waits(own) or self._waits_in_store(own):
            own.resume(self._wants)
        for token in others:
            if self._waits(token):
                token.resume(self._wants)

    def _waits(self, token: CachedToken) -> bool:
        cooldown = token.cooldown
        return cooldown is not None and token.runtime.clock() < cooldown.until and self._wants(cooldown.failure)

    def _waits_in_store(self, token: CachedToken) -> bool:
        with suppress(StoreError):
            cooldown = token.link.read().cooldown
            return cooldown is not None and self._wants(cooldown.failure)
        return False


def received() -> Iterator[tuple[str, str, float]]:
    """Of each platform and suite of the process: whose ticket, its kind, and when the newest known one came."""
    found: dict[tuple[str, str], float] = {}
    # Taken at once: another thread may make a platform meanwhile.
    for ticket in [each for ref in _tickets.valuerefs() if (each := ref()) is not None]:
        at, which = None, (ticket.whose, ticket.kind)
        with suppress(Exception):  # a clock that its user passed in; the others are told all the same
            at = ticket.received()
        if at is not None:
            found[which] = max(at, found.get(which, at))
    for (whose, kind), at in found.items():
        yield whose, kind, at
