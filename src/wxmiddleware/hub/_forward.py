"""
One call on its way to WeChat and back: with the living token in it, and once more if that is rejected.

The body streams both ways. A call has no limit of time in all, only one of silence: `_SILENCE` seconds in which not a
byte moves. What WeChat answers is looked at only as far as an error can reach (`_outbound/bodies.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from .._outbound.answers import RETRYABLE, errcode_of, is_rejection, object_in, why_not_renewed
from .._outbound.bodies import Head, is_file
from .._outbound.retry import CallResult, GetNewer, Send, anewer, codes_of, retry_rule
from .._rules.errcodes import request_id
from .._runtime.clock import clock
from .._runtime.drive import adrive
from ..exceptions import TokenError
from ._answers import SYSTEM_ERROR, Refusal, no_token, refused
from ._audit import Entry
from ._body import Body
from ._headers import back
from ._hidden import Hidden
from ._living import at_hand, living
from ._query import TOKEN, Query
from ._settings import HubAccount
from ._upstream import Upstream

if TYPE_CHECKING:
    import aiohttp
    from starlette.types import Receive, Scope
    from starlette.types import Send as Sends

_logger = logging.getLogger("wxmiddleware")
_SILENCE = 60.0  # seconds in which not a byte moves, either way
_FOR_TOKENS = 1.8  # seconds of a call that may be spent on waiting for tokens; the most impatient client waits three
_BODILESS = (204, 304)


@dataclass(slots=True)
class Call:
    """
    What is sent on.

    Attributes:
        account: Whose call.
        method: ``GET``, ``HEAD`` or ``POST``.
        path: Below the account's base URL.
        query: As it goes on, but for the token.
        headers: As they go on.
        length: Of the body, if the caller said it.
        signed: Whether the hub's token is put in. Else the caller's own goes, or none, and nothing is healed.
        secrets: What else was put in.
        upstream: The way to WeChat.
        entry: What the audit is told.
        check_again: Sees that the call is still allowed, once its body is there: that may take hours.
    """

    account: HubAccount
    method: str
    path: str
    query: Query
    headers: list[tuple[str, str]]
    length: int | None
    signed: bool
    secrets: Collection[str] = field(repr=False)
    upstream: Upstream
    entry: Entry
    check_again: Callable[[], None]
    began: float = field(default_factory=clock)


class Answer:
    """What WeChat answered: the beginning of it, if it may be an error, and the rest as it comes."""

    __slots__ = ("__weakref__", "_chunks", "_head", "response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._chunks = response.content.iter_any()
        self._head: Head | None = None

    async def look(self, moved: Any) -> None:
        """Read as much as it takes to see whether it is an error. `moved` is called after each piece."""
        response = self.response
        if response.method == "HEAD" or is_file(response):
            return
        if not Head.can_unpack(response.headers):
            raise Refusal(SYSTEM_ERROR, "system error: WeChat packed its answer in a way that the hub cannot read")
        self._head = head = Head.of(response.headers)
        if head is None:
            return
        async for chunk in self._chunks:
            moved()
            if not head.wants_more(chunk):
                return
        head.end()

    @property
    def body(self) -> bytes | None:
        """All of it, unpacked, if it was short and may be an error."""
        return None if self._head is None else self._head.body()

    @property
    def errcode(self) -> int | None:
        """What it says."""
        return errcode_of(self.body or b"")

    @property
    def is_plain(self) -> bool:
        """Whether it may be read as it comes: no file, and not packed."""
        packed = self.response.headers.get("content-encoding", "").strip().lower()
        return packed in ("", "identity") and not is_file(self.response)

    async def stream(self) -> AsyncIterator[bytes]:
        """Give all of it as it came."""
        for chunk in () if self._head is None else self._head.chunks:
            yield chunk
        async for chunk in self._chunks:
            yield chunk

    def close(self) -> None:
        """Give the connection back, or end it if there is more to come."""
        self.response.close()


class Forward:
    """Sends one call on, and gives the answer to the caller: an ASGI app for one request."""

    status_code = 200

    def __init__(self, call: Call) -> None:
        self._call = call
        self._hidden = Hidden()
        for secret in call.secrets:
            self._hidden.add(secret)
        self._answer: Answer | None = None
        self._refusal: Refusal | None = None
        self._started = False
        self._done = False
        self._given = False

    async def __call__(self, scope: Scope, receive: Receive, send: Sends) -> None:
        """Do it. If WeChat's answer breaks off, so does this one: it is left without an end."""
        self._body, self._send = Body(receive, self._call.length), send
        self._loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(None) as self._limit:
                self._moved()
                self._look()
                await self._run()
                self._done = True
        except TimeoutError:  # silence, or the client left
            pass
        finally:
            watching.cancel()
            self._timer.cancel()
            if self._answer is not None:
                self._answer.close()
        await self._end(scope, receive)

    async def _end(self, scope: Scope, receive: Receive) -> None:
        """Say how it went, to the caller if that is still possible, and to the audit."""
        entry, refusal = self._call.entry, self._refusal
        if self._given:  # once it has all of it, servers say that it left
            return
        if self._body.client_left:
            entry.result = "client left"
            return
        if not self._done:
            entry.result = "silence"
            refusal = Refusal(SYSTEM_ERROR, f"system error: {_SILENCE:.0f} s of silence. {_UNKNOWN}")
        if refusal is None:
            return
        if self._started:
            _logger.warning("WeChat's answer broke off, and so did the hub's.")
            return
        if entry.result == "ok":
            entry.result = "refused"
        entry.errcode = refusal.errcode if entry.errcode is None else entry.errcode
        entry.status = 200
        await refused(refusal)(scope, receive, self._send)

    async def _watch(self) -> None:
        await self._body.left()
        self._limit.reschedule(0.0)

    def _moved(self) -> None:
        self._last = self._loop.time()

    def _look(self) -> None:
        """End it if nothing has moved for too long; else look again when that may be. A timer for each move is dear."""
        late = self._last + _SILENCE
        if late > self._loop.time():
            self._timer = self._loop.call_at(late, self._look)
        else:
            self._limit.reschedule(0.0)

    async def _run(self) -> None:
        import aiohttp

        entry = self._call.entry
        try:
            await self._body.begin()
            self._call.check_again()
            await self._give(await self._signed() if self._call.signed else await self._sent())
            self._given = True
        except ClientDisconnect:
            pass
        except Refusal as refusal:
            self._refusal = refusal
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            entry.result = "unreachable"
            self._refusal = Refusal(SYSTEM_ERROR, "system error: the hub cannot reach WeChat. The call was not sent")
        except (aiohttp.ClientError, OSError, ValueError):  # its text would quote the URL
            entry.result = "broken off"
            self._refusal = Refusal(SYSTEM_ERROR, f"system error: the connection to WeChat broke. {_UNKNOWN}")
        except Exception as error:
            _logger.error("The hub met an unexpected %s. Please report it.", type(error).__name__)
            entry.result = "unexpected"
            self._refusal = Refusal(SYSTEM_ERROR, f"system error. {_UNKNOWN}")

    async def _signed(self) -> Answer:
        """Send it with the token, and once more if that is rejected. The rule is the package's one."""
        call, provider = self._call, self._call.account.provider
        token = await self._token()
        codes = codes_of(provider)
        first = await self._sent(token)
        if not is_rejection(first.errcode, codes):
            return self._accepted(first, RETRYABLE)
        rule = retry_rule(
            provider, token, CallResult(first, errcode=first.errcode), codes=codes, rewind=self._body.rewind
        )
        answer: Answer = (await adrive(rule, self._perform)).give()
        current = at_hand(provider)
        call.entry.generation = None if current is None else current.generation
        return self._accepted(answer, {*codes, *RETRYABLE})

    async def _perform(self, step: GetNewer | Send) -> Any:
        if isinstance(step, GetNewer):
            return await anewer(self._call.account.provider, step.rejected, self._left())
        if self._answer is not None:
            self._answer.close()
        self._call.entry.healed = True
        try:
            answer = await self._sent(step.token)
        except Exception as error:
            return CallResult(error=error)
        return CallResult(answer, errcode=answer.errcode)

    async def _token(self) -> str:
        try:
            found = await living(self._call.account.provider, timeout=self._left())
        except TokenError as error:
            refusal = no_token(error)
        else:
            self._call.entry.generation = found.generation
            return found.token
        raise refusal

    def _left(self) -> float:
        return max(0.05, _FOR_TOKENS - (clock() - self._call.began))

    def _accepted(self, answer: Answer, codes: Collection[int]) -> Answer:
        """See that no caller learns of a token that it does not have."""
        errcode = answer.errcode
        if not is_rejection(errcode, codes):
            return answer
        entry = self._call.entry
        entry.result, entry.errcode = "rejected", errcode
        why = why_not_renewed(answer)
        if self._body.only_once:
            text = "there is a new one now. The body was too long to be kept: send the call again"
        elif entry.healed:
            text = "the one after it, too. Try again later"
        elif why is not None:
            said = "" if why.errcode is None else f" (WeChat says {why.errcode})"
            text = (
                f"the hub could not replace it{said}: within 30 s of the last rejection it may not (another system "
                "fetches, too), or WeChat gives none. Try again later; its log says which it was"
            )
        else:
            text = "there is no newer one yet. Try again later"
        raise Refusal(SYSTEM_ERROR, f"system error: WeChat rejected the hub's token ({errcode}); {text}")

    async def _sent(self, token: str | None = None) -> Answer:
        """Send it once, and look at the answer."""
        call = self._call
        if token is not None:
            self._hidden.add(token)
            call.query.put(TOKEN, token)
        query, headers, content = str(call.query), call.headers, self._body.content()
        length = self._body.length
        if length is not None and content is not None:
            headers = [*headers, ("content-length", str(length))]
        if not isinstance(content, bytes) and content is not None:
            content = self._watched(content)
        target = f"{call.path}?{query}" if query else call.path
        response = await call.upstream.send(
            call.method, call.account.provider.account.base_url, target, headers, content
        )
        self._moved()
        self._answer = answer = Answer(response)
        await answer.look(self._moved)
        return answer

    async def _watched(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._moved()
            yield chunk
            self._moved()

    async def _give(self, answer: Answer) -> None:
        """Hand the answer on."""
        status = answer.response.status
        if not 200 <= status < 600:
            raise Refusal(SYSTEM_ERROR, "system error: what came back is no answer of HTTP")
        entry, body = self._call.entry, answer.body
        entry.status, entry.errcode = status, answer.errcode
        if entry.errcode:
            entry.rid = _rid_in(body or b"")
        headers = self._hidden.out_of_headers(back(answer.response.raw_headers))
        if body is not None and status not in _BODILESS:
            text = self._hidden.out_of(body)
            headers = [each for each in headers if each[0] != b"content-encoding"]
            await self._start(status, [*headers, (b"content-length", str(len(text)).encode())])
            await self._piece(text)
        else:
            length = answer.response.headers.get("content-length", "")
            if length.isdecimal() and status not in _BODILESS:
                headers.append((b"content-length", length.encode()))
            await self._start(status, headers)
            chunks = answer.stream()
            async for chunk in self._hidden.out_of_stream(chunks) if answer.is_plain else chunks:
                self._moved()
                await self._piece(chunk, more=True)
                self._moved()
            await self._piece(b"")

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _piece(self, body: bytes, *, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


_UNKNOWN = "Nobody knows whether the call was carried out"


def _rid_in(body: bytes) -> str | None:
    errmsg = (object_in(body) or {}).get("errmsg")
    return request_id(errmsg) if isinstance(errmsg, str) else None
