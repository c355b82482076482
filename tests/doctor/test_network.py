"""The checks of the way to WeChat: each is made to fail, and only it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sources.conftest import PeerFactory, http, peer
from sources.proxies import NAME, PASSWORD, Proxy
from stores.redis_server import free_port

from doctor.conftest import Doctor
from wxmiddleware.cli.doctor import network
from wxmiddleware.cli.doctor.findings import Level
from wxmiddleware.cli.doctor.network import (
    Reached,
    judge_certificate,
    judge_clock,
    judge_dns,
    judge_reached,
    judge_tunnel,
)
from wxmiddleware.simulator import SimulatorServer, WeChat

__all__ = ["peer"]  # the fixture

UNKNOWN = b'{"errcode":41001,"errmsg":"access_token missing rid: 6aac0064-355b48ab-4c5b487e"}'


@pytest.fixture
def proxy() -> Iterator[Any]:
    """Make a proxy."""
    made: list[Proxy] = []

    def make(kind: str = "http", **options: bool) -> Proxy:
        made.append(Proxy(kind, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def lead(environment: pytest.MonkeyPatch, url: str) -> None:
    """Have requests go there."""
    environment.setenv("WECHAT_BASE_URL", url)


class TestProxy:
    def test_password(self, doctor: Doctor, environment: pytest.MonkeyPatch, proxy: Any) -> None:
        """A proxy that wants another password is the cause; the one that was said is not shown."""
        environment.setenv("HTTPS_PROXY", proxy(password=True).url_with("wr0ngw0rd"))
        lead(environment, "https://wechat.test")

        doctor(secrets=("wr0ngw0rd", NAME)).only("proxy", "proxy.password")

    def test_gone(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """So is one that is not there."""
        environment.setenv("HTTP_PROXY", f"http://{NAME}:s3cr3tw0rd@127.0.0.1:{free_port()}")
        lead(environment, "http://wechat.test")

        doctor(secrets=("s3cr3tw0rd", NAME)).only("proxy", "proxy.unreachable")

    @pytest.mark.parametrize("url", ["http://", "gopher://proxy:70"])
    def test_none(self, doctor: Doctor, environment: pytest.MonkeyPatch, url: str) -> None:
        """So is a URL that is none."""
        environment.setenv("HTTP_PROXY", url)
        lead(environment, "http://wechat.test")

        doctor().only("proxy", "proxy.wrong")

    def test_let_through(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, proxy: Any, peer: PeerFactory, tmp_path: Path
    ) -> None:
        """Through a proxy TLS is seen, too; name and connection are the proxy's matter."""
        someone = peer(http(UNKNOWN), tls=True)
        environment.setenv("HTTPS_PROXY", proxy(password=True).url)
        environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "peer.pem"))
        lead(environment, f"https://localhost:{someone.port}")
        environment.setattr("requests.utils.should_bypass_proxies", lambda url, no_proxy: False)
        visit = doctor(secrets=(PASSWORD,))

        assert "ok" == visit.level("proxy") == visit.level("tls") == visit.level("wechat")
        assert "any.proxied" == visit.checks["dns"]["finding"] == visit.checks["connect"]["finding"]

    def test_socks(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, proxy: Any, peer: PeerFactory, tmp_path: Path
    ) -> None:
        """So it is through a SOCKS proxy."""
        someone = peer(http(UNKNOWN), tls=True)
        environment.setenv("ALL_PROXY", proxy("socks5h", password=True).url)
        environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "peer.pem"))
        lead(environment, f"https://localhost:{someone.port}")
        environment.setattr("requests.utils.should_bypass_proxies", lambda url, no_proxy: False)
        visit = doctor(secrets=(PASSWORD,))

        assert "ok" == visit.level("proxy") == visit.level("tls") == visit.level("wechat")

    @pytest.mark.parametrize("status", [0, 403, 502])
    def test_refused(self, status: int) -> None:
        """A proxy that does not let the host through is told."""
        assert "proxy.refused" == judge_tunnel(status, "http://proxy:3128").key


class TestNameAndConnection:
    def test_unknown_name(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A name that nobody knows is the cause."""
        lead(environment, "http://wechat.invalid")

        doctor().only("dns", "dns.unknown")

    def test_slow_name(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """So is a nameserver that does not answer."""

        def look_up(host: str, port: int, until: float) -> Any:
            raise TimeoutError

        environment.setattr(network, "look_up", look_up)
        lead(environment, "http://wechat.invalid")

        doctor().only("dns", "dns.slow")

    @pytest.mark.parametrize(
        ("host", "addresses", "seconds", "level"),
        [
            ("api.weixin.qq.com", ["101.89.47.18"], 0.1, Level.OK),
            ("api.weixin.qq.com", ["101.89.47.18"], 2.5, Level.WARN),
            ("api.weixin.qq.com", ["10.0.0.7"], 0.1, Level.WARN),
            ("api.weixin.qq.com", ["101.89.47.18", "fe80::1%eth0"], 0.1, Level.WARN),
            ("gateway.local", ["10.0.0.7"], 0.1, Level.OK),
        ],
    )
    def test_addresses(self, host: str, addresses: list[str], seconds: float, level: Level) -> None:
        """WeChat has public addresses; a gateway of one's own may have any. None of them is shown."""
        found = judge_dns(host, addresses, seconds)

        assert level is found.level
        assert not any(each in str(found) for each in addresses)

    def test_nobody_listens(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A port at which nobody listens is the cause."""
        lead(environment, f"http://127.0.0.1:{free_port()}")

        doctor().only("connect", "connect.refused")

    def test_silence(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """So is a firewall that drops what is sent."""
        environment.setattr(network, "_PATIENCE", 0.2)
        with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full:
            host, port = full.getsockname()
            crowd = [socket.socket() for _ in range(3)]
            for each in crowd:
                each.setblocking(False)
                each.connect_ex((host, port))
            lead(environment, f"http://127.0.0.1:{port}")

            doctor().only("connect", "connect.silent")
            for each in crowd:
                each.close()


class TestTLS:
    def test_unknown_issuer(self, doctor: Doctor, environment: pytest.MonkeyPatch, peer: PeerFactory) -> None:
        """A certificate that nobody has signed who is known is the cause."""
        lead(environment, f"https://localhost:{peer(tls=True).port}")

        doctor().only("tls", "tls.opened")

    def test_other_host(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, peer: PeerFactory, tmp_path: Path
    ) -> None:
        """So is one of another host."""
        someone = peer(tls=True)
        environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "peer.pem"))
        here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", someone.port))]
        environment.setattr(socket, "getaddrinfo", lambda *_, **__: here)
        lead(environment, f"https://wechat.test:{someone.port}")

        doctor().only("tls", "tls.host")

    def test_no_bundle(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, peer: PeerFactory, tmp_path: Path
    ) -> None:
        """So is a file of certificates that is not there."""
        environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
        lead(environment, f"https://localhost:{peer(tls=True).port}")

        doctor().only("tls", "tls.bundle")

    def test_plain_server(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, wechat_server: SimulatorServer
    ) -> None:
        """So is a server that speaks plain HTTP."""
        lead(environment, wechat_server.url.replace("http", "https"))

        doctor().only("tls", "tls.failed")

    @pytest.mark.parametrize(
        ("code", "key"),
        [(10, "tls.expired"), (9, "tls.expired"), (62, "tls.host"), (18, "tls.opened"), (7, "tls.distrusted")],
    )
    def test_reasons(self, code: int, key: str) -> None:
        """OpenSSL's reasons, in words."""
        assert key == judge_certificate("api.weixin.qq.com", code).key


class TestWeChat:
    @pytest.mark.parametrize(
        ("fault", "options", "finding", "level"),
        [
            ("html", {}, "wechat.page", "fail"),
            ("status", {"status": 502}, "wechat.status", "fail"),
            ("reset", {}, "wechat.silent", "fail"),
            ("body", {"body": "[]"}, "wechat.page", "fail"),
            ("errcode", {"errcode": -1}, "wechat.busy", "warn"),
        ],
    )
    def test_somebody_else(
        self, doctor: Doctor, wechat: WeChat, fault: str, options: dict[str, Any], finding: str, level: str
    ) -> None:
        """What is no answer of WeChat's is the cause."""
        wechat.faults.add("/cgi-bin/get_api_domain_ip", fault, None, **options)

        doctor().only("wechat", finding, level)

    def test_login_page(self) -> None:
        """A redirect is none either."""
        assert "wechat.status" == judge_reached("h", Reached(302)).key


class TestClock:
    @pytest.mark.parametrize(
        ("skew", "finding", "level"),
        [
            (100.0, "clock.behind", "warn"),
            (4000.0, "clock.behind", "fail"),
            (-100.0, "clock.fast", "warn"),
            (-4000.0, "clock.fast", "fail"),
        ],
    )
    def test_off(self, doctor: Doctor, wechat: WeChat, skew: float, finding: str, level: str) -> None:
        """A clock that is some minutes off is the cause."""
        wechat.date_skew = skew
        found = doctor().only("clock", finding, level)

        assert skew == pytest.approx(found["data"]["ahead"], abs=2.0)

    def test_near(self) -> None:
        """Some seconds do no harm; without a Date nobody knows."""
        assert Level.OK is judge_clock(-29.0).level
        assert Level.SKIP is judge_clock(None).level
