"""Connecting: one time for the name and all its addresses; and nothing is sent whose answer nobody could wait for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context, copy_context
from typing import Any

import pytest
import requests
from sources.conftest import LONG, Peer, PeerFactory

from wxmiddleware import Account, ClassicToken
from wxmiddleware._runtime.clock import clock
from wxmiddleware.sources import Cause, Failure, Grant, _connect, _deadline, _within
from wxmiddleware.sources._sending import under_lease

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
GOOD = Grant("88_good", 7200)
V4, V6 = socket.AF_INET, socket.AF_INET6


def fetch(port: int, *, host: str = "wechat.test", connect: float = 4.0, timeout: float = 20.0) -> Grant | Failure:
    account = Account("wx1", SECRET, base_url=f"http://{host}:{port}")
    return ClassicToken(connect_timeout=connect, timeout=timeout).fetch(account)


@pytest.fixture
def dead() -> Iterator[Callable[[int, int], list[str]]]:
    """Addresses of this machine that swallow packets: their queues are full, so that a further SYN gets no answer."""
    with ExitStack() as stack:

        def make(count: int, port: int) -> list[str]:
            hosts = [f"127.0.0.{2 + i}" for i in range(count)]
            for host in hosts:
                full = stack.enter_context(socket.socket())
                full.bind((host, port))
                full.listen(0)
                for _ in range(3):
                    one = stack.enter_context(socket.socket())
                    one.setblocking(False)
                    one.connect_ex((host, port))
            return hosts

        yield make


@pytest.fixture
def leads_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the name lead to these addresses; gives the names that are looked up from then on."""

    def make(*hosts: str) -> list[str]:
        asked: list[str] = []

        def look_up(host: str, port: Any, *args: object, **options: object) -> list[Any]:
            asked.append(host)
            kinds = [V6 if ":" in each else V4 for each in hosts]
            return [(kind, socket.SOCK_STREAM, 6, "", (each, port)) for kind, each in zip(kinds, hosts, strict=True)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return asked

    return make


@pytest.mark.parametrize("count", [1, 3, 20])
def test_dead_addresses(
    count: int,
    peer: PeerFactory,
    dead: Callable[[int, int], list[str]],
    leads_to: Callable[..., list[str]],
) -> None:
    """However many addresses are dead, the one that lives is found within the time for connecting."""
    someone = peer()
    leads_to(*dead(count, someone.port), "127.0.0.1")

    assert GOOD == fetch(someone.port)
    assert len(someone.requests) == 1


def test_all_dead(peer: PeerFactory, dead: Callable[[int, int], list[str]], leads_to: Callable[..., list[str]]) -> None:
    """All addresses together have the time for connecting, and not each of them."""
    port = peer().port
    leads_to(*dead(5, port))
    began = clock()
    failure = fetch(port, connect=0.5, timeout=300.0)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert clock() - began < 60.0


@pytest.mark.parametrize("first", ["2001:db8::1", "100::1", "::1", "127.0.0.9"])
def test_first_refuses(first: str, peer: PeerFactory, leads_to: Callable[..., list[str]]) -> None:
    """An address that leads nowhere, such as IPv6 without a route, is passed over."""
    someone = peer()
    leads_to(first, "127.0.0.1")

    assert GOOD == fetch(someone.port)


def test_families_take_turns() -> None:
    """IPv6 and IPv4 take turns, so a family that is broken costs one step and not one for each address."""
    addresses = [(V6, 1, 6, "", ("6a", 1)), (V6, 1, 6, "", ("6b", 1)), (V4, 1, 6, "", ("4a", 1))]

    assert ["6a", "4a", "6b"] == [each[4][0] for each in _connect._interleaved(addresses)]


def test_refused_everywhere(leads_to: Callable[..., list[str]]) -> None:
    """If all addresses refuse, that is said at once."""
    leads_to("127.0.0.2", "127.0.0.3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        failure = fetch(free.getsockname()[1], connect=100.0, timeout=300.0)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert "NewConnectionError" in failure.message


class TestLookUp:
    """Names are looked up in a thread, as nothing can cancel that."""

    @pytest.fixture
    def held(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        """Every look-up waits for this event, and then finds 127.0.0.1."""
        event = threading.Event()
        self.asked: list[str] = []

        def slow(host: str, port: Any, *args: object, **options: object) -> list[Any]:
            self.asked.append(host)
            assert event.wait(LONG)
            return [(V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        _connect._look_ups.after_fork()  # nothing is left of another test
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        monkeypatch.setattr(_connect, "_SLOW", 0.0)  # all that is not at once
        yield event
        event.set()

    def test_too_slow(self, held: threading.Event, peer: PeerFactory) -> None:
        """The fetch gives up in time; when the name is there at last, nothing is sent."""
        someone = peer()
        failure = fetch(someone.port, connect=0.2, timeout=300.0)
        pending = self.pending()
        held.set()
        pending.result(LONG)

        assert isinstance(failure, Failure)
        assert failure.cause is Cause.TRANSIENT
        assert [] == someone.requests

    def test_the_next_has_it(self, held: threading.Event, peer: PeerFactory) -> None:
        """What came too late for one fetch serves the next: each look-up would take as long."""
        someone = peer()
        fetch(someone.port, connect=0.2)
        pending = self.pending()
        held.set()
        pending.result(LONG)
        held.clear()
        answer = fetch(someone.port)
        held.set()

        assert GOOD == answer
        assert ["wechat.test"] == self.asked

    def test_one_for_all(self, held: threading.Event, peer: PeerFactory) -> None:
        """Who asks while the name is being looked up waits for the same answer."""
        someone = peer()
        for _ in range(3):
            fetch(someone.port, connect=0.05)

        assert ["wechat.test"] == self.asked

    def test_forgotten(self, held: threading.Event, peer: PeerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a while it is looked up anew: the address may be another."""
        held.set()
        someone = peer()
        fetch(someone.port)
        monkeypatch.setattr(_connect, "clock", lambda: clock() + _connect._KEEP + 1.0)
        fetch(someone.port)

        assert 2 == len(self.asked)

    def test_quick_answers_are_not_kept(self, peer: PeerFactory, leads_to: Callable[..., list[str]]) -> None:
        """A name that is found at once is looked up each time."""
        asked = leads_to("127.0.0.1")
        someone = peer()

        assert [GOOD] * 2 == [fetch(someone.port) for _ in range(2)]
        assert ["wechat.test"] * 2 == asked

    def test_after_a_fork(self, held: threading.Event, peer: PeerFactory) -> None:
        """A child does not wait for a thread of its parent's."""
        someone = peer()
        fetch(someone.port, connect=0.05)
        _connect._look_ups.after_fork()
        fetch(someone.port, connect=0.05)

        assert 2 == len(self.asked)

    def test_no_more_threads(
        self, peer: PeerFactory, leads_to: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there can be no thread, it is done here."""

        start = threading.Thread.start

        def none(thread: threading.Thread) -> None:
            if thread.name == "wxmiddleware-call":
                raise RuntimeError("can't start new thread")
            start(thread)

        someone = peer()
        leads_to("127.0.0.1")
        monkeypatch.setattr(threading.Thread, "start", none)

        assert GOOD == fetch(someone.port)

    @pytest.mark.parametrize("noted", [True, False])
    def test_unknown(self, noted: bool, peer: PeerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that nobody knows is a passing failure, and is asked for again, also before its end is noted."""
        _connect._look_ups.after_fork()
        if not noted:
            monkeypatch.setattr(_connect._look_ups, "_ended", lambda *args: None)
        asked: list[str] = []

        def unknown(host: str, *args: object, **options: object) -> None:
            asked.append(host)
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        causes = [failure.cause for _ in range(2) if isinstance(failure := fetch(1), Failure)]

        assert [Cause.TRANSIENT] * 2 == causes
        assert 2 == len(asked)

    def test_end_is_noted_late(self) -> None:
        """What ends does not take away the look-up that was begun after it."""
        look_ups, later, ended = _connect._LookUps(), Future[Any](), Future[Any]()
        look_ups._found["wechat.test", 80] = (later, clock())
        ended.set_exception(socket.gaierror())
        look_ups._ended(("wechat.test", 80), ended, clock())

        assert later is look_ups._found["wechat.test", 80][0]

    def pending(self) -> Future[Any]:
        """The look-up that is under way."""
        ((future, _),) = _connect._look_ups._found.values()
        return future


def fetched(someone: Peer, tls: bool) -> Grant | Failure:
    """Ask a server for a token over a session of the user's own."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = False
        account = Account("wx1", SECRET, base_url=f"{'https' if tls else 'http'}://127.0.0.1:{someone.port}")
        answer = ClassicToken(session=session).fetch(account)
    someone.stop.set()
    return answer


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_held_up_before_sending(tls: bool, peer: PeerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A process that stood still between the lease and sending sends nothing: by now another has fetched.

    So it is if the machine was suspended; the clock that is looked at goes on meanwhile.
    """
    someone = peer(tls=tls)
    late = 0.0
    opened = _deadline._opened

    def hold_up(connection: Any) -> socket.socket:
        nonlocal late
        sock = opened(connection)
        late = 30.0
        sock.settimeout(LONG)
        return sock

    monkeypatch.setattr(_deadline, "_opened", hold_up)
    monkeypatch.setattr(_deadline, "clock", lambda: clock() + late)
    failure = fetched(someone, tls)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert [] == someone.requests


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_lease_that_ended_before_sending(tls: bool, peer: PeerFactory) -> None:
    """Nothing is sent if the lease does not last for the rest of the fetch any more when the connection stands."""
    someone = peer(tls=tls)
    asked: list[float] = []

    def covers(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 1  # before the name is looked up

    with under_lease(covers):
        failure = fetched(someone, tls)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert [] == someone.requests
    assert 2 == len(asked)
    assert 5.0 > asked[0] > asked[1] > 0.0


@pytest.mark.parametrize("own", [False, True], ids=["ours", "a transport of the user's"])
def test_lease_that_ended_before_connecting(own: bool, peer: PeerFactory) -> None:
    """Where the lease is over at the beginning, nobody connects; then WeChat surely did not act on the request."""
    someone = peer()
    with requests.Session() as session, under_lease(lambda seconds: False):
        if own:
            session.mount("http://", type("Own", (requests.adapters.HTTPAdapter,), {})())
        account = Account("wx1", SECRET, base_url=f"http://127.0.0.1:{someone.port}")
        failure = ClassicToken(session=session).fetch(account)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert [] == someone.requests


@pytest.mark.parametrize("context", [Context, copy_context], ids=["a context of its own", "an inherited one"])
def test_lease_of_another_fetch(context: Callable[[], Context], peer: PeerFactory) -> None:
    """What is fetched after the block, or in another thread, is not under its lease."""
    someone = peer()
    account = Account("wx1", SECRET, base_url=f"http://127.0.0.1:{someone.port}")
    with under_lease(lambda seconds: False), ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(context().run, ClassicToken().fetch, account).result(LONG)

    assert GOOD == elsewhere == ClassicToken().fetch(account)


def test_little_time_left(peer: PeerFactory) -> None:
    """What is left when a secret or a look-up took long is no time for an answer: nothing is sent."""
    someone = peer()
    account = Account("wx1", SECRET, base_url=f"http://127.0.0.1:{someone.port}")
    failure = ClassicToken().call(account, "GET", "/cgi-bin/token", seconds=0.9)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert [] == someone.requests


def test_tls_that_never_begins(peer: PeerFactory) -> None:
    """A handshake that does not come is part of connecting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = clock()
        account = Account("wx1", SECRET, base_url=f"https://127.0.0.1:{silent.getsockname()[1]}")
        failure = ClassicToken(connect_timeout=0.3, timeout=300.0).fetch(account)

    assert isinstance(failure, Failure)
    assert failure.cause is Cause.TRANSIENT
    assert clock() - began < 60.0


def test_late_connection_is_closed() -> None:
    """What cannot be cancelled is given up in time; a connection that comes later is closed."""
    go, closed = threading.Event(), threading.Event()

    def slow() -> str:
        go.wait(LONG)
        return "a connection"

    with pytest.raises(TimeoutError):
        _within.within(0.05, slow, lambda made: closed.set())
    go.set()

    assert closed.wait(LONG)


def test_room_for_the_answer() -> None:
    """The connection must stand while there is time left for an answer: a second, or a quarter of a short time."""
    long, short = _deadline.Exchange(5.0, 5.0), _deadline.Exchange(0.4, 0.4)

    assert [1.0, 1.0] == pytest.approx([long.deadline - long.send_by, long.deadline - long.connect_by])
    assert 0.1 == pytest.approx(short.deadline - short.send_by)


def test_room_in_the_rest_of_a_fetch() -> None:
    """An answer takes no less time since the first part of a fetch has used most of it up."""
    rest = _deadline.Exchange(2.0, 2.0, 5.0)

    assert 1.0 == pytest.approx(rest.deadline - rest.send_by)
