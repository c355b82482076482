"""
One request to a token endpoint and all that can become of it, over sockets, for both endpoints.

What each endpoint sends: test_stable.py, test_classic.py. That nothing of it shows: test_secrets.py, one level up.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from sources.conftest import GOOD, LONG, Peer, PeerFactory, http

from wxmiddleware import Account, ClassicToken, ConfigurationError, StableToken
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import Cause, Failure, Grant, TokenSource

Ask = Callable[..., Grant | Failure]
SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
EVERYWHERE = "/cgi-bin/*"


@pytest.fixture(scope="module")
def one_server() -> Iterator[SimulatorServer]:
    """Starting one for each of some hundred tests would take most of their time."""
    with SimulatorServer(WeChat(clock=SimulatedClock(), overlap=0)) as server:
        yield server


@pytest.fixture
def wechat(one_server: SimulatorServer) -> Iterator[WeChat]:
    """The plugin's, but the same for the whole file; it is as new for each test."""
    wechat = one_server.wechat
    wechat.revoke()
    wechat.reset_counters()
    yield wechat
    wechat.faults.clear()
    assert wechat.wait_for(lambda: wechat.in_progress == 0)  # what hung goes on now
    wechat.accounts[wechat.appid].ip_allowlist = None


@pytest.fixture
def wechat_server(wechat: WeChat, one_server: SimulatorServer) -> Iterator[SimulatorServer]:
    yield one_server
    one_server.stop()  # it may be stopped already
    one_server.start()


@pytest.fixture
def wechat_account(wechat: WeChat, one_server: SimulatorServer) -> Account:
    return Account(wechat.appid, wechat.secret, base_url=one_server.url)


def at(url: str) -> Account:
    return Account("wx1", SECRET, base_url=url)


def failed(answer: Grant | Failure) -> Failure:
    """What every failure keeps: a full sentence without the secret."""
    assert isinstance(answer, Failure)
    assert answer.message.endswith(".")
    assert SECRET not in repr(answer)
    return answer


class TestSimulator:
    """Against the simulated WeChat and its faults."""

    def test_grant(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """A good answer is a token and its life."""
        answer = ask(wechat_account)

        assert isinstance(answer, Grant)
        assert wechat.is_valid(answer.value)
        assert (7200, 1) == (answer.expires_in, wechat.fetches())

    @pytest.mark.parametrize(
        ("errcode", "cause"),
        [
            (-1, Cause.TRANSIENT),
            (45011, Cause.TRANSIENT),
            (40001, Cause.PERMANENT),
            (40013, Cause.PERMANENT),
            (40125, Cause.PERMANENT),
            (40164, Cause.PERMANENT),
            (40243, Cause.PERMANENT),
            (41002, Cause.PERMANENT),
            (41004, Cause.PERMANENT),
            (50004, Cause.PERMANENT),
            (50007, Cause.PERMANENT),
            (89503, Cause.PERMANENT),
            (45009, Cause.QUOTA),
        ],
    )
    def test_errcode(self, ask: Ask, wechat: WeChat, wechat_account: Account, errcode: int, cause: Cause) -> None:
        """WeChat's own errors are of the class that the rules give them, and carry code, text and id."""
        wechat.faults.add(EVERYWHERE, "errcode", errcode=errcode)

        failure = failed(ask(wechat_account))

        assert (cause, errcode) == (failure.cause, failure.errcode)
        assert failure.rid is not None
        assert failure.rid in failure.errmsg

    @pytest.mark.parametrize(
        ("fault", "options", "cause"),
        [
            ("status", {"status": 500}, Cause.TRANSIENT),
            ("status", {"status": 502}, Cause.TRANSIENT),
            ("status", {"status": 503, "body": GOOD}, Cause.TRANSIENT),
            ("status", {"status": 504}, Cause.TRANSIENT),
            ("status", {"status": 400}, Cause.AMBIGUOUS),
            ("status", {"status": 404, "body": GOOD}, Cause.AMBIGUOUS),
            ("status", {"status": 429}, Cause.AMBIGUOUS),
            ("status", {"status": 302}, Cause.AMBIGUOUS),
            ("status", {"status": 307, "body": GOOD}, Cause.AMBIGUOUS),
            ("html", {}, Cause.AMBIGUOUS),
            ("empty", {}, Cause.AMBIGUOUS),
            ("half", {}, Cause.AMBIGUOUS),
            ("lost", {}, Cause.AMBIGUOUS),
            ("reset", {"executed": False}, Cause.AMBIGUOUS),
            ("reset", {"executed": True}, Cause.AMBIGUOUS),
            ("body", {"body": "x" * 1_000_000}, Cause.AMBIGUOUS),
            (
                "body",
                {"body": '{"access_token":"88_good","expires_in":7200,"x":"%s"}' % ("x" * 100_000)},
                Cause.AMBIGUOUS,
            ),
            ("body", {"body": "[" * 60_000}, Cause.AMBIGUOUS),
            ("body", {"body": "1" * 60_000}, Cause.AMBIGUOUS),
            ("body", {"body": b"\xff\xfe{}"}, Cause.AMBIGUOUS),
            ("body", {"body": "null"}, Cause.AMBIGUOUS),
            ("body", {"body": "[]"}, Cause.AMBIGUOUS),
            ("body", {"body": '"88_good"'}, Cause.AMBIGUOUS),
            ("body", {"body": "{}"}, Cause.AMBIGUOUS),
        ],
    )
    def test_fault(
        self, ask: Ask, wechat: WeChat, wechat_account: Account, fault: str, options: dict[str, Any], cause: Cause
    ) -> None:
        """What goes wrong on the way is TRANSIENT only if WeChat surely did not act."""
        wechat.faults.add(EVERYWHERE, fault, **options)

        failure = failed(ask(wechat_account))

        assert (cause, None) == (failure.cause, failure.errcode)
        assert wechat_account.host in failure.message
        assert "88_good" not in repr(failure)

    def test_hang(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """No answer in time is in doubt: the request was sent."""
        wechat.faults.add(EVERYWHERE, "hang")

        failure = failed(ask(wechat_account, connect_timeout=0.5, timeout=0.5))

        assert failure.cause is Cause.AMBIGUOUS
        assert "may have acted" in failure.message

    def test_hang_after_acting(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """The doubt is real: WeChat may have made a token meanwhile."""
        wechat.faults.add(EVERYWHERE, "hang", executed=True)

        assert failed(ask(wechat_account, connect_timeout=0.5, timeout=0.5)).cause is Cause.AMBIGUOUS
        assert wechat.wait_for(lambda: wechat.minted() == 1)

    def test_trickle(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """An answer that comes byte by byte meets the deadline, though no single byte is late."""
        wechat.faults.add(EVERYWHERE, "trickle", seconds=0.05)

        assert failed(ask(wechat_account, connect_timeout=0.5, timeout=0.5)).cause is Cause.AMBIGUOUS

    def test_slow_but_whole(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """An answer that comes byte by byte, but in time, is good."""
        wechat.faults.add(EVERYWHERE, "trickle", seconds=0.0001)

        assert isinstance(ask(wechat_account), Grant)

    def test_wrong_secret(self, ask: Ask, wechat_account: Account) -> None:
        """A wrong secret is permanent, and the message says what to check."""
        wrong = Account(wechat_account.appid, SECRET, base_url=wechat_account.base_url)

        failure = failed(ask(wrong))

        assert (Cause.PERMANENT, 40125) == (failure.cause, failure.errcode)
        assert "Check the AppSecret" in failure.message

    def test_ip_not_allowed(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """40164 names the address to allow."""
        wechat.accounts[wechat.appid].ip_allowlist = ["10.0.0.1"]

        failure = failed(ask(wechat_account))

        assert (Cause.PERMANENT, 40164) == (failure.cause, failure.errcode)
        assert "Add 127.0.0.1 to the account's IP allowlist" in failure.message

    def test_stopped(self, ask: Ask, wechat_server: SimulatorServer, wechat_account: Account) -> None:
        """A refused connection is TRANSIENT: nothing was sent."""
        wechat_server.stop()

        failure = failed(ask(wechat_account))

        assert failure.cause is Cause.TRANSIENT
        assert f"{wechat_account.host} cannot be reached" in failure.message
        assert "Check base_url, the network" in failure.message


BAD_LIVES = ["", "null", "0", "-1", "-7200", "86401", "1e999", "-1e999", "NaN", "Infinity", '""', '"abc"', '"7200s"']
BAD_LIVES += ['"nan"', '"inf"', '"-1"', "true", "false", "[]", "[7200]", "{}", "1" + 400 * "0"]
BAD_TOKENS = ["", "null", '""', "5", "true", "[]", '["88_good"]', "{}", '"a b"', '" a"', '"a\\n"', '"a\\u0000"']
BAD_TOKENS += ['"\u00e9"', '"\\u200b"', '"\\ud800"', f'"{"x" * 4097}"']


def body(token: str = '"88_good"', life: str = "7200", **more: str) -> str:
    parts = {"access_token": token, "expires_in": life, **more}
    return "{%s}" % ",".join(f'"{name}":{value}' for name, value in parts.items() if value)  # noqa: UP031


class TestAnswers:
    """What is in a well-delivered answer."""

    @pytest.mark.parametrize("life", BAD_LIVES)
    def test_absurd_life(self, ask: Ask, wechat: WeChat, wechat_account: Account, life: str) -> None:
        """A life that is none, or not plausible, makes the answer unreadable."""
        wechat.faults.add(EVERYWHERE, "body", body=body(life=life))

        failure = failed(ask(wechat_account))

        assert failure.cause is Cause.AMBIGUOUS
        assert "expires_in" in failure.message
        assert "88_good" not in repr(failure)

    @pytest.mark.parametrize(
        ("life", "expected"),
        [
            ("7200", 7200),
            ('"7200"', 7200),
            ("7200.0", 7200),
            ("1", 1),
            ("0.5", 0.5),
            ("86400", 86_400),
            ("7.2e3", 7200),
        ],
    )
    def test_life(self, ask: Ask, wechat: WeChat, wechat_account: Account, life: str, expected: float) -> None:
        """A number is a life, also where it is written as a string."""
        wechat.faults.add(EVERYWHERE, "body", body=body(life=life))

        assert ask(wechat_account) == Grant("88_good", expected)

    @pytest.mark.parametrize("token", BAD_TOKENS)
    def test_absurd_token(self, ask: Ask, wechat: WeChat, wechat_account: Account, token: str) -> None:
        """What cannot stand in a URL's query is no token."""
        wechat.faults.add(EVERYWHERE, "body", body=body(token=token))

        failure = failed(ask(wechat_account))

        assert failure.cause is Cause.AMBIGUOUS
        assert "no token" in failure.message

    @pytest.mark.parametrize("length", [1, 157, 512, 4096])
    def test_length(self, ask: Ask, wechat: WeChat, wechat_account: Account, length: int) -> None:
        """Tokens may be far longer than the 512 characters that WeChat announces."""
        wechat.faults.add(EVERYWHERE, "body", body=body(token=json.dumps("x" * length)))

        assert ask(wechat_account) == Grant("x" * length, 7200)

    @pytest.mark.parametrize("errcode", ["0", '"0"', "0.0"])
    def test_success_with_errcode(self, ask: Ask, wechat: WeChat, wechat_account: Account, errcode: str) -> None:
        """An errcode of 0 is no error."""
        wechat.faults.add(EVERYWHERE, "body", body=body(errcode=errcode, errmsg='"ok"'))

        assert ask(wechat_account) == Grant("88_good", 7200)

    @pytest.mark.parametrize(
        ("errcode", "cause", "kept"),
        [
            ("40013", Cause.PERMANENT, 40013),
            ('"40013"', Cause.PERMANENT, 40013),
            ("null", Cause.AMBIGUOUS, None),
            ('"x"', Cause.AMBIGUOUS, None),
            ("[]", Cause.AMBIGUOUS, None),
            ("true", Cause.AMBIGUOUS, None),
            ("1e999", Cause.AMBIGUOUS, None),
        ],
    )
    def test_errcode_beside_a_token(
        self, ask: Ask, wechat: WeChat, wechat_account: Account, errcode: str, cause: Cause, kept: int | None
    ) -> None:
        """With an error no token is taken, whatever else the answer has."""
        wechat.faults.add(EVERYWHERE, "body", body=body(errcode=errcode))

        failure = failed(ask(wechat_account))

        assert (cause, kept) == (failure.cause, failure.errcode)
        assert "88_good" not in repr(failure)

    @pytest.mark.parametrize("errmsg", ["", "null", "5", "[]", '{"a":1}'])
    def test_odd_errmsg(self, ask: Ask, wechat: WeChat, wechat_account: Account, errmsg: str) -> None:
        """An errmsg that is no text is left out."""
        wechat.faults.add(EVERYWHERE, "body", body=body(token="", errcode="40013", errmsg=errmsg))

        failure = failed(ask(wechat_account))

        assert (40013, "") == (failure.errcode, failure.errmsg)

    def test_long_errmsg(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """A text that is no errmsg of WeChat's does not fill the log."""
        wechat.faults.add(EVERYWHERE, "body", body=body(token="", errcode="40013", errmsg=json.dumps("x" * 50_000)))

        assert len(failed(ask(wechat_account)).message) < 1000

    def test_errmsg_that_quotes_the_request(self, ask: Ask, wechat: WeChat, wechat_account: Account) -> None:
        """A secret that comes back is masked."""
        errmsg = json.dumps(f"no route for /cgi-bin/token?secret={wechat.secret}&x=1")
        wechat.faults.add(EVERYWHERE, "body", body=body(token="", errcode="-1", errmsg=errmsg))

        failure = failed(ask(wechat_account))

        assert wechat.secret not in repr(failure)
        assert "secret=***&x=1" in failure.errmsg

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "text/html", "application/json; charset=iso-8859-1", "image/jpeg"]
    )
    def test_content_type(self, ask: Ask, wechat: WeChat, wechat_account: Account, content_type: str) -> None:
        """The bytes are UTF-8 JSON whatever the header says."""
        wechat.faults.add(EVERYWHERE, "body", body=body(errmsg='"成功"'), content_type=content_type)

        assert ask(wechat_account) == Grant("88_good", 7200)


class TestBeforeSending:
    """What fails before WeChat can have seen anything is TRANSIENT."""

    def test_unknown_host(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that nobody knows."""

        def unknown(*args: object, **options: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)

        failure = failed(ask(at("http://wechat.invalid")))

        assert failure.cause is Cause.TRANSIENT
        assert "The name is not known here. Check base_url, DNS" in failure.message

    def test_connect_timeout(self, ask: Ask) -> None:
        """A host that does not take the connection."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            queue = [socket.socket() for _ in range(4)]
            for one in queue:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            failure = failed(ask(at(f"http://127.0.0.1:{full.getsockname()[1]}"), connect_timeout=0.1, timeout=5.0))
            for one in queue:
                one.close()

        assert failure.cause is Cause.TRANSIENT

    def test_no_tls(self, ask: Ask, wechat: WeChat, wechat_server: SimulatorServer) -> None:
        """A host that does not speak TLS."""
        account = at(wechat_server.url.replace("http:", "https:"))

        assert failed(ask(account)).cause is Cause.TRANSIENT
        assert wechat.calls(EVERYWHERE) == 0

    def test_unknown_certificate(self, ask: Ask, peer: PeerFactory) -> None:
        """A host that cannot show who it is gets no secret."""
        someone = peer(tls=True)

        assert failed(ask(at(someone.url))).cause is Cause.TRANSIENT
        assert [] == someone.requests

    @pytest.mark.parametrize("url", ["http://x..y", f"http://{'a' * 64}.example"])
    def test_impossible_host(self, ask: Ask, url: str) -> None:
        """A host that cannot be is permanent: a person has to correct it."""
        assert failed(ask(at(url))).cause is Cause.PERMANENT

    def test_missing_ca_bundle(self, ask: Ask, peer: PeerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """A CA bundle that is not there is a matter of this machine's; nothing was sent."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        someone = peer(tls=True)
        failure = failed(ask(at(someone.url)))

        assert [] == someone.requests
        assert failure.cause in (Cause.TRANSIENT, Cause.PERMANENT)
        assert "Check REQUESTS_CA_BUNDLE" in failure.message

    def test_no_tls_there(self, ask: Ask, wechat_server: SimulatorServer) -> None:
        """https:// for a server that speaks http is said to be that, or a matter of certificates."""
        failure = failed(ask(at(wechat_server.url.replace("http://", "https://"))))

        assert "TLS failed. Check base_url (http or https)" in failure.message


def trickle_headers(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not peer.stop.wait(0.02):
        connection.sendall(b"x")


def trickle_a_redirect(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 100000\r\n\r\n")
    while not peer.stop.wait(0.02):
        connection.sendall(b"x")


def flood_a_redirect(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
    while not peer.stop.wait(0.002):
        connection.sendall(b"x" * 65_536)


def trickle_chunks(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not peer.stop.wait(0.02):
        connection.sendall(b"1\r\n \r\n")


def flood(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not peer.stop.wait(0.002):
        connection.sendall(b" " * 65_536)


def flood_gzip(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    while not peer.stop.wait(0.002):
        connection.sendall(b"\x1f\x8b" * 32_768)


def continue_for_ever(peer: Peer, connection: socket.socket) -> None:
    while not peer.stop.wait(0.02):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def garbage(peer: Peer, connection: socket.socket) -> None:
    connection.sendall(b"\x00\x01\x02" * 100 + b"\r\n")
    connection.close()


def reset(peer: Peer, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class TestBadPeers:
    @pytest.mark.parametrize(
        "answer",
        [
            trickle_chunks,
            flood,
            flood_gzip,
            garbage,
            reset,
            trickle_headers,
            continue_for_ever,
            trickle_a_redirect,
            flood_a_redirect,
        ],
    )
    def test_ends(self, peer: PeerFactory, answer: Callable[[Peer, socket.socket], object]) -> None:
        """Whatever the peer does, the fetch ends, and its outcome is in doubt."""
        someone = peer(answer)
        answers: list[Grant | Failure] = []
        source = ClassicToken(connect_timeout=0.5, timeout=0.5)
        fetching = threading.Thread(target=lambda: answers.append(source.fetch(at(someone.url))), daemon=True)
        fetching.start()
        fetching.join(LONG)
        in_time = list(answers)
        someone.stop.set()
        fetching.join(LONG)

        assert [Cause.AMBIGUOUS] == [failed(one).cause for one in in_time]

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Same", "308 Same"])
    def test_redirect(self, ask: Ask, peer: PeerFactory, status: str) -> None:
        """A redirect is not followed, not even to the same host: the secret stays where it was meant to go."""
        elsewhere = peer()
        someone = peer(http(b"", status, f"Location: {elsewhere.url}/cgi-bin/token"))

        assert failed(ask(at(someone.url))).cause is Cause.AMBIGUOUS
        assert (1, 0) == (len(someone.requests), len(elsewhere.requests))

    @pytest.mark.parametrize("location", ["http://[", "http://", "//", "http://user:pw@:0/", "\x00", "ftp://x"])
    def test_absurd_redirect(self, ask: Ask, peer: PeerFactory, location: str) -> None:
        """Where it would lead does not matter."""
        someone = peer(http(b"", "302 Found", f"Location: {location}"))

        assert failed(ask(at(someone.url))).cause is Cause.AMBIGUOUS

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_tls_broken_after_sending(self, ask: Ask, peer: PeerFactory) -> None:
        """A TLS connection that breaks when the request is out leaves doubt."""

        def break_tls(_: Peer, connection: socket.socket) -> None:
            with socket.socket(fileno=socket.dup(connection.fileno())) as below:
                below.sendall(b"this is not TLS at all" * 10)

        someone = peer(break_tls, tls=True)
        with requests.Session() as session:
            session.trust_env = False  # REQUESTS_CA_BUNDLE would count for more than the next line
            session.verify = False
            failure = failed(ask(at(someone.url), session=session))

        assert len(someone.requests) == 1
        assert failure.cause is Cause.AMBIGUOUS

    def test_no_http(self, ask: Ask, peer: PeerFactory) -> None:
        """A peer that answers something else than HTTP."""
        assert failed(ask(at(peer(b"220 smtp.example ESMTP\r\n\r\n").url))).cause is Cause.AMBIGUOUS


class TestConnections:
    def test_own_session(self, ask: Ask, peer: PeerFactory) -> None:
        """The connection is closed after the answer, also if the peer would keep it open."""
        someone = peer()

        assert isinstance(ask(at(someone.url)), Grant)
        assert someone.hung_up.wait(LONG)
        assert b"\r\nConnection: close\r\n" in someone.requests[0]

    def test_users_session(self, ask: Ask, peer: PeerFactory) -> None:
        """A session of the user's is used with all that is set up on it, and is left open."""
        someone = peer()
        closed: list[bool] = []

        class Adapter(HTTPAdapter):
            def close(self) -> None:
                closed.append(True)
                super().close()

        with requests.Session() as session:
            session.mount("http://", Adapter())
            session.headers["X-Mine"] = "yes"
            answer = ask(at(someone.url), session=session)
            before_the_end = list(closed)

        assert Grant("88_good", 7200) == answer
        assert [] == before_the_end
        assert b"\r\nX-Mine: yes\r\n" in someone.requests[0]

    def test_users_session_keeps_no_connection(self, ask: Ask, peer: PeerFactory) -> None:
        """Its connections are not kept open, as the sources' docstrings say."""
        someone = peer()
        with requests.Session() as session:
            ask(at(someone.url), session=session)
            hung_up = someone.hung_up.wait(0.5)

        assert hung_up

    def test_no_cookies(self, ask: Ask, peer: PeerFactory) -> None:
        """What one answer leaves behind does not come back with the next request."""
        someone = peer(http(GOOD, "200 OK", "Set-Cookie: a=b"))
        ask(at(someone.url))
        ask(at(someone.url))

        assert [] == [request for request in someone.requests if b"Cookie" in request]

    def test_path_of_the_base_url(self, ask: Ask, peer: PeerFactory) -> None:
        """A base_url may have a path, such as a proxy's."""
        someone = peer()

        assert isinstance(ask(at(f"{someone.url}/wechat/")), Grant)
        assert b" /wechat/cgi-bin/" in someone.requests[0].split(b"\r\n")[0]


class TestSources:
    def test_protocol(self, source_type: Any) -> None:
        """Both are token sources, ready without any argument."""
        assert isinstance(source_type(), TokenSource)

    def test_defaults(self, source_type: Any) -> None:
        """Two seconds for the connection, five in all: a lease of eight covers them."""
        assert (2.0, 5.0) == (source_type().connect_timeout, source_type().timeout)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"timeout": 0}, "timeout must be"),
            ({"timeout": -1}, "timeout must be"),
            ({"timeout": float("nan")}, "timeout must be"),
            ({"timeout": float("inf")}, "timeout must be"),
            ({"timeout": True}, "timeout must be"),
            ({"timeout": "5"}, "timeout must be"),
            ({"timeout": None}, "timeout must be"),
            ({"connect_timeout": 0}, "connect_timeout must be"),
            ({"connect_timeout": "2"}, "connect_timeout must be"),
            ({"connect_timeout": 6}, "must not be longer"),
            ({"timeout": 1}, "must not be longer"),
        ],
    )
    def test_bad_timeouts(self, source_type: Any, options: dict[str, Any], named: str) -> None:
        """A deadline that is none is said at construction."""
        with pytest.raises(ConfigurationError, match=named):
            source_type(**options)

    def test_unknown_option(self, source_type: Any) -> None:
        """A misspelt option is an error."""
        with pytest.raises(TypeError):
            source_type(time_out=5)

    def test_one_key(self, source_type: Any) -> None:
        """Two sources with the same options are the same, so that their providers share."""
        assert source_type() == source_type()
        assert hash(source_type()) == hash(source_type())
        assert source_type() != source_type(timeout=4.0)

    def test_not_each_other(self) -> None:
        """The two endpoints are two sources."""
        assert len({StableToken(), ClassicToken()}) == 2
        assert StableToken.kind != ClassicToken.kind

    def test_session_is_not_shown(self, source_type: Any) -> None:
        """What a session of the user's may hold does not show."""
        with requests.Session() as session:
            session.auth = ("user", SECRET)

            assert "ession" not in repr(source_type(session=session))
