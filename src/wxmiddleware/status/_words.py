"""What the page says, in both languages, side by side."""

from __future__ import annotations

from typing import Final

from .._runtime.language import Language, Text

TITLE: Final = Text("WeChat tokens", "微信 access_token 状态")
ALL_WELL: Final = Text("{n} of {all} accounts have a token", "{all} 个账号中 {n} 个有可用的 token")
ONE_WELL: Final = Text("The account has a token", "账号有可用的 token")
ONE_ILL: Final = Text("The account has no token", "账号没有可用的 token")
NO_ACCOUNT: Final = Text("No account is shown here", "这里没有账号")
STORE_WELL: Final = Text("the store answers in {ms} ms", "存储响应时间 {ms} 毫秒")
STORES_WELL: Final = Text("all {n} stores answer, the slowest in {ms} ms", "{n} 个存储均正常，最慢 {ms} 毫秒")
STORE_ILL: Final = Text("a store does not answer", "有存储无响应")
OWN_MEMORY: Final = Text("this process shares its tokens with no other", "本进程不与其他进程共享 token")

ACCOUNTS: Final = Text("Accounts", "账号")
STORES: Final = Text("Stores", "存储")
PROCESSES: Final = Text("Processes seen", "见过的进程")
PUSHES: Final = Text("Webhook", "消息推送")
EVENTS: Final = Text("Last events", "最近事件")
MORE: Final = Text("{n} more accounts are not shown.", "另有 {n} 个账号未显示。")

STATES: Final = {
    "empty": Text("no token yet", "尚无 token"),
    "fresh": Text("good", "正常"),
    "ahead": Text("good, being renewed", "正常，即将更新"),
    "expired": Text("ended", "已过期"),
    "rejected": Text("rejected by WeChat", "已被微信拒绝"),
}
ENDS: Final = Text("ends in", "剩余有效期")
RENEWS: Final = Text("renews in", "距下次更新")
GENERATION: Final = Text("generation", "序号")
TODAY: Final = Text("fetches today", "今日获取次数")
FORCED: Final = Text("forced today", "今日强制刷新")
REJECTIONS: Final = Text("refreshes in a row after a rejection", "被拒绝后的连续刷新次数")
REFRESHED_BY: Final = Text("being renewed by", "正在更新的进程")
PAUSE: Final = Text("WeChat is left alone for", "暂停请求微信")
HOST: Final = Text("fetched at", "获取地址")
PICTURE: Final = Text(
    "{n} tokens in the last four hours, {bad} times trouble", "近四小时内 {n} 个 token，异常 {bad} 次"
)
LEGEND: Final = Text(
    "Each bar is one token, the pale part is what is left of it. ▼ red: rejected; ▼ amber: a fetch failed.",
    "每一段代表一个 token，浅色为剩余有效期。红色 ▼：被拒绝；黄色 ▼：获取失败。",
)
THIS_PROCESS: Final = Text("this page is of {name}, {at}", "本页由 {name} 生成，{at}")
SHARED: Final = Text("shared", "共享")
ALONE: Final = Text("this process alone", "仅本进程")
NOTHING_YET: Final = Text("Nothing has happened since this process was started.", "本进程启动以来无事件。")
OTHER_LANGUAGE: Final = Text("中文", "English")


def duration(seconds: float, language: Language) -> str:
    """Say how long something takes, in the two largest units."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    units = ("h", "min", "s") if language is Language.ENGLISH else ("小时", "分", "秒")
    parts = [f"{number} {unit}" for number, unit in zip((hours, minutes, rest), units, strict=True) if number]
    return " ".join(parts[:2]) or f"0 {units[2]}"
