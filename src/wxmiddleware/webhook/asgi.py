"""
A webhook in front of any ASGI app::

    app = Starlette(routes=..., middleware=[Middleware(WebhookMiddleware, path="/wechat", token=..., ...)])

    message_from(request)    # a Message; also request.state.wx_message
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Unpack

import anyio

from wxmiddleware._middleware import check_app
from wxmiddleware._rules.paths import Kinship, without_root

from ._advice import Advice
from ._flow import FORBIDDEN, Answer, Options, Webhook, answer_from
from ._gate import Push
from ._options import guard_of, hint_for, tell_of_near
from ._tasks import serve
from ._unverified import carrier, found
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import Receive, Scope

__all__ = ["MESSAGE_KEY", "WebhookMiddleware", "message_from"]

#: Where the message stands in ``scope["state"]``.
MESSAGE_KEY = "wx_message"

_GRACE = 10.0  # seconds that a server that stops waits for handlers which were answered for


class WebhookMiddleware:
    """
    Let in only WeChat, once, and answer in time.

    At `path` it answers the verification of the URL itself, refuses what is not WeChat's with 403, and hands on what
    is: the app finds a `Message` in the request's state, the body decrypted, and its answer is encrypted if the push
    was. A repeat gets the first one's answer. Other paths go through untouched, and so do websockets.

    The app runs in a task of its own, so that it can go on after the deadline; a server that stops waits ten seconds
    for those. Works under asyncio and trio.

    Args:
        app: The ASGI application.
        path: The path of the webhook's URL, as the wrapped app sees it: without ``root_path``. ``$APPID$`` stands
            for one part of it. What comes before it may be a prefix that only the framework knows; also that is
            checked. What some router may take for it (``//wechat``, ``/WeChat``) is refused.
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
        app: Callable[[Any, Any, Any], Awaitable[None]],
        *,
        path: str,
        token: str | Collection[str],
        exempt: str | Collection[str] = (),
        **options: Unpack[Options],
    ) -> None:
        check_app(app, speaks="asgi", twin="wxmiddleware.webhook.{} import WebhookMiddleware")
        self._app = app
        self._guard = guard_of(path, exempt)
        self._advice = Advice()
        self._webhook = Webhook(token=token, **options)

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._app(scope, self._waiting(receive), send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kinship = self._guard.judge(scope["path"], scope.get("root_path") or "")
        if kinship is Kinship.OTHER:
            await self._app(scope, receive, send)
            return

        async def work(push: Push, deliver: Callable[[Answer], None]) -> None:
            await _run(self._app, _plain(scope, push), push.body, self._advice.heard(scope["path"], deliver))

        if kinship is Kinship.NEAR:
            tell_of_near(scope["method"], scope["path"], self._guard.path)
            answer = FORBIDDEN
        else:
            own = self._guard.path
            hint = hint_for(without_root(scope["path"], scope.get("root_path") or ""), own)
            answer = await serve(self._webhook, scope, receive, work, own, hint)
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"content-length", b"%d" % len(answer.body)),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
        ]
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _waiting(self, receive: Receive) -> Receive:
        async def waiting() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                with anyio.move_on_after(_GRACE):
                    while self._webhook.room.taken:
                        await anyio.sleep(0.05)
            return message

        return waiting


def message_from(request: Any) -> Message:
    """
    Get the message that WeChat has sent with this request.

    Args:
        request: The ASGI scope, or a request of Starlette, FastAPI, Litestar, Quart or Django.

    Raises:
        NotVerified: No check has let this request in, so it may be anybody's. The frameworks answer 403.
    """
    state = carrier(request, "scope").get("state") or {}
    return found(state.get(MESSAGE_KEY), request, asgi=True)


def _plain(scope: Scope, push: Push) -> Scope:
    # What a server can do beyond the plain protocol, such as send a file by itself, cannot be encrypted.
    return {**plain_scope(scope, push), "extensions": {}}


def plain_scope(scope: Scope, push: Push) -> Scope:
    """Put the message in the request's state, and make a scope whose headers speak of the body that is decrypted."""
    scope.setdefault("state", {})[MESSAGE_KEY] = push.message
    ours = (b"content-length", b"content-type", b"transfer-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in ours]
    headers += [(b"content-length", b"%d" % len(push.body)), (b"content-type", str(push.style).encode())]
    return {**scope, "headers": headers}


async def _run(app: Any, scope: Scope, body: bytes, deliver: Callable[[Answer], None]) -> None:
    bodies = [body]
    start: dict[str, Any] = {}
    parts: list[bytes] = []
    done = anyio.Event()

    async def receive() -> Any:
        if not bodies:
            # Nobody is to be missed before: the answer goes out in one piece, or not at all. Quart waits for this.
            await done.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                done.set()
                headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in start.get("headers", ())]
                deliver(answer_from(start["status"], headers, b"".join(parts)))

    await app(scope, receive, send)
    if not done.is_set():
        raise RuntimeError("The app ended without an answer.")
