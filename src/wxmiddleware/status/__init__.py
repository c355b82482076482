"""
A status page (状态页): what each token is like at this moment, for the person who is woken at night.

::

    page = StatusPage(provider)

    @app.get("/wx-status")                       # Flask
    @login_required
    def wx_status():
        return tuple(page.answer(request.headers, request.query_string))

It works without a script, loads itself anew, and gives the same as JSON to whoever asks for that (``Accept:
application/json``). It shows no token, no secret and no openid. It has no login of its own: put it behind the one that
the app has. Where it is not put there is none. It is an ASGI and a WSGI app, too, to be mounted or served.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload
from weakref import finalize

from starlette.datastructures import Headers
from werkzeug.datastructures import EnvironHeaders

from .._engine.events import observe, unobserve
from .._engine.provider import TokenProvider
from .._runtime import fork
from .._runtime.checks import checked_runtime, seconds
from .._runtime.runtime import Runtime
from .._runtime.threads import run_in_thread
from ..health import HasProviders, checked_sources
from ._answer import Answer, HasHeaders, chosen, nothing_here, only_read, shown, wants_json
from ._facts import Facts
from ._gather import gather
from ._history import History
from ._html import page
from ._looks import Looks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from starlette.types import Receive, Scope, Send

__all__ = ["Answer", "StatusPage"]

_FRESH = 1.0  # seconds for which what was gathered is shown again: many may look at once


class StatusPage(fork.InOneProcess):
    """
    Shows the tokens of this process, and what their stores hold, as a page or as JSON.

    Args:
        sources: What to show: providers, pools, platforms, hubs. Events of other accounts are not shown.
        refresh: After how many seconds a browser loads the page anew.
        runtime: The clocks, in place of the process's own. For tests.

    Raises:
        ConfigurationError: Nothing is given, or something that has no tokens.
    """

    def __init__(
        self,
        *sources: TokenProvider | HasProviders,
        refresh: float = 10.0,
        runtime: Runtime | None = None,
        _history: History | None = None,
    ) -> None:
        checked_sources(sources)
        self._runtime = checked_runtime(runtime)
        self._sources = sources
        self._refresh = max(1, round(seconds("refresh", refresh)))
        self._history = History() if _history is None else _history
        if _history is None:
            observe(self._history)
            finalize(self, unobserve, self._history).atexit = False
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget what the parent gathered, and a lock that another thread may have held."""
        self._lock = threading.RLock()
        self._looks = Looks()
        self._last: tuple[float, Facts] | None = None
        self._gathers = False

    def answer(self, headers: HasHeaders, query: str | bytes = "", method: str = "GET") -> Answer:
        """
        Answer one request, in a view of your own. It takes a second at most, whatever the stores do.

        Args:
            headers: Of the request: those of Flask, Starlette, FastAPI and Django will do.
            query: The query string of the request; ``lang=zh`` or ``lang=en`` in it chooses the language.
            method: Of the request.
        """
        if method not in ("GET", "HEAD"):
            return only_read()
        query = query.decode("latin-1") if isinstance(query, bytes) else query
        facts = self._facts()
        found = (
            shown(facts.as_json())
            if wants_json(headers.get("Accept") or "")
            else shown(page(facts, chosen(query, headers.get("Accept-Language") or ""), self._refresh))
        )
        return found if method == "GET" else found._replace(body=b"")

    async def aanswer(self, headers: HasHeaders, query: str | bytes = "", method: str = "GET") -> Answer:
        """Answer one request: `answer` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.answer(headers, query, method))

    def facts(self) -> Mapping[str, Any]:
        """
        Get what the page says as plain values, as its JSON has them.

        It reads each token's record in its store, so it takes a second at most; in an event loop call it in a thread.
        """
        return self._facts().as_json()

    @overload
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse, /) -> Iterable[bytes]: ...
    @overload
    def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> Awaitable[None]: ...
    @overload
    def __call__(self, scope: Scope, /) -> Callable[[Receive, Send], Awaitable[None]]: ...
    def __call__(self, *given: Any) -> Any:
        """Serve one request, as a WSGI app or as an ASGI app."""
        if len(given) == 2:
            return self._serve_wsgi(*given)
        # Servers take a callable that is no coroutine function for ASGI 2, and call it twice.
        return partial(self._serve_asgi, *given) if len(given) == 1 else self._serve_asgi(*given)

    def _facts(self) -> Facts:
        """
        Gather, once a second at most. Who comes while that is done gets what was gathered last.

        Nothing is waited for under the lock. Before the first time is over all gather for themselves: they share the
        looks at the stores.
        """
        fork.check()
        with self._lock:
            last, now = self._last, self._runtime.clock()
            if last is not None and (self._gathers or now - last[0] < _FRESH):
                return last[1]
            self._gathers = True
        try:
            facts = gather(
                self._runtime.time(),
                self._sources,
                self._history,
                self._looks,
                {} if last is None else last[1].processes,
            )
            with self._lock:
                self._last = self._runtime.clock(), facts
        finally:
            self._gathers = False
        return facts

    def _serve_wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        headers: Any = EnvironHeaders(environ)
        answer = self._at(path, headers, environ.get("QUERY_STRING", ""), method)
        start_response(answer.reason, list(answer.headers.items()))
        return [answer.body]

    async def _serve_asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix((scope.get("root_path") or "").rstrip("/"))
        headers, query, method = Headers(scope=scope), scope.get("query_string") or b"", scope["method"]
        answer = await run_in_thread(lambda: self._at(path, headers, query, method))
        raw = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def _at(self, path: str, headers: HasHeaders, query: str | bytes, method: str) -> Answer:
        return self.answer(headers, query, method) if path in ("", "/") else nothing_here()


async def _live(receive: Receive, send: Send) -> None:
    """Start and end with the server that serves nothing but the page; there is nothing to do."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
