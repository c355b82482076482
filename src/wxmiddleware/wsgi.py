"""
A token in the environ of every WSGI request::

    app.wsgi_app = TokenMiddleware(app.wsgi_app, provider)

    environ["wxmiddleware.token"]    # also wxmiddleware.current_token()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wxmiddleware._middleware import (
    DEFAULT_WAIT,
    SORRY,
    UNKNOWN,
    check_app,
    check_exclude,
    check_selection,
    check_wait,
    is_provider,
    retry_after_seconds,
    tell_of_no_account,
    worth_waiting,
)
from wxmiddleware._rules.paths import Prefixes, text_of
from wxmiddleware._runtime.threads import threads_freeze
from wxmiddleware.context import Binding, serving_var
from wxmiddleware.exceptions import ConfigurationError, TokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Self

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from wxmiddleware._engine.provider import TokenProvider
    from wxmiddleware.context import Serving

__all__ = ["TOKEN_KEY", "TokenMiddleware"]

#: Where the token stands in the environ. Absent, not ``None``, when there is none.
TOKEN_KEY = "wxmiddleware.token"  # noqa: S105 - a key


class TokenMiddleware:
    """
    Put a good token into the environ of the requests it chooses, and serve `current_token` while they run.

    That covers the app's call, each step of the body it returns, and the body's ``close()``.
    A request that is not chosen goes through untouched.

    Args:
        app: The WSGI application.
        provider: Gives the token; or a function of the environ that returns a provider for this request
            (several accounts), or ``None`` to let it through untouched. If it raises a `LookupError`, the request is
            for no account that is known, and answered 404.
        paths: Choose the requests at or below these paths, as the wrapped app sees them: ``PATH_INFO``, whatever
            ``SCRIPT_NAME`` it is mounted at. ``"/wechat"`` means ``/wechat`` and ``/wechat/x``, not ``/wechatx``; also
            ``//wechat`` and what else a router may read as that. ``$APPID$`` stands for any one part of a path.
        only: Choose the requests for which this function of the environ is true. Not together with `paths`.
        exclude: Never choose the requests at or below these paths, such as ``["/healthz", "/metrics"]``.
        wait: Seconds a request waits at most when the token is not at hand. Then it goes on without one. It does not
            wait while that is in vain: others have waited for the same refresh, or the last one has just failed.
        required: Answer 503 with ``Retry-After`` instead of going on without a token.

    Raises:
        ConfigurationError: One of these cannot be right.
        ProviderClosed: The provider was closed; here, or in a later request.
    """

    __slots__ = ("_app", "_binding", "_chosen", "_find", "_freezes", "_plain", "_required", "_wait")

    def __init__(
        self,
        app: WSGIApplication,
        provider: TokenProvider | Callable[[WSGIEnvironment], TokenProvider | None],
        *,
        paths: str | Collection[str] | None = None,
        only: Callable[[WSGIEnvironment], bool] | None = None,
        exclude: str | Collection[str] | None = None,
        wait: float = DEFAULT_WAIT,
        required: bool = False,
    ) -> None:
        check_app(app, speaks="wsgi")
        self._app = app
        self._wait = check_wait(wait)
        prefixes = check_selection(paths, only)
        self._chosen = _excluding(check_exclude(exclude, prefixes), _chooser(prefixes) or only)
        self._binding: Binding | None = None
        self._find: Any = provider
        if is_provider(provider, may_be_async=False):
            self._binding = self._bind(provider)
        self._required = required
        self._freezes = threads_freeze()
        # Bodies that hold no code of the app, and can be returned as they are.
        self._plain: tuple[type, ...] = () if self._freezes else (list, tuple)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if self._chosen is not None and not self._chosen(environ):
            return self._app(environ, start_response)
        binding = self._binding
        if binding is None:
            try:
                provider = self._find(environ)
            except LookupError as unknown:
                tell_of_no_account(unknown)
                return _answer(environ, start_response, "404 Not Found", UNKNOWN)
            if provider is None:
                return self._app(environ, start_response)
            binding = self._bind(provider)

        token = binding.provider.peek()
        if token is not None:
            environ[TOKEN_KEY] = token
        else:
            error = _attach(binding, environ)
            if error is not None and self._required:
                retry = ("Retry-After", str(retry_after_seconds(error)))
                return _answer(environ, start_response, "503 Service Unavailable", SORRY, retry)

        serving = (binding, environ)
        mark = serving_var.set(serving)
        try:
            body = self._app(environ, start_response)
            if type(body) in self._plain or _is_file(body, environ):
                return body
            return (_SettlingBody if self._freezes else _Body)(body, serving)
        finally:
            serving_var.reset(mark)

    def _bind(self, provider: Any) -> Binding:
        if not hasattr(provider, "peek"):
            raise ConfigurationError(
                f"The function that finds the provider returned a {type(provider).__name__}, not a TokenProvider."
            )
        return Binding(provider, TOKEN_KEY, self._wait)


class _Body:
    """
    A response body whose code is served like the app's own.

    The variable is set for each step and reset after it: two bodies may take turns in one thread, and ``close()`` may
    come from elsewhere.
    """

    __slots__ = ("_body", "_next", "_serving")

    def __init__(self, body: Iterable[bytes], serving: Serving) -> None:
        self._body: Iterable[bytes] | None = body
        self._serving = serving
        self._next = iter(body).__next__

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        mark = serving_var.set(self._serving)
        try:
            return self._next()
        finally:
            serving_var.reset(mark)

    def close(self) -> None:
        body, self._body = self._body, None
        close = getattr(body, "close", None)
        if close is None:
            return
        mark = serving_var.set(self._serving)
        try:
            close()
        finally:
            serving_var.reset(mark)


class _SettlingBody(_Body):
    """
    A body for workers whose background threads freeze between requests.

    A refresh under way is waited for once the body is out: the client has its answer, the worker is not yet asleep.
    """

    __slots__ = ()

    def close(self) -> None:
        try:
            super().close()
        finally:
            provider = self._serving[0].provider
            if not provider.closed:
                provider.drain()


def _chooser(prefixes: tuple[str, ...] | None) -> Callable[[WSGIEnvironment], bool] | None:
    if prefixes is None:
        return None
    paths = Prefixes(prefixes)
    usual, matches = paths.usual, paths.matches
    # WSGI hands out the bytes of a path as latin-1.
    exactly = frozenset(path.encode().decode("latin-1") for path in paths.exactly)
    below = tuple(path.encode().decode("latin-1") for path in paths.below)

    def chosen(environ: WSGIEnvironment) -> bool:
        path: str = environ.get("PATH_INFO", "")
        return path.startswith(below) or path in exactly or (not usual(path) and matches(text_of(path)))

    return chosen


def _excluding(
    excluded: tuple[str, ...], chosen: Callable[[WSGIEnvironment], bool] | None
) -> Callable[[WSGIEnvironment], bool] | None:
    if not excluded:
        return chosen
    exactly = frozenset(path.encode().decode("latin-1") for path in excluded)
    below = tuple(path + "/" for path in exactly)

    def left(environ: WSGIEnvironment) -> bool:
        path: str = environ.get("PATH_INFO", "")
        return not (path.startswith(below) or path in exactly) and (chosen is None or chosen(environ))

    return left


def _attach(binding: Binding, environ: WSGIEnvironment) -> TokenError | None:
    try:
        environ[TOKEN_KEY] = binding.provider.get_token(timeout=worth_waiting(binding.provider, binding.wait))
    except TokenError as error:
        # An outer middleware may have left another account's token here.
        environ.pop(TOKEN_KEY, None)
        return error
    return None


def _is_file(body: object, environ: WSGIEnvironment) -> bool:
    """Tell whether the server may send `body` as a file, which it only does if it gets the very object it made."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    # uWSGI's is a function that returns the file it was given.
    return hasattr(body, "read")


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, body: bytes, *more: tuple[str, str]
) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *more,
    ]
    start_response(status, headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
