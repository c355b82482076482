"""
The common part of the URLs of all stores, checked before anything connects.

No message quotes a URL or a part of one: it may hold a password, and nobody knows which part that is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from .._rules.models import check_quotes
from ..exceptions import ConfigurationError

ENCODE = (
    "If a user or a password has one of the characters @ : / ? # % in it, percent-encode it: "
    "urllib.parse.quote(password, safe='')."
)
_NAMESPACES = ("prefix", "table")
_HOST = re.compile(r"\w([\w.-]*[\w.])?")
_VARIABLE = re.compile(r"(^|/)\$[A-Za-z_{]")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Address(NamedTuple):
    """
    The parts of a URL, percent-decoded but for `hosts`.

    Attributes:
        scheme: In lower case.
        username: ``None`` if there is none.
        password: Likewise.
        hosts: ``host:port``, or several with commas between them; empty if none is named.
        path: What follows, with its slash.
        query: The options.
    """

    scheme: str
    username: str | None
    password: str | None
    hosts: str
    path: str
    query: dict[str, str]


def checked_text(url: object, advice: str) -> str:
    """
    A URL that is a text, and has nothing around it.

    Args:
        url: What was given.
        advice: How one looks, as a sentence.

    Raises:
        ConfigurationError: It is none.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"The store's URL must be a str, not {type(url).__name__}. {advice}")
    if not url.strip():
        raise ConfigurationError(f"The store's URL is empty. {advice}")
    check_quotes("The store's URL", url)
    if url != url.strip() or any(ord(c) < 32 or c == "\x7f" for c in url):
        raise ConfigurationError(f"The store's URL has white space around it or control characters in it. {advice}")
    return url


def split(url: object, advice: str, *, socket: bool = False) -> Address:
    """
    Take a URL apart.

    Args:
        url: What was given.
        advice: How one looks, as a sentence.
        socket: Whether its path is that of a file, in which an ``@`` means nothing.

    Raises:
        ConfigurationError: It is no URL; or a character of its password that is not percent-encoded has made
            something else of it.
    """
    text = checked_text(url, advice)
    scheme, separator, rest = text.partition("://")
    if not separator or any(c.isspace() for c in text):
        raise ConfigurationError(f"The store's URL is none, or has blanks in it. {advice}")
    if "#" in rest:
        raise ConfigurationError(f"The store's URL has a # in it, at which a URL ends. {ENCODE}")
    whole, _, query = rest.partition("?")
    authority, slash, path = whole.partition("/")
    user, _, hosts = authority.rpartition("@")
    if "@" in user or "@" in query or ("@" in path and not socket) or (socket and hosts):
        raise ConfigurationError(f"The store's URL has an @, / or ? where none can be. {ENCODE}")
    if _STRAY.search(user):
        raise ConfigurationError(f"The store's URL has a % that is followed by no two hex digits. {ENCODE}")
    name, colon, password = user.partition(":")
    return Address(
        scheme.lower(),
        unquote(name) or None,
        unquote(password) if colon else None,
        hosts,
        unquote(slash + path),
        options_of(query),
    )


def options_of(query: str) -> dict[str, str]:
    """
    Read the options after the question mark.

    Raises:
        ConfigurationError: One has no name or value, or stands there twice.
    """
    options: dict[str, str] = {}
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        name = unquote(name)
        if not name or not value:
            raise ConfigurationError(
                f"After the ? of a store's URL stand options, as in ?name=value&name=value. {ENCODE}"
            )
        if name in options:
            raise ConfigurationError(f"The store's URL has the option {shown(name)} twice.")
        options[name] = unquote(value)
    return options


def shown(name: str) -> str:
    """The name of an option in quotes, if it can be one; else it may be a part of a password."""
    return repr(name) if re.fullmatch(r"[a-z]+(_[a-z]+)*", name) and len(name) < 40 else "of that name"


def namespace(options: Mapping[str, object], own: str, given: str | None) -> str | None:
    """
    Give the namespace that a URL and an argument name: both may, if they say the same.

    Args:
        options: The URL's.
        own: What this kind of store calls it: ``prefix`` or ``table``.
        given: The argument; ``None`` if there is none.

    Raises:
        ConfigurationError: They differ, or it stands under the name that another kind of store has for it.
    """
    for other in _NAMESPACES:
        if other != own and other in options:
            raise ConfigurationError(
                f"This store has no {other}=. What keeps programs apart in it is {own}=, as in ?{own}=…."
            )
    named = options.get(own)
    if named is None:
        return given
    if not isinstance(named, str):
        raise ConfigurationError(f"The store's URL has the option {own}= twice.")
    if given is not None and given != named:
        raise ConfigurationError(f"The URL names one {own}= and the argument {own}= another one. Give one of them.")
    return named


def host_and_port(spec: str, default: int) -> tuple[str, int]:
    """
    Read ``host:port``, ``host``, or ``[IPv6]:port``.

    Raises:
        ConfigurationError: There is no host, or what stands there is none; or the port is no number from 1 to 65535.
    """
    if spec.startswith("["):
        host, closed, rest = spec[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        with suppress(ValueError):
            ipaddress.IPv6Address(host)
            if closed and colon in ("", ":") and bool(colon) == bool(port):
                return host, _port(port, default)
        raise ConfigurationError(f"The store's URL has brackets with no IPv6 address in them. {ENCODE}")
    host, colon, port = spec.partition(":")
    check_host(host)
    return host, _port(port, default) if colon else default


def check_host(host: str) -> None:
    """
    See whether it can be a host's name.

    Raises:
        ConfigurationError: It cannot.
    """
    if not host:
        raise ConfigurationError(f"The store's URL names no host. Is a variable in it empty? {ENCODE}")
    if not _HOST.fullmatch(host):
        raise ConfigurationError(
            f"What stands for the host in the store's URL cannot be one. Is a variable in it not replaced? {ENCODE}"
        )


def check_path(path: str) -> None:
    """
    See whether it can be the path of a file or a socket.

    Raises:
        ConfigurationError: It has a variable in it.
    """
    if _VARIABLE.search(path):
        raise ConfigurationError("The path in the URL has a variable in it, which nobody has replaced by its value.")


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65_536:
        raise ConfigurationError(f"The port in the store's URL is no number from 1 to 65535. {ENCODE}")
    return int(text)
