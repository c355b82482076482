"""What the environment and the options say: the account, the way to WeChat, the store. Nothing is connected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..._rules.identity import realm_of
from ..._rules.models import in_quotes
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

_APPID = re.compile(r"wx[0-9a-f]{16}")
_CORPID = re.compile(r"w[wx][0-9a-f]{16}")
_SECRET = re.compile(r"[0-9a-f]{32}")
_CORP = "ww"
_ORIGINAL = "gh_"
# A variable in a file of the environment that nothing has replaced; what a manual has in the place of a value.
_PLACEHOLDER = re.compile(r"\$\{?\w+\}?|\{\{.*\}\}|<.*>|your[-_ ]?\w+|x{6,}|\*+", re.IGNORECASE | re.DOTALL)


def look_at_appid(examination: Examination) -> Finding:
    """See whether there is an AppID, or at WeCom a CorpID, and whether it can be one."""
    settings = examination.settings
    return judge_appid(settings.names.appid, settings.appid, wecom=settings.wecom)


def judge_appid(name: str, value: str, *, wecom: bool = False) -> Finding:
    """Judge the text of an AppID. No other one than the account's own is shown."""
    damaged = _damaged(name, value)
    if damaged is not None:
        return damaged
    if _SECRET.fullmatch(value):
        return fail("appid.secret", name=name)
    if value.startswith(_ORIGINAL):
        return fail("appid.original", name=name)
    if not wecom and value.startswith(_CORP):
        return fail("appid.corp", name=name)
    if not (_CORPID if wecom else _APPID).fullmatch(value):
        return warn("appid.form", name=name, form="ww" if wecom else "wx", length=len(value))
    return ok("appid.ok", name=name, appid=value)


def look_at_secret(examination: Examination) -> Finding:
    """See whether there is a secret, and whether it can be one."""
    settings = examination.settings
    if settings.secret_problem:
        return fail("secret.file", problem=settings.secret_problem)
    return judge_secret(
        settings.names.secret, settings.secret, settings.appid, wecom=settings.wecom, shared=bool(examination.url)
    )


def judge_secret(name: str, value: str, appid: str, *, wecom: bool = False, shared: bool = False) -> Finding:
    """
    Judge the text of a secret, which is not shown.

    Args:
        appid: What stands in the AppID's place.
        shared: Whether there is a store: a process that only reads it needs no secret.
    """
    if not value and shared:
        return warn("secret.follow", name=name)
    damaged = _damaged(name, value)
    if damaged is not None:
        return damaged
    if value == appid or _APPID.fullmatch(value):
        return fail("secret.appid", name=name)
    if not wecom and not _SECRET.fullmatch(value):
        return warn("secret.form", name=name, length=len(value))
    return ok("secret.ok", name=name)


def _damaged(name: str, value: str) -> Finding | None:
    """What a file of the environment, a shell or a copy may do to a value."""
    if not value:
        return fail("value.missing", name=name)
    if in_quotes(value):
        return fail("value.quotes", name=name)
    if any(c.isspace() or not c.isprintable() for c in value):
        return fail("value.space", name=name)
    if _PLACEHOLDER.fullmatch(value):
        return fail("value.placeholder", name=name)
    return None


def look_at_base_url(examination: Examination) -> Finding:
    """See whether the base URL and the realm can be used, and which WeChat they lead to."""
    account = examination.account
    if account is None:
        return fail("base_url.wrong", problem=examination.problem)
    realm = realm_of(account)
    key = "base_url.ok" if realm == account._own_realm else "base_url.realm"
    return ok(key, host=account.host, realm=realm, data={"host": account.host, "realm": realm})


def look_at_store_url(examination: Examination) -> Finding:
    """See whether the store's URL names one that can be opened. Nothing is connected."""
    if not examination.url:
        return skip("store_url.none")
    if examination.store is None:
        return fail("store_url.wrong", problem=examination.store_problem)
    return ok("store_url.ok", store=repr(examination.store))
