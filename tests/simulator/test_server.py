"""The simulated WeChat on a port: many clients, and a prompt end."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import SimulatorServer, WeChat, _server

from .conftest import Client

TOKEN = "/cgi-bin/token"


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("wxmiddleware-simulator")]


def test_many_clients(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """200 clients at once all get their answer."""
    host, port = wechat_server.url.removeprefix("http://").split(":")
    hang = wechat.faults.add(TOKEN, "hang", times=200)
    path = f"{TOKEN}?grant_type=client_credential&appid={wechat.appid}&secret={wechat.secret}"

    def fetch(_: int) -> bytes:
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.request("GET", path)
        with connection.getresponse() as answer:
            return answer.read()

    with ThreadPoolExecutor(200) as pool:
        answers = pool.map(fetch, range(200))
        assert wechat.wait_for(lambda: hang.hits == 200, timeout=20)
        assert wechat.in_progress == 200
        hang.release()
        tokens = set(answers)

    assert len(tokens) == wechat.fetches() == wechat.minted() == wechat.quota_used() == 200


def test_many_connections(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """1000 connections can be open at once, and one more client is still served."""
    host, port = wechat_server.url.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(1000)]
    try:
        # A thread for each comes first. Among busy processes a Python without a GIL takes a tenth of a second for one.
        assert requests.get(wechat_server.url + TOKEN, timeout=250).json()["errcode"] == 41002
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize(
    ("kind", "options"), [("hang", {}), ("latency", {"seconds": 3600}), ("trickle", {"seconds": 3600})]
)
def test_stop_while_something_hangs(wechat: WeChat, kind: str, options: dict[str, Any]) -> None:
    """stop() ends what hangs at once and leaves no thread behind."""
    before = ours()
    server = SimulatorServer(wechat).start()
    fault = wechat.faults.add(TOKEN, kind, **options)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(requests.get, server.url + TOKEN, timeout=300)
        assert wechat.wait_for(lambda: fault.hits == 1)
        if kind == "trickle":
            assert wechat.wait_for(lambda: wechat.log)

        server.stop()  # else it would last as long as the client waits, and this test would run out of time
        with pytest.raises(requests.RequestException):
            waiting.result(5)
    assert ours() == before
    assert wechat.wait_for(lambda: wechat.in_progress == 0)


def test_stop_with_idle_connections(wechat: WeChat) -> None:
    """stop() does not wait for a client that connected and says nothing."""
    before = ours()
    with SimulatorServer(wechat) as server:
        host, port = server.url.removeprefix("http://").split(":")
        idle = socket.create_connection((host, int(port)))
        requests.get(server.url + TOKEN, timeout=10)  # so the idle one was accepted

    assert ours() == before
    assert idle.recv(1) == b""
    idle.close()


def test_down_and_back(client: Client, wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """A stopped server refuses connections and comes back on the same URL with the same tokens."""
    token = client.fetch().json()["access_token"]
    url = wechat_server.url

    wechat_server.stop()
    with pytest.raises(requests.ConnectionError):
        client.fetch()
    wechat_server.start()

    assert wechat_server.url == url
    assert "total" in client.call("GET", "/cgi-bin/user/get", token).json()


def test_quiet(client: Client, wechat: WeChat, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, whatever happens: a request line would show the secret."""
    client.fetch()
    for kind in ("reset", "lost", "half"):
        wechat.faults.add(TOKEN, kind)
        with pytest.raises(requests.RequestException):
            client.fetch()

    assert capfd.readouterr() == ("", "")


def test_own_failure_is_logged(
    client: Client, wechat: WeChat, wechat_server: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of the simulator itself is logged, not hidden."""
    wechat.clock = None  # type: ignore[assignment]

    assert client.call("GET", "/cgi-bin/nothing").status_code == 500
    wechat_server.stop()
    assert [record.name for record in caplog.records] == ["wxmiddleware.simulator"]


@pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
def test_date(wechat: WeChat, wechat_server: SimulatorServer, skew: float) -> None:
    """The Date of an answer is the real time, set ahead or back by the knob, whatever the simulated clock shows."""
    wechat.date_skew = skew
    told = requests.get(f"{wechat_server.url}/cgi-bin/token", timeout=10).headers["Date"]

    assert skew == pytest.approx(parsedate_to_datetime(told).timestamp() - time.time(), abs=60.0)


def test_no_port_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port is one that no simulator of this process has had: tokens of the last one may still be remembered."""
    with SimulatorServer() as first:
        had = int(first.url.rpartition(":")[2])
    free = iter([had])
    real = _server._Server
    monkeypatch.setattr(_server, "_Server", lambda host, port, *rest: real(host, next(free, port), *rest))

    with SimulatorServer() as another:
        assert another.url != first.url
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", had))


def test_port_taken(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """A taken port is an OSError, not the end of the process."""
    port = int(wechat_server.url.rpartition(":")[2])

    with pytest.raises(OSError, match="taken"):
        SimulatorServer(wechat, port=port).start()


def test_use_out_of_order(wechat: WeChat) -> None:
    """No URL before the start, no second start, and a stop too many does nothing."""
    server = SimulatorServer(wechat)
    with pytest.raises(ConfigurationError, match="start"):
        _ = server.url
    assert "stopped" in repr(server)
    with server, pytest.raises(ConfigurationError, match="runs already"):
        server.start()

    server.stop()


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 70000}, {"port": "80"}, {"host": ""}, {"host": "http://x"}])
def test_useless_arguments(wechat: WeChat, wrong: dict[str, Any]) -> None:
    """A host or port of no use is refused at construction."""
    with pytest.raises(ConfigurationError):
        SimulatorServer(wechat, **wrong)
    with pytest.raises(ConfigurationError):
        SimulatorServer("wechat")  # type: ignore[arg-type]
