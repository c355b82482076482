"""
What an errcode means: what we do about it at a token endpoint, and what a person should do.

The codes are those of WeChat's pages on ``/cgi-bin/token`` and ``/cgi-bin/stable_token`` and of its list of global
return codes. On these endpoints 40001 is a wrong secret; on an API call it is a refused token (see `CURABLE`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ._models import Cause, Failure

# A new token cures these, when an API call answers them. Never when a token endpoint does.
CURABLE = frozenset({40001, 40014, 42001})

_CHECK_IT = "Check the AppSecret: it is wrong, was reset, or belongs to another account."
_ADVICE: dict[int, tuple[Cause, str]] = {
    -1: (Cause.PASSING, "WeChat is busy."),
    -1000: (Cause.PASSING, "WeChat is busy, or the account has no IP allowlist at all; check that it has one."),
    40001: (Cause.FINAL, _CHECK_IT),
    40002: (Cause.FINAL, "grant_type must be client_credential; check what stands between you and WeChat."),
    40013: (Cause.FINAL, "Check the AppID: WeChat does not know it."),
    40125: (Cause.FINAL, _CHECK_IT),
    40164: (Cause.FINAL, "Add {ip} to the account's IP allowlist at mp.weixin.qq.com."),
    40243: (Cause.FINAL, "The AppSecret is frozen: its owner can unfreeze it at mp.weixin.qq.com."),
    41002: (Cause.FINAL, "The AppID did not arrive; check what stands between you and WeChat."),
    41004: (Cause.FINAL, "The AppSecret did not arrive; check what stands between you and WeChat."),
    43002: (Cause.FINAL, "The request arrived as a GET; check what stands between you and WeChat."),
    45009: (
        Cause.QUOTA,
        "The day's quota of token fetches is used up; see who else fetches, or reset it (clear_quota).",
    ),
    45011: (Cause.PASSING, "Too many token fetches in this minute."),
    48001: (Cause.FINAL, "This account may not use this API."),
    50002: (Cause.FINAL, "The account is limited; its owner sees why at mp.weixin.qq.com."),
    50004: (Cause.FINAL, "WeChat has forbidden this account to use access tokens; ask its owner to appeal."),
    50007: (Cause.FINAL, "The account is frozen; its owner sees why at mp.weixin.qq.com."),
    61024: (Cause.FINAL, "This is a third-party platform: it has to use api_component_token."),
    89501: (Cause.FINAL, "The account's administrator has been asked to allow this IP and has not answered yet."),
    89503: (Cause.FINAL, "The account's administrator has to allow this IP, in the message WeChat has just sent."),
    89506: (Cause.FINAL, "The administrator refused this IP twice: it is blocked for 24 hours."),
    89507: (Cause.FINAL, "The administrator refused this IP: it is blocked for an hour."),
}
# An unknown code is remembered like a passing one: it is tried again soon, and does not block for minutes.
_UNKNOWN = (Cause.PASSING, "See WeChat's list of global return codes.")

# What an API call answers, where what to do about it is not what WeChat's text says already (wechat-api, section 4).
_API_ADVICE: dict[int, str] = {
    -1: "WeChat is busy; try again in a moment.",
    40003: "Check the openid: it is not one of this account's users.",
    40007: "Check the media_id: temporary media last three days, and belong to one account.",
    40066: "Check the path of the URL; for a mini program's code also that it has a released version.",
    41001: "There is no access_token in the URL. If WeChatAuth was to add it, see that the URL is on the account's "
    "base_url or in hosts=, and that no redirect stands between.",
    43002: "This API wants a POST.",
    43003: "Write https:// in the URL.",
    43004: "The user does not follow this account.",
    44002: "The body is empty; has a file been read already?",
    45009: "This API's calls of today are used up; see the console at mp.weixin.qq.com, or reset them (clear_quota).",
    45011: "Too many calls in this minute; wait for the next.",
    45015: "The user wrote too long ago: WeChat lets an account answer for a limited time.",
    45047: "Too many messages since the user wrote last.",
    47001: "Send JSON, with the non-ASCII characters as they are, in UTF-8.",
    48001: "This account may not use this API; see its permissions at mp.weixin.qq.com.",
    48004: "WeChat has blocked this API for the account; its owner sees why at mp.weixin.qq.com.",
    50002: "The account is limited; its owner sees why at mp.weixin.qq.com.",
}
_REFUSED_AGAIN = (
    "The token was refused. WeChatAuth and with_token renew it and call once more; what you see is the answer to that, "
    "or there was no new token, or no second call was possible. See the log of wxmiddleware."
)

# `… rid: 6aac005a-01bfdbee-79769285`; before about 2020 `… hint: [i50PvA0089sha6]`.
_RID = re.compile(r",?\s*(?:rid:\s*([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|hints?:\s*\[([^\]]{1,64})\])")
# The address that WeChat saw: `invalid ip 116.25.45.231 ipv6 ::ffff:116.25.45.231, not in whitelist …`; on component
# endpoints `… requestIP: 119.3.47.98 rid: …`; of WeCom `…, from ip: 119.3.47.98, more info at …`.
_IP = re.compile(r"(?:invalid ip|requestIP:|from ip:) ([0-9A-Fa-f:.]{2,45}?)[,\s]")
# WeCom ends every text with a link that holds nothing but the errcode.
_LINK = re.compile(r",?\s*more info at https?://\S*")


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """
    What the errcodes of one kind of endpoint mean.

    Attributes:
        said: How a message begins, such as "WeChat gives no token".
        advice: Errcode to what we do, and what a person should do.
    """

    said: str = "WeChat gives no token"
    advice: Mapping[int, tuple[Cause, str]] = field(default_factory=lambda: _ADVICE)


TOKEN_ERRORS = ErrorTable()


def request_id(errmsg: str) -> str | None:
    """Find the id of the request that WeChat appends to its message."""
    found = _RID.search(errmsg)
    return found and (found[1] or found[2])


def api_error_text(errcode: int, errmsg: str) -> str:
    """Say in words what an API's errcode means, and what to do."""
    advice = _REFUSED_AGAIN if errcode in CURABLE else _API_ADVICE.get(errcode, _UNKNOWN[1])
    text, rid = _RID.sub("", errmsg).strip().rstrip("."), request_id(errmsg)
    said = f"WeChat answers errcode {errcode}{f' ({text})' if text else ''}. {advice}"
    return f"{said} Request id (rid): {rid}." if rid else said


def token_endpoint_failure(errcode: int, errmsg: str, table: ErrorTable = TOKEN_ERRORS) -> Failure:
    """Say what a token endpoint's errcode means, and what to do."""
    cause, advice = table.advice.get(errcode, _UNKNOWN)
    seen = _IP.search(f"{errmsg} ")
    advice = advice.format(ip=seen[1] if seen else "this machine's public IP")
    text = _LINK.sub("", _RID.sub("", errmsg)).strip().rstrip(".")
    rid = request_id(errmsg)
    message = f"{table.said}: errcode {errcode}{f' ({text})' if text else ''}. {advice}"
    if rid:
        message += f" Request id (rid): {rid}."
    return Failure(cause, message, errcode=errcode, errmsg=errmsg, rid=rid)
