"""The words of a token's status for people, in both languages side by side. JSON keeps the English names."""

from __future__ import annotations

from typing import Final

from .._rules.advice import Place
from .._rules.errcodes import words_on
from .._runtime.language import Language, Text

__all__ = ["CAUSES", "LABELS", "SAID", "STATES", "reason"]

# What a row is called.
LABELS: Final = {
    "app": Text("app", "应用"),
    "appid": Text("appid", "AppID"),
    "back-off": Text("back-off", "退避"),
    "being renewed": Text("being renewed", "正在刷新"),
    "cause": Text("cause", "原因"),
    "ends in": Text("ends in", "剩余有效期"),
    "errcode": Text("errcode", "错误码"),
    "fetched": Text("fetched", "获取时间"),
    "fetches today": Text("fetches today", "今日获取"),
    "forced today": Text("forced today", "今日强制刷新"),
    "generation": Text("generation", "版本号"),
    "host": Text("host", "接口域名"),
    "kind": Text("kind", "类型"),
    "realm": Text("realm", "微信环境"),
    "reason": Text("reason", "说明"),
    "rejected": Text("rejected", "被拒"),
    "renews in": Text("renews in", "距主动刷新"),
    "state": Text("state", "状态"),
    "WeChat's text": Text("WeChat's text", "微信返回"),
}

# The states of a token: docs/glossary.md has them, too.
STATES: Final = {
    "empty": Text("empty", "没有 token"),
    "fresh": Text("fresh", "有效"),
    "ahead": Text("ahead", "有效，待刷新"),
    "expired": Text("expired", "已过期"),
    "rejected": Text("rejected", "被拒"),
    "unreadable": Text("unreadable", "读不了"),
}

# The kinds of failure.
CAUSES: Final = {
    "transient": Text("transient", "暂时性"),
    "ambiguous": Text("ambiguous", "结果不明"),
    "permanent": Text("permanent", "需人工处理"),
    "quota": Text("quota", "额度用尽"),
}

SAID: Final = {
    "seconds": Text("{seconds:.0f} s", "{seconds:.0f} 秒"),
    "ago": Text("{at}, {seconds:.0f} s ago", "{at}，{seconds:.0f} 秒前"),
    "lease": Text("by {owner}, for {seconds:.0f} s at most", "{owner}，最多还有 {seconds:.0f} 秒"),
    "lease of one that has ended": Text("by {owner}, which has ended", "{owner}，该进程已结束"),
    "back-off": Text("{seconds:.0f} s: no request is sent to WeChat", "{seconds:.0f} 秒内不向微信发请求"),
    "streak": Text("{cause}, {count} in a row", "{cause}，连续 {count} 次"),
    "in a row": Text("{count} in a row", "连续 {count} 次"),
    "of": Text("{count} of {most}", "{count} 次，最多 {most} 次"),
    "there is one": Text(
        "There is a token, for {seconds:.0f} s; the other processes take it from the store.",
        "已拿到 token，还有 {seconds:.0f} 秒有效；其他进程会从存储里取用。",
    ),
}


def reason(language: Language, message: str, errcode: int | None, errmsg: str, *, wecom: bool) -> str:
    """
    Say why there is no token: as the error does, or in Chinese what to do about WeChat's errcode.

    Args:
        message: The error's text.
        errcode: WeChat's; without one there is only the text.
        errmsg: WeChat's text.
        wecom: Whether it was WeCom's token endpoint.
    """
    if language is Language.ENGLISH or errcode is None:
        return message
    return f"errcode {errcode}：{words_on(Place.WECOM_TOKEN if wecom else Place.TOKEN, errcode, errmsg).zh}"
