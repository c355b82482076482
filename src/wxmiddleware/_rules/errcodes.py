"""
What an errcode means: what we do about it at a token endpoint, and what a person should do.

Which advice there is stands in `_advice`. At a token endpoint 40001 is a wrong secret; on an API call it is a rejected
token (see `RETRYABLE`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from .advice import Place, Words, advice_at, causes_at, words_at
from .models import Cause, Failure

# A new token cures these, when an API call answers them. Never when a token endpoint does.
RETRYABLE = frozenset({40001, 40014, 42001})
# With these a token endpoint says that the secret is wrong; WeCom with 40001 alone, and of a suite with 40080.
WRONG_SECRET = frozenset({40001, 40080, 40125})

_ADVICE = causes_at(Place.TOKEN)
# What no endpoint gives anything for until a person acts, whether its own table has the code or not.
_EVERYWHERE = frozenset({40013, 40164, 40243, 50002, 50004, 50007, 89501, 89503, 89506, 89507})
# The address that a request came from is not allowed; so say WeChat, its platforms and WeCom.
ADDRESS_REFUSED = frozenset({40164, 61004, 60020})
# An unknown code is remembered like a passing one: it is tried again soon, and does not block for minutes.
_UNKNOWN = (Cause.TRANSIENT, "See WeChat's list of global return codes.")
_UNKNOWN_AT_WECOM = "See WeCom's list of global error codes (全局错误码)."

_API_ADVICE = advice_at(Place.API)
_WECOM_ADVICE = advice_at(Place.WECOM)
WECOM_HOST = "qyapi.weixin.qq.com"

# `… rid: 6aac005a-01bfdbee-79769285`; before about 2020 `… hint: [i50PvA0089sha6]`.
_RID = re.compile(r",?\s*(?:rid:\s*([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|hints?:\s*\[([^\]]{1,64})\])")
# The address that WeChat saw: `invalid ip 116.25.45.231 ipv6 ::ffff:116.25.45.231, not in whitelist …`; on component
# endpoints `… requestIP: 119.3.47.98 rid: …`; of WeCom `…, from ip: 119.3.47.98, more info at …`.
_IP = re.compile(r"(?:invalid ip|requestIP:|from ip:) ([0-9A-Fa-f:.]{2,45}?)[,\s]")
# Where a message of ours says which addresses to allow.
_TO_ALLOW = re.compile(r"\bAdd ([0-9A-Fa-f:.]+(?:, [0-9A-Fa-f:.]+)*) to the ")
_MOST_ADDRESSES = 8
# WeCom ends every text with a link that holds nothing but the errcode.
_LINK = re.compile(r",?\s*more info at https?://\S*")
# `…, hint: [1621497478_50_a3e6…98], from ip: 203.0.113.9, more info at https://open.work.weixin.qq.com/devtool/…`; the
# hint is also seen as one run of digits. Not every API of WeCom appends all three.
_WECOM_TEXT = re.compile(r"https?://open\.work\.weixin\.qq\.com/|\bfrom ip: ?[0-9A-Fa-f]|\bhint: ?\[[0-9]{10}[0-9_]")


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


def is_wecoms(errcode: int, errmsg: str, host: str | None = None) -> bool:
    """
    Tell whether an API's error is one of WeCom's: its host or its text says so, or only WeCom has such a code.

    Args:
        host: Whom the answer came from, if that is known.
    """
    if host == WECOM_HOST or _WECOM_TEXT.search(errmsg):
        return True
    return errcode in _WECOM_ADVICE and errcode not in _API_ADVICE


def api_error_text(errcode: int, errmsg: str, *, wecom: bool = False, because: str | None = None) -> str:
    """
    Say in words what an API's errcode means, and what to do.

    Args:
        wecom: Whether the API is one of WeCom's.
        because: Why there was no newer token in the place of a rejected one.
    """
    advice = (_WECOM_ADVICE if wecom else _API_ADVICE).get(errcode, _UNKNOWN_AT_WECOM if wecom else _UNKNOWN[1])
    if because is not None:
        advice = f"The token was rejected, and there is no new one. {because}"
    else:
        advice = _filled(advice, errmsg)
    text, rid = _LINK.sub("", _RID.sub("", errmsg)).strip().rstrip("."), request_id(errmsg)
    said = f"{'WeCom' if wecom else 'WeChat'} answers errcode {errcode}{f' ({text})' if text else ''}. {advice}"
    return f"{said} Request id ({'hint' if wecom else 'rid'}): {rid}." if rid else said


_UNKNOWN_WORDS = Words(_UNKNOWN[1], "请查微信的全局返回码。")
_OUR_ADDRESS = Words("this machine's public IP", "本机的公网 IP")


def words_on(place: Place, errcode: int, errmsg: str = "") -> Words:
    """
    Say in both languages what to do about an errcode.

    Args:
        place: Where it was answered.
        errmsg: WeChat's text, which may name the address that WeChat saw.
    """
    words = words_at(place, errcode) or (words_at(Place.TOKEN, errcode) if errcode in _EVERYWHERE else None)
    address = address_in(errmsg)
    return Words(
        *(
            text.replace("{ip}", address or ours)
            for text, ours in zip(words or _UNKNOWN_WORDS, _OUR_ADDRESS, strict=True)
        )
    )


def _filled(advice: str, errmsg: str) -> str:
    return advice.replace("{ip}", address_in(errmsg) or _OUR_ADDRESS.en)


def address_in(errmsg: str) -> str | None:
    """The address that WeChat saw, if its text names one."""
    seen = _IP.search(f"{errmsg} ")
    return seen[1] if seen and _is_address(seen[1]) else None


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False


def with_addresses(failure: Failure, *earlier: Failure | None) -> Failure:
    """
    Name all addresses that WeChat has refused lately, where it has refused one: requests may leave by several.

    Args:
        earlier: What was told before.
    """
    told = _TO_ALLOW.search(failure.message)
    if told is None or address_in(failure.errmsg) is None:
        return failure
    found = [address for one in (failure, *earlier) if one is not None for address in _told_addresses(one)]
    all_of_them = ", ".join(list(dict.fromkeys(found))[:_MOST_ADDRESSES])
    return replace(failure, message=failure.message[: told.start(1)] + all_of_them + failure.message[told.end(1) :])


def _told_addresses(failure: Failure) -> list[str]:
    told = _TO_ALLOW.search(failure.message)
    return [each for each in told[1].split(", ") if _is_address(each)] if told else []


def token_endpoint_failure(errcode: int, errmsg: str, table: ErrorTable = TOKEN_ERRORS) -> Failure:
    """Say what a token endpoint's errcode means, and what to do."""
    cause, advice = table.advice.get(errcode) or (_ADVICE[errcode] if errcode in _EVERYWHERE else _UNKNOWN)
    advice = _filled(advice, errmsg)
    text = _LINK.sub("", _RID.sub("", errmsg)).strip().rstrip(".")
    rid = request_id(errmsg)
    message = f"{table.said}: errcode {errcode}{f' ({text})' if text else ''}. {advice}"
    if rid:
        message += f" Request id (rid): {rid}."
    return Failure(cause, message, errcode=errcode, errmsg=errmsg, rid=rid)
