"""The webhook, from inside as WeChat would push to it, and from outside as WeChat reaches it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..._rules.models import WeComAccount
from ...exceptions import ConfigurationError
from .asking import Said
from .findings import Finding, fail, no_token, ok, skip

if TYPE_CHECKING:
    from ...simulator import Delivery
    from .examination import Examination

# What WeChat minds about an answer, by the code of the simulator's `Problem`.
_PROBLEMS = {
    "late": "webhook.late",
    "lost": "webhook.lost",
    "status": "webhook.status",
    "echo": "webhook.echo",
    "let-in": "webhook.let-in",
}


def look_at_webhook(examination: Examination) -> Finding:
    """Verify the URL as WeChat does when it is entered on its site, and once with a wrong signature."""
    to = examination.options.webhook
    if not to:
        return skip("webhook.none_asked")
    token = os.environ.get("WECHAT_TOKEN", "")
    if not token:
        return fail("value.missing", name="WECHAT_TOKEN")
    key = os.environ.get("WECHAT_AES_KEY") or None
    try:
        return judge_deliveries(*_pushed(examination, to, token, key))
    except ConfigurationError as error:
        return fail("webhook.wrong", problem=str(error))


def _pushed(examination: Examination, to: str, token: str, key: str | None) -> tuple[Delivery, Delivery]:
    from ...simulator import Pusher, WeChat

    appid = examination.settings.appid
    profile = "wecom" if examination.settings.wecom else "mp"
    with Pusher(WeChat(appid=appid), to, token=token, aes_key=key, profile=profile, tries=1) as pusher:  # type: ignore[arg-type]
        return pusher.verify(), pusher.verify(forged=True)


def judge_deliveries(honest: Delivery, forged: Delivery) -> Finding:
    """Judge what came back for a signature of WeChat's, and for a forged one."""
    for delivery in (honest, forged):
        for problem in delivery.problems:
            status = delivery.tries[-1].answer.status if delivery.tries and delivery.tries[-1].answer else 0
            key = _PROBLEMS.get(problem.code, "webhook.other")
            return fail(key, status=status, problem=problem.text, data={"problem": problem.code, "status": status})
    seconds = honest.tries[-1].seconds
    return ok("webhook.ok", ms=seconds * 1000, data={"seconds": round(seconds, 3)})


def look_at_callback(examination: Examination) -> Finding:
    """Ask WeChat whether it reaches the webhook that is entered on its site."""
    if not examination.options.webhook:
        return skip("webhook.none_asked")
    if isinstance(examination.account, WeComAccount):
        return skip("any.wecom")
    said = examination.call("/cgi-bin/callback/check", {"action": "all", "check_operator": "DEFAULT"})
    return no_token(active=examination.options.active) if said is None else judge_callback(said)


def judge_callback(said: Said) -> Finding:
    """Judge what WeChat sees from outside."""
    if said.errcode is None:
        return fail("api.silent", problem=said.problem)
    if said.errcode == 40201:
        return fail("callback.no_url")
    if said.errcode:
        return fail("callback.refused", errcode=said.errcode, data={"errcode": said.errcode, "rid": said.rid})
    found = said.fields or {}
    pings = [each for each in _dicts(found.get("ping")) if "package_loss" in each]
    lost = [each for each in pings if str(each["package_loss"]).strip().startswith("100")]
    data = {"dns": len(_dicts(found.get("dns"))), "ping": len(pings), "lost": len(lost)}
    if not data["dns"]:
        return fail("callback.unknown_name", data=data)
    if pings and len(lost) == len(pings):
        return fail("callback.unreachable", data=data)
    return ok("callback.ok", count=len(pings), data=data)


def _dicts(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
