"""A token that a hub gives, by real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from sources.conftest import Peer, PeerFactory
from support.api_server import Api, Seen, serving
from support.leaks import everything_logged, shown

from wxmiddleware import Account, ConfigurationError, TokenProvider, TokenRefused, WeComAccount
from wxmiddleware.sources import Cause, Failure, Grant, RemoteToken, TokenSource, remote

ACCOUNT = Account("wx0123456789abcdef")
TOKEN = "88_abcDEF-ghi"
KEY = "key-of-this-caller-0123456789"
NOW = 1_800_000_000.0


@pytest.fixture
def hub() -> Iterator[Api]:
    """A hub with the address ``hub.url``; `says` tells it what to answer."""
    with serving() as api:
        says(api, {"access_token": TOKEN, "expires_in": 7000})
        yield api


def says(hub: Api, body: Any, status: int = 200, **headers: str) -> None:
    """Let the hub answer so."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    hub.answer = lambda seen: (status, named, [content])


def fetch(hub: Api, **options: Any) -> Grant | Failure:
    return RemoteToken(f"{hub.url}/v1/tokens/wx1?x=1", key=KEY, **options).fetch(ACCOUNT)


def test_request(hub: Api) -> None:
    """The key is in a header and nowhere else; nothing of the account's is sent."""
    assert Grant(TOKEN, 7000.0) == fetch(hub)

    (seen,) = hub.seen
    assert ("GET", "/v1/tokens/wx1?x=1", b"") == (seen.method, seen.target, seen.body)
    assert f"Bearer {KEY}" == seen.headers["authorization"]
    assert "if-none-match" not in seen.headers
    assert ACCOUNT.appid not in repr((seen.target, seen.headers))


def test_without_a_key(hub: Api) -> None:
    """Who has no key sends none."""
    assert Grant(TOKEN, 7000.0) == RemoteToken(hub.url).fetch(ACCOUNT)
    assert "authorization" not in hub.seen[0].headers


@pytest.mark.parametrize(
    ("answer", "options", "left"),
    [
        ({"access_token": TOKEN, "expires_in": "7000"}, {}, 7000.0),
        ({"access_token": TOKEN}, {}, 7200.0),
        ({"access_token": TOKEN, "errcode": 0, "expires_in": 1}, {}, 1.0),
        ({"data": {"t": TOKEN, "e": NOW + 60}}, {"token_field": "data.t", "expires_field": "data.e"}, 60.0),
        ({"token": TOKEN, "end": (NOW + 60) * 1000}, {"token_field": "token", "expires_field": "end"}, 60.0),
        ({"token": TOKEN, "end": str(int(NOW + 60) * 1000)}, {"token_field": "token", "expires_field": "end"}, 60.0),
    ],
)
def test_answers(hub: Api, monkeypatch: pytest.MonkeyPatch, answer: Any, options: dict[str, str], left: float) -> None:
    """WeChat's own shape, or any JSON by two fields."""
    monkeypatch.setattr(remote, "time", SimpleNamespace(time=lambda: NOW))
    says(hub, answer)

    assert Grant(TOKEN, left) == fetch(hub, **options)


@pytest.mark.parametrize(
    ("status", "body", "cause", "said"),
    [
        (200, b"", Cause.AMBIGUOUS, "0 bytes that are not JSON"),
        (200, TOKEN.encode(), Cause.AMBIGUOUS, "that are not JSON. Check the URL and what stands between you and "),
        (200, [TOKEN], Cause.AMBIGUOUS, "JSON that is not an object"),
        (200, {}, Cause.TRANSIENT, "has no token at present"),
        (200, {"access_token": ""}, Cause.TRANSIENT, "has no token at present"),
        (200, {"access_token": f"{TOKEN} "}, Cause.PERMANENT, "something that is not a token"),
        (200, {"access_token": TOKEN, "expires_in": 0}, Cause.TRANSIENT, "a token that ended 0 s ago"),
        (200, {"access_token": TOKEN, "expires_in": 90_000}, Cause.PERMANENT, "end is not plausible"),
        (200, {"errcode": 40125, "errmsg": f"bad {KEY}"}, Cause.PERMANENT, "errcode 40125 (bad ***). Check the key."),
        (200, {"errcode": 40013, "errmsg": "no"}, Cause.PERMANENT, "the hub does not know it"),
        (200, {"errcode": -1, "errmsg": "busy"}, Cause.TRANSIENT, "errcode -1 (busy)"),
        (304, b"", Cause.AMBIGUOUS, "HTTP 304"),
        (401, {"why": KEY}, Cause.PERMANENT, "does not take the key (HTTP 401)"),
        (403, TOKEN.encode(), Cause.PERMANENT, "does not take the key (HTTP 403)"),
        (404, b"", Cause.PERMANENT, "has nothing at this URL (HTTP 404)"),
        (429, b"", Cause.TRANSIENT, "cannot give a token now (HTTP 429)"),
        (503, b"", Cause.TRANSIENT, "cannot give a token now (HTTP 503)"),
        (500, TOKEN.encode(), Cause.TRANSIENT, "answered HTTP 500"),
    ],
)
def test_none(hub: Api, status: int, body: Any, cause: Cause, said: str) -> None:
    """What is wrong is said, with the hub's host, and neither the key, the token, the path nor the query."""
    says(hub, body, status)
    failure = fetch(hub)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert said in failure.message
    assert hub.url.removeprefix("http://") in failure.message
    assert not [each for each in (KEY, TOKEN, "tokens", "x=1") if each in repr(failure)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("0", None), ("99999", 600.0), ("9" * 400, None), ("-1", None), ("soon", None), ("²", None)],
)
def test_retry_after(hub: Api, header: str, expected: float | None) -> None:
    """The hub may say when to come again, for ten minutes at most."""
    says(hub, b"", 503, Retry_After=header.encode().decode("latin-1"))
    failure = fetch(hub)

    assert isinstance(failure, Failure)
    assert expected == failure.retry_after


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.2:9/stolen", "/other"])
def test_redirect(hub: Api, elsewhere: str) -> None:
    """A redirect is not followed: the key is for this URL."""
    says(hub, b"", 302, Location=elsewhere)
    failure = fetch(hub)

    assert isinstance(failure, Failure)
    assert "HTTP 302" in failure.message
    assert 1 == len(hub.seen)


class TestETag:
    """A token that is known is not sent again."""

    def tagged(self, hub: Api, token: str = TOKEN, tag: str = '"7"', **body: Any) -> None:
        def answer(seen: Seen) -> tuple[int, dict[str, str], list[bytes]]:
            if seen.headers.get("if-none-match") == tag:
                return 304, {"ETag": tag}, [b""]
            return 200, {"ETag": tag}, [json.dumps({"access_token": token, **body}).encode()]

        hub.answer = answer

    def test_still_the_one(self, hub: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """304 stands for the token that came before, and for what is left of its life."""
        now = [100.0]
        monkeypatch.setattr(remote, "clock", lambda: now[0])
        self.tagged(hub, expires_in=1000)
        source = RemoteToken(hub.url, key=KEY)
        assert Grant(TOKEN, 1000.0) == source.fetch(ACCOUNT)
        now[0] += 400
        assert Grant(TOKEN, 600.0) == source.fetch(ACCOUNT)
        self.tagged(hub, "88_new", '"8"', expires_in=1000)
        assert Grant("88_new", 1000.0) == source.fetch(ACCOUNT)
        assert Grant("88_new", 1000.0) == source.fetch(ACCOUNT)

        assert [None, '"7"', '"7"', '"8"'] == [each.headers.get("if-none-match") for each in hub.seen]

    def test_end_unknown(self, hub: Api) -> None:
        """Without an end it is good for as long as one that was sent."""
        self.tagged(hub)
        source = RemoteToken(hub.url, key=KEY)

        assert [Grant(TOKEN, 7200.0)] * 2 == [source.fetch(ACCOUNT) for _ in range(2)]
        assert '"7"' == hub.seen[1].headers["if-none-match"]

    def test_over(self, hub: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """One whose life is over, or will be by the time of the answer, is asked for as a whole."""
        now = [100.0]
        monkeypatch.setattr(remote, "clock", lambda: now[0])
        self.tagged(hub, expires_in=1000)
        source = RemoteToken(hub.url, key=KEY)
        source.fetch(ACCOUNT)
        now[0] += 996
        source.fetch(ACCOUNT)

        assert "if-none-match" not in hub.seen[1].headers

    @pytest.mark.parametrize("tag", ["", "7", '"a b"', '"a', f'"{"a" * 999}"'])
    def test_no_tag(self, hub: Api, tag: str) -> None:
        """What is no ETag is not sent back."""
        self.tagged(hub, tag=tag, expires_in=1000)
        source = RemoteToken(hub.url, key=KEY)

        assert [Grant(TOKEN, 1000.0)] * 2 == [source.fetch(ACCOUNT) for _ in range(2)]
        assert "if-none-match" not in hub.seen[1].headers

    def test_after_an_error(self, hub: Api) -> None:
        """An answer without a token changes nothing of what is known."""
        self.tagged(hub, expires_in=1000)
        source = RemoteToken(hub.url, key=KEY)
        source.fetch(ACCOUNT)
        says(hub, b"", 500)
        source.fetch(ACCOUNT)
        source.fetch(ACCOUNT)

        assert '"7"' == hub.seen[2].headers["if-none-match"]


class TestTransport:
    """What the endpoints of WeChat have is here, too."""

    def test_deadline(self, peer: PeerFactory) -> None:
        """A hub that sends a byte now and then holds nobody."""

        def drip(peer: Peer, connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while not peer.stop.wait(0.05):
                connection.sendall(b" ")

        failure = RemoteToken(peer(drip).url, key=KEY, connect_timeout=0.3, timeout=0.3).fetch(ACCOUNT)

        assert isinstance(failure, Failure)
        assert Cause.AMBIGUOUS is failure.cause
        assert "did not answer" in failure.message

    def test_away(self) -> None:
        """A hub that is not there is named, with what to check."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        failure = RemoteToken(f"http://127.0.0.1:{port}/secret-path", key=KEY).fetch(ACCOUNT)

        assert isinstance(failure, Failure)
        assert Cause.TRANSIENT is failure.cause
        assert failure.message.startswith(f"127.0.0.1:{port} cannot be reached")
        assert "Check the URL, the network" in failure.message
        assert "secret-path" not in repr(failure)

    def test_loopback_without_a_proxy(self, hub: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """What may go to this machine in clear text does not go to a proxy."""
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert isinstance(fetch(hub), Grant)

    def test_auth_of_a_session(self, hub: Api) -> None:
        """The key is what the hub gets: an auth beside it is refused, and one that comes later replaces nothing."""
        session = requests.Session()
        source = RemoteToken(hub.url, key=KEY, session=session)
        session.auth = ("somebody", "hunter22")

        assert isinstance(source.fetch(ACCOUNT), Grant)
        assert f"Bearer {KEY}" == hub.seen[-1].headers["authorization"]
        with pytest.raises(
            ConfigurationError, match=r"session has an auth.* in place of key\. .*session\.headers"
        ) as caught:
            RemoteToken(hub.url, key=KEY, session=session)
        assert "hunter22" not in shown(caught.value)
        assert isinstance(RemoteToken(hub.url, session=session).fetch(ACCOUNT), Grant)
        assert hub.seen[-1].headers["authorization"].startswith("Basic ")

    def test_session(self, hub: Api) -> None:
        """A session of the user's brings its headers."""
        session = requests.Session()
        session.headers["X-Team"] = "shop"

        assert isinstance(fetch(hub, session=session), Grant)
        assert "shop" == hub.seen[0].headers["x-team"]

    def test_tls(self, peer: PeerFactory) -> None:
        """A certificate that nobody vouches for gets no key."""
        there = peer(tls=True)
        failure = RemoteToken(there.url.replace("127.0.0.1", "localhost"), key=KEY).fetch(ACCOUNT)

        assert isinstance(failure, Failure)
        assert "TLS failed. Check the URL" in failure.message
        assert [] == there.requests


def test_never_shown(hub: Api) -> None:
    """No error, log, repr, kind or message has the key, the token or the URL's query."""
    source = RemoteToken(f"{hub.url}/v1?secret=quiet", key=KEY)
    with everything_logged() as logged:
        assert TOKEN == TokenProvider(ACCOUNT, source=source).get_token()
    says(hub, {"key": KEY, "access_token": TOKEN}, 401)
    with pytest.raises(TokenRefused, match="does not take the key") as caught:
        TokenProvider(Account("wx2"), source=source).get_token()

    assert f"RemoteToken('{hub.url}/v1')" == repr(source)
    for each in (KEY, TOKEN):
        assert each not in logged.getvalue()
        assert each not in shown(caught.value)
    assert not [each for each in (KEY, "quiet") if each in f"{source!r} {source.kind} {source.asks}"]


def test_kind(hub: Api) -> None:
    """Two URLs, or two fields, are two kinds of token; the key is no part of it, since it may be replaced."""
    source = RemoteToken(hub.url, key=KEY)

    assert RemoteToken(hub.url, key="another").kind == source.kind
    assert 3 == len({source.kind, RemoteToken(f"{hub.url}/x").kind, RemoteToken(hub.url, token_field="ticket").kind})
    assert isinstance(source, TokenSource)
    assert RemoteToken(hub.url, key=KEY) == source != RemoteToken(hub.url)
    assert hash(RemoteToken(hub.url, key=KEY)) == hash(source)


def test_accounts(hub: Api) -> None:
    """Any kind of account, each with the errcodes of its kind."""
    source = RemoteToken(hub.url)

    assert {40001, 40014, 42001} == TokenProvider(Account("wx3"), source=source).retryable_errcodes
    assert {40014, 42001} == TokenProvider(WeComAccount("ww3", "secret"), source=source).retryable_errcodes


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.example.com/t?appid=wx1",
        "http://localhost:8000/t",
        "http://127.3.2.1/t",
        "http://[::1]:8000/t",
    ],
)
def test_urls(url: str) -> None:
    """https everywhere, http on this machine."""
    assert url.startswith(RemoteToken(url).url)


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://hub.example.com/t", {}, "clear text.*insecure=True"),
        ("http://10.0.0.7/t", {}, "clear text.*insecure=True"),
        ("http://localhost.example.com/t", {}, "clear text"),
        ("http://hub.localhost/t", {}, "clear text"),
        ("http://127.0.0.1.example.com/t", {}, "clear text"),
        ("https://caller:pass-word@hub/t", {}, "has a user"),
        ("https://hub/t#part", {}, "has a user or a fragment"),
        ("https://hub/t?key=the-key", {"key": "the-key"}, "The key stands in url"),
        ("https://hub/ t", {}, "white space"),
        ("hub.example.com/t", {}, "url is not one of a hub"),
        ("ftp://hub/t", {}, "url is not one of a hub"),
        ("https:///t", {}, "url is not one of a hub"),
        ("https://hub:99999/t", {}, "url is not one of a hub"),
        (7, {}, "url is not one of a hub"),
        ("https://hub/t", {"key": ""}, "key must be"),
        ("https://hub/t", {"key": b"k"}, "key must be"),
        ("https://hub/t", {"key": "k\nX: y"}, "key has blanks"),
        ("https://hub/t", {"key": "schlüssel"}, "key has blanks"),
        ("https://hub/t", {"key": "'pass-word'"}, "has quotes around it"),
        ("https://hub/t", {"token_field": ""}, "token_field must be"),
        ("https://hub/t", {"expires_field": None}, "expires_field must be"),
        ("https://hub/t", {"timeout": 0}, "timeout must be"),
        ("https://hub/t", {"connect_timeout": 9}, "connect_timeout is part of timeout"),
        ("https://hub/t", {"refresh_after": 0}, "refresh_after must be"),
    ],
)
def test_arguments(url: Any, options: dict[str, Any], said: str) -> None:
    """What cannot be meant is said when it is made, and not quoted."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        RemoteToken(url, **options)
    assert "pass-word" not in str(caught.value)


def test_insecure() -> None:
    """Who knows the network may say so."""
    assert "10.0.0.7:8000" == RemoteToken("http://10.0.0.7:8000/t", key=KEY, insecure=True).asks
