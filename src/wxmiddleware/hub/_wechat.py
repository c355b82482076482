"""
WeChat's own wire shapes: an SDK whose host can be replaced asks here as it would ask WeChat.

Where it has the AppSecret it is given its caller's key. What real clients send, and what they ask of an answer, decides
what is answered: an integer above 0 for ``expires_in``, ``errmsg`` always, HTTP 200 always, within two seconds, and
never 40001, at which one of them asks again without end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache
from starlette.requests import Request
from starlette.responses import Response

from .._runtime.clock import clock
from ..exceptions import TokenError
from ..sources import AgentTicket, CardTicket, JsapiTicket
from ._answers import TOO_OFTEN, WRONG_PARAMETER, Refusal, in_wechats_words, no_token
from ._audit import Entry
from ._callers import Callers, Visitor, allow, names_of
from ._living import Living, living
from ._probe import Probe
from ._rate import Bucket
from ._reading import single, small_json
from ._settings import Caller, Here, HubAccount
from ._tickets import Ticket, Tickets
from ._upstream import Upstream

MISSING_PARAMETER = 41002
WITHIN = 1.8  # seconds for all of it; the most impatient client gives up after three, and has a way to go
_LIFE = 7200  # what is said of a token of the hub's, which has no end: all clients keep one for so long or less
_NEAR_ITS_END = 600  # seconds: then clients ask at each call, and none of them means anything by it
_REPEATS = 240  # times at once, as many workers start, that a caller may ask again for a token that lives
_REPEATS_A_SECOND = 1.0  # and then
_TICKETS: dict[str, Ticket] = {"jsapi": JsapiTicket, "wx_card": CardTicket, "agent_config": AgentTicket}


@dataclass(slots=True)
class Asked:
    """
    What a request to one of these endpoints has to do with.

    Attributes:
        request: The request.
        here: The account that the path or the host names, if they do.
        callers: Who may ask.
        upstream: The way to WeChat.
        entry: What the audit is told.
    """

    request: Request
    here: Here
    callers: Callers
    upstream: Upstream
    entry: Entry
    began: float = field(default_factory=clock)

    @property
    def left(self) -> float:
        """Seconds until it must be answered."""
        return max(0.05, WITHIN - (clock() - self.began))


class WireShapes:
    """
    Answers at WeChat's token and ticket endpoints.

    It remembers which token of WeChat's each caller was given last, by a digest. Without that, as in another replica,
    a caller that comes back counts as one that comes for the first time.

    Args:
        probe: Tells whether a token lives.
        tickets: The accounts' tickets.
    """

    def __init__(self, probe: Probe, tickets: Tickets) -> None:
        self._given: LRUCache[tuple[str, str], bytes] = LRUCache(10_000)
        self._repeats: LRUCache[tuple[str, str], Bucket] = LRUCache(10_000)
        self._probe = probe
        self._tickets = tickets
        self._endpoints: Mapping[str, tuple[str, Callable[[Asked], Awaitable[Response]]]] = {
            "/cgi-bin/token": ("GET POST", self._token),
            "/cgi-bin/stable_token": ("POST", self._stable_token),
            "/cgi-bin/gettoken": ("GET POST", self._wecom_token),
            "/cgi-bin/ticket/getticket": ("GET", self._ticket),
            "/cgi-bin/get_jsapi_ticket": ("GET", self._jsapi_ticket),
            "/cgi-bin/ticket/get": ("GET", self._ticket),
        }

    def endpoint(self, method: str, path: str) -> Callable[[Asked], Awaitable[Response]] | None:
        """Find what answers at a path, ``None`` if nothing here does."""
        methods, found = self._endpoints.get(path, ("", None))
        return found if method in methods.split() else None

    async def _token(self, asked: Asked) -> Response:
        query = single(asked.request.query_params.multi_items())
        return await self._give(asked, query.get("appid", ""), query.get("secret", ""))

    async def _wecom_token(self, asked: Asked) -> Response:
        query = single(asked.request.query_params.multi_items())
        return await self._give(asked, query.get("corpid", ""), query.get("corpsecret", ""))

    async def _stable_token(self, asked: Asked) -> Response:
        body = await small_json(asked.request)
        appid, key = body.get("appid", ""), body.get("secret", "")
        if not isinstance(appid, str) or not isinstance(key, str):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: appid and secret must be texts")
        return await self._give(asked, appid, key, refused=body.get("force_refresh") is True)

    async def _give(self, asked: Asked, appid: str, key: str, *, refused: bool = False) -> Response:
        if not key:
            raise Refusal(41004, "appsecret missing: the caller's key of the hub belongs there")
        visitor = asked.callers.by_key(key)
        asked.entry.caller = visitor.caller.name
        allow(visitor.caller, "wechat")
        if not appid:
            raise Refusal(MISSING_PARAMETER, "appid missing")
        account = asked.callers.account_of(visitor.caller, appid, asked.here)
        asked.entry.account = account.name
        if visitor.caller.tokens == "hub":
            token, life = asked.callers.token_for(visitor, account), _LIFE
        else:
            found = await self._wechats(asked, visitor, account, refused=refused)
            token, life = found.token, life_for(visitor.caller, found)
        return in_wechats_words({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": life})

    async def _wechats(self, asked: Asked, visitor: Visitor, account: HubAccount, *, refused: bool) -> Living:
        """
        Give WeChat's token.

        Clients do not say that theirs was rejected: they ask once more. So who has it already and comes back before
        its end is taken at its word only as far as WeChat bears it out, and braked.
        """
        who = (visitor.caller.name, account.name)
        found = await self._living(asked, account)
        if (refused or self._given.get(who) == _digest(found.token)) and found.expires_in > _NEAR_ITS_END:
            if not self._repeats.setdefault(who, Bucket(_REPEATS, _REPEATS_A_SECOND)).take(clock()):
                raise Refusal(TOO_OFTEN, "api minute-quota reached limit: it has this token, and WeChat accepts it")
            if await self._probe.rejects(account, found, asked.upstream):
                asked.entry.healed = True
                found = await self._living(asked, account, rejected=found.token)
        self._given[who] = _digest(found.token)
        asked.callers.given.remember(account, found)
        return found

    async def _living(self, asked: Asked, account: HubAccount, rejected: str | None = None) -> Living:
        try:
            found = await living(account.provider, rejected=rejected, timeout=asked.left)
        except TokenError as error:
            refusal = no_token(error)
        else:
            asked.entry.generation = found.generation
            return found
        raise refusal

    async def _ticket(self, asked: Asked) -> Response:
        return await self._give_ticket(asked, asked.request.query_params.get("type", ""))

    async def _jsapi_ticket(self, asked: Asked) -> Response:
        return await self._give_ticket(asked, "jsapi")

    async def _give_ticket(self, asked: Asked, kind: str) -> Response:
        query = single(asked.request.query_params.multi_items())
        callers, account = await asked.callers.of_call(asked.request.headers, query.get("access_token"), asked.here)
        asked.entry.caller, asked.entry.account = names_of(callers), account.name
        for caller in callers:
            allow(caller, "wechat")
        source = _TICKETS.get(kind)
        if source is None or (source is AgentTicket) != (asked.request.url.path.endswith("/ticket/get")):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: no such type of ticket")
        found = await self._living_ticket(asked, account, source)
        return in_wechats_words({"errcode": 0, "errmsg": "ok", "ticket": found.token, "expires_in": found.expires_in})

    async def _living_ticket(self, asked: Asked, account: HubAccount, source: Ticket) -> Living:
        provider = self._tickets.provider(account, source)
        try:
            return await living(provider, timeout=asked.left)
        except TokenError as error:
            refusal = no_token(error)
        raise refusal


def life_for(caller: Caller, found: Living) -> int:
    """Say how long a token of WeChat's lives, as this caller's client needs to hear it."""
    life = found.expires_in + int(caller.margin)
    return max(1, min(life, int(caller.longest_life))) if caller.longest_life is not None else life


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
