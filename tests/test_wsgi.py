"""The WSGI middleware. In real frameworks: integrations/test_flask.py, integrations/test_django.py."""

from __future__ import annotations

import contextvars
import io
from collections.abc import Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.fake_provider import fake_provider

from wxmiddleware import TokenProvider, wsgi
from wxmiddleware.context import current_provider, current_token, serving_now
from wxmiddleware.exceptions import ConfigurationError, ProviderClosed, TokenRefused, TokenUnavailable
from wxmiddleware.wsgi import TokenMiddleware

KEY = "wxmiddleware.token"


class Response:
    """What a server saw of one request."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.exc_info: Any = None
        self.written: list[bytes] = []
        self.body: Any = None

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers, self.exc_info = status, dict(headers), exc_info
        return self.written.append


def environ_of(path: str = "/", **more: Any) -> dict[str, Any]:
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", **more}
    setup_testing_defaults(environ)
    return environ


def call(app: Any, environ: dict[str, Any] | None = None) -> Response:
    response = Response()
    response.body = app(environ_of() if environ is None else environ, response.start)
    return response


ACCOUNTS: dict[str, TokenProvider] = {}


class Hello:
    """An app that keeps what it saw and answers with `body`."""

    def __init__(self, body: Any = None) -> None:
        self.body: Any = [b"hello"] if body is None else body
        self.environ: dict[str, Any] | None = None
        self.serving: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.environ = dict(environ)
        self.serving = serving_now()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self.body


class Body:
    """A body that counts how often it is closed, and may fail."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, close_error: Exception | None = None) -> None:
        self._chunks = iter(chunks)
        self._error = error
        self._close_error = close_error
        self.closed = 0
        self.tokens: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.tokens.append(current_token())
        for chunk in self._chunks:
            return chunk
        raise self._error or StopIteration

    def close(self) -> None:
        self.closed += 1
        self.tokens.append(current_token())
        if self._close_error is not None:
            raise self._close_error


class TestToken:
    def test_environ(self) -> None:
        """The app finds the token in the environ."""
        app = Hello()

        call(TokenMiddleware(app, fake_provider()))

        assert app.environ is not None
        assert app.environ[KEY] == "T1"

    def test_current(self) -> None:
        """The app's code is served: current_token() and current_provider() work."""
        provider = fake_provider()
        found: list[Any] = []

        def app(environ: Any, start_response: Any) -> Any:
            found.extend([current_token(), current_provider()])
            return []

        call(TokenMiddleware(app, provider))

        assert found == ["T1", provider]

    def test_refreshed(self) -> None:
        """The environ follows when a newer token is used in the request."""
        provider = fake_provider()
        found: list[str] = []

        def app(environ: Any, start_response: Any) -> Any:
            provider.at_hand = "T9"
            current_token()
            found.append(environ[KEY])
            return []

        call(TokenMiddleware(app, provider))

        assert found == ["T9"]

    def test_no_wait(self) -> None:
        """A token at hand is attached without asking for one to wait for."""
        provider = fake_provider()

        call(TokenMiddleware(Hello(), provider))

        assert provider.waits == []

    @pytest.mark.parametrize(("options", "expected"), [({}, 2.0), ({"wait": 0.25}, 0.25), ({"wait": 0}, 0.0)])
    def test_wait(self, options: dict[str, Any], expected: float) -> None:
        """A token that is not at hand is waited for no longer than `wait`."""
        provider = fake_provider(None)
        app = Hello()

        call(TokenMiddleware(app, provider, **options))

        assert provider.waits == [expected]
        assert app.environ is not None
        assert app.environ[KEY] == "T2"

    def test_none(self) -> None:
        """Without a token the request goes on, and the key is absent."""
        app = Hello()

        response = call(TokenMiddleware(app, fake_provider(None, error=TokenUnavailable("busy"))))

        assert response.status == "200 OK"
        assert app.environ is not None
        assert KEY not in app.environ

    def test_none_then_used(self) -> None:
        """Where the request went on without one, current_token() tries again."""
        provider = fake_provider(None, error=TokenUnavailable("busy"))
        found: list[str] = []

        def app(environ: Any, start_response: Any) -> Any:
            provider.error = None
            found.append(current_token())
            found.append(environ[KEY])
            return []

        call(TokenMiddleware(app, provider))

        assert found == ["T2", "T2"]

    def test_closed_later(self) -> None:
        """A provider that was closed meanwhile is an error, not a missing token."""
        middleware = TokenMiddleware(Hello(), fake_provider(None, error=ProviderClosed("closed")))

        with pytest.raises(ProviderClosed):
            call(middleware)


class TestRequired:
    def refused(self, error: Exception | None = None, **environ: Any) -> tuple[Response, Hello]:
        app = Hello()
        provider = fake_provider(None, error=error or TokenRefused("appid wx123 secret", retry_after=30.2))
        return call(TokenMiddleware(app, provider, required=True), environ_of(**environ)), app

    def test_503(self) -> None:
        """Without a token the answer is 503, and the app is not called."""
        response, app = self.refused()

        assert response.status == "503 Service Unavailable"
        assert app.environ is None

    def test_body(self) -> None:
        """The body is as long as announced, and tells nothing of the error."""
        response, _ = self.refused()

        body = b"".join(response.body)
        assert len(body) == int(response.headers["Content-Length"])
        assert b"wx123" not in body

    def test_head(self) -> None:
        """A HEAD request gets the headers alone."""
        response, _ = self.refused(REQUEST_METHOD="HEAD")

        assert response.body == []

    @pytest.mark.parametrize(
        ("seconds", "expected"), [(None, "5"), (0.0, "1"), (0.2, "1"), (30.0, "30"), (30.2, "31"), (float("inf"), "5")]
    )
    def test_retry_after(self, seconds: float | None, expected: str) -> None:
        """Retry-After is in whole seconds, at least 1."""
        response, _ = self.refused(TokenUnavailable("busy", retry_after=seconds))

        assert response.headers["Retry-After"] == expected

    def test_valid(self) -> None:
        """The refusal is an answer as WSGI wants it."""
        middleware = validator(
            TokenMiddleware(Hello(), fake_provider(None, error=TokenUnavailable("busy")), required=True)
        )
        response = call(middleware)
        chunks = list(response.body)
        response.body.close()

        assert len(chunks) == 1

    def test_token(self) -> None:
        """With a token the app is called."""
        app = Hello()

        call(TokenMiddleware(app, fake_provider(None), required=True))

        assert app.environ is not None
        assert app.environ[KEY] == "T2"


class TestScope:
    """Who is served, and until when."""

    def test_after_app(self) -> None:
        """When the app has returned, nobody is served."""
        call(TokenMiddleware(Hello(), fake_provider()))

        assert serving_now() is None

    def test_after_error(self) -> None:
        """When the app has raised, nobody is served; the error is the app's own."""

        def app(environ: Any, start_response: Any) -> Any:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            call(TokenMiddleware(app, fake_provider()))
        assert serving_now() is None

    def test_body(self) -> None:
        """Each step of the body and its close() are served, and nothing between them."""
        body = Body(b"a", b"b")
        response = call(TokenMiddleware(Hello(body), fake_provider()))
        between = []

        for _ in response.body:
            between.append(serving_now())
        response.body.close()

        assert body.tokens == ["T1"] * 4
        assert between == [None, None]
        assert serving_now() is None

    def test_generator_app(self) -> None:
        """An app that is a generator runs only while its body is read, and is served then."""

        def app(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield current_token().encode()
            yield environ[KEY].encode()

        response = call(TokenMiddleware(app, fake_provider()))

        assert b"".join(response.body) == b"T1T1"
        assert response.status == "200 OK"

    def test_body_raises(self) -> None:
        """When a step raises, nobody is served after it; close() still runs, once."""
        body = Body(b"a", error=ZeroDivisionError())
        response = call(TokenMiddleware(Hello(body), fake_provider()))

        with pytest.raises(ZeroDivisionError):
            list(response.body)
        assert serving_now() is None
        response.body.close()
        response.body.close()

        assert body.closed == 1

    def test_close_raises(self) -> None:
        """When close() raises, nobody is served after it."""
        response = call(TokenMiddleware(Hello(Body(close_error=ZeroDivisionError())), fake_provider()))

        with pytest.raises(ZeroDivisionError):
            response.body.close()
        assert serving_now() is None

    def test_iter_is_served(self) -> None:
        """Making the body's iterator is served too: it may be code of the app's."""

        class Lazy:
            def __iter__(self) -> Iterator[bytes]:
                return iter([current_token().encode()])

        response = call(TokenMiddleware(Hello(Lazy()), fake_provider()))

        assert list(response.body) == [b"T1"]

    def test_no_close(self) -> None:
        """A body without close() is closed without ado."""
        response = call(TokenMiddleware(Hello(iter([b"a"])), fake_provider()))
        response.body.close()

        assert list(response.body) == [b"a"]

    def test_interleaved(self) -> None:
        """Two bodies that take turns in one thread keep their own tokens."""

        def app(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield current_token().encode()
            yield current_token().encode()

        one = iter(call(TokenMiddleware(app, fake_provider("one"))).body)
        two = iter(call(TokenMiddleware(app, fake_provider("two"))).body)

        assert [next(one), next(two), next(one), next(two)] == [b"one", b"two", b"one", b"two"]
        assert serving_now() is None

    def test_other_contexts(self) -> None:
        """Steps and close() may each come from another context, as from a pool of threads."""
        body = Body(b"a")
        response = contextvars.copy_context().run(call, TokenMiddleware(Hello(body), fake_provider()))
        steps = contextvars.copy_context().run(lambda: list(response.body))
        contextvars.copy_context().run(response.body.close)

        assert steps == [b"a"]
        assert body.tokens == ["T1"] * 3

    def test_nested(self) -> None:
        """Of two middlewares the inner one's account counts inside, the outer one's around it."""
        inside = Hello(Body(b"a"))
        inner = TokenMiddleware(inside, fake_provider("inner"))
        outside: list[str] = []

        def app(environ: Any, start_response: Any) -> Any:
            body = inner(environ, start_response)
            outside.append(current_token())
            return body

        response = call(TokenMiddleware(app, fake_provider("outer")))
        list(response.body)

        assert outside == ["outer"]
        assert inside.body.tokens == ["inner", "inner"]

    def test_nested_without_token(self) -> None:
        """An inner middleware that has no token does not leave the outer account's in the environ."""
        app = Hello()
        inner = TokenMiddleware(app, fake_provider(None, error=TokenUnavailable("busy")))

        call(TokenMiddleware(inner, fake_provider("outer")))

        assert app.environ is not None
        assert KEY not in app.environ


class TestBody:
    @pytest.mark.parametrize("body", [[b"a", b"b"], (b"a",), []])
    def test_plain(self, body: Any) -> None:
        """A list or tuple is returned as it is: servers take its length for Content-Length."""
        assert call(TokenMiddleware(Hello(body), fake_provider())).body is body

    def test_list_with_code(self) -> None:
        """A list with code of its own is not a plain one."""

        class Items(list[bytes]):
            def close(self) -> None:
                found.append(current_token())

        found: list[str] = []
        call(TokenMiddleware(Hello(Items()), fake_provider())).body.close()

        assert found == ["T1"]

    def test_file_wrapper(self) -> None:
        """What the server's wsgi.file_wrapper made reaches the server, so that it can use sendfile."""
        body = FileWrapper(io.BytesIO(b"a"))
        environ = environ_of() | {"wsgi.file_wrapper": FileWrapper}

        assert call(TokenMiddleware(Hello(body), fake_provider()), environ).body is body

    def test_file_wrapper_function(self) -> None:
        """uWSGI's file_wrapper is a function that returns the very file; that reaches the server too."""
        body = io.BytesIO(b"a")
        environ = environ_of() | {"wsgi.file_wrapper": lambda file, size=0: file}

        assert call(TokenMiddleware(Hello(body), fake_provider()), environ).body is body

    @pytest.mark.parametrize("wrapper", [FileWrapper, lambda file, size=0: file])
    def test_not_a_file(self, wrapper: Any) -> None:
        """Where the server could send files, other bodies are still served."""
        body = Body(b"a")

        list(call(TokenMiddleware(Hello(body), fake_provider()), environ_of(**{"wsgi.file_wrapper": wrapper})).body)

        assert body.tokens == ["T1", "T1"]

    def test_write(self) -> None:
        """The server's write() reaches the app."""

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])(b"written")
            return []

        assert call(TokenMiddleware(app, fake_provider())).written == [b"written"]

    def test_exc_info(self) -> None:
        """An app's exc_info reaches the server."""
        info = (ZeroDivisionError, ZeroDivisionError(), None)

        def app(environ: Any, start_response: Any) -> Any:
            start_response("500 Oh", [], info)
            return []

        assert call(TokenMiddleware(app, fake_provider())).exc_info is info

    def test_start_response_raises(self) -> None:
        """An error of the server's start_response reaches the app, then the server."""

        def start_response(*args: Any) -> Any:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            TokenMiddleware(Hello(), fake_provider())(environ_of(), start_response)
        assert serving_now() is None

    @pytest.mark.parametrize("body", [[b"a"], Body(b"a")])
    def test_valid(self, body: Any) -> None:
        """The middleware is a good app to the server, and a good server to the app."""
        app = validator(TokenMiddleware(validator(Hello(body)), fake_provider()))
        response = call(app)
        chunks = list(response.body)
        response.body.close()

        assert chunks == [b"a"]

    @pytest.mark.parametrize("error", [None, ZeroDivisionError()])
    def test_server(self, error: Exception | None) -> None:
        """wsgiref's own server writes the stream and closes it once, also when it breaks."""
        body = Body(b"stream", error=error)
        out, errors = io.BytesIO(), io.StringIO()

        SimpleHandler(io.BytesIO(), out, errors, environ_of()).run(TokenMiddleware(Hello(body), fake_provider()))

        assert out.getvalue().endswith(b"stream")
        assert body.closed == 1
        assert ("ZeroDivisionError" in errors.getvalue()) is (error is not None)


class TestFrozenWorker:
    """uWSGI without threads: what is in the background lies still between requests."""

    @pytest.fixture(autouse=True)
    def frozen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wsgi, "threads_freeze", lambda: True)

    @pytest.mark.parametrize("body", [[b"a"], (b"a",), Body(b"a")])
    def test_settles(self, body: Any) -> None:
        """A refresh under way is waited for in close(), not before the body is out."""
        provider = fake_provider()
        response = call(TokenMiddleware(Hello(body), provider))
        list(response.body)
        before = provider.drained
        response.body.close()

        assert (before, provider.drained) == (0, 1)

    def test_close_raises(self) -> None:
        """It is waited for also when the app's close() raises."""
        provider = fake_provider()
        response = call(TokenMiddleware(Hello(Body(close_error=ZeroDivisionError())), provider))

        with pytest.raises(ZeroDivisionError):
            response.body.close()
        assert provider.drained == 1

    def test_closed(self) -> None:
        """A provider that was closed meanwhile has nothing to wait for."""
        provider = fake_provider()
        response = call(TokenMiddleware(Hello(), provider))
        provider.closed = True
        response.body.close()

        assert provider.drained == 0

    def test_file(self) -> None:
        """A file still reaches the server as it is; the next request may drain."""
        body = FileWrapper(io.BytesIO())
        environ = environ_of() | {"wsgi.file_wrapper": FileWrapper}

        assert call(TokenMiddleware(Hello(body), fake_provider()), environ).body is body


def test_does_not_settle_elsewhere() -> None:
    """Where threads run on, close() waits for nothing."""
    provider = fake_provider()

    call(TokenMiddleware(Hello(Body()), provider)).body.close()

    assert provider.drained == 0


class TestSelection:
    @pytest.mark.parametrize(
        ("paths", "path", "chosen"),
        [
            (["/wechat"], "/wechat", True),
            (["/wechat"], "/wechat/", True),
            (["/wechat"], "/wechat/x", True),
            (["/wechat"], "/wechatx", False),
            (["/wechat"], "/x/wechat", False),
            (["/wechat"], "/Wechat", False),
            (["/wechat"], "/", False),
            (["/wechat"], "", False),
            (["/wechat/"], "/wechat", True),
            ("/wechat", "/wechat/x", True),
            (("/a", "/b/c"), "/b/c/d", True),
            (("/a", "/b/c"), "/b", False),
            ({"/"}, "/anything", True),
            (["/"], "", True),
            (["/微信"], "/微信/x".encode().decode("latin-1"), True),
            # what a router may take for the path, or for one below it
            (["/wechat"], "//wechat", True),
            (["/wechat"], "wechat", True),
            (["/wechat"], "/wechat\n", True),
            (["/wechat"], "/we\xffchat/x", True),
            (["/wechat"], "/%57echat", True),
            (["/wechat"], "/x/../wechat", True),
            (["/wechat"], "//x/wechat", False),
            (["/wechat"], "/wechat%20x", False),
            ("/$APPID$/callback", "/wx1/callback", True),
            ("/$APPID$/callback", "/wx1/callback/x", True),
            ("/$APPID$/callback", "//wx1/callback", True),
            ("/$APPID$/callback", "/wx1/callbackx", False),
            ("/$APPID$/callback", "/callback", False),
            (["/wechat", "/$APPID$/callback"], "/wechat/x", True),
        ],
    )
    def test_paths(self, paths: Any, path: str, chosen: bool) -> None:
        """A path is chosen if it is one of the paths, or below it."""
        app = Hello()

        call(TokenMiddleware(app, fake_provider(), paths=paths), environ_of() | {"PATH_INFO": path})

        assert app.environ is not None
        assert (KEY in app.environ) is chosen

    @pytest.mark.parametrize(("path", "chosen"), [("/wechat", True), ("/x", False)])
    def test_script_name(self, path: str, chosen: bool) -> None:
        """Where the app is mounted does not matter: its own path counts."""
        app = Hello()

        call(TokenMiddleware(app, fake_provider(), paths=["/wechat"]), environ_of(path, SCRIPT_NAME="/wechat"))

        assert app.environ is not None
        assert (KEY in app.environ) is chosen

    @pytest.mark.parametrize("required", [False, True])
    @pytest.mark.parametrize(
        ("options", "path", "chosen"),
        [
            ({"exclude": ["/healthz", "/metrics"]}, "/healthz", False),
            ({"exclude": ["/healthz", "/metrics"]}, "/metrics/x", False),
            ({"exclude": ["/healthz", "/metrics"]}, "/healthzx", True),
            ({"exclude": ["/healthz", "/metrics"]}, "/", True),
            ({"exclude": "/wechat/static/", "paths": ["/wechat"]}, "/wechat/static", False),
            ({"exclude": "/wechat/static/", "paths": ["/wechat"]}, "/wechat/x", True),
            ({"exclude": "/wechat/static/", "paths": ["/wechat"]}, "/x", False),
            ({"exclude": "/x", "only": lambda environ: True}, "/x", False),
            ({"exclude": "/x", "only": lambda environ: True}, "/y", True),
            ({"exclude": "/x", "only": lambda environ: False}, "/y", False),
            ({"exclude": "/微信"}, "/微信/x".encode().decode("latin-1"), False),
            ({"exclude": []}, "/x", True),
        ],
    )
    def test_exclude(self, options: dict[str, Any], path: str, chosen: bool, required: bool) -> None:
        """What is excluded goes through untouched, also where a token is required."""
        app = Hello()
        provider = fake_provider(None, error=TokenUnavailable("No."))

        call(TokenMiddleware(app, provider, required=required, **options), environ_of() | {"PATH_INFO": path})

        assert len(provider.waits) == chosen
        assert (app.environ is None) is (chosen and required)

    def test_in_vain(self) -> None:
        """A request waits as long as the provider says that this is of use."""
        provider = fake_provider(None)
        provider.worth_waiting = lambda seconds: seconds / 4

        call(TokenMiddleware(Hello(), provider, wait=2.0))

        assert provider.waits == [0.5]

    def test_no_path(self) -> None:
        """An environ without PATH_INFO is the root's."""
        app = Hello()
        environ = environ_of()
        del environ["PATH_INFO"]

        call(TokenMiddleware(app, fake_provider(), paths=["/wechat"]), environ)

        assert app.serving is None

    @pytest.mark.parametrize(("method", "chosen"), [("POST", True), ("GET", False)])
    def test_only(self, method: str, chosen: bool) -> None:
        """A request is chosen if the function says so."""
        app = Hello()
        middleware = TokenMiddleware(app, fake_provider(), only=lambda environ: environ["REQUEST_METHOD"] == "POST")

        call(middleware, environ_of(REQUEST_METHOD=method))

        assert (app.serving is not None) is chosen

    def test_only_raises(self) -> None:
        """An error of the function is not hidden."""
        with pytest.raises(KeyError):
            call(TokenMiddleware(Hello(), fake_provider(), only=lambda environ: environ["nothing"]))

    @pytest.mark.parametrize("options", [{"paths": ["/wechat"]}, {"only": lambda environ: False}])
    def test_others_untouched(self, options: dict[str, Any]) -> None:
        """A request that is not chosen goes through as if nothing stood before the app."""
        provider = fake_provider(None, error=TokenUnavailable("busy"))
        app = Hello(Body())
        environ = environ_of("/other")
        before = dict(environ)

        response = call(TokenMiddleware(app, provider, required=True, **options), environ)

        assert response.body is app.body
        assert app.environ == environ == before
        assert app.serving is None
        assert provider.waits == []


class TestAccounts:
    def test_found(self) -> None:
        """A function finds the provider of each request."""
        app = Hello()
        providers = {"a": fake_provider("A"), "b": fake_provider(None, "B")}
        middleware = TokenMiddleware(app, lambda environ: providers[environ["HTTP_HOST"]], wait=0.5)

        found = []
        for host in "ab":
            call(middleware, environ_of(HTTP_HOST=host))
            found.append((app.environ or {})[KEY])

        assert found == ["A", "B"]
        assert providers["b"].waits == [0.5]

    def test_none(self) -> None:
        """A request for which it finds none goes through untouched, also where a token is required."""
        app = Hello(Body())

        response = call(TokenMiddleware(app, lambda environ: None, required=True))

        assert response.body is app.body
        assert app.serving is None

    def test_raises(self) -> None:
        """An error of the function is not hidden."""
        with pytest.raises(ZeroDivisionError):
            call(TokenMiddleware(Hello(), lambda environ: 1 / 0))  # type: ignore[arg-type,return-value]

    @pytest.mark.parametrize(("method", "body"), [("GET", [b"Not found.\n"]), ("HEAD", [])])
    def test_no_account(self, method: str, body: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
        """A LookupError of the function is a 404, and the log says where it was raised, without its words."""
        app = Hello()

        response = call(TokenMiddleware(app, lambda environ: ACCOUNTS["nobody"]), environ_of(REQUEST_METHOD=method))

        assert ("404 Not Found", body) == (response.status, response.body)
        assert app.environ is None
        assert "KeyError at" in caplog.text
        assert "nobody" not in caplog.text

    def test_wrong(self) -> None:
        """Finding something else than a provider is said clearly, without showing it."""
        with pytest.raises(ConfigurationError, match="returned a str, not a TokenProvider"):
            call(TokenMiddleware(Hello(), lambda environ: "secret"))  # type: ignore[arg-type,return-value]

    def test_not_chosen(self) -> None:
        """For a request that is not chosen it is not asked."""
        response = call(TokenMiddleware(Hello(), lambda environ: ACCOUNTS["nobody"], paths=["/wechat"]))

        assert response.status == "200 OK"


class Class:
    async def __call__(self, environ: Any) -> bool:
        raise NotImplementedError


async def coroutine_function(environ: Any) -> Any:
    raise NotImplementedError


class TestConstruction:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"app": "secret"}, "The app must be callable, not a str"),
            ({"provider": "secret"}, "must be a TokenProvider, or a function .* not a str"),
            ({"provider": None}, "not a NoneType"),
            ({"provider": Hello.__class__}, "an instance, not the class type"),
            ({"provider": coroutine_function}, "must not be async in a WSGI"),
            ({"paths": ["/a"], "only": print}, "not both"),
            ({"only": "secret"}, "only= must be a function"),
            ({"only": coroutine_function}, "only= must not be async"),
            ({"only": Class()}, "only= must not be async"),
            ({"paths": []}, "paths= is empty"),
            ({"paths": ""}, "must begin with a slash"),
            ({"paths": "wechat"}, "must begin with a slash"),
            ({"paths": ["/a", "wechat"]}, "must begin with a slash"),
            ({"paths": ["/wechat/*"]}, "looks like a pattern"),
            ({"paths": ["/wechat/<name>"]}, "looks like a pattern"),
            ({"paths": [b"/wechat"]}, "must be a str, not a bytes"),
            ({"paths": b"/wechat"}, "a path or a list of paths, not a bytes"),
            ({"paths": 1}, "a path or a list of paths, not an int"),
            ({"paths": (path for path in ["/a"])}, "a path or a list of paths, not a generator"),
            ({"exclude": 1}, "exclude= must be a path or a list"),
            ({"exclude": ["healthz"]}, "exclude= must begin with a slash"),
            ({"exclude": "/health*"}, "exclude= looks like a pattern"),
            ({"exclude": "/$APPID$/x"}, "has no place in it"),
            ({"exclude": "/"}, "leaves no request"),
            ({"exclude": ["/a"], "paths": ["/a/b", "/a"]}, "leaves no request"),
            ({"wait": -1}, "wait= must be a number of seconds"),
            ({"wait": float("nan")}, "wait= must be"),
            ({"wait": float("inf")}, "wait= must be"),
            ({"wait": "2"}, "wait= must be"),
            ({"wait": None}, "wait= must be"),
            ({"wait": True}, "wait= must be"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], message: str) -> None:
        """What cannot be right is said at construction, with what to do, and without showing a value."""
        given: dict[str, Any] = {"app": Hello(), "provider": fake_provider(), **options}

        with pytest.raises(ConfigurationError, match=message) as caught:
            TokenMiddleware(given.pop("app"), given.pop("provider"), **given)
        assert "secret" not in str(caught.value)

    def test_closed(self) -> None:
        """A provider that was closed is refused."""
        with pytest.raises(ProviderClosed):
            TokenMiddleware(Hello(), fake_provider(closed=True))

    def test_unknown(self) -> None:
        """An option that does not exist is Python's own error."""
        with pytest.raises(TypeError, match="path"):
            TokenMiddleware(Hello(), fake_provider(), path="/x")  # type: ignore[call-arg]


@pytest.mark.parametrize(("speaks", "other"), [("wsgi", "asgi"), ("asgi", "wsgi")])
def test_app_of_the_other_protocol(speaks: str, other: str) -> None:
    """An app that clearly speaks the other protocol is refused at construction, and the error names the right class."""
    from importlib import import_module

    from wxmiddleware import Account, TokenProvider

    def wsgi(environ: object, start_response: object) -> list[bytes]:
        return []

    async def asgi(scope: object, receive: object, send: object) -> None:
        pass

    middleware = import_module(f"wxmiddleware.{speaks}").TokenMiddleware
    provider = TokenProvider(Account("wx1", "s"))
    middleware({"wsgi": wsgi, "asgi": asgi}[speaks], provider)
    with pytest.raises(ConfigurationError, match=f"from wxmiddleware.{other} import"):
        middleware({"wsgi": wsgi, "asgi": asgi}[other], provider)
