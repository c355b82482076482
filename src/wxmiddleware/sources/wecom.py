"""``GET /cgi-bin/gettoken``: the token of one app in WeCom (企业微信). Facts: docs/wechat.md#tokens-of-wecom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from .._rules.advice import Place, causes_at
from .._rules.errcodes import ErrorTable
from .._rules.models import Account, Failure, Grant, WeComAccount
from .endpoint import Endpoint, Form

__all__ = ["WeComToken"]

# WeCom bans the caller's IP for an hour if wrong secrets come again and again; it does not say how many.
WRONG_SECRET_REST = 600.0

WECOM_ADVICE = causes_at(Place.WECOM_TOKEN)
_FORM = Form(errors=ErrorTable("WeCom gives no token", WECOM_ADVICE), lasting=True)


@dataclass(frozen=True, slots=True)
class WeComToken(Endpoint):
    """
    Ask ``/cgi-bin/gettoken`` for the token of one app. Everybody who asks gets the same token until its end.

    The default for a `WeComAccount`. WeCom no longer promises that the token stays the same, and may end it early; an
    API call that is rejected with 40014 or 42001 is healed like any other. 40001 is a wrong secret here: never healed,
    and not asked again for ten minutes, because WeCom bans who goes on asking.

    Takes the arguments of `Endpoint`: ``connect_timeout``, ``timeout`` (seconds) and ``session``.
    """

    kind = "wecom"
    # Within its life a token comes back as it was, so asking much earlier would be asking on every use.
    refresh_ahead = 120.0
    revokes_previous = False
    can_force = False

    retryable_errcodes: ClassVar[frozenset[int]] = frozenset({40014, 42001})
    accounts: ClassVar[tuple[type[Account], ...]] = (WeComAccount,)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token. WeCom decides whether it is another one, so `force` changes nothing."""

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "GET",
                "/cgi-bin/gettoken",
                form=_FORM,
                query={"corpid": account.appid, "corpsecret": secret},
                hidden=(secret,),
                seconds=seconds,
            )

        answer = self.ask_with_secret(account, ask)
        if isinstance(answer, Failure) and answer.errcode == 40001:
            return replace(answer, retry_after=WRONG_SECRET_REST)
        return answer
