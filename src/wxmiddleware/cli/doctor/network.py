"""The way to WeChat: proxy, name, connection, TLS, a first answer, and what time it is there."""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import certifi
from requests.utils import get_environ_proxies, select_proxy

from ..._runtime.clock import clock
from ...sources._connect import connect, look_up
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

_PATIENCE = 5.0
_SLOW = 2.0  # a name that takes so long to look up eats most of a fetch's time for the connection
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_OPENED = (18, 19, 20, 21)  # OpenSSL: self-signed, or signed by nobody who is known here
_OUT_OF_DATE = (9, 10)
_OTHER_HOST = (62, 64)
_MOST_OF_A_HEAD = 16_384


# Proxy


def look_at_proxy(examination: Examination) -> Finding:
    """See whether a proxy stands between, and whether it lets WeChat's host through."""
    account = examination.account
    assert account is not None
    url = proxy_of(account.base_url)
    if url is None:
        return ok("proxy.none")
    parts = _parts(url)
    if parts is None or parts.scheme not in _PROXY_PORTS:
        return fail("proxy.wrong")
    shown = f"{parts.scheme}://{_host_and_port(parts, _PROXY_PORTS)}"
    try:
        with closing(_to_proxy(parts)) as connection:
            if not parts.scheme.startswith("socks") and account.base_url.startswith("https:"):
                return judge_tunnel(_tunnel(connection, parts, urlsplit(account.base_url)), shown)
    except OSError as error:
        return fail("proxy.unreachable", proxy=shown, error=type(error).__name__)
    return ok("proxy.ok", proxy=shown)


def judge_tunnel(status: int, shown: str) -> Finding:
    """Judge a proxy's answer to CONNECT."""
    if status == 200:
        return ok("proxy.ok", proxy=shown)
    if status == 407:
        return fail("proxy.password", proxy=shown)
    return fail("proxy.refused", proxy=shown, status=status)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this URL, as `requests` finds it."""
    found: str | None = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    return found or None


def _parts(url: str) -> SplitResult | None:
    with suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.hostname and parts.port != 0:
            return parts
    return None


def _host_and_port(parts: SplitResult, defaults: dict[str, int]) -> str:
    return f"{parts.hostname}:{parts.port or defaults[parts.scheme]}"


def _to_proxy(parts: SplitResult) -> socket.socket:
    assert parts.hostname is not None
    connection = connect(parts.hostname, parts.port or _PROXY_PORTS[parts.scheme], clock() + _PATIENCE)
    connection.settimeout(_PATIENCE)
    if parts.scheme == "https":
        return _context().wrap_socket(connection, server_hostname=parts.hostname)
    return connection


def _tunnel(connection: socket.socket, proxy: SplitResult, target: SplitResult) -> int:
    """Ask a proxy for a way to WeChat's host, and give the status of its answer."""
    where = _host_and_port(target, _DEFAULT_PORTS)
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MOST_OF_A_HEAD:
        byte = connection.recv(1)  # what follows the head is TLS's
        if not byte:
            break
        head += byte
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0


# Name and connection


def look_at_dns(examination: Examination) -> Finding:
    """See whether the name of WeChat's host is known here, and how fast."""
    account = examination.account
    assert account is not None
    if proxy_of(account.base_url) is not None:
        return skip("any.proxied")
    host, port = _target(account.base_url)
    began = clock()
    try:
        found = look_up(host, port, began + _PATIENCE)
    except TimeoutError:
        return fail("dns.slow", host=host, seconds=_PATIENCE)
    except OSError:
        return fail("dns.unknown", host=host)
    return judge_dns(host, [str(each[4][0]) for each in found], clock() - began)


def judge_dns(host: str, addresses: list[str], seconds: float) -> Finding:
    """Judge the addresses that a name has. They are not shown: a private one tells of the network's inside."""
    data = {"addresses": len(addresses), "seconds": round(seconds, 3)}
    own = host in addresses
    public = host.rstrip(".").endswith(".qq.com")
    if public and any(not _is_public(each) for each in addresses):
        return warn("dns.private", host=host, data=data)
    if seconds > _SLOW:
        return warn("dns.late", host=host, seconds=seconds, data=data)
    return ok("dns.address" if own else "dns.ok", host=host, count=len(addresses), ms=seconds * 1000, data=data)


def _is_public(address: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(address.partition("%")[0]).is_global
    return True


def look_at_connect(examination: Examination) -> Finding:
    """See whether a connection can be had."""
    account = examination.account
    assert account is not None
    if proxy_of(account.base_url) is not None:
        return skip("any.proxied")
    host, port = _target(account.base_url)
    began = clock()
    try:
        connect(host, port, began + _PATIENCE).close()
    except TimeoutError:
        return fail("connect.silent", host=host, port=port, seconds=_PATIENCE)
    except OSError as error:
        return fail("connect.refused", host=host, port=port, error=type(error).__name__)
    seconds = clock() - began
    return ok("connect.ok", host=host, port=port, ms=seconds * 1000, data={"seconds": round(seconds, 3)})


def _target(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


# TLS


def look_at_tls(examination: Examination) -> Finding:
    """See whether TLS can be had, and who vouches for the other end."""
    account = examination.account
    assert account is not None
    if not account.base_url.startswith("https:"):
        return skip("tls.none")
    try:
        context = _context()
    except OSError:
        return fail("tls.bundle")
    host, _ = _target(account.base_url)
    try:
        with closing(_way(account.base_url)) as connection:
            connection.settimeout(_PATIENCE)
            with context.wrap_socket(connection, server_hostname=host) as secured:
                issuer = dict(pair[0] for pair in (secured.getpeercert() or {}).get("issuer", ()))  # type: ignore[misc]
                return ok("tls.ok", host=host, issuer=str(issuer.get("organizationName", "?"))[:100])
    except ssl.SSLCertVerificationError as error:
        return judge_certificate(host, error.verify_code)
    except OSError as error:
        return fail("tls.failed", host=host, error=type(error).__name__)


def judge_certificate(host: str, code: int) -> Finding:
    """Judge why OpenSSL does not trust a certificate."""
    if code in _OUT_OF_DATE:
        return fail("tls.expired", host=host)
    if code in _OTHER_HOST:
        return fail("tls.host", host=host)
    return fail("tls.opened" if code in _OPENED else "tls.distrusted", host=host, code=code)


def _context() -> ssl.SSLContext:
    """Trust whom `requests` trusts."""
    bundle = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), certifi.where())
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def _way(url: str) -> socket.socket:
    """A connection to WeChat's host, through the proxy if there is one."""
    proxy = proxy_of(url)
    if proxy is None:
        return connect(*_target(url), clock() + _PATIENCE)
    parts = _parts(proxy)
    assert parts is not None
    if parts.scheme.startswith("socks"):
        return _through_socks(proxy, url)
    connection = _to_proxy(parts)
    _tunnel(connection, parts, urlsplit(url))
    return connection


def _through_socks(proxy: str, url: str) -> socket.socket:
    from urllib3.contrib.socks import SOCKSConnection, SOCKSProxyManager

    host, port = _target(url)
    options = SOCKSProxyManager(proxy).connection_pool_kw["_socks_options"]
    made: socket.socket = SOCKSConnection(_socks_options=options, host=host, port=port, timeout=_PATIENCE)._new_conn()
    return made


# The first answer, and the clock


@dataclass(frozen=True, slots=True)
class Reached:
    """
    What came back for a request without a token.

    Attributes:
        status: The HTTP status; 0 if nothing came.
        errcode: WeChat's, or ``None`` if it was no answer of WeChat's.
        errmsg: WeChat's text.
        problem: Why nothing came.
        ahead: Seconds by which WeChat's clock is ahead of this machine's, by its ``Date`` header; ``None`` without one.
        seconds: How long it took.
    """

    status: int
    errcode: int | None = None
    errmsg: str = ""
    problem: str = ""
    ahead: float | None = None
    seconds: float = 0.0


def look_at_wechat(examination: Examination) -> Finding:
    """See whether it is WeChat that answers."""
    account = examination.account
    assert account is not None
    return judge_reached(account.host, examination.reached)


def judge_reached(host: str, reached: Reached) -> Finding:
    """Judge an answer to a request without a token: WeChat's own is errcode 41001."""
    if reached.status == 0:
        return fail("wechat.silent", host=host, problem=reached.problem)
    if reached.status >= 300:
        return fail("wechat.status", host=host, status=reached.status)
    if reached.errcode is None:
        return fail("wechat.page", host=host)
    if reached.errcode == -1:
        return warn("wechat.busy", host=host)
    return ok("wechat.ok", host=host, ms=reached.seconds * 1000, data={"seconds": round(reached.seconds, 3)})


_NEAR = 30.0
_FAR = 300.0


def look_at_clock(examination: Examination) -> Finding:
    """Compare this machine's clock with WeChat's."""
    return judge_clock(examination.reached.ahead)


def judge_clock(ahead: float | None) -> Finding:
    """
    Judge how far two clocks are apart.

    Args:
        ahead: Seconds by which WeChat's is ahead; ``None`` if that is not known.
    """
    if ahead is None:
        return skip("clock.unknown")
    seconds, data = abs(ahead), {"ahead": round(ahead, 1)}
    if seconds <= _NEAR:
        return ok("clock.ok", seconds=seconds, data=data)
    level = fail if seconds > _FAR else warn
    return level("clock.behind" if ahead > 0 else "clock.fast", seconds=seconds, data=data)
