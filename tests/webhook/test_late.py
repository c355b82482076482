"""What is too long for a response, or too late for it, and where that is sent."""

from __future__ import annotations

import json
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from werkzeug import Request, Response
from werkzeug.serving import make_server

from wxmiddleware import Account, TokenProvider, WeComAccount
from wxmiddleware.exceptions import APIError, ConfigurationError
from wxmiddleware.platform import Platform
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import JsapiTicket
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import (
    Article,
    CallbackAddresses,
    ImageReply,
    MusicReply,
    NewsReply,
    RawReply,
    TextReply,
    TransferReply,
    VideoReply,
    VoiceReply,
    Webhook,
    send_reply,
)
from wxmiddleware.webhook._limits import PIECES, TEXT, pieces
from wxmiddleware.webhook.replies import Reply, parse_reply

from .conftest import MakeSite
from .wechat import Pusher, text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
STORY = "".join(f"第{n}章。从前有座山，山里有座庙。\n" for n in range(100))
CORP = "ww0000000000000001"


@pytest.fixture
def provider(wechat_account: Account) -> Iterator[TokenProvider]:
    with TokenProvider(wechat_account) as made:
        yield made


@pytest.fixture
def corp(wechat: WeChat, wechat_server: SimulatorServer) -> Iterator[TokenProvider]:
    app = wechat.add_app(CORP, "x" * 43, agentid=7)
    with TokenProvider(WeComAccount(app.corpid, app.secret, base_url=wechat_server.url)) as made:
        yield made


def sent(wechat: WeChat) -> list[str]:
    return [one.body["text"]["content"] for one in wechat.sent]


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens behind the response."""
    deadline = time.monotonic() + 30.0
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def said(body: bytes) -> str:
    reply = parse_reply(body)
    assert isinstance(reply, TextReply)
    return reply.content


class TestPieces:
    @given(st.text(alphabet=[*"ab你。. \n\r\0", "\ud83d", "\U0001f600", "\u0301", "\u200d"], min_size=1))
    def test_all(self, words: str) -> None:
        """Pieces fit, are not empty, and have together all but the blanks between them."""
        found, left = pieces(words * 60)
        whole = "".join("".join(found).split())

        assert all(0 < len(piece.encode()) <= TEXT for piece in found) or found == [words * 60]
        assert len(found) <= PIECES
        assert left or whole == "".join(_carried(words * 60).split())

    @pytest.mark.parametrize("size", [1, TEXT - 1, TEXT])
    def test_fits(self, size: int) -> None:
        """What fits is left as it is."""
        assert ([" " * size], 0) == pieces(" " * size)

    @pytest.mark.parametrize(
        ("story", "end"),
        [
            (STORY, "庙。"),
            ("One two. " * 500, "two."),
            ("One two\n\nthree\n" * 300, "two"),
            ("他说：“好！” " * 400, "”"),
            ("word " * 900, "word"),
        ],
    )
    def test_good_ends(self, story: str, end: str) -> None:
        """A piece ends where a line or a sentence ends, or at least a word."""
        found, _ = pieces(story)

        assert len(found) > 1
        assert {end} == {piece[-len(end) :] for piece in found[:-1]}

    @pytest.mark.parametrize(
        "one", [FAMILY, "e\u0301", "\U0001f44d\U0001f3fd", "\U0001f1e8\U0001f1f3", "\u2764\ufe0f", "你"]
    )
    @pytest.mark.parametrize("before", range(4))
    def test_whole_characters(self, one: str, before: int) -> None:
        """Nothing that is seen as one character is taken apart."""
        found, _ = pieces("x" * before + one * 1000)

        for piece in found:
            assert not piece.removeprefix("x" * before).replace(one, "")

    def test_too_much(self) -> None:
        """What does not fit into five pieces is left over, and counted."""
        found, left = pieces("x" * (5 * TEXT + 77))

        assert ([TEXT] * 5, 77) == ([len(piece) for piece in found], left)


def _carried(words: str) -> str:
    return "".join(
        "\ufffd" if unicodedata.category(each) in ("Cs", "Cc") and each not in "\n\t" else each
        for each in words.replace("\r\n", "\n").replace("\r", "\n")
    )


@pytest.fixture(params=["text", "raw"])
def made(request: pytest.FixtureRequest) -> Callable[[str], Reply]:
    """Make a reply; also of a handler that writes XML by itself."""
    body = "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{}]]></Content></xml>"
    return TextReply if request.param == "text" else lambda words: RawReply(body.format(words))


class TestLongTexts:
    def test_cut(
        self, make_site: MakeSite, pusher: Pusher, caplog: pytest.LogCaptureFixture, made: Callable[[str], Reply]
    ) -> None:
        """Without late= a text is cut at a character, and the log says how much was lost; so is what a repeat gets."""
        site = make_site(lambda message: made("你" * 1500))
        first, again = (site.push(pusher.plain(text())) for _ in range(2))

        assert "你" * 682 == said(first.body) == said(again.body)
        (told,) = [line for line in caplog.messages if "bytes" in line]
        assert told.startswith("A text reply of 4500 bytes was cut to 2046")

    @pytest.mark.parametrize("deadline", [30.0, None])
    def test_in_pieces(
        self,
        make_site: MakeSite,
        pusher: Pusher,
        wechat: WeChat,
        provider: TokenProvider,
        made: Callable[[str], Reply],
        deadline: float | None,
    ) -> None:
        """With late= it is sent in pieces behind the response."""
        site = make_site(lambda message: made(STORY), late=provider, deadline=deadline)
        got = site.push(pusher.plain(text()))
        until(lambda: len(wechat.sent) == 3)

        assert (200, b"success") == got.short
        assert "".join(STORY.split()) == "".join("".join(sent(wechat)).split())
        assert (200, b"success") == site.push(pusher.plain(text())).short

    def test_just_right(self, make_site: MakeSite, pusher: Pusher, wechat: WeChat, provider: TokenProvider) -> None:
        """What fits is the response."""
        got = make_site(lambda message: "x" * TEXT, late=provider).push(pusher.plain(text()))

        assert "x" * TEXT == said(got.body)
        assert [] == wechat.sent

    def test_function(self, make_site: MakeSite, pusher: Pusher) -> None:
        """A function gets all of it."""
        found: list[Reply] = []
        make_site(lambda message: STORY, late=lambda message, reply: found.append(reply)).push(pusher.plain(text()))
        until(lambda: bool(found))

        assert [TextReply(STORY)] == found

    @pytest.mark.parametrize("words", ["", " ", "\n"])
    def test_empty(self, make_site: MakeSite, pusher: Pusher, made: Callable[[str], Reply], words: str) -> None:
        """An empty text is no reply."""
        assert (200, b"success") == make_site(lambda message: made(words)).push(pusher.plain(text())).short

    def test_many_articles(self, make_site: MakeSite, pusher: Pusher, caplog: pytest.LogCaptureFixture) -> None:
        """More than eight articles are cut to eight, with a warning."""
        articles = [Article(str(n)) for n in range(9)]
        got = make_site(lambda message: NewsReply(articles)).push(pusher.plain(text()))

        assert NewsReply(articles[:8]) == parse_reply(got.body)
        assert "9 articles was cut to 8" in caplog.text


class TestSendReply:
    def test_pieces(self, wechat: WeChat, provider: TokenProvider, caplog: pytest.LogCaptureFixture) -> None:
        """A long text is sent in five pieces at most; the log says what was left out."""
        send_reply(provider, "oAda", TextReply("x" * 5 * TEXT + "yy"))

        assert ["x" * TEXT] * 5 == sent(wechat)
        assert "its last 2 bytes" in caplog.text

    def test_nothing(self, wechat: WeChat, provider: TokenProvider) -> None:
        """An empty one is not sent."""
        send_reply(provider, "oAda", TextReply(""))

        assert [] == wechat.sent

    def test_many_articles(self, wechat: WeChat, provider: TokenProvider) -> None:
        """News are cut to eight articles."""
        send_reply(provider, "oAda", NewsReply([Article(str(n)) for n in range(9)]))

        assert 8 == len(wechat.sent[0].body["news"]["articles"])

    @pytest.mark.parametrize(
        ("reply", "content"),
        [
            (TextReply("hi"), {"content": "hi"}),
            (ImageReply("m"), {"media_id": "m"}),
            (VoiceReply("m"), {"media_id": "m"}),
            (VideoReply("m", "t", "d", "p"), {"media_id": "m", "title": "t", "description": "d"}),
            (NewsReply([Article("a", url="http://u")]), {"articles": [{"title": "a", "url": "http://u"}]}),
        ],
    )
    @pytest.mark.parametrize("agent", [7, "7"])
    def test_wecom(
        self, corp: TokenProvider, monkeypatch: pytest.MonkeyPatch, reply: Reply, content: Any, agent: Any
    ) -> None:
        """WeCom gets its own shape at its own place, with the agent; the simulator's takes it."""
        posted = record_posts(monkeypatch)
        send_reply(corp, "ada", reply, agent=agent)

        expected = {"touser": "ada", "agentid": 7, "msgtype": reply.kind, reply.kind: content}
        assert [("/cgi-bin/message/send", expected)] == posted

    @pytest.mark.parametrize("reply", [MusicReply("p"), TransferReply(), RawReply("x")])
    def test_not_at_wecom(self, corp: TokenProvider, reply: Reply) -> None:
        """What WeCom cannot send is an error."""
        with pytest.raises(APIError, match="WeCom's message/send cannot send"):
            send_reply(corp, "ada", reply, agent=7)

    @pytest.mark.parametrize("agent", [None, "", "x"])
    def test_no_agent(self, corp: TokenProvider, agent: Any) -> None:
        """So is an app that is not named."""
        with pytest.raises(ConfigurationError, match="agentid"):
            send_reply(corp, "ada", TextReply("hi"), agent=agent)

    @pytest.mark.parametrize("named", [True, False])
    def test_late_at_wecom(
        self,
        make_site: MakeSite,
        pusher: Pusher,
        corp: TokenProvider,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        named: bool,
    ) -> None:
        """The agent is that of the message; if that names none, the log says that nothing was sent."""
        posted = record_posts(monkeypatch)
        site = make_site(lambda message: STORY, late=corp)
        body = text().replace("</xml>", "<AgentID>7</AgentID></xml>") if named else text()
        assert b"success" == site.push(pusher.plain(body)).body
        until(lambda: len(posted) == 3 if named else "A late reply was not sent" in caplog.text)

        assert [("/cgi-bin/message/send", 7)] * len(posted) == [(path, sent["agentid"]) for path, sent in posted]
        assert (3 if named else 0) == len(posted)


def record_posts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Note what late.py posts, which goes on to the simulator."""
    posted: list[tuple[str, Any]] = []
    post = requests.post

    def noting(url: str, **more: Any) -> Any:
        posted.append(("/" + url.split("/", 3)[3], json.loads(more["data"])))
        return post(url, **more)

    monkeypatch.setattr(requests, "post", noting)
    return posted


class TestProviders:
    def test_of_a_platform(self, wechat_server: SimulatorServer) -> None:
        """A platform's own token, and a ticket, send no messages and know no addresses."""
        account = Account("wxc", "x" * 32, base_url=wechat_server.url)
        platform = Platform(account, store=MemoryStore(), durable=True)
        with platform.provider as own:
            for use in (
                lambda: Webhook(token="x", late=own),
                lambda: CallbackAddresses(own),
                lambda: send_reply(own, "o", TextReply("x")),
            ):
                with pytest.raises(ConfigurationError, match="that of a component does not serve"):
                    use()

    def test_ticket(self, provider: TokenProvider) -> None:
        """So it is with a ticket."""
        with pytest.raises(ConfigurationError, match="that of a jsapi_ticket does not serve"):
            Webhook(token="x", late=provider.with_source(JsapiTicket(provider)))


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[str]]]:
    """A gateway that redirects all but fetches of tokens to another host, and what that host got."""
    got: list[str] = []

    @Request.application
    def other(request: Request) -> Response:
        got.append(request.full_path)
        return Response('{"errcode":0,"ip_list":["203.0.113.7"]}')

    @Request.application
    def gate(request: Request) -> Response:
        if "token" in request.path:
            return Response('{"access_token":"66_token","expires_in":7200}')
        return Response(status=307, headers={"Location": f"http://127.0.0.1:{ports[0]}{request.full_path}"})

    servers = [make_server("127.0.0.1", 0, app, threaded=True) for app in (other, gate)]
    ports = [server.server_port for server in servers]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{ports[1]}", got
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("wecom", [False, True])
def test_redirects(gateway: tuple[str, list[str]], wecom: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Our own calls follow no redirect: the token and the message go nowhere else, and no other list is believed."""
    url, got = gateway
    account = WeComAccount(CORP, "x" * 43, base_url=url) if wecom else Account("wx1", "x" * 32, base_url=url)
    with TokenProvider(account) as provider:
        with pytest.raises(APIError, match="redirect"):
            send_reply(provider, "oAda", TextReply("hi"), agent=7)
        allowed = CallbackAddresses(provider).allows("203.0.113.7")

    assert allowed is None
    told = [record.getMessage() for record in caplog.records if record.name == "wxmiddleware"]
    assert "redirect" in told[-1]
    assert "66_token" not in "".join(told)
    assert [] == got
