"""What goes wrong on request, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import SimulatorServer, WeChat

from .conftest import Client

TOKEN = "/cgi-bin/token"


def raw_fetch(wechat: WeChat, server: SimulatorServer) -> bytes:
    """Fetch a classic token through a bare socket and give every byte of the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    query = f"grant_type=client_credential&appid={wechat.appid}&secret={wechat.secret}"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"GET {TOKEN}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
        return answer


@pytest.mark.parametrize("slot", ["classic", "stable"])
def test_errcode(client: Client, wechat: WeChat, slot: str) -> None:
    """An injected errcode is answered n times with WeChat's text, counted as a fetch, and mints nothing (row 8)."""
    wechat.faults.add("/cgi-bin/*", "errcode", times=2, errcode=-1)

    first, second, third = (client.fetch(slot).json() for _ in range(3))

    assert first["errcode"] == second["errcode"] == -1
    assert first["errmsg"].startswith("system error rid: ")
    assert "access_token" in third
    assert (wechat.fetches(wechat.appid, slot), wechat.minted()) == (3, 1)


def test_errmsg(client: Client, wechat: WeChat) -> None:
    """An errmsg of one's own is sent exactly."""
    wechat.faults.add(TOKEN, "errcode", errcode=89503, errmsg="please confirm")

    assert client.fetch().json() == {"errcode": 89503, "errmsg": "please confirm"}


def test_errcode_on_an_api(client: Client, wechat: WeChat, token: str) -> None:
    """An eternal 40001 on an API counts as refused and leaves the token as it is."""
    fault = wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=40001)

    answers = {client.call("GET", "/cgi-bin/user/get", token).json()["errcode"] for _ in range(5)}

    assert answers == {40001}
    assert wechat.rejections() == fault.hits == 5
    assert wechat.log[0].appid == wechat.appid
    assert wechat.is_valid(token)
    fault.remove()
    assert "errcode" not in client.call("GET", "/cgi-bin/user/get", token).json()


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize(
    ("kind", "options", "status", "content_type", "start"),
    [
        ("status", {}, 502, "text/html", b"<html><head><title>502 Bad Gateway"),
        ("status", {"status": 503, "body": "later", "content_type": "text/plain"}, 503, "text/plain", b"later"),
        ("html", {}, 200, "text/html", b"<html>"),
        ("empty", {}, 200, "application/json; encoding=utf-8", b""),
        ("body", {"body": b'{"expires_in":-1}'}, 200, "application/json; encoding=utf-8", b'{"expires_in":-1}'),
    ],
)
def test_strange_answers(
    client: Client,
    wechat: WeChat,
    kind: str,
    options: dict[str, Any],
    status: int,
    content_type: str,
    start: bytes,
    executed: bool,
) -> None:
    """A strange answer comes as asked for, with or without the request's effect (row 7)."""
    wechat.faults.add(TOKEN, kind, executed=executed, **options)

    answer = client.fetch()

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == content_type
    assert answer.content.startswith(start)
    assert start or not answer.content
    assert wechat.minted() == wechat.fetches() == executed
    assert wechat.calls(TOKEN) == 1
    assert (wechat.log[0].fault, wechat.log[0].status) == (kind, status)
    assert "access_token" in client.fetch().json()


@pytest.mark.parametrize("executed", [False, True])
def test_reset(wechat: WeChat, wechat_server: SimulatorServer, executed: bool) -> None:
    """A reset is a TCP RST, with or without the request's effect."""
    wechat.faults.add(TOKEN, "reset", executed=executed)

    with pytest.raises(ConnectionResetError):
        raw_fetch(wechat, wechat_server)

    assert wechat.minted() == executed
    assert b"access_token" in raw_fetch(wechat, wechat_server)


def test_lost(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """A lost answer is a closed connection after the request took effect."""
    wechat.faults.add(TOKEN, "lost")

    assert raw_fetch(wechat, wechat_server) == b""
    assert wechat.minted() == 1
    assert wechat.log[0].status is None


def test_half(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """Half an answer promises the whole, stops in the middle, and took effect."""
    wechat.faults.add(TOKEN, "half")

    head, _, body = raw_fetch(wechat, wechat_server).partition(b"\r\n\r\n")

    promised = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert promised == 194
    assert len(body) == promised // 2
    assert wechat.minted() == 1


def test_trickle(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """A trickling answer arrives whole in the end."""
    wechat.faults.add(TOKEN, "trickle", seconds=0)

    assert raw_fetch(wechat, wechat_server).endswith(b'"expires_in":7200}')


def test_hang_until_released(client: Client, wechat: WeChat) -> None:
    """A hanging request takes effect only when it is released."""
    hang = wechat.faults.add(TOKEN, "hang", times=None)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.fetch)
        assert wechat.wait_for(lambda: hang.hits == 1)
        assert (wechat.calls(TOKEN), wechat.minted(), wechat.in_progress, wechat.log) == (1, 0, 1, [])

        hang.release()

        assert "access_token" in waiting.result(5).json()
    assert wechat.minted() == 1


def test_hang_after_the_effect(client: Client, wechat: WeChat) -> None:
    """A hang with executed=True has minted its token, which another service may kill meanwhile."""
    hang = wechat.faults.add(TOKEN, "hang", executed=True)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.fetch)
        assert wechat.wait_for(lambda: wechat.minted() == 1)
        wechat.steal()

        hang.release()

        token = waiting.result(5).json()["access_token"]
    assert not wechat.is_valid(token)


def test_clear_ends_hangs(client: Client, wechat: WeChat) -> None:
    """clear() lets requests go on that hang, also on a fault that was used up by them."""
    hang = wechat.faults.add(TOKEN, "hang")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.fetch)
        assert wechat.wait_for(lambda: hang.hits == 1)

        wechat.faults.clear()

        assert "access_token" in waiting.result(5).json()


def test_hang_ends_by_itself(client: Client, wechat: WeChat) -> None:
    """A hang with seconds= answers after them."""
    wechat.faults.add(TOKEN, "hang", seconds=0.01)

    assert "access_token" in client.fetch().json()


def test_client_gives_up(client: Client, wechat: WeChat) -> None:
    """A client that does not wait sees a timeout, the server goes on."""
    hang = wechat.faults.add(TOKEN, "hang")

    with pytest.raises(requests.ReadTimeout):
        requests.get(client.url + TOKEN, timeout=0.05)

    hang.release()
    assert wechat.wait_for(lambda: wechat.in_progress == 0)
    assert "access_token" in client.fetch().json()


def test_latency_holds_no_lock(client: Client, wechat: WeChat) -> None:
    """While fetches are on their way, everything else goes on."""
    wechat.token_latency = 3600
    threads = [threading.Thread(target=_swallow, args=(client,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()

    assert wechat.wait_for(lambda: wechat.in_progress == 3)
    token = wechat.token()["access_token"]
    assert "total" in client.call("GET", "/cgi-bin/user/get", token).json()


def _swallow(client: Client) -> None:
    with contextlib.suppress(requests.RequestException):
        client.fetch()


def test_latency_fault(client: Client, wechat: WeChat) -> None:
    """A latency ends with the usual answer."""
    wechat.faults.add(TOKEN, "latency", seconds=0.01)

    assert "access_token" in client.fetch().json()
    assert wechat.log[0].fault == "latency"


def test_first_added_strikes_first(client: Client, wechat: WeChat) -> None:
    """One request meets one fault, in the order in which they were added."""
    wechat.faults.add("*", "errcode", errcode=-1)
    wechat.faults.add(TOKEN, "errcode", errcode=45011)

    assert [client.fetch().json().get("errcode") for _ in range(3)] == [-1, 45011, None]


def test_prefix(client: Client, wechat: WeChat, token: str) -> None:
    """A prefix strikes what is below it only."""
    wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=-1)

    assert client.call("GET", "/cgi-bin/user/get", token).json()["errcode"] == -1
    assert client.call("GET", "/cgi-bin/menu/get", token).json()["errcode"] == 46003


@pytest.mark.parametrize(
    ("path", "kind", "options", "says"),
    [
        ("*", "explode", {}, "use one of"),
        ("*", None, {}, "use one of"),
        ("cgi-bin/token", "empty", {}, "starts with"),
        ("/a*b", "empty", {}, "at the end"),
        (None, "empty", {}, "starts with"),
        ("*", "empty", {"times": 0}, "1 or more"),
        ("*", "empty", {"times": True}, "1 or more"),
        ("*", "errcode", {}, "needs errcode"),
        ("*", "errcode", {"errcode": "40001"}, "whole number"),
        ("*", "errcode", {"errcode": 1, "errmsg": 5}, "a text"),
        ("*", "latency", {"seconds": -1}, "0 or more"),
        ("*", "latency", {"seconds": None}, "0 or more"),
        ("*", "status", {"status": 99}, "200 to 599"),
        ("*", "body", {"body": 5}, "bytes or str"),
        ("*", "empty", {"executed": "yes"}, "True or False"),
        ("*", "empty", {"seconds": 1}, "has no option seconds"),
    ],
)
def test_useless_faults(wechat: WeChat, path: Any, kind: Any, options: dict[str, Any], says: str) -> None:
    """A fault that makes no sense is refused when it is added."""
    with pytest.raises(ConfigurationError, match=says):
        wechat.faults.add(path, kind, **options)


def test_repr_hides_bodies(wechat: WeChat) -> None:
    """A fault's repr tells its kind, place and hits, and not its body."""
    fault = wechat.faults.add(TOKEN, "body", times=3, body="60_secret")

    assert repr(fault) == "<Fault body at /cgi-bin/token: 0 hits, 3 left>"
    assert "60_secret" not in repr(wechat.faults)
