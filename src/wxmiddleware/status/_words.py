"""What the page says, in both languages, side by side."""

from __future__ import annotations

from typing import Final

from .._engine.events import EventType
from .._runtime.language import Language, Text

TITLE: Final = Text("WeChat tokens", "微信 access_token 状态")
ALL_WELL: Final = Text("{n} of {all} accounts have a token", "{all} 个账号中 {n} 个有可用的 token")
ONE_WELL: Final = Text("The account has a token", "账号有可用的 token")
ONE_ILL: Final = Text("The account has no token", "账号没有可用的 token")
NO_ACCOUNT: Final = Text("No account is shown here", "这里没有账号")
UNWELL: Final = Text("{n} of them with trouble", "其中 {n} 个有异常")
STORE_WELL: Final = Text("the store answers in {ms} ms", "存储响应时间 {ms} 毫秒")
STORES_WELL: Final = Text("all {n} stores answer, the slowest in {ms} ms", "{n} 个存储均正常，最慢 {ms} 毫秒")
STORE_ILL: Final = Text("a store does not answer", "有存储无响应")
OWN_MEMORY: Final = Text("this process shares its tokens with no other", "本进程不与其他进程共享 token")

ACCOUNTS: Final = Text("Accounts", "账号")
POOLS: Final = Text("Pools", "账号池")
PLATFORMS: Final = Text("Third-party platforms and suites", "第三方平台与服务商应用")
STORES: Final = Text("Stores", "存储")
PROCESSES: Final = Text("Processes seen", "见过的进程")
PUSHES: Final = Text("Webhook", "消息推送")
EVENTS: Final = Text("Last events", "最近事件")
MORE: Final = Text("{n} more accounts are not shown: {states}.", "另有 {n} 个账号未显示（全部：{states}）。")
MORE_STORES: Final = Text("{n} more stores were not asked.", "另有 {n} 个存储未检查。")

STATES: Final = {
    "empty": Text("no token yet", "尚无 token"),
    "fresh": Text("good", "正常"),
    "ahead": Text("good, renewal due", "正常，即将更新"),
    "expired": Text("expired", "已过期"),
    "rejected": Text("rejected by WeChat", "已被微信拒绝"),
}
TICKETS: Final = {
    "good": Text("good", "正常"),
    "late": Text("late: WeChat's pushes do not arrive", "迟到：没有收到微信的推送"),
    "over": Text("over: it is older than 12 hours", "已失效：超过 12 小时"),
    "missing": Text("none has arrived yet", "尚未收到"),
    "unknown": Text("not known: the store does not answer", "未知：存储无响应"),
}
EVENT_NAMES: Final = {
    EventType.FETCH_BEGUN: Text("fetch begun", "开始获取"),
    EventType.FETCH_DONE: Text("new token", "获取成功"),
    EventType.FETCH_FAILED: Text("fetch failed", "获取失败"),
    EventType.ADOPTED: Text("token of another process", "采用了其他进程的 token"),
    EventType.REJECTED: Text("token rejected", "token 被拒"),
    EventType.KEPT: Text("rejected, but kept", "触发限流，token 继续使用"),
    EventType.HEALED: Text("call healed", "重试成功"),
    EventType.NOT_HEALED: Text("call not healed", "重试无效"),
    EventType.BACKING_OFF: Text("WeChat left alone", "进入退避"),
    EventType.OTHER_SYSTEM: Text("another system fetches", "另有系统在刷新"),
    EventType.OWNER_LATE: Text("the owner is late", "刷新方未按时刷新"),
    EventType.STORE_FAILED: Text("store down", "存储故障"),
    EventType.STORE_BACK: Text("store back", "存储恢复"),
    EventType.STORE_LAGS: Text("store lags", "存储读写不一致"),
    EventType.MIRROR_FAILED: Text("mirror down", "镜像写入失败"),
    EventType.MIRROR_BACK: Text("mirror back", "镜像恢复"),
}
TROUBLE: Final = frozenset(
    {
        EventType.FETCH_FAILED,
        EventType.REJECTED,
        EventType.KEPT,
        EventType.NOT_HEALED,
        EventType.BACKING_OFF,
        EventType.OTHER_SYSTEM,
        EventType.OWNER_LATE,
        EventType.STORE_FAILED,
        EventType.STORE_LAGS,
        EventType.MIRROR_FAILED,
    }
)
OUTCOMES: Final = {
    "answered": Text("answered in time", "及时应答"),
    "late": Text("answered before the handler had ended", "先应答，后处理完"),
    "repeated": Text("repeated by WeChat", "微信重发"),
    "verified": Text("URL verified", "验证 URL"),
    "refused": Text("refused: not WeChat's", "已拒绝：不是微信的请求"),
    "unreadable": Text("unreadable", "无法解析"),
    "busy": Text("busy, WeChat repeats it", "繁忙，等微信重发"),
    "failed": Text("handler failed", "处理出错"),
}
ENDS: Final = Text("ends in", "剩余有效期")
RENEWS: Final = Text("renews in", "距下次更新")
RENEWS_NOW: Final = Text("with the next call", "下次调用时")
GENERATION: Final = Text("generation", "版本号")
TODAY: Final = Text("fetches today", "今日获取次数")
FORCED: Final = Text("forced today", "今日强制刷新")
REJECTIONS: Final = Text("refreshes in vain after a rejection", "被拒后刷新仍无效的次数")
REFRESHED_BY: Final = Text("being renewed by", "正在更新的进程")
PAUSE: Final = Text("No request is sent to WeChat for {time}.", "{time}内不再请求微信。")
HOST: Final = Text("fetched at", "获取地址")
MIRROR: Final = Text("mirror", "镜像")
TICKET: Final = Text("the pushed ticket", "推送的 ticket")
TICKET_AGE: Final = Text("pushed", "推送时间")
TICKET_ENDS: Final = Text("good for", "剩余有效期")
POOL: Final = Text(
    "{count} accounts at hand, {maxsize} at most: {states}. Back-off: {off}. Being made: {made}.",
    "已加载 {count} 个账号（上限 {maxsize}）：{states}。退避中：{off}。创建中：{made}。",
)
NO_PUSH: Final = Text("No push has come since this process was started.", "本进程启动以来没有收到推送。")
LAST_PUSH: Final = Text("the last", "最近一次")
PICTURE: Final = Text(
    "{n} tokens in the last four hours, {bad} times trouble", "近四小时内 {n} 个 token，异常 {bad} 次"
)
NOW: Final = Text("now", "现在")
HOURS: Final = Text("{n} h", "{n} 小时")
LEGEND: Final = Text(
    "Each bar is one token; the pale part is what is left of it, and the striped end the time in which it is renewed. "
    "Red marks above: an API rejected it. Amber marks below: a fetch failed.",
    "每一段代表一个 token，浅色是剩余有效期，末尾的斜纹是更新时段。"
    "上方红色标记：接口拒绝了 token；下方黄色标记：获取失败。",
)
ONE_OF_MANY: Final = Text(
    "This page was made by {name}, and comes anew every {seconds} s, perhaps from another worker. The same in all that "
    "share a store: token, fetches today, pause, who renews. Of this process alone: pictures, events, webhook.",
    "本页由 {name} 生成，每 {seconds} 秒自动刷新，下次可能由另一个 worker 生成。共享存储的进程看到的相同：token、"
    "今日获取次数、退避、由谁更新。只属于本进程的：图、事件、消息推送。",
)
PROCESS: Final = Text("process {pid} on {host}", "{host} 上的进程 {pid}")
SHARED: Final = Text("shared", "共享")
ALONE: Final = Text("this process alone", "仅本进程")
NOT_ANSWERING: Final = Text("does not answer", "无响应")
NOTHING_YET: Final = Text("Nothing has happened since this process was started.", "本进程启动以来无事件。")
OTHER_LANGUAGE: Final = Text("中文", "English")
_AGO: Final = Text("{time} ago", "{time}前")
_JUST_NOW: Final = Text("just now", "刚刚")
_UNITS: Final = (("d", " 天"), ("h", " 小时"), ("min", " 分钟"), ("s", " 秒"))


def duration(seconds: float, language: Language) -> str:
    """Say how long something takes, in the two largest units."""
    whole, chinese = max(0, int(seconds)), language is Language.CHINESE
    numbers = (whole // 86400, whole % 86400 // 3600, whole % 3600 // 60, whole % 60)
    units = [zh if chinese else f" {en}" for en, zh in _UNITS]
    first = next((place for place, number in enumerate(numbers) if number), 3)
    parts = [f"{number}{unit}" for number, unit in zip(numbers, units, strict=True)][first : first + 2]
    return " ".join(part for part in parts[:1] + [each for each in parts[1:] if not each.startswith("0")])


def ago(seconds: float, language: Language) -> str:
    """Say how long ago something was, in its largest unit."""
    if seconds < 1:
        return _JUST_NOW.say(language)
    largest = next(size for size in (86400, 3600, 60, 1) if seconds >= size)
    return _AGO.say(language, time=duration(seconds // largest * largest, language))


def both(text: Text, language: Language) -> str:
    """Give a text that may have braces of others in it."""
    return text.zh if language is Language.CHINESE else text.en
