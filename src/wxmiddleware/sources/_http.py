"""One request for a token: bounded in time and size, and silent about what was in it."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # see below
import json
import math
import re
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Timeout
from urllib3 import exceptions as low

from .._rules.errcodes import ErrorTable, token_endpoint_failure
from .._rules.models import Cause, Failure
from .._runtime.clock import clock
from .._runtime.untraced import untraced
from ._deadline import DeadlineAdapter, Exchange

_HEADERS = {"Accept-Encoding": "identity", "Connection": "close"}
MOST_BYTES = 65_536
_NUMBER = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,6})?")

# Failures of these kinds happen before anything is sent.
_NOT_SENT = (
    low.NewConnectionError,
    low.ConnectTimeoutError,
    low.NameResolutionError,
    low.ProxyError,
)
# These say that no request can be made at all: a host that cannot be, a file of certificates that is not there.
_CANNOT_BE_MADE = (ValueError, FileNotFoundError, NotADirectoryError, PermissionError)


class Target(NamedTuple):
    """
    Where a request goes.

    Attributes:
        url: The URL, without the query of `Request`.
        setting: What a person should check if nobody is there.
        direct: Whether no proxy may stand between.
    """

    url: str
    setting: str = "base_url"
    direct: bool = False

    @property
    def host(self) -> str:
        """The host, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


class Answer(NamedTuple):
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(
    target: Target,
    method: str,
    *,
    timeout: float,
    connect_timeout: float,
    whole: float,
    session: requests.Session | None = None,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    most: int = MOST_BYTES,
) -> Answer | Failure:
    """
    Send one request and get its answer.

    Args:
        timeout: Seconds for all of it.
        connect_timeout: Seconds of them for the connection.
        whole: What the fetch may take that this is a part of.
        most: Bytes of the body that are read.
    """
    exchange = Exchange(timeout, min(connect_timeout, timeout), max(whole, timeout))
    limits = Timeout(total=timeout, connect=min(connect_timeout, timeout))
    request = requests.Request(method, target.url, params=query, json=body, headers={**_HEADERS, **(headers or {})})
    failure: Failure | None = None
    answer = Answer(0, {}, b"")
    try:
        with untraced(), requests.Session() as own:
            answer = _exchanged(session or own, request, exchange, limits, most, direct=target.direct)
    except (requests.RequestException, low.HTTPError, OSError, ValueError) as exc:
        # Its text has the whole URL in it, so only its kind leaves this function, and not as a cause or context.
        failure = _of_exception(target, exc, exchange)
    return failure or answer


def _exchanged(
    session: requests.Session,
    request: requests.Request,
    exchange: Exchange,
    limits: Timeout,
    most: int,
    *,
    direct: bool,
) -> Answer:
    # Without an auth requests asks a .netrc, which was written for another purpose; a session's own is meant for this.
    # A key among the headers is for this very request, and an auth would replace it.
    request.auth = _no_auth if "Authorization" in request.headers else session.auth or _no_auth
    prepared = session.prepare_request(request)
    url = prepared.url or ""
    settings = session.merge_environment_settings(url, {}, True, None, None)
    if direct:
        settings["proxies"] = {}
    theirs = session.get_adapter(url)
    ours = DeadlineAdapter(exchange)
    # A transport of the user's own: nobody knows whether it was connected.
    exchange.connected = type(theirs) is not HTTPAdapter
    adapter = theirs if exchange.connected else ours
    if exchange.is_late():
        exchange.connected = False
        raise low.TimeoutError
    # Not session.send(), which follows redirects (the secret is for this host only) or reads them in full.
    with closing(ours), closing(adapter.send(prepared, timeout=limits, **settings)) as response:  # type: ignore[arg-type]
        content = b""
        # read1() returns with whatever is there, so that the deadline is looked at.
        while chunk := response.raw.read1(8192):
            content += chunk
            if len(content) > most:
                break
            if clock() > exchange.deadline:
                raise requests.ReadTimeout
        return Answer(response.status_code, response.headers, content)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _of_exception(target: Target, exc: BaseException, exchange: Exchange) -> Failure:
    kinds = _chain(exc)
    names = [
        type(kind).__name__ for kind in kinds if not isinstance(kind, requests.RequestException | low.MaxRetryError)
    ]
    name = names[0] if names else type(exc).__name__
    if not exchange.connected and isinstance(exc, _CANNOT_BE_MADE):
        if isinstance(exc, requests.exceptions.InvalidSchema) and exchange.proxied:
            return Failure(Cause.PERMANENT, "For a SOCKS proxy the package PySocks is missing: pip install PySocks.")
        return Failure(
            Cause.PERMANENT,
            f"A request to {target.host} cannot be made ({name}). Check {target.setting}, proxies and certificates.",
        )
    # By its name: there are Pythons without ssl.
    distrusted = any(type(kind).__name__ == "SSLCertVerificationError" for kind in kinds)
    if not exchange.connected or distrusted or any(isinstance(kind, _NOT_SENT) for kind in kinds):
        return Failure(
            Cause.TRANSIENT,
            f"{target.host} cannot be reached{' through the proxy' if exchange.proxied else ''} ({name}). "
            + _to_check(target.setting, names, proxied=exchange.proxied),
        )
    return Failure(
        Cause.AMBIGUOUS,
        f"{target.host} did not answer ({name} after {exchange.elapsed():.1f} s); it may have acted all the same.",
    )


def _to_check(setting: str, names: Collection[str], *, proxied: bool) -> str:
    if any("SSL" in name for name in names):
        return f"TLS failed. Check {setting} (http or https), the clock, and REQUESTS_CA_BUNDLE if a proxy opens TLS."
    if proxied:
        return "Check that the proxy runs and lets this host through, and its URL (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY)."
    if "NameResolutionError" in names:
        return f"The name is not known here. Check {setting}, DNS, and whether a proxy is needed (HTTPS_PROXY)."
    if set(names) == {"OSError"}:  # requests, before it connects
        return "Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE: there may be no such file."
    return f"Check {setting}, the network, proxies and certificates."


def _chain(exc: BaseException) -> list[BaseException]:
    """What is behind an exception of requests': it wraps those of urllib3 in its arguments."""
    found: list[BaseException] = []
    todo: list[object] = [exc]
    while todo and len(found) < 16:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            todo += [one.__cause__, getattr(one, "reason", None), *one.args]
    return found


def read(target: Target, answer: Answer, errors: ErrorTable, hidden: Collection[str] = ()) -> dict[str, Any] | Failure:
    """
    Read the JSON object of an answer. What is no success, with an errcode or without, is a failure.

    Args:
        hidden: What must not be shown if the answer quotes it.
    """
    status, raw = answer.status, answer.body
    if status == 407:
        return Failure(
            Cause.TRANSIENT,
            "The proxy wants a name and a password (HTTP 407). Write them into its URL: http://name:password@proxy:3128.",
        )
    if status >= 500:
        return Failure(Cause.TRANSIENT, f"{target.host} answered HTTP {status}.")
    if not 200 <= status < 300:
        return nonsense(target, f"HTTP {status}")
    # WeChat's content types cannot be relied on; bytes are UTF-8 JSON whatever the header says.
    try:
        found = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return nonsense(target, f"{len(raw)} bytes that are not JSON")
    if not isinstance(found, dict):
        return nonsense(target, "JSON that is not an object")
    errcode = number(found.get("errcode", 0))
    if errcode is None or errcode != int(errcode):
        return nonsense(target, "an errcode that is not a whole number")
    if errcode != 0:
        errmsg = found.get("errmsg")
        return token_endpoint_failure(int(errcode), _masked(hidden, errmsg) if isinstance(errmsg, str) else "", errors)
    return found


def number(value: object) -> float | None:
    """A number, also where it is written as a string; some endpoints and proxies do that."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _masked(hidden: Collection[str], text: str) -> str:
    """Take the secrets out of an answer: a proxy between this process and WeChat might quote the request."""
    for secret in hidden:
        for form in {secret, quote(secret, safe=""), quote_plus(secret), quote(secret)}:
            text = text.replace(form, "***")
    return text[:512]


def nonsense(target: Target, what: str) -> Failure:
    """Say that this is no answer of a token endpoint."""
    between = "WeChat" if target.setting == "base_url" else target.host
    return Failure(
        Cause.AMBIGUOUS,
        f"{target.host} answered with {what}. Check {target.setting} and what stands between you and {between}.",
    )


def find(answer: object, name: str) -> object:
    """The value of a field, which may lie deeper: ``data.access_token``. ``None`` if it is not there."""
    for part in name.split("."):
        answer = answer.get(part) if isinstance(answer, Mapping) else None
    return answer
