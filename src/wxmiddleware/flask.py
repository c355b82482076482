"""
For Flask apps::

    app = init_app(Flask(__name__), provider)

    @app.post("/wechat")
    def wechat():
        get_token()    # also request.environ["wxmiddleware.token"]

In a CLI command or a job inside ``app.app_context()``, `get_token`, ``current_token()`` and a bare ``@with_token``
work too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask, current_app
from werkzeug.exceptions import ServiceUnavailable

from wxmiddleware._middleware import SORRY, retry_after_seconds, tell_of_no_token
from wxmiddleware.context import add_fallback, current_provider, current_token
from wxmiddleware.exceptions import ConfigurationError, NoProvider, TokenError
from wxmiddleware.wsgi import TokenMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from _typeshed.wsgi import WSGIEnvironment

    from wxmiddleware._engine.provider import TokenProvider
    from wxmiddleware._middleware import Options

__all__ = ["get_token", "init_app", "provider_from"]

FlaskT = TypeVar("FlaskT", bound=Flask)

_NAME = "wxmiddleware"


def init_app(
    app: FlaskT,
    provider: TokenProvider | Callable[[WSGIEnvironment], TokenProvider | None],
    **options: Unpack[Options],
) -> FlaskT:
    """
    Give the requests of `app` a token, and return `app`.

    Args:
        app: The Flask app.
        provider: As in `wxmiddleware.wsgi.TokenMiddleware`.
        **options: ``paths``, ``only``, ``exclude``, ``wait`` and ``required``, as there.

    A view that fails for want of a token (`TokenError`) is answered 503 with ``Retry-After``, as `ServiceUnavailable`
    of the app's own would be; unless the app has an error handler for it, or for one of its bases.

    Raises:
        ConfigurationError: An argument is wrong, or `app` has been given to this function before.
        ProviderClosed: The provider was closed.
    """
    if _NAME in app.extensions:
        raise ConfigurationError("init_app() was called for this app before. Call it once for each app.")
    app.wsgi_app = TokenMiddleware(app.wsgi_app, provider, **options)  # type: ignore[method-assign]
    app.extensions[_NAME] = provider
    _handle(app)
    add_fallback(_provider_of_app_context)
    return app


def provider_from(app: Flask | None = None) -> TokenProvider:
    """
    Get the provider of `app`; without one, that of the request or the app context we are in.

    Raises:
        NoProvider: There is none, or `app` has several accounts.
    """
    if app is None:
        return current_provider()
    provider = _provider_of(app)
    if provider is None:
        raise NoProvider(
            "This app has no single provider. Call wxmiddleware.flask.init_app(app, provider) first; in an app with "
            "several accounts leave the argument out."
        )
    return provider


def get_token() -> str:
    """
    Get the token that is good now, for the request or the app context we are in.

    Raises what `wxmiddleware.current_token` does.
    """
    return current_token()


def _handle(app: Flask) -> None:
    ours = app.error_handler_spec[None][None]
    if TokenError in ours:
        return

    def answer(error: TokenError) -> Any:
        # It might be registered later than ours: a handler of the app's for all errors is for this one, too.
        theirs = next((ours[kind] for kind in TokenError.__mro__[1:] if kind in ours), None)
        if theirs is not None:
            return app.ensure_sync(theirs)(error)
        tell_of_no_token(error)
        return app.handle_http_exception(ServiceUnavailable(SORRY.decode(), retry_after=retry_after_seconds(error)))

    app.register_error_handler(TokenError, answer)


def _provider_of(app: Flask) -> TokenProvider | None:
    provider: Any = app.extensions.get(_NAME)
    # With several accounts it is a function, and nobody can tell here which one is meant.
    return cast("TokenProvider", provider) if hasattr(provider, "peek") else None


def _provider_of_app_context() -> TokenProvider | None:
    return _provider_of(current_app) if current_app else None
