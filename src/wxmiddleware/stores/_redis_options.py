"""
How redis-py is told to connect: what a URL says, read here, and what this version of redis-py understands.

redis-py takes a URL's options unseen and fails at the first connection, which is at the first token.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from redis import connection as connections

from .._runtime import checks
from ..exceptions import ConfigurationError
from ._address import ENCODE, Address, check_path, host_and_port, namespace, shown, split

_ADVICE = "Give one like redis://localhost:6379/0, rediss://… for TLS, or unix:///path/to.sock."
_IN_CODE = "RedisStore takes such a client itself"
_ELSEWHERE = {
    "sentinel": f"For Sentinel, {_IN_CODE}: RedisStore(Sentinel([(host, 26379)]).master_for(name)).",
    "cluster": f"For a cluster, {_IN_CODE}: RedisStore(RedisCluster(host=host, port=6379)).",
    "socket": "For a socket write unix:///path/to.sock.",
    "unix": "For a socket write unix:///path/to.sock.",
    "valkey": "For Valkey write redis://….",
    "valkeys": "For Valkey with TLS write rediss://….",
    "async": "A refresh never runs on the event loop: write redis://… here, too.",
    "asyncio": "A refresh never runs on the event loop: write redis://… here, too.",
    "ssl": "For TLS write rediss://….",
    "tls": "For TLS write rediss://….",
}
_OF_THE_POOL = ("self", "connection_class", "connection_kwargs", "kwargs", "himport_registry", "orig_")
_SECONDS = frozenset({"socket_timeout", "socket_connect_timeout"})
_NUMBERS = {"db": 0, "health_check_interval": 0, "max_connections": 1, "port": 1, "socket_read_size": 1}
_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
_TEXTS = frozenset(
    {"client_name", "encoding", "encoding_errors", "host", "lib_name", "lib_version", "password", "path", "username"}
    | {f"ssl_{name}" for name in ("ca_certs", "ca_data", "ca_path", "certfile", "ciphers", "keyfile", "password")}
)
_LIBRARY = ("driver_info", "lib_name", "lib_version")
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_CERT_REQS = {
    "none": "none",
    "optional": "optional",
    "required": "required",
    "0": "none",
    "1": "optional",
    "2": "required",
}


def read_url(url: object, prefix: str) -> tuple[Any, dict[str, Any], str]:
    """
    Read a URL: the kind of connection, the options in it with their types, and the prefix that it or `prefix` names.

    Raises:
        ConfigurationError: It is none that redis-py can serve, or something in it cannot be.
    """
    socket = isinstance(url, str) and url.lower().startswith("unix:")
    address = split(url, _ADVICE, socket=socket)
    if address.scheme not in ("redis", "rediss", "unix"):
        words = address.scheme.replace("-", "+").split("+")
        hints = [_ELSEWHERE[word] for word in words if word in _ELSEWHERE]
        raise ConfigurationError(f"RedisStore has no URL of this kind. {hints[0] if hints else _ADVICE}")
    kind: Any = connections.Connection
    if socket:
        kind = connections.UnixDomainSocketConnection
    elif address.scheme == "rediss":
        kind = connections.SSLConnection
    options: dict[str, Any] = {
        name: _value(name, text, kind) for name, text in address.query.items() if name not in ("prefix", "table")
    }
    options |= _socket(address) if socket else _network(address)
    for name in ("username", "password"):
        if (given := getattr(address, name)) is not None:
            options[name] = given
    named = namespace(address.query, "prefix", None if prefix == "" else prefix)
    return kind, options, "" if named is None else named


def check(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """
    See whether a pool of such connections can be opened, as far as that can be known; give the options as redis-py
    wants them.

    Raises:
        ConfigurationError: An option is unknown, or no value of its kind.
    """
    options = dict(options)
    if kind in _KINDS:
        known = _known(kind)
        for name in options:
            if name not in known:
                raise ConfigurationError(_unknown(name, kind))
    _check_numbers(options)
    if "ssl_cert_reqs" in options:
        options["ssl_cert_reqs"] = _cert_reqs(options["ssl_cert_reqs"])
    for name in _FILES:
        path = options.get(name)
        if isinstance(path, (str, os.PathLike)) and not os.path.exists(path):
            raise ConfigurationError(f"There is no file or directory where {name}= says.")
    return options


def _check_numbers(options: Mapping[str, Any]) -> None:
    for name in _SECONDS.intersection(options):
        value = options[name]
        if value is not None:
            checks.seconds(name, value)
    for name in ("db", "port"):  # redis-py sends them as they are, so digits will do
        if options.get(name) is not None and not re.fullmatch("[0-9]{1,9}", str(options[name])):
            raise ConfigurationError(f"{name} must be a whole number.")


def quiet(options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give `options` for connections that say nothing which an old server or a proxy refuses, unless they are told to.

    By itself redis-py says ``CLIENT SETINFO``, and from version 8 on ``HELLO 3``, from which it has no way back.
    """
    known = _known(connections.Connection)
    # Where redis-py knows the first, it takes the place of the other two.
    silent = ("driver_info",) if _LIBRARY[0] in known else _LIBRARY[1:]
    silence = {} if any(name in options for name in _LIBRARY) else dict.fromkeys(silent)
    return {"protocol": 2, **silence, **options}


def belongs_to_pool(name: str) -> bool:
    """Whether an option of an open pool is its own, and none to make another one with."""
    return name in _LIBRARY or name.startswith(("himport_registry", "maint_notifications", "oss_cluster_", "orig_"))


_KINDS = (connections.Connection, connections.SSLConnection, connections.UnixDomainSocketConnection)


def _network(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "," in address.hosts:
        raise ConfigurationError(f"The URL names several hosts. {_ELSEWHERE['sentinel']} {_ELSEWHERE['cluster']}")
    # redis:///0 is this machine's, as with redis-py; but a port or a password without a host is a slip.
    if address.hosts or address.username or address.password:
        options["host"], options["port"] = host_and_port(address.hosts, 6379)
    number = address.path.strip("/")
    if number and not (number.isascii() and number.isdigit()):
        raise ConfigurationError(f"After the host in the URL stands the number of a database, as in /0. {ENCODE}")
    if number:
        options["db"] = int(number)
    return options


def _socket(address: Address) -> dict[str, Any]:
    if not address.path.strip("/"):
        raise ConfigurationError("The URL names no socket. Write unix:///path/to.sock, with three slashes.")
    check_path(address.path)
    return {"path": address.path}


def _known(kind: Any) -> dict[str, inspect.Parameter]:
    """All options of a pool and of its connections, by their names."""
    known: dict[str, inspect.Parameter] = {}
    for each in (*kind.__mro__, connections.ConnectionPool):
        known |= inspect.signature(each.__init__).parameters
    for name in ("cache", "cache_config"):  # a pool takes them out of what it hands on
        if hasattr(connections.ConnectionPool, "cache") or "cache_factory" in known:
            known[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
    return {name: each for name, each in known.items() if not name.startswith(_OF_THE_POOL) and name != "args"}


def _unknown(name: str, kind: Any) -> str:
    if name.startswith("ssl"):
        return f"The option {shown(name)} is for TLS. Write the URL with rediss://."
    listed = ", ".join(sorted(each for each in _known(kind) if _readable(each, kind)))
    return f"redis-py's connections know no option {shown(name)}. They know prefix, {listed}."


def _readable(name: str, kind: Any) -> bool:
    """Whether a URL can say it."""
    return name == "ssl_cert_reqs" or _reader(name, _known(kind)[name].default) is not None


def _value(name: str, text: str, kind: Any) -> Any:
    """Read an option of a URL."""
    known = _known(kind)
    if name not in known:
        raise ConfigurationError(_unknown(name, kind))
    if name == "ssl_cert_reqs":
        return _cert_reqs(text)
    reader = _reader(name, known[name].default)
    if reader is None:
        raise ConfigurationError(f"{name}= cannot stand in a URL. Give it in code: RedisStore.from_url(url, {name}=…).")
    read, what = reader
    with suppress(Exception):  # the text of an error may quote the value
        return read(text)
    raise ConfigurationError(f"{name}= in the URL must be {what}.")


def _reader(name: str, default: Any) -> tuple[Callable[[str], Any], str] | None:
    """Get the function that reads an option, and the words for what it must be; none for an object."""
    if name in _TEXTS:
        return str, "a text"
    if name in _SECONDS:
        return _seconds, "a positive number of seconds"
    if name == "protocol":
        return {"2": 2, "3": 3}.__getitem__, "2 or 3"
    if isinstance(default, bool) or name == "socket_keepalive":
        return (lambda text: _BOOLEANS[text.lower()]), "true or false"
    if isinstance(default, int) or name in _NUMBERS:
        least = _NUMBERS.get(name, 0)
        return (lambda text: _whole(text, least)), f"a whole number of at least {least}"
    if isinstance(default, str):
        return str, "a text"
    theirs: Any = connections.URL_QUERY_ARGUMENT_PARSERS.get(name)
    # Of a list of errors redis-py makes one of letters.
    return None if theirs is None or name == "retry_on_error" else (theirs, "one that redis-py can read")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ValueError
    return int(text)


def _cert_reqs(value: Any) -> Any:
    """``none``, ``CERT_NONE`` as celery writes it, ``ssl.CERT_NONE``, or `ssl`'s own; as redis-py takes it."""
    if isinstance(value, str):
        word = value.lower().removeprefix("ssl.").removeprefix("verifymode.").removeprefix("cert_")
        if word not in _CERT_REQS:
            raise ConfigurationError("ssl_cert_reqs= is none, optional or required.")
        return _CERT_REQS[word]
    if value is None or isinstance(value, ssl.VerifyMode):
        return value
    raise ConfigurationError("ssl_cert_reqs= is none, optional or required, or one of ssl.VerifyMode.")
