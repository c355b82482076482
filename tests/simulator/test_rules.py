"""WeChat's rules for tokens, in memory; over HTTP: test_app.py. Rows: docs/wechat.md#what-the-simulator-follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import SimulatedClock, WeChat

Ask = Callable[..., dict[str, Any]]
RID = r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"


def code(answer: dict[str, Any] | None) -> int | None:
    return None if answer is None else answer.get("errcode")


# Row 1


def test_slots_are_independent(wechat: WeChat, stable: Ask) -> None:
    """A classic fetch leaves the stable token alone (row 1)."""
    ours = stable()["access_token"]

    wechat.token()

    assert wechat.is_valid(ours)


def test_forced_stable_leaves_classic(wechat: WeChat, stable: Ask, token: str) -> None:
    """A forced stable refresh leaves the classic token alone (row 1)."""
    stable(force_refresh=True)

    assert wechat.is_valid(token)


def test_accounts_are_independent(wechat: WeChat, token: str) -> None:
    """Another account's fetch leaves the token of the first alone."""
    wechat.add_account("wx0000000000000002", "s2")

    wechat.token("wx0000000000000002", "s2")

    assert wechat.is_valid(token)


# Row 2


def test_classic_always_mints(wechat: WeChat) -> None:
    """Every classic fetch gives another token (row 2)."""
    tokens = {wechat.token()["access_token"] for _ in range(5)}

    assert len(tokens) == 5
    assert wechat.minted() == 5


def test_strict_classic_kills_at_once(wechat: WeChat, token: str) -> None:
    """With overlap 0 the replaced token dies at once (row 2)."""
    wechat.token()

    assert code(wechat.check(token)) == 40001


@pytest.mark.parametrize(("after", "expected"), [(0, None), (299.9, None), (300, 40001)])
def test_overlap(wechat: WeChat, wechat_clock: SimulatedClock, token: str, after: float, expected: int | None) -> None:
    """With overlap 300 the replaced token lives 300 s longer (row 2)."""
    wechat.overlap = 300
    wechat.token()

    wechat_clock.advance(after)

    assert code(wechat.check(token)) == expected


def test_overlap_ends_with_the_token(wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """The overlap never lengthens a life (row 2)."""
    wechat.overlap = 300
    wechat_clock.advance(7100)
    wechat.token()

    wechat_clock.advance(100)

    assert code(wechat.check(token)) == 42001


@pytest.mark.parametrize(("keep", "alive"), [(0, 1), (1, 2), (2, 3)])
def test_third_rapid_fetch(wechat: WeChat, keep: int, alive: int) -> None:
    """Only keep_previous replaced tokens survive rapid fetches (row 2)."""
    wechat.overlap, wechat.keep_previous = 300, keep

    tokens = [wechat.token()["access_token"] for _ in range(4)]

    assert [wechat.is_valid(each) for each in tokens] == [False] * (4 - alive) + [True] * alive


# Row 3


def test_stable_repeats_with_remaining_time(wechat_clock: SimulatedClock, stable: Ask) -> None:
    """Normal mode gives the same token with the seconds that remain (row 3)."""
    first = stable()
    wechat_clock.advance(6855)

    assert stable() == {"access_token": first["access_token"], "expires_in": 345}


@pytest.mark.parametrize(("lifetime", "last"), [(7200, 6900), (240, 230), (14400, 14100)])
def test_stable_renews_in_its_last_minutes(
    wechat: WeChat, wechat_clock: SimulatedClock, stable: Ask, lifetime: int, last: int
) -> None:
    """Normal mode mints only once less than the window remains (row 3)."""
    wechat.lifetime = lifetime
    first = stable()["access_token"]

    wechat_clock.advance(last)
    assert stable() == {"access_token": first, "expires_in": lifetime - last}
    wechat_clock.advance(0.5)
    renewed = stable()
    assert renewed["access_token"] != first
    assert renewed["expires_in"] == lifetime


def test_stable_never_answers_a_short_life(wechat_clock: SimulatedClock, stable: Ask) -> None:
    """No answer of normal mode lives less than 300 s (row 3)."""
    lives = []
    for _ in range(200):
        lives.append(stable()["expires_in"])
        wechat_clock.advance(97.3)

    assert min(lives) >= 300


def test_stable_renewal_overlaps(wechat: WeChat, wechat_clock: SimulatedClock, stable: Ask) -> None:
    """Both tokens work after an early renewal (row 3)."""
    wechat.overlap = 300
    old = stable()["access_token"]
    wechat_clock.advance(6950)
    new = stable()["access_token"]

    assert wechat.is_valid(old)
    assert wechat.is_valid(new)
    wechat_clock.advance(250)
    assert code(wechat.check(old)) == 42001


# Row 4


def test_forced_mints(stable: Ask) -> None:
    """Forced mode gives another token (row 4)."""
    assert stable()["access_token"] != stable(force_refresh=True)["access_token"]


def test_one_forced_refresh_keeps_the_leak(wechat: WeChat, wechat_clock: SimulatedClock, stable: Ask) -> None:
    """One forced refresh leaves the token before it alive, a second kills it (row 4)."""
    wechat.overlap, wechat.keep_previous = 300, 5
    leaked = stable()["access_token"]

    stable(force_refresh=True)
    assert wechat.is_valid(leaked)
    wechat_clock.advance(30)
    stable(force_refresh=True)
    assert code(wechat.check(leaked)) == 40001


def test_forced_may_kill_at_once(wechat: WeChat, stable: Ask) -> None:
    """With stable_forced_keeps_previous off the token before dies at once (row 4, knob)."""
    wechat.overlap, wechat.stable_forced_keeps_previous = 300, False
    old = stable()["access_token"]

    stable(force_refresh=True)

    assert code(wechat.check(old)) == 40001


@pytest.mark.parametrize(("after", "same"), [(29.9, True), (30, False)])
def test_forced_too_soon(wechat_clock: SimulatedClock, stable: Ask, after: float, same: bool) -> None:
    """A forced refresh within 30 s of the last gives the current token unchanged (row 4)."""
    first = stable(force_refresh=True)["access_token"]
    wechat_clock.advance(after)

    assert (stable(force_refresh=True)["access_token"] == first) is same


def test_forced_too_soon_may_be_an_error(wechat: WeChat, stable: Ask) -> None:
    """forced_too_soon sets the error of a throttled forced refresh (row 4, knob)."""
    wechat.forced_too_soon = 45009
    stable(force_refresh=True)

    assert code(stable(force_refresh=True)) == 45009


def test_twenty_forced_a_day(wechat: WeChat, wechat_clock: SimulatedClock, stable: Ask) -> None:
    """The 21st forced refresh of a day refreshes nothing (row 4)."""
    for _ in range(25):
        stable(force_refresh=True)
        wechat_clock.advance(30)

    assert wechat.minted() == 20
    wechat_clock.advance(86_400)
    stable(force_refresh=True)
    assert wechat.minted() == 21


def test_sticky_stable_needs_force(wechat: WeChat, stable: Ask) -> None:
    """With stable_sticky a revoked token is handed out until somebody forces (knob)."""
    wechat.stable_sticky = True
    dead = stable()["access_token"]
    wechat.revoke()

    assert stable()["access_token"] == dead
    assert wechat.is_valid(stable(force_refresh=True)["access_token"])


# Row 5


def test_expired(wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """A token past its lifetime gets 42001 (row 5)."""
    wechat_clock.advance(7199.5)
    assert wechat.check(token) is None

    wechat_clock.advance(0.5)
    expired = wechat.check(token)
    assert expired is not None
    assert expired["errcode"] == 42001
    assert re.fullmatch(f"access_token expired rid: {RID}", expired["errmsg"])


def test_absent(wechat: WeChat) -> None:
    """No token at all gets 41001 (row 5)."""
    absent = wechat.check(None)

    assert absent is not None
    assert absent["errcode"] == 41001
    assert re.fullmatch(f"access_token missing rid: {RID}", absent["errmsg"])


@pytest.mark.parametrize("errcode", [40001, 40014])
@pytest.mark.parametrize("value", ["", "2", "hello world", "60_short", "令牌"])
def test_malformed(wechat: WeChat, value: str, errcode: int) -> None:
    """What does not look like a token gets the code of the knob (row 5)."""
    wechat.malformed_errcode = errcode

    assert code(wechat.check(value)) == errcode


def test_replaced_text(wechat: WeChat, token: str) -> None:
    """The text of 40001 is WeChat's (row 5)."""
    wechat.token()
    refused = wechat.check(token)

    assert refused is not None
    assert re.fullmatch(
        "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, "
        f"more details at https://mmbizurl.cn/s/JtxxFh33r rid: {RID}",
        refused["errmsg"],
    )


def test_rid_is_fresh(wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A rid begins with the simulated time and is never the same twice (row 5)."""
    answers = [wechat.check(None) for _ in range(50)]
    rids = {answer["errmsg"].split()[-1] for answer in answers if answer is not None}

    assert len(rids) == 50
    assert {int(rid[:8], 16) for rid in rids} == {int(wechat_clock())}


def test_token_of_another_account(wechat: WeChat) -> None:
    """A token is refused where another account's is asked for."""
    wechat.add_account("wx0000000000000002", "s2")
    theirs = wechat.token("wx0000000000000002", "s2")["access_token"]

    assert code(wechat.check(theirs, wechat.appid)) == 40001
    assert wechat.check(theirs) is None


# Row 6


@pytest.mark.parametrize("slot", ["classic", "stable"])
def test_check_order(wechat: WeChat, slot: str) -> None:
    """Each check hides those after it: a request that is wrong in every way is cured one error at a time (row 6)."""
    account = wechat.accounts[wechat.appid]
    account.frozen, account.ip_allowlist = True, ["10.0.0.0/8"]
    wechat.daily_quota = wechat.stable_daily_quota = 0
    asked: dict[str, Any] = {"appid": None, "secret": None, "grant_type": "password"}

    def ask() -> int | None:
        if slot == "classic":
            return code(wechat.token(**asked))
        return code(wechat.stable_token(asked))

    seen = [ask()]
    asked["appid"] = "wxffffffffffffffff"
    seen.append(ask())
    asked["appid"] = wechat.appid
    seen.append(ask())
    asked["grant_type"] = "client_credential"
    seen.append(ask())
    asked["secret"] = "wrong"
    seen.append(ask())
    asked["secret"] = wechat.secret
    seen.append(ask())
    account.frozen = False
    seen.append(ask())
    account.ip_allowlist = ["127.0.0.1"]
    seen.append(ask())
    wechat.daily_quota = wechat.stable_daily_quota = 1
    seen.append(ask())

    assert seen == [41002, 40013, 40002, 41004, 40125, 40243, 40164, 45009, None]
    assert wechat.fetches(slot=slot) == 9
    assert wechat.minted() == 1


def test_refused_address_is_named(wechat: WeChat) -> None:
    """40164 names the caller's address (row 6)."""
    wechat.accounts[wechat.appid].ip_allowlist = []

    answer = wechat.token(ip="116.25.45.231")

    assert re.fullmatch(
        f"invalid ip 116.25.45.231 ipv6 ::ffff:116.25.45.231, not in whitelist rid: {RID}", answer["errmsg"]
    )


def test_wrong_secret_code(wechat: WeChat) -> None:
    """A wrong secret can be reported as 40001, as the page still says."""
    wechat.wrong_secret_errcode = 40001

    assert code(wechat.token(secret="wrong")) == 40001


def test_daily_quota(wechat: WeChat) -> None:
    """The 2001st fetch of a day gets 45009 (row 6)."""
    answers = [code(wechat.token()) for _ in range(2001)]

    assert answers == [None] * 2000 + [45009]


def test_quota_comes_back_at_midnight_in_china(wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """The day's quota starts again at 16:00 UTC."""
    wechat.daily_quota = 1
    wechat.token()
    to_midnight = 86_400 - (wechat_clock() + 8 * 3600) % 86_400

    wechat_clock.advance(to_midnight - 1)
    assert code(wechat.token()) == 45009
    wechat_clock.advance(1)
    assert code(wechat.token()) is None


def test_sandbox_quota(wechat: WeChat) -> None:
    """An account can have a quota of its own."""
    wechat.add_account("wx0000000000000002", "s2", daily_quota=1)

    answers = [code(wechat.token("wx0000000000000002", "s2")) for _ in range(2)]

    assert answers == [None, 45009]


def test_stable_minute_quota(wechat: WeChat, wechat_clock: SimulatedClock, stable: Ask) -> None:
    """Too many stable calls within a minute get 45011 until the next."""
    wechat.stable_minute_quota = 3

    answers = [code(stable()) for _ in range(4)]

    assert answers == [None, None, None, 45011]
    wechat_clock.advance(60)
    assert code(stable()) is None


@pytest.mark.parametrize("body", [None, [], "x", {"force_refresh": "yes"}])
def test_stable_body_of_a_wrong_shape(wechat: WeChat, body: object) -> None:
    """A stable body of a wrong shape gets 47001."""
    assert code(wechat.stable_token(body)) == 47001


# Row 8


def test_propagation_lag(wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A new token is refused for the lag, then accepted (row 8)."""
    wechat.propagation_lag = 2
    fresh = wechat.token()["access_token"]

    assert code(wechat.check(fresh)) == 40001
    wechat_clock.advance(2)
    assert wechat.check(fresh) is None


@pytest.mark.parametrize(
    ("overlap", "keep", "afterwards"), [(300, 1, None), (10, 1, None), (0, 1, 40001), (300, 0, 40001)]
)
def test_propagation_lag_of_the_replaced_token(
    wechat: WeChat, wechat_clock: SimulatedClock, overlap: float, keep: int, afterwards: int | None
) -> None:
    """While the APIs lag they take the replaced token as before, and then for the overlap (row 8)."""
    first = wechat.token()["access_token"]
    wechat.propagation_lag, wechat.overlap, wechat.keep_previous = 2, overlap, keep
    second = wechat.token()["access_token"]
    wechat_clock.advance(1.9)
    assert (None, 40001) == (code(wechat.check(first)), code(wechat.check(second)))
    wechat_clock.advance(0.1)

    assert (afterwards, None) == (code(wechat.check(first)), code(wechat.check(second)))
    wechat_clock.advance(overlap)
    assert 40001 == code(wechat.check(first))


def test_steal_classic(wechat: WeChat, token: str) -> None:
    """Another service's fetch kills our token and is not counted as ours (row 8)."""
    theirs = wechat.steal()

    assert not wechat.is_valid(token)
    assert wechat.is_valid(theirs)
    assert (wechat.fetches(), wechat.minted(), wechat.stolen()) == (1, 1, 1)
    assert wechat.quota_used() == 2


def test_steal_stable(wechat: WeChat, stable: Ask) -> None:
    """After a theft on the stable endpoint normal mode gives the thief's token (row 8)."""
    old = stable()["access_token"]
    theirs = wechat.steal()

    assert not wechat.is_valid(old)
    assert stable()["access_token"] == theirs == wechat.current(slot="stable")
    assert wechat.stolen(slot="stable") == 1


def test_steal_is_never_throttled(wechat: WeChat, stable: Ask) -> None:
    """Two thefts in one second give two tokens."""
    assert wechat.steal(slot="stable") != wechat.steal(slot="stable")


def test_revoke(wechat: WeChat, stable: Ask, token: str) -> None:
    """A revocation kills every token and mints none."""
    other = stable()["access_token"]

    assert wechat.revoke() == 2
    assert code(wechat.check(token)) == code(wechat.check(other)) == 40001
    assert wechat.current() is wechat.current(slot="stable") is None
    assert wechat.minted() == 2


def test_short_life(wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A short lifetime is answered and kept (row 8)."""
    wechat.lifetime = 5
    answer = wechat.token()
    wechat_clock.advance(5)

    assert answer["expires_in"] == 5
    assert code(wechat.check(answer["access_token"])) == 42001


# Row 9 and what a token looks like


def test_success_has_no_errcode(wechat: WeChat, stable: Ask) -> None:
    """A token answer has two keys (row 9)."""
    assert set(wechat.token()) == set(stable()) == {"access_token", "expires_in"}


def test_token_looks_like_one(token: str) -> None:
    """A token has WeChat's characters and length."""
    assert len(token) == 157
    assert re.fullmatch(r"\d\d_[A-Za-z0-9_-]+", token)


def test_token_of_512_characters(wechat: WeChat) -> None:
    """A token can have the 512 characters that WeChat asks to reserve."""
    wechat.token_length = 512
    answer = wechat.token()

    assert len(answer["access_token"]) == 512
    assert wechat.is_valid(answer["access_token"])


# What is wrong is said at once


@pytest.mark.parametrize(
    "knobs",
    [
        {"overlap": -1},
        {"overlap": float("nan")},
        {"lifetime": 0},
        {"lifetime": 1.5},
        {"keep_previous": -1},
        {"forced_too_soon": "other"},
        {"forced_too_soon": True},
        {"malformed_errcode": 1},
        {"daily_quota": "many"},
        {"stable_sticky": 1},
        {"json_content_type": ""},
        {"clock": 5},
        {"appid": ""},
        {"secret": "a b"},
        {"log_size": 0},
        {"date_skew": "ahead"},
    ],
)
def test_useless_arguments(knobs: dict[str, Any]) -> None:
    """An argument of no use is refused at construction."""
    with pytest.raises(ConfigurationError):
        WeChat(**knobs)


def test_useless_assignment(wechat: WeChat) -> None:
    """A knob is checked when it is turned later, too."""
    with pytest.raises(ConfigurationError, match="overlap"):
        wechat.overlap = -1


@pytest.mark.parametrize("do", ["steal", "revoke", "current"])
def test_unknown_account_or_slot(wechat: WeChat, do: str) -> None:
    """An unknown account or slot is said to be one."""
    with pytest.raises(ConfigurationError, match="add_account"):
        getattr(wechat, do)("wx1")
    with pytest.raises(ConfigurationError, match="classic"):
        getattr(wechat, do)(slot="golden")


def test_account_twice(wechat: WeChat) -> None:
    """An appid is added once."""
    with pytest.raises(ConfigurationError, match="already"):
        wechat.add_account(wechat.appid, "s")


@pytest.mark.parametrize("allowlist", ["10.0.0.1", ["not an address"], [None]])
def test_useless_allowlist(wechat: WeChat, allowlist: Any) -> None:
    """An allowlist holds addresses."""
    with pytest.raises(ConfigurationError):
        wechat.add_account("wx2", "s2", ip_allowlist=allowlist)


def test_allowlist_with_networks(wechat: WeChat) -> None:
    """An allowlist may hold networks of both kinds."""
    account = wechat.add_account("wx2", "s2", ip_allowlist=["10.0.0.0/8", "2001:db8::/32"])

    assert [account.admits(ip) for ip in ("10.1.2.3", "2001:db8::1", "11.0.0.1", "nonsense")] == [
        True,
        True,
        False,
        False,
    ]


def test_nothing_secret_in_a_repr(wechat: WeChat, token: str) -> None:
    """No repr shows a secret or a token."""
    account = wechat.accounts[wechat.appid]
    shown = repr([wechat, account, account.slots["classic"].live, wechat.log, wechat.faults])

    assert wechat.secret not in shown
    assert token not in shown
