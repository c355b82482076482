"""What an app of WeCom sends by itself: kinds, receivers, long texts, and a token that was rejected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest

from wxmiddleware import Account, TokenProvider, WeComAccount
from wxmiddleware.exceptions import APIError, ConfigurationError
from wxmiddleware.simulator import SimulatedApp, SimulatorServer, WeChat
from wxmiddleware.sources import AgentTicket
from wxmiddleware.webhook import (
    AppMessages,
    Article,
    Delivery,
    ImageReply,
    Message,
    MusicReply,
    NewsReply,
    RawReply,
    TextReply,
    TransferReply,
    VideoReply,
    asend_reply,
    send_reply,
)
from wxmiddleware.webhook._limits import TEXT

from .conftest import MakeSite
from .test_late import STORY, until
from .wechat import Pusher, text

CORP, SECRET = "ww0000000000000001", "x" * 43
SEND = "/cgi-bin/message/send"
CARD = {"card_type": "text_notice", "main_title": {"title": "Deployed"}}


@pytest.fixture
def app(wechat: WeChat) -> SimulatedApp:
    return wechat.add_app(CORP, SECRET, agentid=7)


@pytest.fixture
def provider(app: SimulatedApp, wechat_server: SimulatorServer) -> Iterator[TokenProvider]:
    with TokenProvider(WeComAccount(CORP, SECRET, agentid="7", base_url=wechat_server.url)) as made:
        yield made


@pytest.fixture
def messages(provider: TokenProvider) -> AppMessages:
    return AppMessages(provider)


def said(wechat: WeChat) -> list[str | None]:
    return [one.text for one in wechat.sent]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("hi", {"msgtype": "text", "text": {"content": "hi"}}),
        (TextReply("hi"), {"msgtype": "text", "text": {"content": "hi"}}),
        (ImageReply("m"), {"msgtype": "image", "image": {"media_id": "m"}}),
        (VideoReply("m", thumb_media_id="p"), {"msgtype": "video", "video": {"media_id": "m"}}),
        (NewsReply([Article("a")] * 9), {"msgtype": "news", "news": {"articles": [{"title": "a"}] * 8}}),
        *(
            (body, body)
            for body in (
                {"msgtype": "markdown", "markdown": {"content": "**red**"}},
                {"msgtype": "template_card", "template_card": CARD, "enable_duplicate_check": 1},
                {"msgtype": "file", "file": {"media_id": "m"}, "safe": 1},
            )
        ),
    ],
)
def test_kinds(messages: AppMessages, wechat: WeChat, message: Any, expected: dict[str, Any]) -> None:
    """A text, a reply, or a body of WeCom's own goes out as the app's."""
    delivery = messages.send(message, users="ada")

    assert [{"touser": "ada", "agentid": 7, **expected}] == [one.body for one in wechat.sent]
    assert (1, Delivery(delivery.msgids)) == (len(delivery.msgids), delivery)


@pytest.mark.parametrize("reply", [MusicReply("p"), TransferReply(), RawReply("x")])
def test_not_at_wecom(messages: AppMessages, wechat: WeChat, reply: Any) -> None:
    """What WeCom has no kind for is an error before anything is sent."""
    with pytest.raises(APIError, match=f"cannot send a {type(reply).__name__}"):
        messages.send(reply, users="ada")
    assert 0 == wechat.calls(SEND)


@pytest.mark.parametrize(
    ("receivers", "expected"),
    [
        ({"users": ["ada", "bob"]}, {"touser": "ada|bob"}),
        ({"users": "@all"}, {"touser": "@all"}),
        ({"parties": [1, "2"], "tags": [3]}, {"toparty": "1|2", "totag": "3"}),
        ({"users": map(str, range(1000))}, {"touser": "|".join(map(str, range(1000)))}),
    ],
)
def test_receivers(messages: AppMessages, wechat: WeChat, receivers: Any, expected: dict[str, str]) -> None:
    """Members, departments and tags; only those that were named."""
    messages.send("hi", **receivers)
    (sent,) = wechat.sent

    assert expected == {name: sent.body[name] for name in ("touser", "toparty", "totag") if name in sent.body}


@pytest.mark.parametrize(
    ("message", "receivers", "advice"),
    [
        ("hi", {}, "users=, parties= or tags="),
        ("hi", {"users": map(str, range(1001))}, "takes 1000 at once"),
        ("hi", {"tags": range(101)}, "takes 100 at once"),
        ("hi", {"users": "ada|bob"}, r"has \| in it"),
        ("hi", {"users": [""]}, "none of them is empty"),
        (" ", {"users": "ada"}, "no content"),
        ({"msgtype": "markdown", "markdown": {}}, {"users": "ada"}, "no content"),
        ({"msgtype": "markdown", "markdown": {"content": "你" * 683}}, {"users": "ada"}, "2048 bytes of markdown"),
        ({"msgtype": "markdown", "text": {"content": "x"}}, {"users": "ada"}, '"msgtype": "markdown"'),
        ({"msgtype": "file", "file": {"media_id": "m"}, "touser": "ada"}, {"users": "ada"}, "leave it out"),
        (7, {"users": "ada"}, "is a str, a reply, or a body"),
    ],
)
def test_mistakes(messages: AppMessages, wechat: WeChat, message: Any, receivers: Any, advice: str) -> None:
    """What WeCom would not take, or cut, is told before anything is sent."""
    with pytest.raises(ConfigurationError, match=advice):
        messages.send(message, **receivers)
    assert 0 == wechat.calls(SEND)


@pytest.mark.parametrize("as_body", [False, True])
def test_long_text(messages: AppMessages, wechat: WeChat, as_body: bool) -> None:
    """Nothing is lost of a text that WeCom would cut."""
    message: Any = {"msgtype": "text", "text": {"content": STORY}} if as_body else STORY
    delivery = messages.send(message, users="ada")

    assert "".join(STORY.split()) == "".join("".join(map(str, said(wechat))).split())
    assert 3 == len(wechat.sent) == len(set(delivery.msgids))


def test_too_long(messages: AppMessages, wechat: WeChat, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty pieces are fewer than WeCom drops; the log says what was left out."""
    messages.send("x" * 20 * TEXT + "yy", users="ada")

    assert ["x" * TEXT] * 20 == said(wechat)
    assert "its last 2 bytes" in caplog.text


def test_not_all(messages: AppMessages, app: SimulatedApp, wechat: WeChat, caplog: pytest.LogCaptureFixture) -> None:
    """Who was not reached is named once, also of a text in pieces; if that is everybody, it is an error."""
    app.members = {"ada"}
    delivery = messages.send(STORY, users=["ada", "Bob"])

    assert ("bob",) == delivery.invalid_users
    assert "1 users, 0 departments" in caplog.text
    with pytest.raises(APIError) as raised:
        messages.send("hi", users=["bob"])
    assert 81013 == raised.value.errcode


@pytest.mark.parametrize("backend", [None, "asyncio", "trio"])
def test_one_retry(messages: AppMessages, app: SimulatedApp, wechat: WeChat, backend: str | None) -> None:
    """A rejected token is replaced and the message sent once more; with a rejected one again it is given up."""
    send: Any = messages.send if backend is None else partial(_in_task, backend, messages)
    send("first", users="ada")
    app.revoke()
    send("second", users="ada")
    assert (["first", "second"], 3) == (said(wechat), wechat.calls(SEND))

    wechat.faults.add(SEND, "errcode", None, errcode=40014)
    with pytest.raises(APIError, match="40014"):
        send("third", users="ada")
    assert wechat.calls(SEND) <= 5


def _in_task(backend: str, messages: AppMessages, message: str, *, users: str) -> Delivery:
    async def main() -> Delivery:
        return await messages.asend(message, users=users)

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize("agentid", [None, "", "x", True, "\uff17"])
def test_no_agent(app: SimulatedApp, agentid: Any) -> None:
    """The app's number is missed at construction."""
    with pytest.raises(ConfigurationError, match="agentid"):
        AppMessages(TokenProvider(WeComAccount(CORP, SECRET)), agent=agentid)


def test_named_agent(provider: TokenProvider) -> None:
    """The number that is given comes before the account's."""
    assert f"<AppMessages 8 of {CORP}>" == repr(AppMessages(provider, agent=8))


def test_other_providers(provider: TokenProvider, wechat_account: Account) -> None:
    """An official account has no such API, and a ticket sends nothing."""
    for other in (TokenProvider(wechat_account), None):
        with pytest.raises(ConfigurationError, match="takes the provider of a WeComAccount"):
            AppMessages(other)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="that of a agent_ticket does not serve"):
        AppMessages(provider.with_source(AgentTicket(provider)))


def test_late(make_site: MakeSite, pusher: Pusher, provider: TokenProvider, wechat: WeChat) -> None:
    """A late reply to a message that names no app is sent by the account's."""
    assert b"success" == make_site(lambda message: STORY, late=provider).push(pusher.plain(text())).body
    until(lambda: len(wechat.sent) == 3)

    assert {("app", 7)} == {(one.kind, one.body["agentid"]) for one in wechat.sent}


def test_late_encrypted(make_site: MakeSite, provider: TokenProvider, wechat: WeChat) -> None:
    """WeCom's own push, whose handler takes too long, is answered by a message to its sender."""
    pusher = Pusher(appid=CORP)
    let_go = threading.Event()

    def slow(message: Message) -> str:
        let_go.wait(30)
        return STORY

    site = make_site(slow, late=provider, deadline=0.05, aes_key=pusher.aes_key, appid=CORP)
    body = text(sender="ada").replace("</xml>", "<AgentID>7</AgentID></xml>")
    assert 200 == site.push(pusher.sealed(body)).status
    assert [] == wechat.sent
    let_go.set()
    until(lambda: len(wechat.sent) == 3)

    assert "".join(STORY.split()) == "".join("".join(map(str, said(wechat))).split())
    assert {"ada"} == {one.touser for one in wechat.sent}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_replies_in_tasks(provider: TokenProvider, wechat: WeChat, wechat_account: Account, backend: str) -> None:
    """`asend_reply` is `send_reply`, at WeCom and at WeChat; the account names the app."""

    async def main() -> None:
        await asend_reply(provider, "ada", TextReply("hi"))
        await asend_reply(TokenProvider(wechat_account), "oAda", TextReply("hi"))

    anyio.run(main, backend=backend)
    send_reply(provider, "ada", TextReply("again"))

    assert [("app", "hi"), ("custom", "hi"), ("app", "again")] == [(one.kind, one.text) for one in wechat.sent]
