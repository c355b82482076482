"""
WeCom's ``message/send``: what an app may send, to whom, and how often.

Facts: docs/wechat.md#messages-of-wecom-apps.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ._apis import Call
from ._errors import OK, Json
from ._rules import Tally

if TYPE_CHECKING:
    from ._wecom import SimulatedApp

_TEXT_LIMIT = 2048  # bytes
_ARTICLES = 8
_MOST = {"touser": 1000, "toparty": 100, "totag": 100}
_A_MINUTE, _AN_HOUR = 30, 1000  # messages of an app to one member
_MEDIA = ("image", "voice", "video", "file")
_KINDS = (
    "text",
    *_MEDIA,
    "textcard",
    "news",
    "mpnews",
    "markdown",
    "miniprogram_notice",
    "template_card",
    "template_msg",
)


def send(call: Call, app: SimulatedApp) -> Json | int:
    """Take a message, or give the errcode that it deserves."""
    body = call.posted()
    if isinstance(body, int):
        return body
    if body.get("agentid") != app.agentid:
        return 301002
    wrong = _content_fault(body) or _receiver_fault(body)
    if wrong:
        return wrong
    users = _listed(body, "touser")
    missed = [] if app.members is None else [who for who in users if who != "@all" and who not in app.members]
    reached = [who for who in users if who not in missed]
    elsewhere = _listed(body, "toparty") + _listed(body, "totag")
    if not reached and not elsewhere:
        return 81013
    got = _got(app, reached, call.wechat.clock())
    if got or elsewhere:
        call.wechat._desk.take_message(app._account, "app", _cut(body), touser="|".join(got))
    return {**OK, "invaliduser": "|".join(missed).lower(), "msgid": secrets.token_urlsafe(24)}


def _content_fault(body: Json) -> int:
    kind = body.get("msgtype")
    if kind not in _KINDS:
        return 40008
    content = body.get(kind)
    if not isinstance(content, dict) or not content:
        return 44004
    if kind in ("text", "markdown"):
        said = content.get("content")
        if not isinstance(said, str) or not said:
            return 44004
        return 45002 if kind == "markdown" and len(said.encode("utf-8", "replace")) > _TEXT_LIMIT else 0
    if kind in _MEDIA:
        return 0 if content.get("media_id") else 40007
    if kind == "news":
        articles = content.get("articles")
        if not isinstance(articles, list) or not all(isinstance(one, dict) and one.get("title") for one in articles):
            return 40058
        return 0 if 1 <= len(articles) <= _ARTICLES else 45008
    return 0


def _receiver_fault(body: Json) -> int:
    receivers = {name: _listed(body, name) for name in _MOST}
    if not any(receivers.values()):
        return 82001
    return 40058 if any(len(receivers[name]) > most for name, most in _MOST.items()) else 0


def _listed(body: Json, name: str) -> list[str]:
    return [word.strip() for word in str(body.get(name) or "").split("|") if word.strip()]


def _cut(body: Json) -> Json:
    """What a member sees: of a text that is too long only its beginning."""
    if body["msgtype"] != "text":
        return body
    seen = body["text"]["content"].encode("utf-8", "replace")[:_TEXT_LIMIT].decode(errors="ignore")
    return {**body, "text": {**body["text"], "content": seen}}


def _got(app: SimulatedApp, users: list[str], now: float) -> list[str]:
    """Who gets it: nobody more than so many a minute and an hour. The rest is dropped, and the app is not told."""
    got = []
    for user in users:
        minute, hour = app._sent_to.setdefault(user, (Tally(), Tally()))
        if minute.in_period(int(now // 60)).used < _A_MINUTE and hour.in_period(int(now // 3600)).used < _AN_HOUR:
            minute.used += 1
            hour.used += 1
            got.append(user)
    return got
