"""The account's record in the store, who is refreshing it, and a platform's ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._rules.identity import key_parts, record_key
from ..._rules.models import Account, Loaded, Record
from ..._runtime import process
from ...exceptions import ConfigurationError, StoreError
from ...stores._advice import translated
from ...stores._sealed import MARK
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

_TICKET = "component_verify_ticket"
_PUSHED_EVERY = 600.0
_MISSED = 3 * _PUSHED_EVERY


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


# A platform's ticket


def look_at_ticket(examination: Examination) -> Finding:
    """See how old a third-party platform's ticket is, without which there is no token of it."""
    appid, account, store = examination.options.component, examination.account, examination.store
    if not appid:
        return skip("ticket.none_asked")
    if store is None or account is None or examination.unmade:
        return skip("store.none")
    try:
        platform = Account(appid, "-", base_url=account.base_url, realm=account.realm)
        loaded = store.load(record_key(platform, _TICKET))
    except ConfigurationError as error:
        return fail("ticket.wrong", problem=str(error))
    except StoreError as error:
        return fail("ticket.unreadable", problem=translated(str(error)))
    examination.secrets |= {loaded.record.value} if loaded.record and loaded.record.value else set()
    return judge_ticket(loaded)


def judge_ticket(loaded: Loaded) -> Finding:
    """Judge how old a ticket is: WeChat pushes one every ten minutes, and each is good for twelve hours."""
    record = loaded.record
    if record is None or record.value is None:
        return fail("ticket.missing")
    if record.value.startswith(MARK):
        return ok("ticket.sealed")
    age = loaded.now - record.received_at
    data = {"age": round(age)}
    if loaded.now >= record.expires_at:
        return fail("ticket.ended", minutes=age / 60, data=data)
    if age > _MISSED:
        return warn("ticket.late", minutes=age / 60, data=data)
    return ok("ticket.ok", minutes=age / 60, data=data)
