"""What a page in a developer's browser may do with the simulator on their machine: nothing."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from werkzeug.test import Client as WSGIClient

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import SimulatorServer, WeChat, create_app

STATE = "/_simulator/state"
STEAL = "/_simulator/steal"


@pytest.fixture
def http_(wechat: WeChat) -> Any:
    return WSGIClient(create_app(wechat, admin=True, hosts=["wechat", "Sim.Example.", "10.0.0.5", "2001:db8::7"]))


OURS = ["localhost", "LOCALHOST:8000", "localhost.:8000", "127.0.0.1", "127.0.0.1:1", "127.0.0.2", "[::1]:8000"]
OURS += ["[::1]", "[::ffff:127.0.0.1]:80", "wechat", "wechat:9000", "sim.example", "SIM.example.:80", "10.0.0.5:80"]
OURS += ["[2001:DB8::7]:80"]
FOREIGN = ["evil.example", "evil.example:8000", "EVIL.example.", "localhost.evil.example", "evil.localhost"]
FOREIGN += ["127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.0.0.1,evil.example"]
FOREIGN += ["10.0.0.6", "[2001:db8::8]", "0.0.0.0", "127.1", "2130706433", "", " ", ":8000", "[::1", "::1", "["]
FOREIGN += ["[::1].evil.example", "localhost:x", "localhost:8000:8000", "wechat.evil.example", "localhost/", "[]"]
FOREIGN += ["notlocalhost", "localhost.."]


@pytest.mark.parametrize("host", OURS)
def test_own_names(http_: Any, host: str) -> None:
    """Loopback addresses and the names that were allowed are let in, in any spelling and with any port."""
    assert 200 == http_.get(STATE, headers={"Host": host}).status_code


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_names(http_: Any, wechat: WeChat, host: str) -> None:
    """Another name may have been rebound to 127.0.0.1: nothing is told or done, and the answer says what to do."""
    for method, path in (("GET", STATE), ("POST", STEAL), ("DELETE", "/_simulator/faults")):
        answer = http_.open(path, method=method, headers={"Host": host})

        assert 403 == answer.status_code
        assert "--allow-host" in answer.json["error"]
    assert 0 == wechat.stolen()


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Origin": "HTTP://127.0.0.1:8000"}, True),
        ({"Referer": "http://127.0.0.1:8000/_simulator/state"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}, True),
        ({"Content-Type": "application/json"}, True),
        ({"Content-Type": "application/x-www-form-urlencoded"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Content-Type": "text/plain"}, False),
        ({"Origin": "http://127.0.0.1:8001"}, False),
        ({"Origin": "http://127.0.0.1"}, False),
        ({"Origin": "http://localhost:8000"}, False),
        ({"Origin": "http://127.0.0.1:8000.evil.example"}, False),
        ({"Origin": "http://127.0.0.1.evil.example:8000"}, False),
        ({"Origin": "http://127.0.0.1:x"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Origin": "file://127.0.0.1:8000"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "chrome-extension://abcdef"}, False),
        ({"Referer": "https://evil.example/page"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"}, False),
        ({"Content-Type": "text/plain"}, False),
        ({"Content-Type": "Text/Plain; charset=utf-8"}, False),
        ({"Content-Type": "multipart/form-data; boundary=x"}, False),
    ],
    ids=str,
)
def test_origins(http_: Any, wechat: WeChat, headers: dict[str, str], let_in: bool) -> None:
    """What comes from a page of another origin, or could, is refused; a shell is not."""
    answer = http_.post(STEAL, headers={"Host": "127.0.0.1:8000", **headers})

    assert ((200, 1) if let_in else (403, 0)) == (answer.status_code, wechat.stolen())
    assert let_in or answer.json["error"]


def test_https_in_front(http_: Any) -> None:
    """Behind a proxy that speaks https for it, the page's own origin is known."""
    proxied = {"Host": "sim.example", "Origin": "https://sim.example"}

    assert 200 == http_.post(STEAL, headers=proxied).status_code
    assert 403 == http_.post(STEAL, headers={**proxied, "Origin": "https://sim.example:8443"}).status_code


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml", "image/svg+xml"])
@pytest.mark.parametrize("path", ["/x", "/cgi-bin/token"])
def test_pages(http_: Any, wechat: WeChat, kind: str, path: str) -> None:
    """A page that the developer asked for is shown under the simulator's own names only, and runs no script."""
    wechat.faults.add(path, "body", times=None, body="<script>alert(1)</script>", content_type=kind)
    shown = http_.get(path, headers={"Host": "localhost:8000"})

    assert (200, "sandbox") == (shown.status_code, shown.headers["Content-Security-Policy"])
    for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = http_.get(path, headers=headers)
        assert (403, "application/json") == (answer.status_code, answer.content_type)
        assert "<script>" not in answer.text


def test_apis_have_any_name(http_: Any) -> None:
    """WeChat's APIs are served under any name: they take a secret or a token, which no page has."""
    assert 41002 == http_.get("/cgi-bin/token", headers={"Host": "api.weixin.qq.com"}).json["errcode"]


@pytest.mark.parametrize("wrong", ["wechat", None, [""], ["http://wechat"], ["wechat:80"], ["a b"], ["*"], [7]])
def test_useless_hosts(wechat: WeChat, wrong: Any) -> None:
    """What is no name is refused at construction."""
    for make in (create_app, SimulatorServer):
        with pytest.raises(ConfigurationError, match="host"):
            make(wechat, hosts=wrong)


def ask(server: SimulatorServer, host: str | None) -> int:
    port = int(server.url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", STATE, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("bound", "hosts", "codes"),
    [
        ("127.0.0.1", [], {"127.0.0.1:8000": 200, "10.1.2.3:8000": 403, "evil.example": 403, None: 200}),
        ("0.0.0.0", ["wechat"], {"10.1.2.3:8000": 200, "0.0.0.0": 200, "wechat:8000": 200, "evil.example": 403}),
        ("localhost", [], {"localhost:8000": 200, "evil.example": 403}),
    ],
)
def test_server(wechat: WeChat, bound: str, hosts: list[str], codes: dict[str | None, int]) -> None:
    """A server has the address that it is bound to; one that is bound to all of them has each."""
    with SimulatorServer(wechat, bound, admin=True, hosts=hosts) as server:
        assert codes == {host: ask(server, host) for host in codes}
