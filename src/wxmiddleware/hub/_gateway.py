"""
The gateway: who calls, for which account, may they, and what of the call goes on. `_forward.py` sends it.

A caller comes with its key (``Authorization: Bearer``), or as an SDK does with nothing but a token that the hub gave
it. Neither goes on to WeChat: the account's living token takes the place of whatever token the caller brought.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from starlette.requests import Request

from .._rules.models import AuthorizerAccount, Failure
from .._runtime.clock import clock
from ..sources.endpoint import secret_of
from ._answers import INVALID_TOKEN, NOT_ALLOWED, SYSTEM_ERROR, UNKNOWN_KEY, Refusal
from ._audit import Entry
from ._callers import Callers, Visitor, allow, bearer, names_of
from ._forward import Call, Forward
from ._headers import WRONG_PARAMETER, length_of, onward
from ._query import TOKEN, Query
from ._settings import Caller, Here, HubAccount
from ._upstream import Upstream

_METHODS = ("GET", "HEAD", "POST")
# They make tokens, or end them: the hub alone does that. docs/wechat.md names them.
_MINTING = frozenset(
    {
        "/cgi-bin/token",
        "/cgi-bin/stable_token",
        "/cgi-bin/gettoken",
        "/cgi-bin/component/api_component_token",
        "/cgi-bin/component/api_authorizer_token",
        "/cgi-bin/service/get_provider_token",
        "/cgi-bin/service/get_suite_token",
        "/cgi-bin/service/get_corp_token",
    }
)
# Tokens of users (docs/wechat.md#tokens-of-users). These two take the AppSecret.
_USERS = "/sns/"
_WITH_SECRET = frozenset({"/sns/jscode2session", "/sns/oauth2/access_token"})
_SECONDS = 1.5  # for a function to give the AppSecret


class Gateway:
    """
    Decides on one call after another; it keeps nothing of them.

    Args:
        callers: Who may call.
        upstream: The way to WeChat.
        newest: Gives the callers of the settings that hold by now.
    """

    def __init__(self, callers: Callers, upstream: Upstream, newest: Callable[[], Callers]) -> None:
        self._callers = callers
        self._upstream = upstream
        self._newest = newest

    async def call(self, request: Request, here: Here, path: str, entry: Entry) -> Forward:
        """
        Make what a request asks for into a call.

        Args:
            here: The account that the path or the host names, if they do.
            path: Of the API, without the account.

        Raises:
            Refusal: There is no such call, or not for this caller.
        """
        query = Query(request.scope.get("query_string", b""))
        length = length_of(request.scope["headers"])
        with_secret = path.lower() in _WITH_SECRET
        if self._callers.credential_in(path) or query.has_elsewhere(self._callers.credential_in, with_secret):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: a key or a token stands where none belongs")
        if with_secret:
            visitor, account = self._by_key_in_secret(request, here, query)
            callers: Sequence[Caller] = [visitor.caller]
        else:
            callers, account = await self._by_key_or_token(request, here, path, query)
        entry.caller, entry.account = names_of(callers), account.name
        for caller in callers:
            allow(caller, "gateway")
            if not caller.may_call(path):
                raise Refusal(NOT_ALLOWED, "api unauthorized: this caller may not call this path")
        _check(request.method, path)
        signed, secrets = await self._prepared(path, query, account, callers)

        def check_again() -> None:
            newest = self._newest()
            if newest is not self._callers and not all(newest.still_allows(each, account, path) for each in callers):
                raise Refusal(NOT_ALLOWED, "api unauthorized: this caller may not call this any more")

        return Forward(
            Call(
                account,
                request.method,
                path,
                query,
                list(onward(request.scope["headers"], self._callers.credential_in)),
                length,
                signed,
                secrets,
                self._upstream,
                entry,
                check_again,
            )
        )

    async def _by_key_or_token(
        self, request: Request, here: Here, path: str, query: Query
    ) -> tuple[Sequence[Caller], HubAccount]:
        if query.has_secret:
            raise Refusal(WRONG_PARAMETER, "invalid parameters: the hub forwards no secret to this path")
        if path.lower().startswith(_USERS) and bearer(request.headers) is None:
            raise Refusal(NOT_ALLOWED, "api unauthorized: sns/ takes a user's token, so send the caller's key as well")
        return await self._callers.of_call(request.headers, query.get(TOKEN), here)

    def _by_key_in_secret(self, request: Request, here: Here, query: Query) -> tuple[Visitor, HubAccount]:
        """Find who calls one of the two. The key stands where an SDK has the AppSecret, in the header, or in both."""
        keys = [each for each in (bearer(request.headers), query.get("secret")) if each]
        if not keys:
            raise Refusal(41004, "appsecret missing: the caller's key of the hub belongs there")
        visitors = [self._callers.with_key(each) for each in keys]
        if visitors[0] is None or any(each is None or each.caller is not visitors[0].caller for each in visitors):
            raise Refusal(UNKNOWN_KEY, "invalid appsecret: the hub knows no caller with this key")
        visitor = self._callers.admitted(visitors[0])
        appid = query.get("appid")
        account = (
            self._callers.account_of(visitor.caller, appid, here)
            if appid
            else self._callers.account_at(visitor.caller, here)
        )
        return visitor, account

    async def _prepared(
        self, path: str, query: Query, account: HubAccount, callers: Sequence[Caller]
    ) -> tuple[bool, list[str]]:
        """Put in what a path takes. Tells whether the token is to be put in, too; and what must not be shown."""
        if path.lower() in _WITH_SECRET:
            if query.get(TOKEN) is not None:
                raise Refusal(WRONG_PARAMETER, "invalid parameters: this path takes no access_token")
            secret = await _secret(account)
            query.put("appid", account.appid)
            query.put("secret", secret)
            return False, [secret]
        users, token = path.lower().startswith(_USERS), query.get(TOKEN)
        if not users and (not token or not all(caller.keep_token for caller in callers)):
            return True, []
        if token and not users and self._callers.is_the_hubs(token):
            return True, []
        if token and (self._callers.is_the_hubs(token) or self._callers.credential_in(token)):
            raise Refusal(INVALID_TOKEN, "invalid access_token: a key or a token of the hub's is none here")
        return False, []


def _check(method: str, path: str) -> None:
    """See that there may be such an API."""
    if method not in _METHODS:
        raise Refusal(NOT_ALLOWED, "api unauthorized: WeChat's APIs take GET and POST")
    if path == "/":
        raise Refusal(NOT_ALLOWED, "api unauthorized: no such path")
    if path.lower().rstrip("/") in _MINTING:
        raise Refusal(NOT_ALLOWED, "api unauthorized: only the hub asks for tokens")


async def _secret(account: HubAccount) -> str:
    if account.is_wecom:
        raise Refusal(NOT_ALLOWED, "api unauthorized: WeCom has no such path")
    if isinstance(account.provider.account, AuthorizerAccount):  # what it has for a secret is the platform's AppID
        raise Refusal(NOT_ALLOWED, "api unauthorized: a platform asks for users at sns/component")
    found = await anyio.to_thread.run_sync(secret_of, account.provider.account, clock() + _SECONDS)
    if isinstance(found, Failure) or not found:
        raise Refusal(SYSTEM_ERROR, "system error: the hub has no AppSecret of this account, which this path takes")
    return found
