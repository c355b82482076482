"""WeChat's error texts, as they stand on the wire."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

Json = dict[str, Any]

OK: Json = {"errcode": 0, "errmsg": "ok"}
REJECTED = frozenset({40001, 40014, 42001})

# Texts of docs/wechat.md#errcodes-of-accounts, without the rid. "U" marks those whose wire text nobody has recorded;
# they are the page's words or the ones older SDKs list.
TEXTS: dict[int, str] = {
    -1000: "system error",
    -1: "system error",
    40001: (
        "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, "
        "more details at https://mmbizurl.cn/s/JtxxFh33r"
    ),
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40007: "invalid media_id",
    40008: "invalid message type",
    40009: "invalid image size",
    40013: "invalid appid",
    40014: "invalid access_token",
    40016: "invalid button size",
    40018: "invalid button name size",
    40029: "invalid code",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail!",
    40037: "invalid template_id",
    40066: "invalid url",
    40097: "invalid args",
    40125: "invalid appsecret",
    40164: "invalid ip {ip} ipv6 {ipv6}, not in whitelist",
    40201: "no callback url",  # U
    40202: "invalid action",  # U
    40203: "invalid check_operator",  # U
    40243: "AppSecret is frozen",  # U: the page's words
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41005: "media data missing",
    41018: "missing component_appid",
    41030: "invalid page",
    42001: "access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    43003: "require https",
    43004: "require subscribe",
    44001: "empty media data",
    44002: "empty post data",
    44003: "empty news data",
    44004: "empty content",
    45002: "content size out of limit",
    45008: "article size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit  mustslower  retry next minute",
    45015: "response out of time limit or subscription is canceled",  # U
    45047: "out of response count limit",  # U
    46003: "menu no exist",  # U
    47001: "data format error",
    47003: "argument invalid!",
    48001: "api unauthorized",
    48004: "api forbidden for irregularities, view detail on mp.weixin.qq.com",
    48006: "forbid to clear quota because of reaching the limit",
    50002: "user limited",
    50004: "user not allow to use accesstoken, maybe for punishment",
    50007: "account frozen",  # U: the page's words
    61003: "component is not authorized by this account",  # U
    61004: "access clientip is not registered requestIP: {ip}",
    61005: "component ticket is expired",
    61006: "component ticket is invalid",
    61007: "api is unauthorized to component",
    61010: "code is expired",  # U
    61011: "invalid component",
    61023: "refresh_token is invalid",
    76001: "rid not found",
    76002: "rid is error",
    76003: "could not query this rid,no permission",
    76004: "rid time is error",
    76021: "cgi_path not found, please check",
    76022: "could not use this cgi_path，no permission",
    89501: "waiting for the administrator to confirm this ip",  # U
    89503: "this ip needs to be confirmed by the administrator",  # U
    89506: "the administrator refused this ip twice, blocked for 24 hours",  # U
    89507: "the administrator refused this ip, blocked for 1 hour",  # U
}


def rid(now: float) -> str:
    """Make a request id: three 8-digit hex groups, the first of them the time."""
    return f"{int(now) & 0xFFFFFFFF:08x}-{random.getrandbits(32):08x}-{random.getrandbits(32):08x}"


def error(errcode: int, now: float, *, ip: str = "127.0.0.1", errmsg: str | None = None, detail: str = "") -> Json:
    """
    Give WeChat's JSON for an errcode.

    Args:
        errcode: WeChat's code.
        now: Simulated Unix seconds, for the rid.
        ip: The caller's address; 40164 and 61004 name it.
        errmsg: The exact text instead of the table's, without any rid added.
        detail: Put between the table's text and the rid.
    """
    if errmsg is not None:
        return {"errcode": errcode, "errmsg": errmsg}
    words = TEXTS.get(errcode, "system error").format(ip=ip, ipv6=_ipv6(ip)) if errcode in (40164, 61004) else None
    if words is None:
        words = TEXTS.get(errcode, "system error")
    return {"errcode": errcode, "errmsg": f"{words}{' ' + detail if detail else ''} rid: {rid(now)}"}


def _ipv6(ip: str) -> str:
    try:
        return ip if ipaddress.ip_address(ip).version == 6 else f"::ffff:{ip}"
    except ValueError:
        return f"::ffff:{ip}"
