"""Tokens of every kind through a proxy: CONNECT, plain HTTP, SOCKS 5, with and without a password; and a private CA."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sources.conftest import CERTIFICATE, Peer, PeerFactory, http
from sources.proxies import NAME, PASSWORD, Proxy

from wxmiddleware import Account, ClassicToken, StableToken, TokenProvider, WeComAccount
from wxmiddleware.sources import Cause, ComponentToken, Failure, Grant, JsapiTicket, WeComToken

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
GIVEN = "88_good"
VARIABLES = [f"{name}_proxy" for name in ("http", "https", "all", "no")] + ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no CA but the test's."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Makes proxies."""
    made: list[Proxy] = []

    def make(*args: Any, **options: Any) -> Proxy:
        made.append(Proxy(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def wechat(peer: Peer, connection: socket.socket) -> None:
    """Give whatever is asked for: all tokens and tickets under one value."""
    names = ("access_token", "component_access_token", "ticket")
    answer = {"errcode": 0, "expires_in": 7200, **dict.fromkeys(names, GIVEN)}
    connection.sendall(http(json.dumps(answer).encode()))


def fetch(kind: str, base_url: str, **options: Any) -> Grant | Failure:
    """One fetch of such a token."""
    corp = WeComAccount("ww1", SECRET, base_url=base_url)
    account = Account("wx1", SECRET, base_url=base_url)
    if kind == "wecom":
        return WeComToken(**options).fetch(corp)
    if kind == "component":
        return ComponentToken(ticket=lambda: "ticket@@@1", **options).fetch(account)
    if kind == "ticket":
        with TokenProvider(account, source=StableToken(**options)) as provider:
            return JsapiTicket(provider, **options).fetch(account)
    source = StableToken(**options) if kind == "stable" else ClassicToken(**options)
    return source.fetch(account)


@pytest.mark.parametrize("how", ["environment", "session"])
@pytest.mark.parametrize("password", [False, True], ids=["open", "password"])
@pytest.mark.parametrize(("way", "tls"), [("http", True), ("http", False), ("socks5h", True), ("socks5h", False)])
@pytest.mark.parametrize("kind", ["stable", "classic", "wecom", "component", "ticket"])
def test_through(
    kind: str,
    way: str,
    tls: bool,
    password: bool,
    how: str,
    peer: PeerFactory,
    proxy: Callable[..., Proxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token comes through the proxy, which looks the name up; TLS is checked against the private CA."""
    someone, between = peer(wechat, tls=tls), proxy(way, password=password)
    (tmp_path / "ca.pem").write_text(CERTIFICATE[CERTIFICATE.index("-----BEGIN CERT") :])
    host = "localhost" if tls else "wechat.test"
    options: dict[str, Any] = {}
    session = requests.Session()
    if how == "session":
        session.proxies = {"http": between.url, "https": between.url}
        session.verify = str(tmp_path / "ca.pem")
        options["session"] = session
    else:
        monkeypatch.setenv("ALL_PROXY" if way == "socks5h" else "HTTPS_PROXY" if tls else "HTTP_PROXY", between.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with session:
        answer = fetch(kind, f"{'https' if tls else 'http'}://{host}:{someone.port}", **options)

    assert Grant(GIVEN, 7200) == answer
    assert {(host, someone.port)} == set(between.seen)
    assert PASSWORD.encode() not in b"".join(someone.requests)


@pytest.mark.parametrize("way", ["http", "socks5h"])
@pytest.mark.parametrize("tls", [False, True])
def test_wrong_password(
    way: str, tls: bool, peer: PeerFactory, proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy lets nothing through: surely nobody acted, and the message says that it is the proxy."""
    someone, between = peer(wechat, tls=tls), proxy(way, password=True)
    monkeypatch.setenv("ALL_PROXY", between.url_with("not-this-one"))
    failure = fetch("stable", f"{'https' if tls else 'http'}://localhost:{someone.port}")

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert "proxy" in failure.message
    assert "not-this-one" not in repr(failure)
    assert NAME not in repr(failure)
    assert (1, []) == (between.denied, someone.requests)


@pytest.mark.parametrize("way", ["http", "socks5h"])
def test_silent_proxy(
    way: str, peer: PeerFactory, proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that says nothing has the time for connecting and no more; nothing was sent."""
    someone, between = peer(wechat, tls=True), proxy(way, silent=True)
    monkeypatch.setenv("ALL_PROXY", between.url)
    failure = fetch("classic", f"https://localhost:{someone.port}", connect_timeout=0.3, timeout=60.0)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert "through the proxy" in failure.message
    assert [] == someone.requests


@pytest.mark.parametrize("way", ["http", "socks5h"])
def test_dead_proxy(way: str, peer: PeerFactory, proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there is a passing failure."""
    between = proxy(way)
    between.close()
    monkeypatch.setenv("ALL_PROXY", between.url)
    failure = fetch("stable", f"https://localhost:{peer(wechat).port}")

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert "through the proxy" in failure.message
    assert "Check that the proxy runs" in failure.message


@pytest.mark.parametrize("way", ["http", "socks5h"])
def test_around(way: str, peer: PeerFactory, proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    """What NO_PROXY names goes around the proxy, and so does a session that trusts no environment."""
    someone, between = peer(wechat), proxy(way)
    monkeypatch.setenv("ALL_PROXY", between.url)
    with requests.Session() as session:
        session.trust_env = False
        answers = [fetch("stable", someone.url, session=session)]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answers.append(fetch("stable", someone.url))

    assert [Grant(GIVEN, 7200)] * 2 == answers
    assert [] == between.seen


def test_without_pysocks(peer: PeerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PySocks the message says what to install."""

    def missing(*args: object, **options: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
    failure = fetch("stable", peer(wechat).url)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.PERMANENT
    assert "pip install PySocks" in failure.message


@pytest.mark.parametrize("verify", ["ca", "none"])
def test_sessions_own_ca(verify: str, peer: PeerFactory, tmp_path: Path) -> None:
    """The session's `verify` counts: with its CA the host is trusted, without it is not."""
    someone = peer(wechat, tls=True)
    (tmp_path / "ca.pem").write_text(CERTIFICATE[CERTIFICATE.index("-----BEGIN CERT") :])
    with requests.Session() as session:
        if verify == "ca":
            session.verify = str(tmp_path / "ca.pem")
        answer = fetch("stable", f"https://localhost:{someone.port}", session=session)

    assert isinstance(answer, Grant if verify == "ca" else Failure)


def test_socks_proxy_with_a_dead_address(
    peer: PeerFactory, proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy's name leads to two addresses, and nobody listens at the first."""
    someone, between = peer(wechat), proxy("socks5h")
    real = socket.getaddrinfo

    def two(host: str, port: Any, *args: Any, **options: Any) -> Any:
        if host != "proxy.test":
            return real(host, port, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    monkeypatch.setenv("ALL_PROXY", f"socks5h://proxy.test:{between.port}")

    assert Grant(GIVEN, 7200) == fetch("stable", f"http://wechat.test:{someone.port}")
