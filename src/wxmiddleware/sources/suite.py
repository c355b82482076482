"""
Tokens of a service provider of WeCom (服务商): of a suite, of the provider itself, and of the corps that authorised.

Facts: docs/wechat.md#wecom-providers. A suite proves itself with a ticket that WeCom pushes every ten minutes. A corp's
token is asked for with the permanent code, which WeCom gives once; it is kept with the corp's record, in a store that
forgets nothing. `wxmiddleware.suite.Suite` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from .._rules.advice import Place, causes_at
from .._rules.cures import Cure, cured_by
from .._rules.errcodes import ErrorTable
from .._rules.models import Account, Cause, CorpAccount, Failure, Grant, ProviderAccount, SuiteAccount, is_token
from .._runtime.clock import clock
from ._borrowed import Lender, borrow, check_lender
from ._http import Target
from .endpoint import Endpoint, Form, grant_of
from .wecom import WECOM_ADVICE, WRONG_SECRET_REST

__all__ = ["Authorisation", "CorpToken", "ProviderToken", "SuiteToken"]

_ADVICE = causes_at(Place.SUITE)
_SUITE = Form("suite_access_token", errors=ErrorTable("WeCom gives the suite no token", _ADVICE), lasting=True)
_PROVIDER = Form(
    "provider_access_token", errors=ErrorTable("WeCom gives the provider no token", WECOM_ADVICE), lasting=True
)
_ERRORS = ErrorTable("WeCom refuses the suite", _ADVICE)
_CORP = Form(errors=ErrorTable("WeCom gives no token of the corp", _ADVICE), lasting=True)
_WRONG_CODE = (
    "The permanent code, which is the app's secret, is wrong: the corp has cancelled, or the secret was fetched again "
    "at WeCom's console. That pushes reset_permanent_code: hand its AuthCode to Suite.authorize()."
)
_DEVELOPED = Form(
    errors=ErrorTable(
        "WeCom gives no token of the developed app",
        {
            **WECOM_ADVICE,
            40001: (Cause.PERMANENT, _WRONG_CODE),
        },
    ),
    lasting=True,
)
_NO_TICKET = Failure(
    Cause.TRANSIENT,
    "WeCom has not pushed a suite_ticket yet, or the last one is 30 minutes old. It comes every ten minutes: hand each "
    "to Suite.remember_ticket(), or push one by hand at WeCom's console.",
)
_NEVER_AUTHORISED = Failure(
    Cause.PERMANENT,
    "There is no permanent code of this corp in the store: it has not authorised the suite, or not any more. Send its "
    "admin there, and hand the auth_code that comes back to Suite.authorize().",
)
_DEAD_CODE = {40084, 48004}


def wants_ticket(failure: Failure) -> bool:
    """Whether a new ``suite_ticket`` may cure it; also the failure of what the suite's token is for."""
    return failure.errcode in cured_by(Cure.TICKET) or failure.message.endswith(_NO_TICKET.message)


@dataclass(frozen=True, slots=True)
class SuiteToken(Endpoint):
    """
    The ``suite_access_token`` of a suite, or of a template of developed apps. `Suite` makes it.

    Args:
        ticket: Gives the newest ``suite_ticket``, or ``None``.

    Takes the arguments of `Endpoint`, too.
    """

    ticket: Callable[[], str | None]

    kind = "suite"
    refresh_ahead = 120.0  # within its life a token comes back as it was
    revokes_previous = False
    can_force = False

    retryable_errcodes: ClassVar[frozenset[int]] = cured_by(Cure.SUITE)
    accounts: ClassVar[tuple[type[Account], ...]] = (SuiteAccount,)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token. WeCom decides whether it is another one, so `force` changes nothing."""
        end = clock() + self.timeout
        ticket = self.ticket()  # from a store, which takes its time
        if ticket is None:
            return _NO_TICKET

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "POST",
                "/cgi-bin/service/get_suite_token",
                form=_SUITE,
                body={"suite_id": account.appid, "suite_secret": secret, "suite_ticket": ticket},
                hidden=(secret, ticket),
                seconds=seconds,
            )

        return self.ask_with_secret(account, ask, seconds=end - clock())


@dataclass(frozen=True, slots=True)
class ProviderToken(Endpoint):
    """
    The ``provider_access_token``, which belongs to the provider and to no suite. `Suite` makes it.

    Takes the arguments of `Endpoint`.
    """

    kind = "provider"
    refresh_ahead = 120.0
    revokes_previous = False
    can_force = False

    retryable_errcodes: ClassVar[frozenset[int]] = cured_by(Cure.PROVIDER)
    accounts: ClassVar[tuple[type[Account], ...]] = (ProviderAccount,)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token. WeCom decides whether it is another one, so `force` changes nothing."""

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "POST",
                "/cgi-bin/service/get_provider_token",
                form=_PROVIDER,
                body={"corpid": account.appid, "provider_secret": secret},
                hidden=(secret,),
                seconds=seconds,
            )

        return _rested(self.ask_with_secret(account, ask))


class Authorisation(NamedTuple):
    """
    What ``get_permanent_code`` gave.

    Attributes:
        corpid: Who authorised, as the provider knows it.
        agentid: The app's number there; ``None`` if the answer names none.
        grant: The permanent code as its `refresh`, and a token if there is one.
    """

    corpid: str
    agentid: int | None
    grant: Grant


@dataclass(frozen=True, slots=True)
class CorpToken(Endpoint):
    """
    The token of a corp that has authorised a suite. `Suite` makes it.

    It goes where the token of an app of the corp would go.

    Args:
        provider: Gives the suite's own token.
        developed: Whether the suite is a template of developed apps (代开发): the permanent code is the app's secret.
        recover: Called when there is no permanent code, or only a dead one; gives a newer one, or ``None``.

    Takes the arguments of `Endpoint`, too; ``timeout`` (seconds) is for all that it takes, together.
    """

    provider: Lender
    developed: bool = False
    recover: Callable[[Account], str | None] = field(default=lambda account: None, repr=False)

    kind = "corp"
    refresh_ahead = 120.0
    revokes_previous = False
    can_force = False
    rotates = True  # it is asked for with the record's permanent code
    retryable_errcodes: ClassVar[frozenset[int]] = cured_by(Cure.CORP)
    accounts: ClassVar[tuple[type[Account], ...]] = (CorpAccount,)

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        check_lender(self.provider, type(self).__name__)

    def fetch(self, account: Account, *, force: bool = False, refresh: str | None = None) -> Grant | Failure:
        """Ask for a token with the permanent code. WeCom decides whether it is another one."""
        end = clock() + self.timeout
        void = _NEVER_AUTHORISED
        if refresh is not None:
            answer = self._ask(account, refresh, self.timeout)
            if not isinstance(answer, Failure) or answer.errcode not in self._dead():
                return answer
            void = answer
        secret = self.recover(account)
        left = end - clock()
        if secret is None or secret == refresh or left <= 0:
            return void
        answer = self._ask(account, secret, left)
        return answer if isinstance(answer, Failure) else replace(answer, refresh=secret)

    def redeem(self, auth_code: str) -> Authorisation | Failure:
        """Ask ``get_permanent_code`` for the permanent code of a corp whose admin has just authorised the suite."""
        answer = self.service("POST", "get_permanent_code", {"auth_code": auth_code}, hidden=(auth_code,))
        if isinstance(answer, Failure):
            return answer
        whose, secret = _at(answer, "auth_corp_info", "corpid"), answer.get("permanent_code")
        if not isinstance(whose, str) or not whose or not is_token(secret):
            return Failure(Cause.AMBIGUOUS, "WeCom's answer names no corp or has no permanent code.")
        grant = Grant("", 0.0, str(secret))
        if not self.developed:
            given = grant_of(Target(self.provider.account.base_url), answer, _CORP)
            grant = grant if isinstance(given, Failure) else replace(given, refresh=str(secret))
        return Authorisation(whose, _agentid(answer), grant)

    def service(
        self, method: str, name: str, body: dict[str, Any] | None = None, *, hidden: tuple[str, ...] = ()
    ) -> dict[str, Any] | Failure:
        """Call an API of the suite's own below ``/cgi-bin/service/``, with the suite's token."""
        suite = self.provider.account

        def ask(token: str, seconds: float) -> dict[str, Any] | Failure:
            return self.call(
                suite,
                method,
                f"/cgi-bin/service/{name}",
                errors=_ERRORS,
                query={"suite_access_token": token},
                body=body,
                hidden=(token, *hidden),
                seconds=seconds,
            )

        return borrow(self.provider, self.timeout, ask)

    def _dead(self) -> frozenset[int] | set[int]:
        return _DEAD_CODE | {40001} if self.developed else _DEAD_CODE

    def _ask(self, account: Account, secret: str, seconds: float) -> Grant | Failure:
        if self.developed:
            given = self.ask(
                account,
                "GET",
                "/cgi-bin/gettoken",
                form=_DEVELOPED,
                query={"corpid": account.appid, "corpsecret": secret},
                hidden=(secret,),
                seconds=seconds,
            )
            return _rested(given)

        def ask(token: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "POST",
                "/cgi-bin/service/get_corp_token",
                form=_CORP,
                query={"suite_access_token": token},
                body={"auth_corpid": account.appid, "permanent_code": secret},
                hidden=(token, secret),
                seconds=seconds,
            )

        return borrow(self.provider, seconds, ask)


def _rested(answer: Grant | Failure) -> Grant | Failure:
    """WeCom blocks an address that sends wrong secrets again and again."""
    if isinstance(answer, Failure) and answer.errcode == 40001:
        return replace(answer, retry_after=WRONG_SECRET_REST)
    return answer


def _at(answer: object, *names: str) -> object:
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def _agentid(answer: dict[str, Any]) -> int | None:
    agents = _at(answer, "auth_info", "agent")
    found = _at(agents[0], "agentid") if isinstance(agents, list) and agents else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
