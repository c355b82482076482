"""What the demo tells people, in both languages side by side. What goes wrong with it is English, as all errors are."""

from __future__ import annotations

from wxmiddleware._runtime.language import Text, columns, language


def say(text: Text, **fields: object) -> str:
    """Give a text in the language that the user reads, with its fields filled in."""
    return text.say(language(), **fields)


def times(number: int) -> str:
    """Say how often."""
    return say({1: _ONCE, 2: _TWICE}.get(number, _TIMES), number=number)


def fetches(number: int) -> str:
    """Say how many fetches."""
    return say(_FETCH if number == 1 else _FETCHES, number=number)


def padded(text: str, width: int) -> str:
    """Fill a text up with spaces to so many columns of a terminal."""
    return text + " " * (width - columns(text))


_ONCE = Text("once", " 1 次")
_TWICE = Text("twice", " 2 次")
_TIMES = Text("{number} times", " {number} 次")
_FETCH = Text("{number} fetch", "共获取 {number} 次")
_FETCHES = Text("{number} fetches", "共获取 {number} 次")

# Before the story and after it.
STARTING = Text(
    "Starting a WeChat on this machine, Flask under gunicorn ({workers} workers), Starlette under uvicorn.",
    "正在本机启动模拟微信、gunicorn 上的 Flask（{workers} 个 worker）、uvicorn 上的 Starlette。",
)
SHARED = Text("They share {store}.", "它们共享 {store}。")
USER_SAW = Text("A user saw: {wrong}", "有用户看到了错误：{wrong}")
LOGS = Text("What the servers wrote is in {directory}.", "各服务的日志在 {directory}")
DICT = Text("A dict", "用 dict")
DICT_TITLE = Text("for comparison", "作对比")
WORKERS = Text("gunicorn, {workers} workers", "gunicorn，{workers} 个 worker")

# The acts.
COLD = Text(
    "{processes} processes start, and share a store. One asks for a token, the others take it from there.",
    "{processes} 个进程启动，共享一个存储。一个进程获取 token，其他进程从存储里取用。",
)
OLD_AGE = Text(
    "The token grows old. One process renews it ahead of its end, for all; no request waits for WeChat.",
    "token 快到期了。一个进程替大家提前刷新，没有请求需要等微信。",
)
THEFT = Text(
    "Another service forces a new token. The one in use is dead from this moment.",
    "另一个系统强制刷新了 token，正在使用的 token 立即失效。",
)
MEANWHILE = Text(
    "{met} processes met a rejection and asked for a token {times} in all; "
    "{healed} calls were repeated and accepted. The dict trusts its clock.",
    "{met} 个进程遇到 token 被拒，一共只获取了{times}；{healed} 次调用重试成功。用 dict 的那位只看时间，毫不知情。",
)
OUTAGE = Text(
    "WeChat's token endpoint goes down (502), just when the token must be renewed.",
    "微信获取 token 的接口出现故障（502），而 token 正该刷新了。",
)
OUTAGE_ENDS = Text(
    "It is up again. The old token served all the while, and WeChat was asked {times}.",
    "接口恢复了。故障期间一直在用旧 token，只请求了微信{times}。",
)
CALM = Text(
    "Everybody has the new token. Errors seen by the users of both apps: {errors}.",
    "所有进程都有了新 token。两个应用的用户看到的错误：{errors} 个。",
)

# What the processes tell.
REJECTED = Text("is rejected: errcode 40001", "token 被拒：errcode 40001")
HAS_NEW = Text("has the new token {after} later and repeats the call", "{after} 后拿到新 token，重试这次调用")
HAS_FIRST = Text("has its first token after {after}", "{after} 后拿到第一个 token")
HAS_RENEWED = Text(
    "has renewed its token ahead of the end ({after} in the background)", "已在到期之前刷新 token（后台用时 {after}）"
)
HAS_LATE = Text("has a new token after {after}; the old one was over", "{after} 后拿到新 token；旧的已过期")
ADOPTED = Text("has the token that another process fetched, from the store", "从存储里取到了其他进程获取的 token")
CANNOT = Text(
    "cannot renew the token, goes on with it, and lets the others know", "刷新失败，继续用旧 token，并告知其他进程"
)

# What must have come of it.
USERS = Text(
    "{done} requests of users, {errors} errors; the slowest answer took {slowest} ms.",
    "用户请求 {done} 次，出错 {errors} 次；最慢的一次用时 {slowest} ms。",
)
HEALED = Text(
    "The theft met {met} of {processes} processes: WeChat rejected {rejections} calls, {healed} were healed, with "
    "{fetches} for all.",
    "token 被顶掉后，{processes} 个进程中有 {met} 个遇到拒绝：微信拒绝了 {rejections} 次调用，{healed} 次重试成功，"
    "{fetches}。",
)
GIVEN = Text(
    "WeChat gave the {processes} processes a token {times}; {right} times is right: start, old age, theft, after the "
    "outage.",
    "微信一共给了这 {processes} 个进程{times} token；应为 {right} 次：启动、到期前、被顶掉之后、故障之后。",
)
ASKED = Text(
    "In the outage they asked {times} in all; once or twice is right.", "故障期间一共请求了{times}；应为 1 到 2 次。"
)
MADE = Text(
    "It made {minted} tokens for all processes together, and {stolen} for the other service.",
    "微信为全部进程一共生成了 {minted} 个 token，为另一个系统生成了 {stolen} 个。",
)
COMPARISON = Text(
    "For comparison, robbed in the same moment: a token kept in a dict until its time is over. "
    "{errors} of {total} calls failed.",
    "作为对比：同一时刻也被顶掉 token、但把它存在 dict 里用到过期的做法，{total} 次调用中失败了 {errors} 次。",
)

# What is written on the screen.
MARK_OLD_AGE = Text("old age", "到期前")
MARK_THEFT = Text("theft", "被顶掉")
MARK_OUTAGE = Text("outage", "故障")
ERRORS_OF = Text("{errors} errors", "{errors} 个错误")
COUNT = Text("{name} {done} ok, {errors} errors", "{name} 成功 {done} 次、出错 {errors} 次")
CLOCK = Text("{now} of {end} s", "{now} / {end} 秒")
TITLE = Text("wxmiddleware demo", "wxmiddleware 演示")
CAME = Text("What came of it", "结果")
SEEN = Text("What users see", "用户看到的")
TOKEN = Text("The token", "token")
HAPPENS = Text("What happens", "经过")
REQUESTS_HEAD = Text("requests", "请求")
HEALED_HEAD = Text("healed", "重试成功")
ERRORS_HEAD = Text("errors", "错误")
NEVER = Text("never", "从不")
DOWN = Text("the token endpoint answers 502", "获取 token 的接口返回 502")
UP = Text("WeChat answers", "微信正常")
FETCHED = Text("{answered} fetches, {failed} failed", "获取 {answered} 次，失败 {failed} 次")
NONE_YET = Text("none yet", "还没有")
NUMBER = Text("number {number}, {whose}", "第 {number} 个，{whose}")
OTHERS = Text("another service's", "由另一个系统获取")
OURS = Text("asked for by an app", "由应用获取")
LEFT = Text("{left} s left", "剩余 {left} 秒")
