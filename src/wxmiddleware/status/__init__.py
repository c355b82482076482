"""
A status page (状态页): what each token is like at this moment, for the person who is woken at night.

::

    page = StatusPage(provider)

    app.mount("/wx-status", page)                                            # FastAPI, Starlette
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/wx-status": page})  # Flask

It is an ASGI and a WSGI app in one, works without a script, loads itself anew, and gives the same as JSON to whoever
asks for that (``Accept: application/json``). It shows no token, no secret and no openid. It has no login of its own:
mount it behind the one that the app has. Where it is not mounted there is none.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from .._engine.events import observe
from .._engine.provider import TokenProvider
from .._runtime import fork
from .._runtime.checks import seconds
from .._runtime.language import Language, language, of_code
from .._runtime.threads import run_in_thread
from ..health import HasProviders, checked_sources, providers_of
from ._facts import Facts, gather
from ._history import History
from ._html import POLICY, page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from starlette.types import Receive, Scope, Send

__all__ = ["StatusPage"]

_FRESH = 1.0  # seconds for which what was gathered is shown again: many may look at once


class StatusPage(fork.InOneProcess):
    """
    Shows the tokens of this process, and what their stores hold, as a page or as JSON.

    Args:
        sources: What to show: providers, pools, platforms, hubs.
        refresh: After how many seconds a browser loads the page anew.

    Raises:
        ConfigurationError: Nothing is given, or something that has no tokens.
    """

    def __init__(self, *sources: TokenProvider | HasProviders, refresh: float = 10.0) -> None:
        checked_sources(sources)
        self._sources = sources
        self._refresh = max(1, round(seconds("refresh", refresh)))
        self._history = History()
        self._seen: dict[str, float] = {}
        observe(self._history)
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget what the parent gathered, and a lock that another thread may have held."""
        self._lock = threading.Lock()
        self._last: tuple[float, Facts] | None = None

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

    def facts(self) -> Mapping[str, Any]:
        """
        Get what the page says as plain values, as its JSON has them.

        It reads each token's record in its store, so it takes a moment; in an event loop call it in a thread.
        """
        return self._facts().as_json()

    def _facts(self) -> Facts:
        fork.check()
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._last[0] > _FRESH:
                self._last = now, gather(providers_of(self._sources), self._history, self._seen)
            return self._last[1]

    def _serve_wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answer(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_LANGUAGE", ""),
        )
        start_response(answer.status, list(answer.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    async def _serve_asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"].removeprefix((scope.get("root_path") or "").rstrip("/"))
        asked = (
            scope["method"],
            path,
            scope["query_string"].decode("latin-1"),
            headers.get("accept", ""),
            headers.get("accept-language", ""),
        )
        answer: _Answer = await run_in_thread(lambda: self._answer(*asked))
        start = {"type": "http.response.start", "status": int(answer.status[:3])}
        await send(start | {"headers": [(k.lower().encode(), v.encode()) for k, v in answer.headers]})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _answer(self, method: str, path: str, query: str, accept: str, languages: str) -> _Answer:
        if path not in ("", "/"):
            return _Answer("404 Not Found", "text/plain; charset=utf-8", b"There is nothing here.\n")
        if method not in ("GET", "HEAD"):
            plain = _Answer("405 Method Not Allowed", "text/plain; charset=utf-8", b"This page is only read.\n")
            return plain.with_header("Allow", "GET, HEAD")
        facts = self._facts()
        if _wants_json(accept):
            return _Answer("200 OK", "application/json", json.dumps(facts.as_json(), ensure_ascii=False).encode())
        body = page(facts, _chosen(query, languages), self._refresh)
        return _Answer("200 OK", "text/html; charset=utf-8", body.encode())


class _Answer:
    """One answer, the same for WSGI and ASGI."""

    def __init__(self, status: str, content_type: str, body: bytes) -> None:
        self.status, self.body = status, body
        self.headers: tuple[tuple[str, str], ...] = (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Vary", "Accept, Accept-Language"),
        )

    def with_header(self, name: str, value: str) -> _Answer:
        """Add a header."""
        self.headers = (*self.headers, (name, value))
        return self


def _wants_json(accept: str) -> bool:
    from werkzeug.datastructures import MIMEAccept
    from werkzeug.http import parse_accept_header

    offered = ["text/html", "application/json"]
    return parse_accept_header(accept, MIMEAccept).best_match(offered, "text/html") == "application/json"


def _chosen(query: str, languages: str) -> Language:
    """The language that the query names, or the browser asks for; else that of the process."""
    from urllib.parse import parse_qs

    from werkzeug.datastructures import LanguageAccept
    from werkzeug.http import parse_accept_header

    named = of_code(parse_qs(query).get("lang", [""])[0])
    if named is not None:
        return named
    wanted = (of_code(code) for code, _ in parse_accept_header(languages, LanguageAccept))
    return next((each for each in wanted if each is not None), None) or language()
