"""``GET /cgi-bin/gettoken``: the token of one app in WeCom (企业微信). Facts: wechat-api.md, sections 4.2 and 6.1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from .._errcodes import ErrorTable
from .._models import Account, Cause, Failure, Grant, WeComAccount
from ._http import Endpoint, Form

__all__ = ["WeComToken"]

# WeCom bans the caller's IP for an hour if wrong secrets come again and again; it does not say how many.
_WRONG_SECRET_REST = 600.0

WECOM_ADVICE: dict[int, tuple[Cause, str]] = {
    -1: (Cause.PASSING, "WeCom is busy."),
    40001: (Cause.FINAL, "Check the secret: it is wrong, was reset, is another corp's, or its app is disabled."),
    40013: (Cause.FINAL, "Check the CorpID: WeCom does not know it."),
    41002: (Cause.FINAL, "The CorpID did not arrive; check what stands between you and WeCom."),
    41004: (Cause.FINAL, "The secret did not arrive; check what stands between you and WeCom."),
    45009: (Cause.QUOTA, "Too many requests; WeCom blocks for a minute, or for an hour."),
    45033: (Cause.PASSING, "Too many requests at a time."),
    48002: (Cause.FINAL, "This app may not use this API."),
    50003: (Cause.FINAL, "The app is disabled."),
    60020: (Cause.FINAL, "Add {ip} to the app's trusted IPs at work.weixin.qq.com; that takes about a minute."),
}
_FORM = Form(errors=ErrorTable("WeCom gives no token", WECOM_ADVICE))


@dataclass(frozen=True, slots=True)
class WeComToken(Endpoint):
    """
    Ask ``/cgi-bin/gettoken`` for the token of one app. Everybody who asks gets the same token until its end.

    The default for a `WeComAccount`. WeCom no longer promises that the token stays the same, and may end it early; an
    API call that is refused with 40014 or 42001 is healed like any other. 40001 is a wrong secret here: never healed,
    and not asked again for ten minutes, because WeCom bans who goes on asking.

    Takes the arguments of `Endpoint`: ``connect_timeout``, ``timeout`` (seconds) and ``session``.
    """

    kind = "wecom"
    # Within its life a token comes back as it was, so asking much earlier would be asking on every use.
    ahead = 120.0
    kills = False
    forcible = False

    curable: ClassVar[frozenset[int]] = frozenset({40014, 42001})
    accounts: ClassVar[tuple[type[Account], ...]] = (WeComAccount,)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token. WeCom decides whether it is another one, so `force` changes nothing."""
        answer = self.ask(
            account,
            "GET",
            "/cgi-bin/gettoken",
            form=_FORM,
            query={"corpid": account.appid, "corpsecret": account.secret},
        )
        if isinstance(answer, Failure) and answer.errcode == 40001:
            return replace(answer, retry_after=_WRONG_SECRET_REST)
        return answer
