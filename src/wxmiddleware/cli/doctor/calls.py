"""What can be seen with a token at hand: is it accepted, the quota, the address WeChat sees, a request's record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..._rules.advice import Place
from ..._rules.errcodes import address_in, words_on
from ..._rules.models import WeComAccount
from ..._runtime.language import Text
from . import asking
from .asking import Said
from .credentials import QUOTA
from .findings import Finding, fail, no_token, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

_NEARLY = 0.8
_CLEARS = 10  # a month
_RID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}")
_QUOTA_OF = {"classic": "/cgi-bin/token", "stable": "/cgi-bin/stable_token"}


def look_at_token(examination: Examination) -> Finding:
    """See whether there is a token at hand."""
    if examination.recorded_token is not None:
        return ok("token.record")
    if examination.token is not None:
        return ok("token.fetched")
    record = examination.record
    if record is not None and record.value is not None and examination.now < record.expires_at:
        return warn("token.sealed")
    return no_token(active=examination.options.active)


def look_at_api(examination: Examination) -> Finding:
    """See whether an API accepts the token."""
    said = examination.api
    if said is None:
        return no_token(active=examination.options.active)
    return judge_api(said, recorded=examination.recorded_token is not None, wecom=examination.settings.wecom)


def judge_api(said: Said, *, recorded: bool, wecom: bool = False) -> Finding:
    """
    Judge what an API answers that every account may call.

    Args:
        said: Its answer.
        recorded: Whether the token was the fleet's.
    """
    if said.errcode is None:
        return fail("api.silent", problem=said.problem)
    if said.errcode == 0:
        return ok("api.ok")
    data = {"errcode": said.errcode, "rid": said.rid}
    if said.errcode in (40001, 40014, 42001):
        return fail("api.rejected" if recorded else "api.rejected_new", errcode=said.errcode, data=data)
    return _refused("api.refused", said, Place.WECOM if wecom else Place.API)


def _refused(key: str, said: Said, place: Place = Place.API) -> Finding:
    assert said.errcode is not None
    address = address_in(said.errmsg)
    return fail(
        key,
        errcode=said.errcode,
        advice=Text(*words_on(place, said.errcode, said.errmsg)),
        data={"errcode": said.errcode, "rid": said.rid},
        shows=() if address is None else (address,),
    )


# Quota


def look_at_quota(examination: Examination) -> Finding:
    """See how much of the day's quota is used; reset it, if that is asked for."""
    if isinstance(examination.account, WeComAccount):
        return skip("any.wecom")
    if examination.options.clear:
        return _cleared(examination)
    word = examination.word
    if word is not None and word.errcode in QUOTA and not examination.options.path:
        return fail("quota.spent", when=word.when, errcode=word.errcode, data={"errcode": word.errcode})
    path = examination.options.path or _QUOTA_OF[examination.source.kind]
    said = examination.quota_of(path)
    if said is None:
        return no_token(active=examination.options.active)
    return judge_quota(path, said)


def judge_quota(path: str, said: Said) -> Finding:
    """Judge what WeChat says of an API's quota."""
    if said.errcode is None:
        return fail("api.silent", problem=said.problem)
    if said.errcode in (40001, 40014, 42001):
        return skip("quota.rejected")
    if said.errcode == 76021:
        return fail("quota.no_path", path=path)
    if said.errcode:
        return _refused("quota.refused", said)
    limit, used = _whole(said.part("quota"), "daily_limit"), _whole(said.part("quota"), "used")
    rate = said.part("rate_limit")
    data = {"path": path, "daily_limit": limit, "used": used, "rate_limit": dict(rate)}
    fields = {"path": path, "limit": limit, "used": used, "data": data}
    if not limit:
        return ok("quota.endless", **fields)
    if used >= limit:
        return fail("quota.gone", **fields)
    if used >= limit * _NEARLY:
        return warn("quota.nearly", **fields)
    return ok("quota.ok", **fields)


def _whole(part: Mapping[str, Any], name: str) -> int:
    value = part.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _cleared(examination: Examination) -> Finding:
    """Reset the day's counts: with the secret, which works also when no token can be had."""
    account = examination.account
    assert account is not None
    if not isinstance(account.secret, str) or not account.secret:
        return fail("quota.clear_needs_secret")
    body = {"appid": account.appid, "appsecret": account.secret}
    said = asking.ask(account, "/cgi-bin/clear_quota/v2", None, body)
    if said.errcode == 0:
        return ok("quota.cleared", most=_CLEARS)
    if said.errcode is None:
        return fail("api.silent", problem=said.problem)
    if said.errcode == 48006:
        return fail("quota.no_more_clears", most=_CLEARS)
    return _refused("quota.refused", said, Place.TOKEN)


# The address that WeChat sees


def look_at_egress(examination: Examination) -> Finding:
    """Find the address that WeChat sees, and whether requests leave by more than one."""
    told = [examination.reached.errmsg]  # WeCom names it in every error
    failure = None if examination.word is None else examination.word.failure
    record = examination.record
    remembered = None if record is None or record.cooldown is None else record.cooldown.failure
    told += [each.errmsg for each in (failure, remembered) if each is not None]
    seen = list(dict.fromkeys(address for address in map(address_in, told) if address))
    mine = examination.address_by_rid
    return judge_egress(mine, [each for each in seen if each != mine])


def judge_egress(mine: str | None, told: list[str]) -> Finding:
    """
    Judge which addresses WeChat has seen.

    Args:
        mine: That of a request of ours, by WeChat's own record of it.
        told: Others that errors have named.
    """
    everyone = [*([mine] if mine else []), *told]
    if not everyone:
        return skip("egress.unknown")
    fields = {"addresses": ", ".join(everyone), "data": {"addresses": everyone}, "shows": everyone}
    return ok("egress.ok", **fields) if len(everyone) == 1 else warn("egress.several", **fields)


# A request


def look_at_rid(examination: Examination) -> Finding:
    """Show WeChat's own record of a request."""
    rid = examination.options.rid
    if not rid:
        return skip("rid.none_asked")
    if isinstance(examination.account, WeComAccount):
        return skip("any.wecom")
    if not _RID.fullmatch(rid):
        return fail("rid.form")
    said = examination.call("/cgi-bin/openapi/rid/get", {"rid": rid})
    return no_token(active=examination.options.active) if said is None else judge_rid(said)


def judge_rid(said: Said) -> Finding:
    """Judge WeChat's record of a request. Of the bodies only the size is shown: they may tell of users."""
    if said.errcode is None:
        return fail("api.silent", problem=said.problem)
    if said.errcode in (76001, 76004):
        return fail("rid.not_found")
    if said.errcode == 76002:
        return fail("rid.form")
    if said.errcode == 76003:
        return fail("rid.other_account")
    if said.errcode:
        return _refused("rid.refused", said)
    request = said.part("request")
    answer = _answered(request.get("response_body"))
    path = urlsplit(str(request.get("request_url", ""))).path or "?"
    data = {
        "invoke_time": _whole(request, "invoke_time"),
        "cost_in_ms": _whole(request, "cost_in_ms"),
        "path": path,
        "request_bytes": len(str(request.get("request_body", ""))),
        "errcode": answer,
        "client_ip": str(request.get("client_ip", "")),
    }
    fields = {
        "path": path,
        "at": _time_of(_whole(request, "invoke_time")),
        "ms": data["cost_in_ms"],
        "size": data["request_bytes"],
        "address": data["client_ip"],
        "errcode": "?" if answer is None else answer,
        "data": data,
    }
    if answer in (None, 0):
        return ok("rid.ok", **fields)
    return ok("rid.error", advice=Text(*words_on(Place.API, answer)), **fields)


def _answered(body: object) -> int | None:
    with suppress(ValueError, TypeError, RecursionError):
        found = json.loads(str(body))
        code = found.get("errcode", 0) if isinstance(found, dict) else None
        return code if isinstance(code, int) else None
    return None


def _time_of(seconds: int) -> str:
    from datetime import UTC, datetime

    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return "?"
