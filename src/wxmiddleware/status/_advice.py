"""What to do about a failure, in both languages: by WeChat's errcode, or else by the kind of failure."""

from __future__ import annotations

from typing import Final

from .._rules.advice import Place
from .._rules.errcodes import words_on
from .._rules.models import Cause
from .._runtime.language import Text

_PLACES: Final = {
    "stable": Place.TOKEN,
    "classic": Place.TOKEN,
    "component": Place.PLATFORM,
    "authorizer": Place.AUTHORIZER,
    "jsapi_ticket": Place.TICKET,
    "wx_card_ticket": Place.TICKET,
    "agent_ticket": Place.TICKET,
    "wecom": Place.WECOM_TOKEN,
    "provider": Place.WECOM_TOKEN,
    "suite": Place.SUITE,
    "corp": Place.SUITE,
}
_CAUSES: Final = {
    Cause.TRANSIENT: Text(
        "WeChat could not be asked. It is tried again by itself; if it lasts, check the network, DNS and proxy.",
        "暂时无法请求微信，会自动重试；如果持续失败，请检查网络、DNS 和代理。",
    ),
    Cause.AMBIGUOUS: Text(
        "WeChat's answer was lost. It is tried again by itself; if it lasts, check the network and proxy.",
        "没有收到微信的应答，会自动重试；如果持续失败，请检查网络和代理。",
    ),
    Cause.PERMANENT: Text("Somebody has to act; the message says how.", "需要人工处理，请看下面的原文。"),
    Cause.QUOTA: Text(
        "The day's requests are used up. See who else fetches.", "今日次数已用完，请查一查还有谁在获取。"
    ),
}

# Where this process only follows.
OWNER_LATE: Final = Text(
    "See whether the service that renews this token runs, and whether the store answers.",
    "本进程只读取、不刷新：请检查负责刷新的服务是否在运行、存储是否正常。",
)


def advice_on(kind: str, cause: Cause, errcode: int | None, errmsg: str = "") -> Text:
    """
    Say what to do.

    Args:
        kind: The kind of token.
        cause: The kind of failure.
        errcode: WeChat's error code, if that is why.
        errmsg: WeChat's text, which may name the address that it does not allow.
    """
    place = _PLACES.get(kind)
    if place is None or errcode is None:
        return _CAUSES[cause]
    return Text(*words_on(place, errcode, errmsg))
