"""
Who may come in by a browser.

A page anywhere on the web can send requests to 127.0.0.1, and by DNS rebinding (its own name suddenly means 127.0.0.1)
also read the answers. Browsers say where a request comes from, and under which name: both are looked at. A name that
is an address cannot be rebound.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from wxmiddleware.exceptions import ConfigurationError

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?")
_PAGES = ("text/html", "text/xml", "application/xml", "multipart/x-mixed-replace")
# What a page may send elsewhere without the browser asking first. `curl -d` sends the third such type.
_UNASKED = ("text/plain", "multipart/form-data")


class Door:
    """
    Lets in what a browser sends for the simulator's own pages only, under names that are the simulator's.

    Args:
        hosts: Names and addresses under which it is reached, beside ``localhost`` and loopback addresses.

    Raises:
        ConfigurationError: One of them is no name and no address.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        if isinstance(hosts, str) or not isinstance(hosts, Iterable):
            raise ConfigurationError('hosts is a list of names or addresses, such as ["wechat"].')
        names, addresses = {"localhost"}, set()
        for host in hosts:
            name = _plain(host) if isinstance(host, str) else ""
            address = _address(name)
            if address is not None:
                addresses.add(address)
            elif _NAME.fullmatch(name):
                names.add(name)
            else:
                raise ConfigurationError(
                    f"A host is a name or an address without scheme and port, such as wechat or 10.0.0.5; got {host!r}."
                )
        self._names, self._addresses = frozenset(names), frozenset(addresses)
        self._any_address = any(address.is_unspecified for address in addresses)

    def refusal(self, environ: Mapping[str, Any]) -> str | None:
        """Why this request is not let in, and what to do; ``None`` if it is."""
        host = str(environ.get("HTTP_HOST", "localhost")).lower()  # HTTP/1.0 has none, and no browser speaks that
        if not self._is_ours(host):
            return (
                f"The Host {host[:100]!r} is not a name of this simulator. If it should be, allow it: "
                "simulate --allow-host NAME, or SimulatorServer(hosts=[NAME])."
            )
        foreign = environ.get("HTTP_ORIGIN", environ.get("HTTP_REFERER"))
        if foreign is not None and not _same(str(foreign), host):
            return "The request comes from a page of another origin. Use a shell, or open the URL itself."
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
            return "The browser says that another site has sent it here. Use a shell, or open the URL itself."
        if str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower() in _UNASKED:
            return "The body is not JSON. Send Content-Type: application/json."
        return None

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = _plain(found["name"]) if found else ""
        address = _address(name)
        if address is None:
            return name in self._names
        return address.is_loopback or address in self._addresses or self._any_address


def is_page(content_type: str | None) -> bool:
    """Whether a browser runs what is in it."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in _PAGES or kind.endswith("+xml")


def _plain(name: str) -> str:
    return name.lower().removeprefix("[").removesuffix("]").removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _same(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    # The simulator speaks http; behind a proxy that speaks https for it, the Host is the proxy's.
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    if usual is None or not parts.hostname:
        return False
    ours = urlsplit(f"//{host}")
    return (_plain(parts.hostname), port or usual) == (_plain(ours.hostname or ""), ours.port or usual)
