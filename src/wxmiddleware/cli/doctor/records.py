"""The account's record in the store, who is refreshing it, and a platform's ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._rules.identity import key_parts, record_key
from ..._rules.models import WECHAT_URL, WECOM_URL, Account, Loaded, Record, SuiteAccount, WeComAccount
from ..._runtime import process
from ...exceptions import ConfigurationError, StoreError
from ...stores._advice import translated
from ...stores._sealed import MARK
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

_PUSHED_EVERY = 600.0


class _Words(NamedTuple):
    """What is said of a ticket, and after how many seconds that it is late."""

    none_asked: str
    wrong: str
    unreadable: str
    missing: str
    sealed: str
    ended: str
    late: str
    ok: str
    late_after: float


_OF_PLATFORM = _Words(
    "ticket.none_asked",
    "ticket.wrong",
    "ticket.unreadable",
    "ticket.missing",
    "ticket.sealed",
    "ticket.ended",
    "ticket.late",
    "ticket.ok",
    3 * _PUSHED_EVERY,
)
_OF_SUITE = _Words(
    "suite_ticket.none_asked",
    "suite_ticket.wrong",
    "suite_ticket.unreadable",
    "suite_ticket.missing",
    "suite_ticket.sealed",
    "suite_ticket.ended",
    "suite_ticket.late",
    "suite_ticket.ok",
    2 * _PUSHED_EVERY,
)


def look_at_record(examination: Examination) -> Finding:
    """See whether there is a record of the account that can be read; and if not, whether one lies elsewhere."""
    loaded = examination.loaded
    if loaded is None or examination.unmade:
        return skip("store.none")
    if isinstance(loaded, StoreError):
        return fail("record.unreadable", key=examination.key, problem=translated(str(loaded)))
    if loaded.record is None and loaded.version:
        return fail("record.garbage", key=examination.key)
    if loaded.record is None:
        return _absent(examination)
    return judge_record(examination.key, loaded.record, loaded.now)


def judge_record(key: str, record: Record, now: float) -> Finding:
    """Judge what a record says of its token."""
    if record.value is None:
        return warn("record.empty", key=key) if record.cooldown is None else ok("record.refused", key=key)
    left, ago = record.expires_at - now, now - record.received_at
    data = {"generation": record.generation, "expires_in": round(left), "fetched_ago": round(ago, 1)}
    if left <= 0:
        return warn("record.expired", key=key, seconds=-left, data=data)
    return ok("record.ok", key=key, seconds=left, ago=ago, generation=record.generation, data=data)


def _absent(examination: Examination) -> Finding:
    """No record: it may be there for another realm or kind, as who looks and who writes are set up differently."""
    others = [key for key in _keys(examination) if key != examination.key and _same_account(key, examination)]
    if not others:
        return skip("record.none", key=examination.key)
    found = key_parts(others[0])
    assert found is not None
    own = key_parts(examination.key)
    key = "record.other_kind" if own is not None and found.realm == own.realm else "record.other_realm"
    return warn(key, key=examination.key, other=others[0], realm=found.realm, kind=found.kind)


def _keys(examination: Examination) -> list[str]:
    keys = getattr(examination.store, "keys", None)
    try:
        found = keys() if callable(keys) else None
    except StoreError:
        found = None
    return [*(found or ())]


def _same_account(key: str, examination: Examination) -> bool:
    parts = key_parts(key)
    return (
        parts is not None and parts.appid == examination.settings.appid and parts.kind in ("stable", "classic", "wecom")
    )


def look_at_lease(examination: Examination) -> Finding:
    """See who is refreshing, and whether that process is still there."""
    record = examination.record
    if record is None:
        return skip("record.unknown")
    return judge_lease(record, examination.now)


def judge_lease(record: Record, now: float) -> Finding:
    """Judge a record's lease."""
    lease = record.lease
    if lease is None or lease.until <= now:
        return ok("lease.none")
    key = "lease.gone" if process.gone(lease.owner) else "lease.held"
    level = warn if key == "lease.gone" else ok
    return level(key, owner=process.host_and_pid(lease.owner), seconds=lease.until - now)


# The ticket that is pushed to a platform or a suite


def look_at_ticket(examination: Examination) -> Finding:
    """See how old a third-party platform's ticket is, without which there is no token of it."""
    return _ticket(examination, examination.options.component, Account, "component_verify_ticket", _OF_PLATFORM)


def look_at_suite_ticket(examination: Examination) -> Finding:
    """See how old a suite's ticket is, without which there is no token of it."""
    return _ticket(examination, examination.options.suite, SuiteAccount, "suite_ticket", _OF_SUITE)


def _ticket(examination: Examination, whose: str, made: type[Account], kind: str, words: _Words) -> Finding:
    account, store = examination.account, examination.store
    if not whose:
        return skip(words.none_asked)
    if store is None or account is None or examination.unmade:
        return skip("store.none")
    # WeChat's own URL leads to no suite, nor WeCom's to a platform; a simulator's leads to both.
    where = {} if account.base_url in (WECHAT_URL, WECOM_URL) else {"base_url": account.base_url}
    if isinstance(account, WeComAccount) == (made is SuiteAccount) and account.realm:
        where["realm"] = account.realm
    try:
        loaded = store.load(record_key(made(whose, "-", **where), kind))
    except ConfigurationError as error:
        return fail(words.wrong, problem=str(error))
    except StoreError as error:
        return fail(words.unreadable, problem=translated(str(error)))
    examination.secrets |= {loaded.record.value} if loaded.record and loaded.record.value else set()
    return judge_ticket(loaded, words)


def judge_ticket(loaded: Loaded, words: _Words = _OF_PLATFORM) -> Finding:
    """
    Judge how old a ticket is: one is pushed every ten minutes. A platform's is good for twelve hours, a suite's for 30
    minutes.
    """
    record = loaded.record
    if record is None or record.value is None:
        return fail(words.missing)
    if record.value.startswith(MARK):
        return ok(words.sealed)
    age = loaded.now - record.received_at
    data = {"age": round(age)}
    if loaded.now >= record.expires_at:
        return fail(words.ended, minutes=age / 60, data=data)
    if age > words.late_after:
        return warn(words.late, minutes=age / 60, data=data)
    return ok(words.ok, minutes=age / 60, data=data)
