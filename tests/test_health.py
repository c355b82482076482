"""Readiness, liveness and the ping of a store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wxmiddleware import Account, ConfigurationError, Runtime, TokenProvider
from wxmiddleware._rules.models import Loaded
from wxmiddleware.health import liveness, ping, readiness
from wxmiddleware.pool import ProviderPool
from wxmiddleware.simulator import SimulatedClock, SimulatorServer
from wxmiddleware.stores.memory import MemoryStore


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as server:
        yield server


def make(server: SimulatorServer, secret: str | None = None) -> TokenProvider:
    return TokenProvider(Account(server.wechat.appid, secret or server.wechat.secret, base_url=server.url))


def test_ready_once_there_is_a_token(server: SimulatorServer) -> None:
    with make(server) as provider:
        first = readiness(provider)  # asks for the token by itself
        provider.get_token()

        assert not first.ok
        assert "on its way" in first.reasons[0]
        assert readiness(provider).ok
        assert liveness(provider).ok


def test_a_refused_account_is_not_ready(server: SimulatorServer) -> None:
    with make(server, "0" * 32) as provider:
        provider.peek()
        assert server.wechat.wait_for(lambda: provider.status().failure is not None)
        health = readiness(provider)

    assert not health.ok
    assert "AppSecret" in health.reasons[0]
    assert "unavailable" == health.as_dict()["status"]


def test_an_outage_takes_nobody_out(server: SimulatorServer) -> None:
    server.stop()
    with make(server) as provider:
        provider.peek()
        assert server.wechat.wait_for(lambda: provider._own.cooldown is not None, 15.0)
        health = readiness(provider)

    assert health.ok
    assert health.reasons


def test_of_a_pool(server: SimulatorServer) -> None:
    pool = ProviderPool(lambda appid: make(server))
    pool.get("one").get_token()

    assert readiness(pool).ok
    assert 1 == len(pool.providers())


def test_of_thousands(server: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe starts no storm, and its answer is short."""
    peeked: list[str] = []
    monkeypatch.setattr(TokenProvider, "peek", lambda self: peeked.append(self.account.appid))
    pool = ProviderPool(lambda appid: TokenProvider(Account(appid, "s" * 32, base_url=server.url)))
    for number in range(3000):
        pool.get(f"wx{number:016}")
    health = readiness(pool)

    assert not health.ok
    assert 8 == len(peeked)
    assert 21 == len(health.reasons)
    assert "2980 more like these." == health.reasons[-1]


def test_an_account_that_nobody_uses_is_left_alone(server: SimulatorServer) -> None:
    """A probe every ten seconds would keep the tokens of all that were ever used."""
    clock = SimulatedClock()
    account = Account(server.wechat.appid, server.wechat.secret, base_url=server.url)
    with TokenProvider(account, runtime=Runtime(clock=clock, time=clock)) as provider:
        provider.get_token()
        clock.advance(8000)
        health = readiness(provider)

        assert "expired" == provider.status().state
        assert provider._own.flight is None or provider._own.flight.done
        assert health.ok


def test_ping() -> None:
    class Down(MemoryStore):
        def load(self, key: str) -> Loaded:
            raise OSError("redis://:password@host is down")

    well, ill = ping(MemoryStore()), ping(Down())

    assert well.ok
    assert well.problem is None
    assert not ill.ok
    assert "OSError" in (ill.problem or "")
    assert "password" not in (ill.problem or "")


def test_wrong() -> None:
    with pytest.raises(ConfigurationError):
        readiness(object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        ping("redis://localhost")  # type: ignore[arg-type]
