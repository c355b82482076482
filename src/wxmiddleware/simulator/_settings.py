"""What can be turned: the numbers WeChat publishes, and the things that nobody has established."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, overload

from wxmiddleware.exceptions import ConfigurationError

T = TypeVar("T")


class Knob(Generic[T]):
    """An attribute that refuses a value it cannot work with, at construction and whenever it is set."""

    def __init__(self, check: Callable[[str, Any], T]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._slot = f"_knob_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Knob[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | Knob[T]:
        if instance is None:
            return self
        value: T = getattr(instance, self._slot)
        return value

    def __set__(self, instance: object, value: T) -> None:
        setattr(instance, self._slot, self._check(self._name, value))


def seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{name} is a number of seconds, 0 or more; got {value!r}.")
    return float(value)


def either_way(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{name} is a number of seconds; got {value!r}.")
    return float(value)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is True or False; got {value!r}.")
    return value


def whole(least: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigurationError(f"{name} is a whole number, {least} or more; got {value!r}.")
        return value

    return check


def one_of(*allowed: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or value not in allowed:
            raise ConfigurationError(f"{name} is one of {', '.join(map(str, allowed))}; got {value!r}.")
        return int(value)

    return check


def same_or_errcode(name: str, value: Any) -> int | Literal["same"]:
    if value == "same":
        return "same"
    if isinstance(value, bool) or not isinstance(value, int) or value == 0:
        raise ConfigurationError(f'{name} is "same" or an errcode other than 0; got {value!r}.')
    return value


def text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigurationError(f"{name} is a text of printable characters; got {value!r}.")
    return value


class Knobs:
    """
    Everything about the simulated WeChat that can be turned, while it runs too.

    Where the numbers come from: docs/wechat.md. "Uncertain" says that sources disagree or are silent.
    """

    overlap = Knob(seconds)
    """Seconds that a replaced token (classic and stable) stays valid, never past its own end. 300 by WeChat's text;
    uncertain, a WeChat-side reply guarantees only the newest: 0 is strict (docs/wechat.md#the-classic-endpoint)."""

    lifetime = Knob(whole(1))
    """``expires_in`` of new tokens and tickets, in seconds. WeChat: "a value within 7200"."""

    propagation_lag = Knob(seconds)
    """Simulated seconds by which the APIs lag behind the token endpoints: for so long they refuse a newly minted token
    (40001), and take the replaced one as if it were the newest; ``overlap`` begins after that.
    Uncertain: nobody has measured one."""

    keep_previous = Knob(whole(0))
    """How many replaced tokens live on for ``overlap``. Uncertain: 1 means that a third rapid fetch kills the first
    token at once, 0 that the old token dies with every fetch."""

    stable_forced_keeps_previous = Knob(flag)
    """Whether a forced refresh leaves the token before it valid for ``overlap``. WeChat's recipe against a leak asks
    for two forced refreshes, so one does not kill it; the second always does."""

    forced_too_soon = Knob(same_or_errcode)
    """What a forced refresh gets when it comes too soon or when the day's are used up: "same" is what normal mode
    would give; an int is an errcode. Uncertain: the page says only that it "does not refresh"."""

    forced_interval = Knob(seconds)
    """Seconds that have to lie between two forced refreshes. WeChat: 30."""

    forced_daily = Knob(whole(0))
    """Forced refreshes a day. WeChat: 20."""

    stable_sticky = Knob(flag)
    """Whether normal mode goes on answering with a revoked token until a forced refresh. Uncertain: one project's
    note says that it happens (docs/wechat.md#reports-from-the-field); off by default."""

    malformed_errcode = Knob(one_of(40001, 40014))
    """Errcode for a token that is empty or does not look like one. Uncertain: the probes saw 40001."""

    expired_errcode = Knob(one_of(42001, 40014, 40001))
    """Errcode for a token past its lifetime. Usually 42001, sometimes 40014 (docs/wechat.md#the-classic-endpoint)."""

    wrong_secret_errcode = Knob(one_of(40125, 40001))
    """Errcode for a wrong secret. 40125 today; the page of the classic endpoint still says 40001."""

    daily_quota = Knob(whole(0))
    """Successful ``/cgi-bin/token`` calls a day and appid: 2000, sandbox accounts 200. The day changes at midnight in
    China (UTC+8). Uncertain: the hour of the reset is presumed."""

    stable_daily_quota = Knob(whole(0))
    """``/cgi-bin/stable_token`` calls a day and appid. WeChat: 500 000."""

    stable_minute_quota = Knob(whole(0))
    """``/cgi-bin/stable_token`` calls a minute and appid (45011 above). WeChat: 10 000."""

    clear_quota_covers_stable = Knob(flag)
    """Whether ``clear_quota`` resets the count of stable_token. Uncertain: one report says that it does not."""

    ticket_rotates = Knob(flag)
    """Whether every ``getticket`` makes a new ticket. Uncertain; off means the same ticket until its end."""

    wecom_sticky = Knob(flag)
    """Whether WeCom's gettoken gives the same token until its end. An older text says so, the newest is silent
    (docs/wechat.md#tokens-of-wecom); off, each call mints another one, and the ones before live on."""

    refresh_rotates = Knob(flag)
    """Whether ``api_authorizer_token`` answers with another refresh token each time. The page says only "always store
    the one returned" (docs/wechat.md#tokens-of-platforms)."""

    refresh_keeps_previous = Knob(flag)
    """Whether the refresh token before the newest is still taken. Uncertain, so it is not (61023)."""

    pre_auth_code_life = Knob(seconds)
    """Seconds for which a platform's ``pre_auth_code`` is good. Uncertain: the text and a captured answer say 1800, a
    sample 600."""

    redirect_has_own_code = Knob(flag)
    """Whether the redirect after an authorisation brings another ``auth_code`` than the notice. Uncertain; off by
    default."""

    code_expiry_in_seconds = Knob(flag)
    """Whether ``AuthorizationCodeExpiredTime`` is the seconds that are left. Uncertain: the page says "seconds",
    libraries read a Unix time; off by default."""

    suite_sticky = Knob(flag)
    """Whether a suite, a provider and an authorised corp get the same token until its end. WeCom's staff say so of
    suites, its page of providers (docs/wechat.md#wecom-providers); off, each call mints one, and the others live on."""

    suite_ticket_life = Knob(seconds)
    """Seconds for which a pushed ``suite_ticket`` is taken. WeCom: 30 minutes, whatever came after it."""

    suite_ticket_repeats = Knob(flag)
    """Whether the same ``suite_ticket`` is pushed again. Uncertain: WeCom's staff say that each is another one, a user
    has seen one twice; it counts as new each time."""

    suite_ticket_first = Knob(flag)
    """Whether get_suite_token looks at the ticket (40085) before the secret (40080). Uncertain; off by default."""

    suite_success_errcode = Knob(flag)
    """Whether successful token answers of providers have an ``errcode`` of 0. Uncertain: the samples show one, the text
    says that it comes only on failure, and a captured answer has none; off by default."""

    suite_expired_errcode = Knob(one_of(42009, 40082))
    """Errcode for a suite's token past its lifetime."""

    provider_expired_errcode = Knob(one_of(42001, 40082))
    """Errcode for a provider's token past its lifetime. WeCom's staff: 42001."""

    suite_needs_corp = Knob(flag)
    """Whether a suite's token is refused (40082) while no corp has authorised it. Seen once; off by default."""

    permanent_code_overlap = Knob(seconds)
    """Seconds for which the secret of a developed app goes on working after a newer one was fetched. Uncertain: a
    remark says that it does, not for how long; 0 is strict."""

    cancelled_errcode = Knob(one_of(40014, 48004))
    """Errcode for a corp's token right after the corp has cancelled. Uncertain."""

    reject_unicode_escapes = Knob(flag)
    """Whether a JSON body with ``\\uXXXX`` gets 40033. Uncertain: the table lists it, most APIs do not mind."""

    token_length = Knob(whole(32))
    """Characters in a token. 157 as seen in the field; WeChat asks clients to reserve 512."""

    json_content_type = Knob(text)
    """Content type of JSON answers: ``application/json; encoding=utf-8`` (sic), in other years ``text/plain``."""

    media_error_content_type = Knob(text)
    """Content type of an error from ``media/get``: ``text/plain`` was seen."""

    token_latency = Knob(seconds)
    """Real seconds that the token endpoints take over HTTP: half of it before the rules run and half after, like a
    network. No lock is held meanwhile."""

    date_skew = Knob(either_way)
    """Seconds by which the ``Date`` header of :class:`SimulatorServer` is ahead of the real time; below 0 behind it."""

    @property
    def renewal_window(self) -> float:
        """
        Seconds before the end in which normal-mode stable_token mints a new token.

        WeChat: 300 of 7200. A shorter ``lifetime`` shortens it in proportion (a 24th), a longer one does not.
        """
        return min(300.0, self.lifetime / 24)
