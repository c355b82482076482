"""Signatures of pages: WeChat's own examples, and what its browser says to ours. Tickets: sources/test_tickets.py."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.leaks import shown

from wxmiddleware import Account, ConfigurationError, Runtime, TokenProvider, TokenUnavailable, WeComAccount
from wxmiddleware.jssdk import JSSDK, sign
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.simulator._outbox import signed
from wxmiddleware.sources import AgentTicket

TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
PAGE = "https://example.com/a?b=c&中文=1"
TICKETS = "/cgi-bin/ticket/getticket"


@pytest.fixture
def jssdk(wechat_account: Account, wechat_clock: SimulatedClock) -> JSSDK:
    provider = TokenProvider(wechat_account, runtime=Runtime(clock=wechat_clock, time=wechat_clock))
    return JSSDK(provider)


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ("0f9de62fce790f9a083d5c99e95740ceb90c27ed", "http://mp.weixin.qq.com?params=value"),
        ("0f9de62fce790f9a083d5c99e95740ceb90c27ed", "http://mp.weixin.qq.com?params=value#part"),
        ("f4d90daf4b3bca3078ab155816175ba34c443a7b", "http://mp.weixin.qq.com"),
    ],
)
def test_official_examples(expected: str, url: str) -> None:
    """The worked examples of WeChat's page, of both editions."""
    assert expected == sign(TICKET, url, nonce="Wm3WZYTPz0wzccnW", timestamp=1414587457)


@given(st.text(max_size=40), st.text(max_size=20), st.integers(0, 2**40))
def test_as_the_browser(url: str, nonce: str, timestamp: int) -> None:
    """The simulator signs by itself, and comes to the same."""
    url, nonce = (text.encode("utf-8", "ignore").decode() for text in (url, nonce))

    assert signed(TICKET, nonce, str(timestamp), url) == sign(TICKET, url, nonce=nonce, timestamp=timestamp)


@pytest.mark.parametrize("url", [PAGE, f"{PAGE}#/route?x", "http://localhost:8000"])
def test_browser_takes_it(jssdk: JSSDK, wechat: WeChat, url: str) -> None:
    """WeChat's browser accepts the signature for this page and for no other."""
    config = jssdk.signature(url)

    assert ["appId", "timestamp", "nonceStr", "signature"] == list(config)
    assert "config:ok" == wechat.wx_config(url, config)
    assert "config:invalid signature" == wechat.wx_config("https://example.com/", config)


def test_one_ticket_for_many_pages(jssdk: JSSDK, wechat: WeChat) -> None:
    """The ticket is fetched once; each page has a nonce of its own."""
    configs = [jssdk.signature(PAGE) for _ in range(10)]

    assert 10 == len({config["nonceStr"] for config in configs})
    assert 1 == wechat.calls(TICKETS)


def test_in_a_task(jssdk: JSSDK, wechat: WeChat) -> None:
    """Tasks get the same."""
    config = anyio.run(jssdk.asignature, PAGE)

    assert "config:ok" == wechat.wx_config(PAGE, config)


def signed_anew(jssdk: JSSDK, colour: str, config: Any) -> Any:
    """What a page gets that says its signature was rejected."""
    if colour == "thread":
        return jssdk.signature(PAGE, rejected=config)
    return anyio.run(partial(jssdk.asignature, PAGE, rejected=config))


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_refused_by_the_browser(jssdk: JSSDK, wechat: WeChat, colour: str) -> None:
    """What the browser refuses is signed with a new ticket, if it was signed with the one in use."""

    def again(rejected: Any) -> Any:
        if colour == "thread":
            return jssdk.signature(PAGE, rejected=rejected)

        async def main() -> Any:
            return await jssdk.asignature(PAGE, rejected=rejected)

        return anyio.run(main)

    dead = jssdk.signature(PAGE)
    wechat.void_tickets()
    first, late = again(dead), again(dead)

    assert ["config:invalid signature", "config:ok", "config:ok"] == [
        wechat.wx_config(PAGE, config) for config in (dead, first, late)
    ]
    assert 2 == wechat.calls(TICKETS)


@pytest.mark.parametrize(
    "claim",
    [
        {},
        {"nonceStr": "x", "timestamp": 1, "signature": "0" * 40},
        {"nonceStr": "x", "timestamp": 1, "signature": "\u4f60"},
        {"nonceStr": 1, "timestamp": [], "signature": None},
    ],
)
def test_anybody_can_claim_that(jssdk: JSSDK, wechat: WeChat, claim: dict[str, Any]) -> None:
    """What we have not signed costs nothing."""
    jssdk.signature(PAGE)
    jssdk.signature(PAGE, rejected=claim)

    assert 1 == wechat.calls(TICKETS)


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_claims_are_bounded(jssdk: JSSDK, wechat: WeChat, caplog: Any, colour: str) -> None:
    """Whoever claims again and again causes one fetch in 30 seconds, and gets signatures with the ticket in use."""
    caplog.set_level("INFO", "wxmiddleware")
    config = jssdk.signature(PAGE)
    for _ in range(20):
        config = signed_anew(jssdk, colour, config)
        assert "config:ok" == wechat.wx_config(PAGE, config)

    assert 2 == wechat.calls(TICKETS)
    told = [record for record in caplog.records if "A browser rejected" in record.message]
    assert (20, {"INFO"}) == (len(told), {record.levelname for record in told})
    assert wechat.current_ticket() not in caplog.text


def test_no_ticket_can_be_had(jssdk: JSSDK, wechat: WeChat) -> None:
    """If there is no ticket to sign with, that is an error."""
    wechat.faults.add(TICKETS, "errcode", None, errcode=-1)

    with pytest.raises(TokenUnavailable, match="WeChat is busy"):
        jssdk.signature(PAGE)


@pytest.mark.parametrize("errcode", [-1, 45009, 48001])
@pytest.mark.parametrize("colour", ["thread", "task"])
def test_a_claim_takes_no_ticket_away(jssdk: JSSDK, wechat: WeChat, errcode: int, colour: str) -> None:
    """While WeChat gives no other, whoever claims that the ticket is wrong keeps nobody from signing with it."""
    config = jssdk.signature(PAGE)
    wechat.faults.add(TICKETS, "errcode", None, errcode=errcode)
    for _ in range(3):
        config = signed_anew(jssdk, colour, config)
        assert "config:ok" == wechat.wx_config(PAGE, config)
        assert "config:ok" == wechat.wx_config(PAGE, jssdk.signature(PAGE))

    assert 2 == wechat.calls(TICKETS)


def test_refused_without_a_ticket(jssdk: JSSDK, wechat: WeChat) -> None:
    """A claim that reaches a process without a ticket is simply signed anew."""
    config = jssdk.signature(PAGE, rejected={"nonceStr": "x", "timestamp": 1, "signature": "y"})

    assert "config:ok" == wechat.wx_config(PAGE, config)


@pytest.mark.parametrize("ticket", [None, AgentTicket])
def test_wecom(wechat: WeChat, wechat_server: SimulatorServer, ticket: Any) -> None:
    """WeCom's pages are signed the same way, with the corp's ticket or the app's."""
    wechat.add_app("ww1", "secret-of-an-app")
    provider = TokenProvider(WeComAccount("ww1", "secret-of-an-app", base_url=wechat_server.url))
    config = JSSDK(provider, **({} if ticket is None else {"ticket": ticket})).signature(PAGE)

    assert ("ww1", "config:ok") == (config["appId"], wechat.wx_config(PAGE, config))


@pytest.fixture
def of_app(wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock) -> JSSDK:
    wechat.add_app("ww1", "secret-of-an-app", agentid=7)
    account = WeComAccount("ww1", "secret-of-an-app", agentid=7, base_url=wechat_server.url)
    runtime = Runtime(clock=wechat_clock, time=wechat_clock)
    return JSSDK(TokenProvider(account, runtime=runtime), ticket=AgentTicket)


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_agent_config(of_app: JSSDK, wechat: WeChat, wechat_clock: SimulatedClock, colour: str) -> None:
    """WeCom's client takes what is signed for its app; a ticket that it rejects is replaced."""

    def config(**more: Any) -> Any:
        return of_app.agent_config(PAGE, **more) if colour == "thread" else anyio.run(partial(acall, **more))

    async def acall(**more: Any) -> Any:
        return await of_app.aagent_config(PAGE, **more)

    first = config()
    wechat.void_tickets("ww1")
    wechat_clock.advance(60)

    assert ["corpid", "agentid", "timestamp", "nonceStr", "signature"] == list(first)
    assert ("ww1", "7") == (first["corpid"], first["agentid"])
    assert "agentConfig:invalid signature" == wechat.wx_agent_config(PAGE, first)
    assert "agentConfig:ok" == wechat.wx_agent_config(PAGE, config(rejected=first))
    assert "agentConfig:invalid signature" == wechat.wx_agent_config(f"{PAGE}2", config())


def test_agent_config_of_another_app(of_app: JSSDK, wechat: WeChat) -> None:
    """The client of WeCom takes an app's signature for that app, and the whole of it."""
    config = of_app.agent_config(PAGE)

    assert "agentConfig:ok" == wechat.wx_agent_config(PAGE, config)
    assert "agentConfig:invalid signature" == wechat.wx_agent_config(PAGE, {**config, "agentid": "8"})
    assert "agentConfig:fail" == wechat.wx_agent_config(PAGE, {**config, "agentid": ""})


@pytest.mark.parametrize(
    ("options", "agentid", "advice"),
    [({}, 7, "ticket=AgentTicket"), ({"ticket": AgentTicket}, None, "WECOM_AGENTID"),
     ({"ticket": AgentTicket}, "bot", "WECOM_AGENTID")],
)  # fmt: skip
def test_agent_config_wants(wechat: WeChat, options: Any, agentid: Any, advice: str) -> None:
    """The corp's ticket, or an account that does not say which app it is, is told before anything is asked for."""
    jssdk = JSSDK(TokenProvider(WeComAccount("ww1", "secret-of-an-app", agentid=agentid)), **options)
    for call in (jssdk.agent_config, lambda url: anyio.run(jssdk.aagent_config, url)):
        with pytest.raises(ConfigurationError, match=advice):
            call(PAGE)


@pytest.mark.parametrize("url", ["", "/page", "example.com/page", "ftp://example.com", "http://[", b"http://x", None])
def test_whole_url_wanted(jssdk: JSSDK, wechat: WeChat, url: Any) -> None:
    """A path would be signed in vain: the browser compares with the whole URL."""
    for call in (jssdk.signature, lambda url: anyio.run(jssdk.asignature, url)):
        with pytest.raises(ConfigurationError, match=r"location\.href"):
            call(url)
    assert 0 == wechat.calls()


def test_provider_wanted() -> None:
    """What is no provider is noticed at once."""
    with pytest.raises(ConfigurationError, match="takes a TokenProvider"):
        JSSDK("wx1")  # type: ignore[arg-type]


def test_repr(jssdk: JSSDK, wechat: WeChat) -> None:
    """It names the account, and shows no ticket."""
    jssdk.signature(PAGE)

    assert f"<JSSDK {wechat.appid}>" == repr(jssdk)


HALF = json.loads('"\\ud83d"')
PLAIN_PAGE = "https://example.com/"


class _Tickets:
    """A ticket that is in use, and who said that it was rejected."""

    account = Account("wx00000000000000a1", "x" * 32)

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def peek(self) -> str:
        return "kgt8ON7yVITDhtdwci0qeWq"

    def get_token(self, rejected: str | None = None) -> str:
        self.asked.append(rejected)
        return self.peek()

    async def aget_token(self, rejected: str | None = None) -> str:
        return self.get_token(rejected)


def _jssdk() -> tuple[JSSDK, _Tickets]:
    jssdk, tickets = JSSDK(TokenProvider(Account("wx00000000000000a1", "x" * 32))), _Tickets()
    jssdk.tickets = tickets  # type: ignore[assignment]
    return jssdk, tickets


@pytest.mark.parametrize(
    "url",
    [
        f"{PLAIN_PAGE}{HALF}",
        f"{PLAIN_PAGE}?x={HALF}",
        f"https://{HALF}/",
        f"{PLAIN_PAGE}#{HALF}",
        HALF,
        None,
        1,
        b"x",
        [PLAIN_PAGE],
        {},
        "",
        "//x/y",
    ],
    ids=ascii,
)
def test_a_url_that_is_none(url: Any) -> None:
    """A page may send anything; it is told in the one error that is promised."""
    jssdk, tickets = _jssdk()
    for call in (jssdk.signature, lambda url: asyncio.run(jssdk.asignature(url))):
        with pytest.raises(ConfigurationError):
            call(url)

    assert [] == tickets.asked


@pytest.mark.parametrize(
    "rejected",
    [
        {"nonceStr": HALF, "timestamp": 1, "signature": "x"},
        {"nonceStr": "n", "timestamp": HALF, "signature": "x"},
        {"nonceStr": "n", "timestamp": 1, "signature": HALF},
        {"nonceStr": "n", "timestamp": 1, "signature": "\u540d"},
        {"nonceStr": "n", "timestamp": 10**5000, "signature": "x"},
        {"nonceStr": "n", "timestamp": -1, "signature": "x"},
        {"nonceStr": "n", "timestamp": 1.5, "signature": "x"},
        {"nonceStr": {"a": HALF}, "timestamp": [1], "signature": None},
        {"nonceStr": 1, "timestamp": None, "signature": b"x"},
        {HALF: HALF},
        {},
        [],
        [HALF],
        HALF,
        "x",
        1,
        None,
        True,
    ],
    ids=[str(number) for number in range(18)],
)
def test_refused_that_was_never_signed(rejected: Any) -> None:
    """It is passed over: the page is signed, and no ticket is blamed."""
    jssdk, tickets = _jssdk()
    for config in (
        jssdk.signature(PLAIN_PAGE, rejected=rejected),
        asyncio.run(jssdk.asignature(PLAIN_PAGE, rejected=rejected)),
    ):
        assert 40 == len(config["signature"])

    assert [None, None] == tickets.asked


def test_sign_quotes_no_ticket() -> None:
    """What cannot be signed is told without the ticket, also behind the error."""
    for url, nonce in ((f"{PLAIN_PAGE}{HALF}", "n"), (PLAIN_PAGE, HALF)):
        with pytest.raises(ConfigurationError) as caught:
            sign(TICKET, url, nonce=nonce, timestamp=1)

        assert TICKET not in shown(caught.value)
