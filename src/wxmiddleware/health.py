"""
Health, for those who ask machines: an orchestrator, a load balancer, a cron job.

::

    @app.get("/readyz")
    def ready():
        health = readiness(provider)
        return health.as_dict(), 200 if health.ok else 503

*Readiness* asks whether this process should be sent requests; *liveness* whether it should be restarted. An outage of
WeChat, or of a store, is no reason for either: it is the same for all processes, a restart mends nothing, and an app
without a token still serves what needs none. It is told in ``reasons``, and `StatusPage`, metrics and logs tell people.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from ._engine.provider import TokenProvider
from ._rules.models import Cause
from ._rules.policies import State, state
from ._runtime.checks import has_members_of, kind
from ._runtime.language import Text
from .exceptions import ConfigurationError, ProviderClosed, StoreError
from .stores import TokenStore
from .stores._advice import advice_on, name_of, translated

if TYPE_CHECKING:
    from ._engine.token import CachedToken

__all__ = ["HasProviders", "Health", "StoreHealth", "liveness", "ping", "readiness"]

_STUCK: Final = 600.0  # seconds: no refresh takes so long, whatever hangs
_PROBE: Final = "wx:health:probe"  # no record has this key
_AT_ONCE: Final = 8  # first tokens that one probe asks for: an app may have thousands of accounts
_MOST_REASONS: Final = 20


@runtime_checkable
class HasProviders(Protocol):
    """What has providers: a `ProviderPool`, a `Platform`, a hub."""

    def providers(self) -> Iterable[TokenProvider]:
        """Those that there are now."""


@dataclass(frozen=True, slots=True)
class Health:
    """
    An answer to a probe.

    Attributes:
        ok: Yes or no.
        reasons: Why not; or, although yes, what is not as it should be. For people; there is no secret in it.
    """

    ok: bool
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same for a JSON answer."""
        return {"status": "ok" if self.ok else "unavailable", "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """
    How a store answers.

    Attributes:
        name: Its kind and where it is, without a password.
        shared: Whether other processes use it.
        ok: Whether it answered.
        seconds: How long that took.
        problem: What went wrong, and what to do; ``None`` if nothing did.
    """

    name: str
    shared: bool
    ok: bool
    seconds: float
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for a JSON answer."""
        return asdict(self)


def readiness(*sources: TokenProvider | HasProviders) -> Health:
    """
    Tell whether this process should be sent requests. No I/O; it has first tokens fetched that nobody has asked for.

    It should not while the first token of an account is on its way, and as long as it has had none since WeChat
    refuses the account (a wrong secret, an IP that is not allowed): so a deployment with such a mistake replaces no
    process that works. Once it has had a token, it is ready.

    Args:
        sources: Providers, pools, platforms, hubs.

    Raises:
        ConfigurationError: One of them has no tokens.
    """
    no: list[str] = []
    though: list[str] = []
    begun = 0
    for provider in providers_of(sources):
        own = provider._own
        if provider.closed:
            no.append(f"{own.account.appid}: its provider was closed.")
            continue
        # Only a first token is asked for: an account that nobody uses any more is left alone.
        if begun < _AT_ONCE and not own.snapshot.value and own.cooldown is None:
            begun += 1
            with suppress(ProviderClosed):
                provider.peek()
        # A pause that is over tells all the same that WeChat was asked in vain.
        cooldown, now = own.cooldown, own.runtime.clock()
        empty = state(own.snapshot, now) is State.EMPTY
        refused = cooldown is not None and cooldown.failure.cause is Cause.PERMANENT
        if empty and (refused or cooldown is None):
            no.append(_said(own))
        elif empty or (cooldown is not None and now < cooldown.until) or own.lateness():
            though.append(_said(own))
    return Health(not no, _shortened([*no, *though]))


def _said(own: CachedToken) -> str:
    why = "the first token is on its way." if own.cooldown is None else own.cooldown.failure.message
    return f"{own.account.appid} ({own.source.kind}): {own.status().failure or why}"


def _shortened(reasons: list[str]) -> tuple[str, ...]:
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], *([f"{more} more like these."] if more > 0 else []))


def liveness(*sources: TokenProvider | HasProviders) -> Health:
    """
    Tell whether this process can go on, or should be restarted. No I/O.

    It should be if a refresh has not come to its end in ten minutes: all that it does is bounded in time, so its thread
    is stuck in something else. Callers do not wait for that one, but the process is not well.

    Args:
        sources: Providers, pools, platforms, hubs.

    Raises:
        ConfigurationError: One of them has no tokens.
    """
    stuck = []
    for provider in providers_of(sources):
        flight = provider._own.flight
        if flight is not None and not flight.done and time.monotonic() - flight.since > _STUCK:
            stuck.append(f"{provider.account.appid}: a refresh has not ended in ten minutes.")
    return Health(not stuck, _shortened(stuck))


def ping(store: TokenStore) -> StoreHealth:
    """
    Read from a store, and tell how it answers. It waits as long as the store's own timeouts let it.

    Raises:
        ConfigurationError: It is no store.
    """
    return pinged(store)[0]


def pinged(store: TokenStore) -> tuple[StoreHealth, Text | None]:
    """
    Do what `ping` does, and say what is wrong in both languages.

    Raises:
        ConfigurationError: It is no store.
    """
    if not has_members_of(TokenStore, store):
        raise ConfigurationError(f"ping(store) takes a token store, not {kind(store)}.")
    name, shared = name_of(store), bool(getattr(store, "shared", True))
    begun, said = time.perf_counter(), None
    try:
        store.load(_PROBE)
    except StoreError as error:  # of a store of ours: it quotes nothing
        said = translated(str(error))
    except Exception as error:  # a client's own text may quote the URL
        what, advice = type(error).__name__, advice_on(error)
        said = Text(f"It failed ({what}). {advice.en}".rstrip(), f"出错（{what}）。{advice.zh}".rstrip())
    seconds = time.perf_counter() - begun
    return StoreHealth(name, shared, said is None, seconds, None if said is None else said.en), said


def providers_of(sources: Iterable[TokenProvider | HasProviders]) -> list[TokenProvider]:
    """
    Give the providers that these are or have, each token's once.

    Raises:
        ConfigurationError: There are none, or one is neither a provider nor has any.
    """
    checked_sources(sources)
    found: dict[int, TokenProvider] = {}
    for source in sources:
        for each in [source] if isinstance(source, TokenProvider) else source.providers():
            found.setdefault(id(each._own), each)
    return list(found.values())


def checked_sources(sources: Iterable[TokenProvider | HasProviders]) -> None:
    """
    Check what tokens are shown of.

    Raises:
        ConfigurationError: There are none, or one is neither a provider nor has any.
    """
    for each in sources:
        if isinstance(each, type) or not isinstance(each, TokenProvider | HasProviders):
            raise ConfigurationError(f"Give providers, pools, platforms or hubs, not {kind(each)}.")
    if not sources:
        raise ConfigurationError("Give it at least one TokenProvider, or a pool.")
