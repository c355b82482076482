"""One request to a token endpoint: bounded in time and size, and silent about what was in it."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # see below
import inspect
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Timeout
from urllib3 import exceptions as low

from .._rules.errcodes import RETRYABLE, TOKEN_ERRORS, WRONG_SECRET, ErrorTable, token_endpoint_failure
from .._rules.models import (
    LONGEST_LIFE,
    Account,
    AuthorizerAccount,
    Cause,
    Failure,
    Grant,
    WeComAccount,
    in_quotes,
    is_token,
)
from .._runtime import checks
from .._runtime.clock import clock
from .._runtime.untraced import untraced
from ..exceptions import ConfigurationError
from ._deadline import DeadlineAdapter, Exchange
from ._within import within

_HEADERS = {"Accept-Encoding": "identity", "Connection": "close"}
_MOST_BYTES = 65_536
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")

# Failures of these kinds happen before anything is sent.
_NOT_SENT = (
    low.NewConnectionError,
    low.ConnectTimeoutError,
    low.NameResolutionError,
    low.ProxyError,
)
# These say that no request can be made at all: a host that cannot be, a file of certificates that is not there.
_CANNOT_BE_MADE = (ValueError, FileNotFoundError, NotADirectoryError, PermissionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    A token endpoint of WeChat's.

    Args:
        connect_timeout: Seconds to get a connection: the look-up of the name, all its addresses, a proxy, and TLS.
        timeout: Seconds that a request may take in all.
        session: A `requests.Session` of yours, for proxies, certificates and headers. If you have mounted a transport
            adapter of your own, its deadlines are its own, too. By default there is none: a fetch happens once in two
            hours, so there is no connection worth keeping, and none that a forked child could inherit.

    Raises:
        ConfigurationError: A timeout is not a positive number, or the first is longer than the second.
    """

    connect_timeout: float = 2.0
    timeout: float = 5.0
    session: requests.Session | None = field(default=None, repr=False)

    # What an API call answers if it takes the token no longer.
    retryable_errcodes: ClassVar[frozenset[int]] = RETRYABLE
    # Whose tokens these are.
    accounts: ClassVar[tuple[type[Account], ...]] = (Account,)

    def __post_init__(self) -> None:
        for name, value in (("connect_timeout", self.connect_timeout), ("timeout", self.timeout)):
            checks.seconds(name, value)
        if self.connect_timeout > self.timeout:
            raise ConfigurationError("connect_timeout is part of timeout, so it must not be longer.")

    def check(self, account: Account) -> None:
        """
        See that this endpoint is one for such an account.

        Raises:
            ConfigurationError: It is not; the message says which one is.
        """
        kind = next(each for each in _ARTICLES if isinstance(account, each))
        if kind not in self.accounts:
            raise ConfigurationError(
                f"{type(self).__name__} is not for {_ARTICLES[kind]}; "
                f"it takes {' or '.join(_ARTICLES[each] for each in self.accounts)}."
            )

    def ask(
        self,
        account: Account,
        method: str,
        path: str,
        *,
        form: Form | None = None,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        hidden: Collection[str] = (),
        seconds: float | None = None,
    ) -> Grant | Failure:
        """
        Send one request for a token and read its answer.

        Args:
            form: What the answer looks like.
            hidden: What must not be shown if the answer quotes it; the account's secret is known.
            seconds: What is left of `timeout`.
        """
        form = form or Form()
        answer = self.call(
            account, method, path, errors=form.errors, query=query, body=body, hidden=hidden, seconds=seconds
        )
        return answer if isinstance(answer, Failure) else grant_of(account, answer, form)

    def ask_with_secret(
        self, account: Account, ask: Callable[[str, float], Grant | Failure], *, seconds: float | None = None
    ) -> Grant | Failure:
        """
        Ask with the account's secret; once more if its function gives another one when WeChat calls this one wrong.

        Args:
            ask: Sends the request, with the secret and the seconds that are left.
            seconds: What everything together may take; `timeout` by default.
        """
        end = clock() + (self.timeout if seconds is None else seconds)
        secret = secret_of(account, end)
        if isinstance(secret, Failure):
            return secret
        answer = ask(secret, end - clock())
        if callable(account.secret) and isinstance(answer, Failure) and answer.errcode in WRONG_SECRET:
            newer = secret_of(account, end)
            if isinstance(newer, str) and newer != secret:
                return ask(newer, end - clock())
        return answer

    def call(
        self,
        account: Account,
        method: str,
        path: str,
        *,
        errors: ErrorTable = TOKEN_ERRORS,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        hidden: Collection[str] = (),
        seconds: float | None = None,
        most: int = _MOST_BYTES,
    ) -> dict[str, Any] | Failure:
        """Send one request and give the JSON object of its answer, of at most so many bytes."""
        timeout = self.timeout if seconds is None else max(0.001, seconds)
        exchange = Exchange(timeout, min(self.connect_timeout, timeout), max(self.timeout, timeout))
        limits = Timeout(total=timeout, connect=min(self.connect_timeout, timeout))
        request = requests.Request(method, account.base_url + path, params=query, json=body, headers=_HEADERS)
        failure: Failure | None = None
        raw = b""
        status = 0
        try:
            with untraced(), requests.Session() as own:
                status, raw = _send(self.session or own, request, exchange, limits, most)
        except (requests.RequestException, low.HTTPError, OSError, ValueError) as exc:
            # Its text has the whole URL in it, so only its kind leaves this function, and not as a cause or context.
            failure = _of_exception(account, exc, exchange)
        return failure or _read(account, status, raw, errors, {*_fixed_secret(account), *hidden})


@dataclass(frozen=True, slots=True)
class Form:
    """
    What the answers of an endpoint look like.

    Attributes:
        token: The field of the token.
        refresh: The field of the token that the next one must be asked for with.
        errors: What its errcodes mean.
    """

    token: str = "access_token"  # noqa: S105 - a field
    refresh: str | None = None
    errors: ErrorTable = TOKEN_ERRORS


def secret_of(account: Account, end: float) -> str | Failure:
    """
    The account's secret, asked for where a function gives it, until a time on the process's clock.

    What the function raises stays here: it may quote anything.
    """
    function = account.secret
    if isinstance(function, str):
        return function
    name = getattr(function, "__qualname__", type(function).__name__)
    who = f"The function {name}, which gives the secret of {account.appid},"
    try:
        secret: object = within(end - clock(), function, lambda late: None)
    except TimeoutError:
        return Failure(Cause.TRANSIENT, f"{who} did not answer in time. WeChat was not asked.")
    except Exception as exc:
        return Failure(Cause.TRANSIENT, f"{who} failed with {type(exc).__name__}. WeChat was not asked.")
    if inspect.iscoroutine(secret):
        secret.close()
    if not isinstance(secret, str):
        return Failure(Cause.TRANSIENT, f"{who} gave no str, but {type(secret).__name__}. WeChat was not asked.")
    secret = secret.strip()
    if in_quotes(secret):
        return Failure(Cause.TRANSIENT, f"{who} gave one with quotes around it. WeChat was not asked.")
    if not secret or any(c.isspace() or not c.isprintable() for c in secret):
        return Failure(Cause.TRANSIENT, f"{who} gave an empty secret, or one with white space. WeChat was not asked.")
    return secret


def _fixed_secret(account: Account) -> tuple[str, ...]:
    return (account.secret,) if isinstance(account.secret, str) else ()


# The base class last.
_ARTICLES: dict[type[Account], str] = {
    WeComAccount: "a WeComAccount",
    AuthorizerAccount: "an account that authorised a Platform",
    Account: "an Account",
}


def _send(
    session: requests.Session, request: requests.Request, exchange: Exchange, limits: Timeout, most: int
) -> tuple[int, bytes]:
    # Without an auth requests asks a .netrc, which was written for another purpose; a session's own is meant for this.
    request.auth = session.auth or _no_auth
    prepared = session.prepare_request(request)
    url = prepared.url or ""
    settings = session.merge_environment_settings(url, {}, True, None, None)
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
        return response.status_code, content


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _of_exception(account: Account, exc: BaseException, exchange: Exchange) -> Failure:
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
            f"A request to {account.host} cannot be made ({name}). Check base_url, proxies and certificates.",
        )
    # By its name: there are Pythons without ssl.
    distrusted = any(type(kind).__name__ == "SSLCertVerificationError" for kind in kinds)
    if not exchange.connected or distrusted or any(isinstance(kind, _NOT_SENT) for kind in kinds):
        return Failure(
            Cause.TRANSIENT,
            f"{account.host} cannot be reached{' through the proxy' if exchange.proxied else ''} ({name}). "
            + _to_check(names, proxied=exchange.proxied),
        )
    return Failure(
        Cause.AMBIGUOUS,
        f"{account.host} did not answer ({name} after {exchange.elapsed():.1f} s); it may have acted all the same.",
    )


def _to_check(names: Collection[str], *, proxied: bool) -> str:
    if any("SSL" in name for name in names):
        return "TLS failed. Check base_url (http or https), the clock, and REQUESTS_CA_BUNDLE if a proxy opens TLS."
    if proxied:
        return "Check that the proxy runs and lets this host through, and its URL (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY)."
    if "NameResolutionError" in names:
        return "The name is not known here. Check base_url, DNS, and whether a proxy is needed (HTTPS_PROXY)."
    if set(names) == {"OSError"}:  # requests, before it connects
        return "Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE: there may be no such file."
    return "Check base_url, the network, proxies and certificates."


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


def _read(
    account: Account, status: int, raw: bytes, errors: ErrorTable, hidden: Collection[str]
) -> dict[str, Any] | Failure:
    if status == 407:
        return Failure(
            Cause.TRANSIENT,
            "The proxy wants a name and a password (HTTP 407). Write them into its URL: http://name:password@proxy:3128.",
        )
    if status >= 500:
        return Failure(Cause.TRANSIENT, f"{account.host} answered HTTP {status}.")
    if not 200 <= status < 300:
        return _nonsense(account, f"HTTP {status}")
    # WeChat's content types cannot be relied on; bytes are UTF-8 JSON whatever the header says.
    try:
        answer = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return _nonsense(account, f"{len(raw)} bytes that are not JSON")
    if not isinstance(answer, dict):
        return _nonsense(account, "JSON that is not an object")
    errcode = number(answer.get("errcode", 0))
    if errcode is None or errcode != int(errcode):
        return _nonsense(account, "an errcode that is not a whole number")
    if errcode != 0:
        errmsg = answer.get("errmsg")
        return token_endpoint_failure(int(errcode), _masked(hidden, errmsg) if isinstance(errmsg, str) else "", errors)
    return answer


def grant_of(account: Account, answer: Mapping[str, Any], form: Form) -> Grant | Failure:
    """Find the token in an answer."""
    token, expires_in = _token(answer.get(form.token)), number(answer.get("expires_in"))
    if token is None:
        return _nonsense(account, "no token")
    if expires_in is None or not 0 < expires_in <= LONGEST_LIFE:
        return _nonsense(account, "a token without a plausible expires_in")
    return Grant(token, expires_in, _token(answer.get(form.refresh)) if form.refresh else None)


def _token(value: object) -> str | None:
    return str(value) if is_token(value) else None


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


def _nonsense(account: Account, what: str) -> Failure:
    return Failure(
        Cause.AMBIGUOUS, f"{account.host} answered with {what}. Check base_url and what stands between you and WeChat."
    )
