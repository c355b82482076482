"""Who is asking, and for which account: by a key, by a token of the hub's, or by WeChat's own that the hub gave out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers

from .._runtime.clock import clock
from ._answers import INVALID_TOKEN, MISSING_TOKEN, NOT_ALLOWED, TOO_OFTEN, UNKNOWN_APPID, UNKNOWN_KEY, Refusal
from ._given import Given
from ._rate import Bucket
from ._settings import Caller, Face, Here, HubAccount, Settings, UnknownAccount
from ._tokens import Claims, Tokens
from .keys import hash_key, same

_KEY_SHOWN = len("sha256:") + 16  # of a key's hash, in a token
_NOT_ITS = "invalid appid: the hub does not know it, or not for this caller"
_SEVERAL = "invalid appid: several accounts of the hub have it. Put the account's name into the path instead"
_LIKE_ONE = re.compile(r"[A-Za-z0-9_.-]{40,}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """
    Who is asking.

    Attributes:
        caller: Which caller.
        key: The beginning of the hash of the key that it came with.
    """

    caller: Caller
    key: str


class Callers:
    """
    Knows the callers of one `Settings`.

    Args:
        settings: Who they are.
        before: Those of other settings, which knew what tokens they were given.

    Attributes:
        given: Knows the accounts by their tokens. What it remembers helps: another replica reads it in the store.
    """

    def __init__(self, settings: Settings, before: Callers | None = None) -> None:
        self._settings = settings
        self._tokens = Tokens(settings.secrets) if settings.secrets else None
        self._keys = [(key, caller) for caller in settings.by_caller.values() for key in caller.keys]
        self._hashes = frozenset(key for key, _ in self._keys)
        self._buckets = {
            name: Bucket(max(1.0, caller.rate / 4), caller.rate / 60)
            for name, caller in settings.by_caller.items()
            if caller.rate is not None
        }
        self.given: Given = Given(settings.by_name.values(), None if before is None else before.given)
        names = {name for each in settings.by_caller.values() if each.tokens == "wechat" for name in each.accounts}
        self._lent = [settings.by_name[name] for name in names]

    def with_key(self, key: str) -> Visitor | None:
        """Find the caller of a key. All are compared, each in constant time."""
        hashed, found = hash_key(key), None
        for one, caller in self._keys:
            if same(one, hashed):
                found = Visitor(caller, one[:_KEY_SHOWN])
        return found

    def by_key(self, key: str) -> Visitor:
        """Find the caller of a key that stood where a client has its secret."""
        found = self.with_key(key)
        if found is None:
            raise Refusal(UNKNOWN_KEY, "invalid appsecret: the hub knows no caller with this key")
        return self.admitted(found)

    def admitted(self, visitor: Visitor) -> Visitor:
        """Count its request."""
        bucket = self._buckets.get(visitor.caller.name)
        if bucket is not None and not bucket.take(clock()):
            raise Refusal(
                TOO_OFTEN, "api minute-quota reached limit: this caller's rate in the hub", visitor.caller.name
            )
        return visitor

    def token_for(self, visitor: Visitor, account: HubAccount) -> str:
        """Make the token of the hub's own with which this caller uses an account."""
        assert self._tokens is not None  # the settings saw to it
        return self._tokens.make(Claims(visitor.caller.name, visitor.key, account.name))

    async def by_token(self, token: str, here: Here) -> tuple[list[Caller], HubAccount]:
        """
        Find whose token this is.

        Args:
            token: What stood in the query of a call.
            here: The account that the path or the host names, if they do.

        Returns:
            The callers that it may be: one, but for a token of WeChat's that several are given.
        """
        claims = None if self._tokens is None else self._tokens.read(token)
        found = self._holder(claims) if claims is not None else self._holders_of_wechats(token)
        if found is None and claims is None and token:
            await self.given.look([each for each in self._lent if here in (None, each)])
            found = self._holders_of_wechats(token)
        if found is None:
            raise Refusal(INVALID_TOKEN, "invalid access_token: the hub gave out no such token, or no longer allows it")
        callers, account = found
        if here is not None and here is not account:
            raise Refusal(
                INVALID_TOKEN, "invalid access_token: it is for another account than the path names", names_of(callers)
            )
        if len(callers) == 1:
            self.admitted(Visitor(callers[0], ""))
        return callers, account

    def _holder(self, claims: Claims) -> tuple[list[Caller], HubAccount] | None:
        caller, account = self._settings.by_caller.get(claims.caller), self._settings.by_name.get(claims.account)
        if caller is None or account is None or account.name not in caller.accounts or caller.tokens != "hub":
            return None
        return ([caller], account) if any(key[:_KEY_SHOWN] == claims.key for key in caller.keys) else None

    def _holders_of_wechats(self, token: str) -> tuple[list[Caller], HubAccount] | None:
        account = self.given.account_with(token)
        if account is None:
            return None
        holders = [
            caller
            for caller in self._settings.by_caller.values()
            if caller.tokens == "wechat" and account.name in caller.accounts
        ]
        return (holders, account) if holders else None

    def credential_in(self, text: str) -> bool:
        """Tell whether somebody's key, or a token of the hub's own, stands in a text, where none belongs."""
        return any(hash_key(each) in self._hashes or self._is_own(each) for each in _LIKE_ONE.findall(text))

    def _is_own(self, token: str) -> bool:
        return self._tokens is not None and self._tokens.read(token) is not None

    def is_the_hubs(self, token: str) -> bool:
        """Tell whether the hub gave out this token: its own, or WeChat's of one of its accounts."""
        return self._is_own(token) or self.given.account_with(token) is not None

    def still_allows(self, before: Caller, account: HubAccount, path: str) -> bool:
        """Tell whether a caller may call this under these settings, too. It might when the call began."""
        now = self._settings.by_caller.get(before.name)
        return (
            now is not None
            and not set(before.keys).isdisjoint(now.keys)
            and account.name in now.accounts
            and "gateway" in now.faces
            and now.may_call(path)
        )

    async def of_call(self, headers: Headers, token: str | None, here: Here) -> tuple[Sequence[Caller], HubAccount]:
        """
        Find who makes a call, and for which account: by the key in the header, else by the token in the query.

        Args:
            token: What stood in the query.
            here: The account that the path or the host names, if they do.
        """
        key = bearer(headers)
        if key is not None:
            visitor = self.by_key(key)
            return [visitor.caller], self.account_at(visitor.caller, here)
        if len(headers.getlist("authorization")) > 1:
            raise Refusal(UNKNOWN_KEY, "invalid appsecret: there are two headers with a key")
        if not token:
            raise Refusal(MISSING_TOKEN, "access_token missing: send a token that the hub gave, or a caller's key")
        return await self.by_token(token, here)

    def account_at(self, caller: Caller, here: Here) -> HubAccount:
        """Get the account that the path or the host names; else the caller's only one."""
        if isinstance(here, HubAccount) and here.name in caller.accounts:
            return here
        if here is not None:
            raise self._not_its(caller, here)
        if len(caller.accounts) != 1:
            raise Refusal(UNKNOWN_APPID, "invalid appid: this caller has several. Name one in the path", caller.name)
        return self._settings.by_name[next(iter(caller.accounts))]

    def account_of(self, caller: Caller, appid: str, here: Here) -> HubAccount:
        """
        Find the account that a caller means by an AppID or CorpID.

        Args:
            caller: Who asks.
            appid: What it says: the AppID, the CorpID, or the account's name in the hub.
            here: The account that the path or the host names, if they do.
        """
        mine = [self._settings.by_name[name] for name in caller.accounts]
        if here is not None:
            found = [each for each in mine if each is here and appid in (each.appid, each.name)]
        else:
            found = [each for each in mine if each.name == appid] or [each for each in mine if each.appid == appid]
        if not found:
            raise self._not_its(caller, here)
        if len(found) > 1:
            raise Refusal(
                UNKNOWN_APPID,
                "invalid appid: this caller may use several apps of this corp. Name one in the path",
                caller.name,
            )
        return found[0]

    def _not_its(self, caller: Caller, here: Here) -> Refusal:
        """Refuse an account. Only who may use one of several with an AppID learns that there are several."""
        mine = [self._settings.by_name[name].appid for name in caller.accounts]
        if isinstance(here, UnknownAccount) and here.appid in mine:
            return Refusal(UNKNOWN_APPID, _SEVERAL, caller.name)
        return Refusal(UNKNOWN_APPID, _NOT_ITS, caller.name)


def names_of(callers: Iterable[Caller]) -> str:
    """Say who it may be, as the audit does."""
    return "|".join(each.name for each in callers)


def allow(caller: Caller, face: Face) -> None:
    """See that a caller may use a face of the hub."""
    if face not in caller.faces:
        raise Refusal(NOT_ALLOWED, f"api unauthorized: this caller may not use the hub's {face} face")


def bearer(headers: Headers) -> str | None:
    """Get the key of an ``Authorization`` header, if there is one and only one."""
    values = headers.getlist("authorization")
    kind, _, key = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return key.strip() if kind.lower() == "bearer" and key.strip() else None
