"""
The hub's own API, below ``/v1/``: tokens with their numbers, told of a change at once, and signatures of pages.

Here the statuses of HTTP say how it went; a body of JSON says it in WeChat's words, too. Each request has a header that
neither a browser nor a server that was tricked into one (SSRF) sends by itself.
"""

from __future__ import annotations

import hmac
import math
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import JSONResponse, Response

from .._rules.policies import follows
from ..exceptions import ConfigurationError, ProviderClosed, TokenError
from ..sources import AgentTicket, CardTicket, JsapiTicket
from ._answers import (
    NO_JSON,
    NOT_ALLOWED,
    SYSTEM_ERROR,
    TOO_LONG,
    TOO_OFTEN,
    UNKNOWN_APPID,
    UNKNOWN_KEY,
    WRONG_PARAMETER,
    Refusal,
    no_token,
    refused,
)
from ._callers import allow, bearer
from ._living import Living, at_hand, living
from ._reading import single, small_json
from ._watch import Watches
from ._wechat import Asked, life_for

if TYPE_CHECKING:
    from .._engine.provider import TokenProvider
    from ._probe import Probe
    from ._settings import Caller, Face, HubAccount
    from ._tickets import Ticket, Tickets

HEADER = "Wxmiddleware"
_BROWSERS = ("origin", "sec-fetch-site")  # not sec-fetch-mode, which Node's own fetch sends, too
_STATUSES = {
    WRONG_PARAMETER: 400,
    NO_JSON: 400,
    UNKNOWN_KEY: 401,
    NOT_ALLOWED: 403,
    UNKNOWN_APPID: 404,
    TOO_LONG: 413,
    TOO_OFTEN: 429,
    SYSTEM_ERROR: 503,
}
_WRONG_METHOD = 43001
_LONGEST_WAIT = 60.0
_LATER = 5  # seconds at most: what the hub knows costs nothing to ask for
_TOKEN = "access_token"  # noqa: S105 - a kind
_TICKETS: dict[str, Ticket] = {each.kind: each for each in (JsapiTicket, CardTicket, AgentTicket)}
_SIGNED_WITH: dict[str, type[JsapiTicket | AgentTicket]] = {"jsapi": JsapiTicket, "agent_config": AgentTicket}


class _No(Refusal):
    """A refusal whose status says more than its errcode."""

    def __init__(self, status: int, errcode: int, errmsg: str, **headers: str) -> None:
        super().__init__(errcode, errmsg)
        self.status = status
        self.headers = headers


class Native:
    """
    Answers below ``/v1/``.

    Args:
        probe: Tells whether a token lives.
        tickets: The accounts' tickets.
    """

    def __init__(self, probe: Probe, tickets: Tickets) -> None:
        self._probe = probe
        self._tickets = tickets
        self._watches = Watches()

    def leave(self) -> None:
        """Answer all who wait, and let nobody wait from now on. It may be called in any thread."""
        self._watches.end()

    async def answer(self, asked: Asked, path: str | None) -> Response:
        """
        Answer a request.

        Args:
            asked: The request.
            path: Its path; ``None`` if that could be read in two ways.
        """
        try:
            response = await self._answer(asked, path)
        except Refusal as refusal:
            asked.entry.result, asked.entry.errcode = "refused", refusal.errcode
            response = _said(refusal)
        except ProviderClosed:  # a request that began before the settings were replaced
            asked.entry.result, asked.entry.errcode = "refused", SYSTEM_ERROR
            response = _said(Refusal(SYSTEM_ERROR, "system busy: the hub keeps this account's token no more"))
        response.headers[HEADER] = "1"
        return response

    async def _answer(self, asked: Asked, path: str | None) -> Response:
        match (path or "")[1:].split("/"):
            case ["v1", "tokens", name] if name:
                account, caller = self._admit(asked, "native", name, ("GET", "HEAD"))
                return await self._token(asked, account, caller)
            case ["v1", "tokens", name, "rejected"]:
                account, caller = self._admit(asked, "native", name, ("POST",))
                return await self._rejected(asked, account, caller)
            case ["v1", "jssdk", name, "signature"]:
                account, _ = self._admit(asked, "jssdk", name, ("POST",))
                return await self._signature(asked, account)
        raise _No(404, NOT_ALLOWED, "api unauthorized: the hub has nothing at this path")

    def _admit(self, asked: Asked, face: Face, name: str, methods: tuple[str, ...]) -> tuple[HubAccount, Caller]:
        """See who asks, and that it may."""
        request, entry = asked.request, asked.entry
        entry.face = face
        if request.method not in methods:
            raise _No(405, _WRONG_METHOD, f"require {methods[0]} method", Allow=", ".join(methods))
        if request.headers.get(HEADER) != "1":
            raise _No(400, WRONG_PARAMETER, f"invalid request: it must have the header '{HEADER}: 1'")
        if any(each in request.headers for each in _BROWSERS):
            raise _No(403, NOT_ALLOWED, "api unauthorized: a browser has sent this, and keys do not belong into pages")
        key = bearer(request.headers)
        visitor = None if key is None else asked.callers.with_key(key)
        if visitor is None:
            said = "the hub knows no caller with this key" if key else "a header 'Authorization: Bearer KEY' is missing"
            raise _No(401, UNKNOWN_KEY, f"invalid key: {said}", WWW_Authenticate="Bearer")
        entry.caller = visitor.caller.name
        asked.callers.admitted(visitor)
        allow(visitor.caller, face)
        if face == "native" and visitor.caller.tokens != "wechat":
            raise Refusal(
                NOT_ALLOWED, "api unauthorized: WeChat's tokens do not leave the hub for this caller (tokens = 'hub')"
            )
        account = asked.callers.account_of(visitor.caller, name, None)
        entry.account = account.name
        return account, visitor.caller

    # Tokens

    async def _token(self, asked: Asked, account: HubAccount, caller: Caller) -> Response:
        query = single(asked.request.query_params.multi_items())
        kind, seconds = query.get("kind", _TOKEN), _seconds(query.get("wait", "0"))
        provider = account.provider if kind == _TOKEN else self._ticket(account, kind)
        known = _Tags(asked.request.headers.get("if-none-match", ""), account.name, kind)
        found = await self._living(asked, provider)
        if known.newer_than(found):  # another replica gave it
            await self._look(asked, provider)
            found = await self._living(asked, provider)
        if known.has(found) and seconds > 0:
            watch = self._watches.of(provider)
            changed = await watch.until(lambda: _unless(known, at_hand(provider)), seconds, asked.request.receive)
            found = changed or await self._living(asked, provider)
        return self._given(asked, account, caller, kind, found, unchanged=known.has(found))

    def _given(
        self, asked: Asked, account: HubAccount, caller: Caller, kind: str, found: Living, *, unchanged: bool = False
    ) -> Response:
        asked.entry.generation = found.generation
        headers = {"ETag": _tag(account.name, kind, found.generation), "Cache-Control": "no-store"}
        if unchanged:
            asked.entry.result = "unchanged"
            return Response(status_code=304, headers=headers)
        said = {
            "access_token" if kind == _TOKEN else "ticket": found.token,
            "expires_in": life_for(caller, found),
            "generation": found.generation,
            "kind": kind,
        }
        return JSONResponse(said, headers=headers)

    def _ticket(self, account: HubAccount, kind: str) -> TokenProvider:
        if kind not in _TICKETS:
            raise Refusal(WRONG_PARAMETER, f"invalid parameters: kind is {_TOKEN}, {', '.join(_TICKETS)}")
        return self._tickets.provider(account, _TICKETS[kind])

    # A rejected one

    async def _rejected(self, asked: Asked, account: HubAccount, caller: Caller) -> Response:
        """
        Take it that a token was rejected: as far as WeChat bears that out, and under the engine's brakes.

        Who names another than the one in use is given that one: it was replaced already.
        """
        token, generation = _claim(await small_json(asked.request))
        provider = account.provider
        found = await self._living(asked, provider)
        if not _concerns(token, generation, found) and not _is_older(generation, found):
            await self._look(asked, provider)
            found = await self._living(asked, provider)
        concerns = _concerns(token, generation, found) or (generation is not None and not _is_older(generation, found))
        if concerns and await self._probe.rejects(account, found, asked.upstream):
            found = await self._living(asked, provider, rejected=found.token)
            asked.entry.healed = True
        return self._given(asked, account, caller, _TOKEN, found)

    # Pages

    async def _signature(self, asked: Asked, account: HubAccount) -> Response:
        body = await small_json(asked.request)
        url, rejected, ticket = body.get("url"), body.get("rejected"), body.get("ticket", "jsapi")
        if not isinstance(url, str) or not isinstance(rejected, dict | None):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: url is a text, and rejected what was signed before")
        if not isinstance(ticket, str) or ticket not in _SIGNED_WITH:
            raise Refusal(WRONG_PARAMETER, f"invalid parameters: ticket is {' or '.join(_SIGNED_WITH)}")
        signer = self._tickets.signer(account, _SIGNED_WITH[ticket])
        try:
            with anyio.fail_after(asked.left):
                signed = await signer.asignature(url, rejected=rejected)
        except ConfigurationError as error:
            refusal: Refusal = _No(400, WRONG_PARAMETER, f"invalid parameters: {error}")
        except TokenError as error:
            refusal = _unavailable(error)
        except TimeoutError:
            refusal = _No(503, SYSTEM_ERROR, "system busy: the ticket is being fetched", Retry_After="1")
        else:
            signed_with = at_hand(signer.tickets)
            asked.entry.generation = None if signed_with is None else signed_with.generation
            return JSONResponse(signed, headers={"Cache-Control": "no-store"})
        raise refusal

    # What they share

    async def _living(self, asked: Asked, provider: TokenProvider, rejected: str | None = None) -> Living:
        try:
            return await living(provider, rejected=rejected, timeout=asked.left)
        except TokenError as error:
            refusal = _unavailable(error)
        raise refusal

    async def _look(self, asked: Asked, provider: TokenProvider) -> None:
        await self._watches.of(provider).look(asked.left)


def _said(refusal: Refusal) -> Response:
    response = refused(refusal)
    response.status_code = _STATUSES.get(refusal.errcode, 400)
    if response.status_code in (429, 503):
        response.headers["Retry-After"] = "1"
    if isinstance(refusal, _No):
        response.status_code = refusal.status
        response.headers.update({name.replace("_", "-"): value for name, value in refusal.headers.items()})
    return response


class _Tags:
    """
    What ``If-None-Match`` names, as far as it is of this account and kind.

    A token's number rises, so who has a newer one than this replica knows needs no older one.
    """

    def __init__(self, header: str, account: str, kind: str) -> None:
        begins = _tag(account, kind, "")[:-1]
        tags = [each.strip().removeprefix("W/") for each in header.split(",")]
        numbers = [each.removeprefix(begins)[:-1] for each in tags if each.startswith(begins) and each.endswith('"')]
        self._known = [int(each) for each in numbers if each.isascii() and each.isdigit() and len(each) < 20]
        self._any = "*" in tags

    def has(self, found: Living) -> bool:
        """Whether it names this token, or a newer one."""
        return self._any or found.generation in self._known or self.newer_than(found)

    def newer_than(self, found: Living) -> bool:
        """Whether it names a newer token."""
        return any(follows(each, found.generation) for each in self._known)


def _unless(known: _Tags, found: Living | None) -> Living | None:
    return None if found is None or known.has(found) else found


def _tag(account: str, kind: str, generation: int | str) -> str:
    return f'"{account}.{kind}.{generation}"'


def _seconds(wait: str) -> float:
    if not (wait.isascii() and wait.isdigit() and len(wait) < 10):
        raise Refusal(WRONG_PARAMETER, "invalid parameters: wait is a number of seconds, 60 at most")
    return min(float(wait), _LONGEST_WAIT)


def _claim(body: dict[str, Any]) -> tuple[str | None, int | None]:
    token, generation = body.get("access_token"), body.get("generation")
    fits = isinstance(token, str) if generation is None else token is None and type(generation) is int
    if not fits:
        raise Refusal(WRONG_PARAMETER, "invalid parameters: the body has either access_token, a text, or generation")
    return token, generation


def _concerns(token: str | None, generation: int | None, found: Living) -> bool:
    if token is None:
        return generation == found.generation
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), found.token.encode())


def _is_older(generation: int | None, found: Living) -> bool:
    return generation is not None and follows(found.generation, generation)


def _unavailable(error: TokenError) -> _No:
    later = max(1, min(_LATER, math.ceil(getattr(error, "retry_after", None) or 1.0)))
    return _No(503, SYSTEM_ERROR, no_token(error).errmsg, Retry_After=str(later))
