"""The ASGI middleware. In real frameworks: integrations/test_starlette.py, test_fastapi.py, test_quart.py, …"""

from __future__ import annotations

import contextvars
import gc
import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.fake_provider import fake_provider

from wxmiddleware import TokenProvider
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.context import acurrent_token, current_provider, current_token, serving_now
from wxmiddleware.exceptions import ConfigurationError, ProviderClosed, TokenRefused, TokenUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ACCOUNTS: dict[str, TokenProvider] = {}


class App:
    """An app that keeps what it saw."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] | None = None
        self.serving: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.scope = {**scope, "state": dict(scope["state"])} if "state" in scope else dict(scope)
        self.serving = serving_now()

    @property
    def token(self) -> str | None:
        assert self.scope is not None
        token: str | None = self.scope.get("state", {}).get("wx_token")
        return token


class Server:
    """What a server has to send, and what it got."""

    def __init__(self, *messages: str) -> None:
        self.messages = [{"type": message} for message in messages]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)

    async def call(self, app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
        await app(scope, self.receive, self.send)
        return self.sent


def scope_of(path: str = "/", type: str = "http", **more: Any) -> dict[str, Any]:  # noqa: A002 - ASGI's own name
    return {"type": type, "path": path, "method": "GET", **more}


async def call(app: Any, scope: dict[str, Any] | None = None) -> None:
    await Server().call(app, scope_of() if scope is None else scope)


class TestToken:
    @pytest.mark.parametrize("kind", ["http", "websocket"])
    async def test_state(self, kind: str) -> None:
        """The app finds the token in the state of a request, and of a websocket."""
        app = App()

        await call(TokenMiddleware(app, fake_provider()), scope_of(type=kind))

        assert app.token == "T1"

    async def test_state_is_there(self) -> None:
        """What the lifespan put into the state stays, and the mapping stays the server's own."""
        state = {"db": 1}

        await call(TokenMiddleware(App(), fake_provider()), scope_of(state=state))

        assert state == {"db": 1, "wx_token": "T1"}

    async def test_current(self) -> None:
        """The app's code is served."""
        provider = fake_provider()
        found: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            found.extend([current_token(), await acurrent_token(), current_provider()])

        await call(TokenMiddleware(app, provider))

        assert found == ["T1", "T1", provider]

    async def test_refreshed(self) -> None:
        """The state follows when a newer token is used in the request."""
        provider = fake_provider()
        found: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            provider.at_hand = "T9"
            await acurrent_token()
            found.append(scope["state"]["wx_token"])

        await call(TokenMiddleware(app, provider))

        assert found == ["T9"]

    async def test_fresh_awaits_nothing(self) -> None:
        """With a token at hand the middleware awaits nothing but the app."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            pass

        coroutine = TokenMiddleware(app, fake_provider())(scope_of(), Server().receive, Server().send)

        with pytest.raises(StopIteration):
            coroutine.send(None)

    @pytest.mark.parametrize(("options", "expected"), [({}, 2.0), ({"wait": 0.25}, 0.25), ({"wait": 0}, 0.0)])
    async def test_wait(self, options: dict[str, Any], expected: float) -> None:
        """A token that is not at hand is awaited no longer than `wait`."""
        provider = fake_provider(None)
        app = App()

        await call(TokenMiddleware(app, provider, **options))

        assert provider.waits == [expected]
        assert app.token == "T2"

    async def test_none(self) -> None:
        """Without a token the request goes on, and the state has none."""
        app = App()

        await call(TokenMiddleware(app, fake_provider(None, error=TokenUnavailable("busy"))))

        assert app.scope is not None
        assert app.scope["state"] == {}
        assert app.serving is not None

    async def test_closed_later(self) -> None:
        """A provider that was closed meanwhile is an error, not a missing token."""
        with pytest.raises(ProviderClosed):
            await call(TokenMiddleware(App(), fake_provider(None, error=ProviderClosed("closed"))))


class TestRequired:
    async def refused(self, server: Server, **scope: Any) -> list[dict[str, Any]]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("The app was called.")

        provider = fake_provider(None, error=TokenRefused("appid wx123 secret", retry_after=30.2))
        return await server.call(TokenMiddleware(app, provider, required=True), scope_of(**scope))

    async def test_http(self) -> None:
        """Without a token the answer is 503 with Retry-After, and the app is not called."""
        start, body = await self.refused(Server())

        headers = dict(start["headers"])
        assert (start["type"], start["status"]) == ("http.response.start", 503)
        assert headers[b"retry-after"] == b"31"
        assert headers[b"content-length"] == b"%d" % len(body["body"])
        assert (body["type"], body["more_body"]) == ("http.response.body", False)

    async def test_body(self) -> None:
        """The body tells nothing of the error."""
        _, body = await self.refused(Server())

        assert b"wx123" not in body["body"]

    async def test_head(self) -> None:
        """A HEAD request gets the headers alone."""
        _, body = await self.refused(Server(), method="HEAD")

        assert body["body"] == b""

    async def test_websocket(self) -> None:
        """A websocket is closed before it is accepted, with the code for "try again later"."""
        server = Server("websocket.connect")

        sent = await self.refused(server, type="websocket", extensions=None)

        assert sent == [{"type": "websocket.close", "code": 1013, "reason": "Try again later."}]
        assert server.messages == []

    async def test_websocket_response(self) -> None:
        """Where the server can answer a handshake, a websocket gets the 503 too."""
        server = Server("websocket.connect")

        start, body = await self.refused(server, type="websocket", extensions={"websocket.http.response": {}})

        assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
        assert body["type"] == "websocket.http.response.body"

    async def test_websocket_gone(self) -> None:
        """A client that has gone is sent nothing."""
        assert await self.refused(Server("websocket.disconnect"), type="websocket") == []

    async def test_token(self) -> None:
        """With a token the app is called."""
        app = App()

        await call(TokenMiddleware(app, fake_provider(None), required=True))

        assert app.token == "T2"


class TestScope:
    """Who is served, and until when."""

    async def test_after_app(self) -> None:
        """When the app has returned, nobody is served."""
        await call(TokenMiddleware(App(), fake_provider()))

        assert serving_now() is None

    async def test_after_error(self) -> None:
        """When the app has raised, nobody is served; the error is the app's own."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await call(TokenMiddleware(app, fake_provider()))
        assert serving_now() is None

    async def test_after_cancellation(self) -> None:
        """When the request was cancelled, nobody is served."""
        with anyio.CancelScope() as cancel:

            async def app(scope: Any, receive: Any, send: Any) -> None:
                cancel.cancel()
                await anyio.sleep_forever()

            await call(TokenMiddleware(app, fake_provider()))

        assert cancel.cancelled_caught
        assert serving_now() is None

    async def test_cancelled_while_waiting(self) -> None:
        """A request that is cancelled while it waits for its token ends at once, and the app is not called."""
        provider = fake_provider(None)
        app = App()

        async def wait(*args: Any, **options: Any) -> str:
            cancel.cancel()
            await anyio.sleep_forever()
            raise AssertionError

        provider.aget_token = wait
        with anyio.CancelScope() as cancel:
            await call(TokenMiddleware(app, provider))

        assert cancel.cancelled_caught
        assert app.scope is None
        assert serving_now() is None

    async def test_garbage(self) -> None:
        """A request that its loop has forgotten is collected in another context without ado."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await Forever()

        coroutine = TokenMiddleware(app, fake_provider())(scope_of(), Server().receive, Server().send)
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()
        del coroutine
        gc.collect()

        assert serving_now() is None

    async def test_concurrent(self) -> None:
        """Requests that are under way together keep their own tokens."""
        found: dict[str, str] = {}
        both = [anyio.Event(), anyio.Event()]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            mine, other = both if scope["path"] == "/a" else reversed(both)
            mine.set()
            await other.wait()
            found[scope["path"]] = current_token()

        providers = {path: fake_provider(path) for path in ("/a", "/b")}
        middleware = TokenMiddleware(app, lambda scope: providers[scope["path"]])
        async with anyio.create_task_group() as group:
            group.start_soon(call, middleware, scope_of("/a"))
            group.start_soon(call, middleware, scope_of("/b"))

        assert found == {"/a": "/a", "/b": "/b"}

    async def test_nested_without_token(self) -> None:
        """An inner middleware that has no token does not leave the outer account's in the state."""
        app = App()
        inner = TokenMiddleware(app, fake_provider(None, error=TokenUnavailable("busy")))

        await call(TokenMiddleware(inner, fake_provider("outer")))

        assert app.token is None


class Forever:
    def __await__(self) -> Any:
        while True:
            yield


class TestSelection:
    @pytest.mark.parametrize(
        ("paths", "path", "root_path", "chosen"),
        [
            (["/wechat"], "/wechat", "", True),
            (["/wechat"], "/wechat/x", None, True),
            (["/wechat"], "/wechatx", "", False),
            ("/wechat/", "/wechat", "", True),
            (["/"], "/x", "", True),
            (["/微信"], "/微信/x", "", True),
            # mounted: the path begins with the root_path
            (["/wechat"], "/api/wechat/x", "/api", True),
            (["/wechat"], "/api/wechat/x", "/api/", True),
            (["/wechat"], "/wechat", "/wechat", False),
            (["/"], "/api", "/api", True),
            # what a router may take for the path, or for one below it
            (["/wechat"], "//wechat", "", True),
            (["/wechat"], "/wechat\n", "", True),
            (["/wechat"], "/we\ufffdchat/x", "", True),
            (["/wechat"], "/api//wechat", "/api", True),
            (["/wechat"], "//x/wechat", "", False),
            ("/$APPID$/callback", "/wx1/callback/x", "", True),
            ("/$APPID$/callback", "/callback", "", False),
            # older servers: it does not
            (["/wechat"], "/wechat", "/api", True),
            (["/wechat"], "/wechat", "/we", True),
        ],
    )
    async def test_paths(self, paths: Any, path: str, root_path: str | None, chosen: bool) -> None:
        """A path is chosen if it is, in its app, one of the paths or below it."""
        app = App()

        await call(TokenMiddleware(app, fake_provider(), paths=paths), scope_of(path, root_path=root_path))

        assert (app.serving is not None) is chosen

    @pytest.mark.parametrize(("method", "chosen"), [("POST", True), ("GET", False)])
    async def test_only(self, method: str, chosen: bool) -> None:
        """A request is chosen if the function says so."""
        app = App()

        await call(
            TokenMiddleware(app, fake_provider(), only=lambda scope: bool(scope["method"] == "POST")),
            scope_of(method=method),
        )

        assert (app.serving is not None) is chosen

    @pytest.mark.parametrize("options", [{"paths": ["/wechat"]}, {"only": lambda scope: False}])
    async def test_others_untouched(self, options: dict[str, Any]) -> None:
        """A request that is not chosen goes through as if nothing stood before the app."""
        provider = fake_provider(None, error=TokenUnavailable("busy"))
        app = App()
        scope = scope_of("/other")

        await call(TokenMiddleware(app, provider, required=True, **options), scope)

        assert app.scope == scope == scope_of("/other")
        assert app.serving is None
        assert provider.waits == []

    @pytest.mark.parametrize("kind", ["lifespan", "something.new"])
    async def test_other_scopes(self, kind: str) -> None:
        """Other scopes, which may have no path, go through untouched."""
        app = App()
        provider = fake_provider(None)

        await call(TokenMiddleware(app, provider, paths=["/wechat"], required=True), {"type": kind})

        assert app.scope == {"type": kind}
        assert (app.serving is None) is (kind != "lifespan")
        assert provider.waits == []

    @pytest.mark.parametrize("required", [False, True])
    @pytest.mark.parametrize(
        ("options", "path", "chosen"),
        [
            ({"exclude": ["/healthz", "/metrics"]}, "/healthz", False),
            ({"exclude": ["/healthz", "/metrics"]}, "/api/metrics/x", False),
            ({"exclude": ["/healthz", "/metrics"]}, "/healthzx", True),
            ({"exclude": "/wechat/static/", "paths": ["/wechat"]}, "/wechat/static", False),
            ({"exclude": "/wechat/static/", "paths": ["/wechat"]}, "/api/wechat/x", True),
            ({"exclude": "/x", "only": lambda scope: True}, "/x", False),
            ({"exclude": "/x", "only": lambda scope: True}, "/y", True),
            ({"exclude": "/x", "only": lambda scope: False}, "/y", False),
        ],
    )
    async def test_exclude(self, options: dict[str, Any], path: str, chosen: bool, required: bool) -> None:
        """What is excluded goes through untouched, also where a token is required."""
        app = App()
        provider = fake_provider(None, error=TokenUnavailable("No."))

        await call(TokenMiddleware(app, provider, required=required, **options), scope_of(path, root_path="/api"))

        assert len(provider.waits) == chosen
        assert (app.scope is None) is (chosen and required)

    async def test_in_vain(self) -> None:
        """A request waits as long as the provider says that this is of use."""
        provider = fake_provider(None)
        provider.worth_waiting = lambda seconds: seconds / 4

        await call(TokenMiddleware(App(), provider, wait=2.0))

        assert provider.waits == [0.5]


class TestAccounts:
    async def test_found(self) -> None:
        """A function finds the provider of each request."""
        app = App()
        providers = {"/a": fake_provider("A"), "/b": fake_provider(None, "B")}
        middleware = TokenMiddleware(app, lambda scope: providers[scope["path"]], wait=0.5)

        found = []
        for path in providers:
            await call(middleware, scope_of(path))
            found.append(app.token)

        assert found == ["A", "B"]
        assert providers["/b"].waits == [0.5]

    async def test_async(self) -> None:
        """The function may be async: it may have to look into a database."""

        async def find(scope: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            return fake_provider("A")

        app = App()
        await call(TokenMiddleware(app, find))

        assert app.token == "A"

    async def test_none(self) -> None:
        """A request for which it finds none goes through untouched, also where a token is required."""
        app = App()

        await call(TokenMiddleware(app, lambda scope: None, required=True))

        assert app.scope == scope_of()
        assert app.serving is None

    async def test_raises(self) -> None:
        """An error of the function is not hidden."""
        with pytest.raises(ZeroDivisionError):
            await call(TokenMiddleware(App(), lambda scope: 1 / 0))  # type: ignore[arg-type,return-value]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_no_account(self, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
        """A LookupError of the function is a 404, and the log says where it was raised, without its words."""

        def find(scope: Any) -> Any:
            return ACCOUNTS["nobody"]

        async def afind(scope: Any) -> Any:
            return ACCOUNTS["nobody"]

        app = App()
        sent = await Server().call(TokenMiddleware(app, afind if is_async else find), scope_of())

        assert [404, b"Not found.\n"] == [sent[0]["status"], sent[1]["body"]]
        assert app.scope is None
        assert "KeyError at" in caplog.text
        assert "nobody" not in caplog.text

    async def test_no_account_of_a_websocket(self) -> None:
        """A websocket is closed."""
        middleware = TokenMiddleware(App(), lambda scope: ACCOUNTS["nobody"])
        sent = await Server("websocket.connect").call(middleware, scope_of(type="websocket"))

        assert [{"type": "websocket.close", "code": 1008, "reason": "Not found."}] == sent

    async def test_wrong(self) -> None:
        """Finding something else than a provider is said clearly, without showing it."""
        with pytest.raises(ConfigurationError, match="returned a str, not a TokenProvider"):
            await call(TokenMiddleware(App(), lambda scope: "secret"))  # type: ignore[arg-type,return-value]


class TestLifespan:
    async def test_tasks(self) -> None:
        """The app's start-up and the tasks that are started there have the token; afterwards nobody is served."""
        provider = fake_provider()
        found: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            found.append(current_token())
            async with anyio.create_task_group() as group:
                group.start_soon(task)

        async def task() -> None:
            found.append(await acurrent_token())

        await call(TokenMiddleware(app, provider), {"type": "lifespan"})

        assert found == ["T1", "T1"]
        assert serving_now() is None

    async def test_several_accounts(self) -> None:
        """With several accounts nobody knows whose token is meant there."""
        app = App()

        await call(TokenMiddleware(app, lambda scope: fake_provider()), {"type": "lifespan"})

        assert app.serving is None


class TestWarm:
    async def test_before_start_up(self) -> None:
        """The token is there before the app starts up; the wait is the provider's own."""
        provider = fake_provider(None)
        found: list[str | None] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            found.append(provider.peek())
            await send({"type": "lifespan.startup.complete"})

        sent = await Server("lifespan.startup").call(TokenMiddleware(app, provider, warm=True), {"type": "lifespan"})

        assert found == ["T2"]
        assert provider.waits == [None]
        assert sent == [{"type": "lifespan.startup.complete"}]

    async def test_no_lifespan(self) -> None:
        """An app without lifespan says so to the server, as it does without the middleware; the token is there."""
        provider = fake_provider(None)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise NotImplementedError

        with pytest.raises(NotImplementedError):
            await Server().call(TokenMiddleware(app, provider, warm=True), {"type": "lifespan"})
        assert provider.peek() == "T2"

    async def test_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        """Where no token can be had, that is logged and the app starts."""
        app = App()
        provider = fake_provider(None, error=TokenUnavailable("WeChat is busy."))

        with caplog.at_level(logging.WARNING, "wxmiddleware"):
            await call(TokenMiddleware(app, provider, warm=True), {"type": "lifespan"})

        assert app.scope == {"type": "lifespan"}
        assert [record.getMessage() for record in caplog.records] == [
            "No token at start-up: WeChat is busy. Requests will try again."
        ]

    async def test_closed(self) -> None:
        """A provider that was closed stops the start."""
        provider = fake_provider(None, error=ProviderClosed("closed"))

        with pytest.raises(ProviderClosed):
            await call(TokenMiddleware(App(), provider, warm=True), {"type": "lifespan"})

    async def test_requests_as_ever(self) -> None:
        """Requests are served as without it."""
        app = App()

        await call(TokenMiddleware(app, fake_provider(), warm=True))

        assert app.token == "T1"


class TestConstruction:
    """The checks are shared: test_wsgi.py has them all."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"app": "secret"}, "The app must be callable, not a str"),
            ({"provider": "secret"}, "must be a TokenProvider, or a function .* not a str"),
            ({"paths": ["/a"], "only": print}, "not both"),
            ({"paths": ["wechat"]}, "must begin with a slash"),
            ({"wait": -1}, "wait= must be a number of seconds"),
            ({"warm": True, "provider": lambda scope: None}, "warm= needs one provider"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], message: str) -> None:
        """What cannot be right is said at construction."""
        given: dict[str, Any] = {"app": App(), "provider": fake_provider(), **options}

        with pytest.raises(ConfigurationError, match=message):
            TokenMiddleware(given.pop("app"), given.pop("provider"), **given)

    def test_closed(self) -> None:
        """A provider that was closed is refused."""
        with pytest.raises(ProviderClosed):
            TokenMiddleware(App(), fake_provider(closed=True))
