"""The base class of sources that ask for a token by HTTP, WeChat's and yours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import requests

from .._rules.errcodes import RETRYABLE, TOKEN_ERRORS, WRONG_SECRET, ErrorTable
from .._rules.models import (
    LONGEST_LIFE,
    Account,
    AuthorizerAccount,
    Cause,
    CorpAccount,
    Failure,
    Grant,
    ProviderAccount,
    SuiteAccount,
    WeComAccount,
    in_quotes,
    is_token,
)
from .._runtime import checks
from .._runtime.clock import clock
from ..exceptions import ConfigurationError
from ._http import MOST_BYTES, Answer, Target, find, nonsense, number, read, send
from ._within import within

_Answer = TypeVar("_Answer")

__all__ = ["Endpoint", "ErrorTable", "Form"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    What a source has that asks for its token by HTTP: a base class for yours, as it is for all of WeChat's here.

    A subclass says what `TokenSource` wants, and its `fetch` calls `ask` or `ask_with_secret`. What they send is
    bounded in time: the look-up, addresses that do not answer, a proxy, TLS, a peer that sends a byte now and then, all
    within `timeout`. It follows no redirect, reads 64 KiB at most, is in no trace, and is not sent once it is too late
    for the lease. What went wrong comes back as a `Failure`. That names the host and the type of an exception, and of
    an answer the errcode and the errmsg without what is `hidden`; nothing else of what was sent or received.

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

    # What an API call answers if it takes the token no longer; None for what the account's kind does.
    retryable_errcodes: ClassVar[frozenset[int] | None] = RETRYABLE
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
        headers: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
        seconds: float | None = None,
    ) -> Grant | Failure:
        """
        Send one request for a token and read its answer.

        Args:
            account: Whose token.
            method: Such as ``GET``.
            path: Below the account's `base_url`, such as ``/cgi-bin/token``; or a whole URL of another host.
            form: What the answer looks like; that of WeChat's endpoints by default.
            query: Goes into the URL. A proxy logs it, so nothing secret belongs there if the endpoint can do without.
            body: Goes into the body as JSON.
            headers: Go along, and stay with this host.
            hidden: What must not be shown if the answer quotes it; the account's secret is known.
            seconds: What is left of `timeout`.
        """
        form = form or Form()
        answer = self.call(
            account,
            method,
            path,
            errors=form.errors,
            query=query,
            body=body,
            headers=headers,
            hidden=hidden,
            seconds=seconds,
        )
        return answer if isinstance(answer, Failure) else grant_of(target_of(account, path), answer, form)

    def ask_with_secret(
        self, account: Account, ask: Callable[[str, float], _Answer | Failure], *, seconds: float | None = None
    ) -> _Answer | Failure:
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
        if not callable(account.secret):
            return answer
        if isinstance(answer, Failure) and answer.errcode in WRONG_SECRET:
            newer = secret_of(account, end)
            if isinstance(newer, str) and newer != secret:
                secret, answer = newer, ask(newer, end - clock())
        return replace(answer, mark=account.mark_of(secret)) if isinstance(answer, Failure) else answer

    def call(
        self,
        account: Account,
        method: str,
        path: str,
        *,
        errors: ErrorTable = TOKEN_ERRORS,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
        seconds: float | None = None,
        most: int = MOST_BYTES,
    ) -> dict[str, Any] | Failure:
        """
        Send one request and give the JSON object of its answer; `ask` without the look for a token.

        Args:
            errors: What the answer's errcodes mean.
            most: Bytes of the answer that are read.
        """
        target = target_of(account, path)
        answer = self._send(target, method, query=query, body=body, headers=headers, seconds=seconds, most=most)
        return (
            answer if isinstance(answer, Failure) else read(target, answer, errors, {*_fixed_secret(account), *hidden})
        )

    def _send(
        self,
        target: Target,
        method: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        most: int = MOST_BYTES,
    ) -> Answer | Failure:
        """Send one request and give the answer as it came, of at most so many bytes."""
        return send(
            target,
            method,
            timeout=self.timeout if seconds is None else max(0.001, seconds),
            connect_timeout=self.connect_timeout,
            whole=self.timeout,
            session=self.session,
            query=query,
            body=body,
            headers=headers,
            most=most,
        )


@dataclass(frozen=True, slots=True)
class Form:
    """
    What the answers of an endpoint look like.

    Attributes:
        token: The field of the token, ``data.token`` for one in another.
        expires: The field of the seconds that it lives.
        refresh: The field of the token that the next one must be asked for with.
        errors: What its errcodes mean.
        lasting: Whether everybody is given the same token until its end, with the whole seconds that are left.
    """

    token: str = "access_token"  # noqa: S105 - a field
    refresh: str | None = None
    errors: ErrorTable = TOKEN_ERRORS
    expires: str = "expires_in"
    lasting: bool = False


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


def grant_of(target: Target, answer: Mapping[str, Any], form: Form) -> Grant | Failure:
    """Find the token in an answer."""
    token, expires_in = _token(find(answer, form.token)), number(find(answer, form.expires))
    if token is None:
        return nonsense(target, "no token")
    if expires_in == 0 and form.lasting:
        expires_in = 1.0  # rounded down; who uses it a moment too long has a call rejected, and gets the next one
    if expires_in is None or not 0 < expires_in <= LONGEST_LIFE:
        return nonsense(target, f"a token without a plausible {form.expires}")
    return Grant(token, expires_in, _token(find(answer, form.refresh)) if form.refresh else None)


def _token(value: object) -> str | None:
    return str(value) if is_token(value) else None


def target_of(account: Account, path: str) -> Target:
    """Where a request for such a path goes: below the account's base URL, unless it is a URL itself."""
    whole = path.startswith(("http://", "https://"))
    return Target(path, "the URL") if whole else Target(account.base_url + path)


def _fixed_secret(account: Account) -> tuple[str, ...]:
    return (account.secret,) if isinstance(account.secret, str) else ()


# A base class after those that are made of it.
_ARTICLES: dict[type[Account], str] = {
    CorpAccount: "a corp that authorised a Suite",
    ProviderAccount: "a ProviderAccount",
    SuiteAccount: "a SuiteAccount",
    WeComAccount: "a WeComAccount",
    AuthorizerAccount: "an account that authorised a Platform",
    Account: "an Account",
}
