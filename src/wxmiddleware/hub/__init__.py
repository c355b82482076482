"""
The hub (中控服务器): one place that keeps the tokens, for services in any language.

::

    hub = Hub([TokenProvider(Account(appid, secret), store=store)], callers=[...], secrets=[...])

It is an ASGI app: serve it by itself (``wxmiddleware serve``), or mount it in another. Callers come in three ways:

- as SDKs come to WeChat, with the caller's key where the AppSecret was (`_wechat.py`);
- with any call of an API below ``/{account}/``, or with a token that the hub gave out, which is sent on to WeChat with
  the living token in it, and once more if that is rejected (`_gateway.py`);
- with the hub's own API below ``/v1/`` (`_native.py`).

A caller with the face ``status`` has a status page of its accounts at ``/status`` (`_status.py`).

It keeps no state of its own: tokens lie in the providers' stores, so any number of replicas can stand side by side.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from .._engine.provider import TokenProvider
from .._runtime.clock import clock
from ._answers import NOT_ALLOWED, SYSTEM_ERROR, Refusal, refused
from ._audit import Entry, Listener
from ._callers import Callers
from ._forward import Forward
from ._gateway import Gateway
from ._native import Native
from ._paths import is_native, like_appid, path_of, split_first
from ._probe import Probe
from ._query import check_size
from ._settings import Caller, Here, HubAccount, Settings
from ._status import PATH as STATUS
from ._status import StatusPages
from ._tickets import Tickets
from ._upstream import Upstream, check_installed
from ._wechat import Asked, WireShapes
from .keys import hash_key, new_key

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Caller", "Hub", "HubAccount", "Settings", "hash_key", "new_key"]

_logger = logging.getLogger("wxmiddleware")


class Hub:
    """
    Serves tokens, and calls that need one, to callers in any language.

    Args:
        accounts: Whose tokens: providers, or `HubAccount` where one needs another name than its AppID.
        callers: Who may use them.
        secrets: What tokens of the hub's own are signed with; see `Settings`.
        listeners: Functions that are told each request, as the audit is, and the seconds that it took.

    Raises:
        ConfigurationError: A setting is wrong, or a package is missing (``wxmiddleware[hub]``).
    """

    def __init__(
        self,
        accounts: Iterable[HubAccount | TokenProvider],
        *,
        callers: Iterable[Caller] = (),
        secrets: Sequence[str] = (),
        listeners: Iterable[Listener] = (),
    ) -> None:
        check_installed()
        self._leaving = False
        self._upstream = Upstream()
        self._status = StatusPages()
        self.use(Settings(accounts, callers, secrets))
        self._listeners = tuple(listeners)

    @property
    def settings(self) -> Settings:
        """What it goes by."""
        return self._settings

    def use(self, settings: Settings) -> None:
        """
        Go by other settings from now on. A request that has begun ends by those that it began with; one that waits for
        another token ends at once.

        Providers that are no longer needed are not closed: those requests may hold them.
        """
        before: Native | None = getattr(self, "_native", None)
        self._status.use(settings)
        self._settings = settings
        self._callers = Callers(settings, getattr(self, "_callers", None))
        probe, tickets = Probe(), Tickets()
        self._wire = WireShapes(probe, tickets)
        self._native = Native(probe, tickets)
        self._gateway = Gateway(self._callers, self._upstream, lambda: self._callers)
        if before is not None:
            before.leave()
        if self._leaving:
            self._native.leave()

    def providers(self) -> list[TokenProvider]:
        """The providers of its accounts, as a status page or a probe wants them."""
        return [account.provider for account in self._settings.by_name.values()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as an ASGI app."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def leave(self) -> None:
        """
        Get ready for the end: ``/readyz`` says so, and who waits for another token is answered. Other requests go on,
        and new ones are served. It may be called in any thread.

        A server calls it when it is told to stop, before it waits for requests; a lifespan's end comes after that.
        """
        self._leaving = True
        self._native.leave()

    async def aclose(self) -> None:
        """Close the connections to WeChat of this event loop. An app that mounts the hub calls it in its lifespan."""
        await self._upstream.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self._leaving:  # it was served before, as a test's app is
                    self._leaving = False
                    self.use(self._settings)
                await send({"type": "lifespan.startup.complete"})
            else:
                self.leave()
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, request = clock(), Request(scope, receive)
        entry = Entry(face="", method=request.method, path=scope["path"])
        path = path_of(scope, self._settings.by_name)
        if path in ("/livez", "/readyz"):
            await self._health(path)(scope, receive, send)
            return
        try:
            response: Response | Forward | None = await self._answer(request, path, entry)
        except Refusal as refusal:
            entry.result, entry.errcode = "refused", refusal.errcode
            entry.caller = entry.caller or refusal.caller
            response = refused(refusal)
        except ClientDisconnect:
            entry.result = "client left"
            response = None
        except Exception as error:
            # Only its type: what it says may quote a URL with a token.
            _logger.error("The hub met an unexpected %s. Please report it.", type(error).__name__)
            entry.result, entry.errcode = "unexpected", SYSTEM_ERROR
            response = refused(Refusal(SYSTEM_ERROR, "system error"))
            response.status_code = 500 if is_native(scope) else 200
        try:
            if response is not None:
                entry.status = response.status_code
                await response(scope, receive, send)
        finally:
            seconds = clock() - began
            entry.tell(seconds, time.time())
            for listener in self._listeners:
                listener(entry, seconds)

    async def _answer(self, request: Request, path: str | None, entry: Entry) -> Response | Forward:
        if is_native(request.scope):
            entry.face = "native"
            return await self._native.answer(Asked(request, None, self._callers, self._upstream, entry), path)
        if path is None:
            entry.face = "gateway"
            raise Refusal(NOT_ALLOWED, "api unauthorized: no such path, or one that can be read in two ways")
        check_size(request.scope.get("query_string", b""))
        callers, wire, gateway = self._callers, self._wire, self._gateway
        if path.rstrip("/") == STATUS:
            entry.face = "status"
            return await self._status.answer(request, callers, entry)
        here, path = self._whose(request, path)
        asked = Asked(request, here, callers, self._upstream, entry)
        endpoint = wire.endpoint(request.method, path)
        entry.face = "wechat" if endpoint is not None else "gateway"
        if endpoint is not None:
            return await endpoint(asked)
        return await gateway.call(request, here, path, entry)

    def _whose(self, request: Request, path: str) -> tuple[Here, str]:
        """The account that the path names, or the host; and the path without it."""
        settings = self._settings
        first, rest = split_first(path)
        if first in settings.by_name:
            return settings.by_name[first], rest or "/"
        if like_appid(first):
            return settings.with_appid(first), rest or "/"
        host = (request.headers.get("host") or "").lower().rpartition(":")
        return settings.by_host.get(host[0] if host[2].isdigit() and host[0] else ":".join(filter(None, host))), path

    def _health(self, path: str) -> Response:
        """
        Say whether it lives, and whether to send it requests.

        WeChat's outage and a store's are no reason to restart it or to take it out: it serves what it has.
        """
        if path == "/readyz" and self._leaving:
            return PlainTextResponse("leaving\n", 503)
        return PlainTextResponse("ok\n")
