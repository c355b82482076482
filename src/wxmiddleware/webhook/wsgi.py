"""
A webhook in front of any WSGI app::

    app.wsgi_app = WebhookMiddleware(app.wsgi_app, path="/wechat", token=..., aes_key=..., appid=...)

    message_from(environ)    # a Message; also environ["wxmiddleware.message"]
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack

from wxmiddleware._middleware import check_app
from wxmiddleware._rules.paths import Kinship, text_of
from wxmiddleware.exceptions import ConfigurationError

from ._advice import Advice
from ._flow import FORBIDDEN, Answer, Options, Webhook, answer_from
from ._gate import Push
from ._options import guard_of, hint_for, tell_of_near
from ._threads import serve
from ._unverified import carrier, found
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Collection

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["MESSAGE_KEY", "WebhookMiddleware", "message_from"]

#: Where the message stands in the environ.
MESSAGE_KEY = "wxmiddleware.message"


class WebhookMiddleware:
    """
    Let in only WeChat, once, and answer in time.

    At `path` it answers the verification of the URL itself, refuses what is not WeChat's with 403, and hands on what
    is: the app finds a `Message` in the environ, the body decrypted, and its answer is encrypted if the push was. A
    repeat gets the first one's answer. Other paths go through untouched.

    The app runs in a thread of its own with the request's context, so that it can go on after the deadline.

    Args:
        app: The WSGI application.
        path: The path of the webhook's URL, as the wrapped app sees it. ``$APPID$`` stands for one part of it.
            What comes before it may be a prefix that only the framework knows; also that is checked. What some router
            may take for it (``//wechat``, ``/WeChat``) is refused.
        token: The Token that stands beside the URL on WeChat's site; while it is replaced, several.
        exempt: Exact paths of other pages that are refused or checked only since they look like `path`, such as
            ``/blog/wechat``. Nothing is checked there.
        **options: As for `wxmiddleware.webhook.Webhook`.

    Raises:
        ConfigurationError: One of these cannot be right.
    """

    __slots__ = ("_advice", "_app", "_guard", "_webhook")

    def __init__(
        self,
        app: WSGIApplication,
        *,
        path: str,
        token: str | Collection[str],
        exempt: str | Collection[str] = (),
        **options: Unpack[Options],
    ) -> None:
        check_app(app, speaks="wsgi", twin="wxmiddleware.webhook.{} import WebhookMiddleware")
        self._app = app
        self._guard = guard_of(path, exempt)
        self._advice = Advice()
        self._webhook = wsgi_webhook(token=token, **options)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = text_of(environ.get("PATH_INFO", ""))
        kinship = self._guard.judge(path)
        if kinship is Kinship.OTHER:
            return self._app(environ, start_response)

        def work(push: Push, deliver: Callable[[Answer], None]) -> None:
            _run(self._app, plain_environ(environ, push), self._advice.heard(path, deliver))

        if kinship is Kinship.NEAR:
            tell_of_near(environ.get("REQUEST_METHOD", ""), path, self._guard.path)
            answer = FORBIDDEN
        else:
            own = self._guard.path
            answer = serve(self._webhook, environ, work, own, hint_for(path, own))
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
        ]
        start_response(f"{answer.status} {_reason(answer.status)}", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]


def message_from(request: Any) -> Message:
    """
    Get the message that WeChat has sent with this request.

    Args:
        request: The WSGI environ, or a request of Flask, Django or Bottle.

    Raises:
        NotVerified: No check has let this request in, so it may be anybody's. Flask, Django and Bottle answer 403.
    """
    return found(carrier(request, "environ").get(MESSAGE_KEY), request, asgi=False)


def wsgi_webhook(*, token: str | Collection[str], **options: Unpack[Options]) -> Webhook:
    """Make a webhook that threads serve."""
    webhook = Webhook(token=token, **options)
    if webhook.late_is_async:
        raise ConfigurationError("late= must not be async here: no event loop runs.")
    return webhook


def plain_environ(environ: WSGIEnvironment, push: Push) -> WSGIEnvironment:
    """Put the message and the body, decrypted, in the environ."""
    environ[MESSAGE_KEY] = push.message
    environ["CONTENT_LENGTH"] = str(len(push.body))
    environ["CONTENT_TYPE"] = str(push.style)
    environ["wsgi.input"] = io.BytesIO(push.body)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ


def _run(app: WSGIApplication, environ: WSGIEnvironment, deliver: Callable[[Answer], None]) -> None:
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    parts: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        begun[:] = [(status, headers)]
        return parts.append

    body = app(environ, start_response)
    try:
        parts.extend(body)
        status, headers = begun[0]
        deliver(answer_from(int(status.split()[0]), headers, b"".join(parts)))
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
