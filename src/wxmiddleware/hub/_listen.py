"""Where the hub listens: at unix sockets, at the machine's own addresses, or elsewhere if it is told so."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from ..exceptions import ConfigurationError

_TCP = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})")
_UNREAD = 60_000  # milliseconds for which a client may take nothing of an answer, before the kernel lets it go
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """
    One place to listen at.

    Attributes:
        host: A name or an address; empty for a unix socket.
        port: The port, 0 for one that the kernel chooses.
        path: Of a unix socket; empty for TCP.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """
    Read an address.

    Raises:
        ConfigurationError: It is none.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ConfigurationError("after unix: stands an absolute path, as in unix:/run/wxmiddleware/hub.sock")
        return Address(path=path)
    found = _TCP.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ConfigurationError("must be like 127.0.0.1:8040, [::1]:8040 or unix:/run/wxmiddleware/hub.sock")
    return Address(found["six"] or found["host"], int(found["port"]))


class Listeners:
    """
    The open sockets of all addresses.

    Args:
        addresses: Where.
        mode: Who may connect to unix sockets.

    Attributes:
        sockets: The sockets; a server may close them.

    Raises:
        ConfigurationError: One cannot be opened. Then none is.
    """

    def __init__(self, addresses: Sequence[Address], mode: int) -> None:
        self.sockets: list[socket.socket] = []
        self._files: dict[str, int] = {}
        for each in addresses:
            try:
                if each.path:
                    self.sockets.append(_unix(each.path, mode))
                    self._files[each.path] = os.lstat(each.path).st_ino
                else:
                    self.sockets += _tcp(each)
            except (OSError, ConfigurationError) as error:
                self.close()
                why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
                raise ConfigurationError(f"Cannot listen at {each}: {why}.") from None

    def close(self) -> None:
        """Close them. The names of unix sockets go with them, unless a later process has taken them."""
        for each in self.sockets:
            each.close()
        for path, number in self._files.items():
            with contextlib.suppress(OSError):
                if os.lstat(path).st_ino == number:
                    os.unlink(path)


def name_of(opened: socket.socket) -> str:
    """Say where it listens, with the port that the kernel chose."""
    name = opened.getsockname()
    return str(Address(path=name) if isinstance(name, str) else Address(name[0], name[1]))


def _tcp(at: Address) -> list[socket.socket]:
    opened: list[socket.socket] = []
    found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            opened.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(where)
            one.listen(_BACKLOG)
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


def _unix(path: str, mode: int) -> socket.socket:
    _remove_stale(path)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777 & ~mode)  # so that it is never open to more, not for a moment
        try:
            one.bind(path)
        finally:
            os.umask(before)
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _remove_stale(path: str) -> None:
    """Remove the name that a killed process left. One that is answered at, and what is no socket, stays."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigurationError("something else has that name. Remove it, or take another")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise ConfigurationError(
                f"Cannot listen at unix:{path}: another process does. End it, or take another path."
            )
