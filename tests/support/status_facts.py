"""Made-up facts for a status page: any number of accounts, in all states, with the oddest of texts."""

from __future__ import annotations

from typing import Any

from wxmiddleware._engine.mirrors import MirrorStatus
from wxmiddleware._engine.token import Status
from wxmiddleware._runtime.language import Text
from wxmiddleware.health import StoreHealth
from wxmiddleware.platform import PlatformStatus, TicketState
from wxmiddleware.pool import PoolStatus
from wxmiddleware.status._facts import AccountFacts, EventFacts, Facts, PlatformFacts, StoreFacts
from wxmiddleware.status._history import Mark
from wxmiddleware.status._words import EVENT_NAMES, OUTCOMES, STATES

NOW = 1_700_000_000.0
LONG = "invalid appsecret, view more at http://t.cn/RAEkdVq, or a longer text of WeChat's " * 9
HTML = '<script>alert("x")</script>&amp;</bdi></li>\'"><img src=x onerror=alert(1)>'
RTL = "\u202egnp.txt\u202c مرحبا שלום \u2066\u200f"
ODD = ["x" * 64, HTML, RTL, "\U0001f480\u0300\ud800\x00", "{n} {}", "%s"]


def account(number: int, state: str = "fresh", **more: Any) -> AccountFacts:
    good = state in ("fresh", "ahead")
    given: dict[str, Any] = {
        "appid": f"wx8a1b2c3d4e5f{number:04d}",
        "app": None,
        "kind": "stable",
        "host": "api.weixin.qq.com",
        "state": state,
        "expires_in": 4321.0 if good else 0.0,
        "renews_in": 0.0 if state == "ahead" else 3721.0 if good else 0.0,
        "since": NOW - 2879,
        "generation": 120 + number,
        "backing_off": None,
        "failure": None,
        "fetches_today": 7,
        "marks": marks(),
    }
    return AccountFacts(**{**given, **more})


def marks() -> list[Mark]:
    return [
        Mark(NOW - 14_000, "token", 1),
        Mark(NOW - 9_000, "rejected", 1),
        Mark(NOW - 8_990, "token", 2),
        Mark(NOW - 3_000, "failed", 2),
        Mark(NOW - 2_879, "token", 3),
    ]


def trouble(number: int, state: str = "empty") -> AccountFacts:
    return account(
        number,
        state,
        backing_off=85.0,
        errcode=40164,
        failure="WeChat gives no token: errcode 40164 (invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in "
        "whitelist). Add 203.0.113.7 to the account's IP allowlist (IP白名单) at mp.weixin.qq.com. Request id (rid): "
        "6aac005a-01bfdbee-79769285.",
        advice=Text(
            "Add 203.0.113.7 to the account's IP allowlist (IP白名单) at mp.weixin.qq.com.",
            "请在 mp.weixin.qq.com 把 203.0.113.7 加入该账号的IP白名单。",
        ),
        rejections=3,
        forced_today=2,
        refreshed_by=("web-1", "4711"),
        mirrors=[MirrorStatus("ArticleTable('wx_token')", "The table is missing there."), MirrorStatus("A key", None)],
    )


def event(name: str, **more: Any) -> EventFacts:
    given: dict[str, Any] = {
        "at": NOW - 200,
        "name": name,
        "appid": "wx8a1b2c3d4e5f0001",
        "kind": "stable",
        "message": f"Something of the kind {name} has happened to the token, and this says so.",
        "errcode": None,
        "rid": None,
    }
    return EventFacts(**{**given, **more})


def facts(accounts: list[AccountFacts], **more: Any) -> Facts:
    states: dict[str, int] = {}
    for each in accounts:
        states[each.state] = states.get(each.state, 0) + 1
    given: dict[str, Any] = {
        "now": NOW,
        "process": ("web-1", "4242"),
        "states": states,
        "accounts": accounts,
        "stores": [StoreFacts(StoreHealth("RedisStore redis://redis.example:6379/0", True, True, 0.00043), None)],
        "stores_left_out": 0,
        "platforms": [],
        "pools": [],
        "processes": {("web-1", "4242"): NOW, ("web-2", "77"): NOW - 4000},
        "pushes": {},
        "pushed_at": None,
        "events": [],
    }
    return Facts(**{**given, **more})


def everything() -> Facts:
    """All states, all events, all outcomes, and texts that no page was made for."""
    token = Status("wxplatform00000001", "component", "h", "fresh", 1.0, 1.0, 1.0, 1, None, None, 0, 0)
    odd = [account(90 + n, appid=text, failure=text, host=text, kind=text) for n, text in enumerate([*ODD, LONG])]
    down = StoreHealth("SQLStore mysql+pymysql://db.example/app", True, False, 3.2)
    return facts(
        [*(trouble(n, state) for n, state in enumerate(STATES)), *map(account, range(20, 22)), *odd],
        stores=[
            StoreFacts(StoreHealth("MemoryStore", False, True, 0.00001), None),
            StoreFacts(down, Text(f"It failed. {LONG}", f"出错。{LONG}")),
        ],
        stores_left_out=3,
        platforms=[
            PlatformFacts(f"wxplatform{n}", PlatformStatus(token, t, 99.0, 3.0)) for n, t in enumerate(TicketState)
        ],
        pools=[PoolStatus(10_000, 20_000, {"fresh": 9_990, "empty": 10}, 10, 2)],
        pushes=dict.fromkeys(OUTCOMES, 3),
        pushed_at=NOW - 61,
        events=[*map(event, EVENT_NAMES), *(event("kept", message=text, appid=text) for text in [*ODD, LONG])],
    )
