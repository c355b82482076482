"""wxmiddleware.flask in real Flask apps. The middleware alone: ../test_wsgi.py."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from support.fake_provider import fake_provider

from wxmiddleware import Account, NoProvider, TokenProvider, acurrent_token, current_token, use_provider
from wxmiddleware.exceptions import (
    ConfigurationError,
    ProviderClosed,
    TokenError,
    TokenUnavailable,
    WxMiddlewareError,
)
from wxmiddleware.flask import get_token, init_app, provider_from
from wxmiddleware.simulator import WeChat


@pytest.fixture
def app() -> flask.Flask:
    return flask.Flask("shop")


class TestRequest:
    def test_token(self, app: flask.Flask, provider: TokenProvider, wechat: WeChat) -> None:
        """A view finds the token in every place where it may look; all of it is one fetch."""
        init_app(app, provider)

        @app.get("/")
        def view() -> Any:
            return [flask.request.environ["wxmiddleware.token"], get_token(), current_token()]

        tokens = app.test_client().get("/").json

        assert tokens == [provider.get_token()] * 3
        assert wechat.fetches() == 1

    def test_provider(self, app: flask.Flask, provider: TokenProvider) -> None:
        """A view finds the provider."""
        init_app(app, provider)
        found: list[Any] = []

        @app.get("/")
        def view() -> Any:
            found.append(provider_from())
            return ""

        app.test_client().get("/")

        assert found == [provider]

    def test_heals(
        self, app: flask.Flask, provider: TokenProvider, wechat: WeChat, call_api: Callable[[], Any]
    ) -> None:
        """A view that calls WeChat with a rejected token is healed, and its request's own token is the new one."""
        init_app(app, provider)
        old = provider.get_token()

        @app.get("/")
        def view() -> Any:
            wechat.revoke()
            return [call_api(), flask.request.environ["wxmiddleware.token"]]

        answer, own = app.test_client().get("/").json or []

        assert "ip_list" in answer
        assert own == provider.get_token() != old

    def test_threads(self, app: flask.Flask, provider: TokenProvider, wechat: WeChat) -> None:
        """Thirty-two cold requests at once are one fetch."""
        wechat.token_latency = 0.05
        init_app(app, provider)
        app.add_url_rule("/", view_func=get_token)

        with ThreadPoolExecutor(32) as pool:
            tokens = set(pool.map(lambda _: app.test_client().get("/").text, range(32)))

        assert tokens == {provider.get_token()}
        assert wechat.fetches() == 1

    def test_stream(self, app: flask.Flask, provider: TokenProvider) -> None:
        """A streamed body is served to its end."""
        init_app(app, provider)

        @app.get("/")
        def view() -> Any:
            def body() -> Iterator[str]:
                yield current_token()

            return body()

        assert app.test_client().get("/").text == provider.get_token()

    def test_file(self, app: flask.Flask, provider: TokenProvider) -> None:
        """A file goes out by the server's own file_wrapper."""
        made: list[Any] = []

        class Wrapper:
            def __init__(self, file: Any, size: int = 0) -> None:
                made.append(self)
                self.file = file

            def __iter__(self) -> Iterator[bytes]:
                raise AssertionError

            def close(self) -> None:
                self.file.close()

        init_app(app, provider)
        app.add_url_rule("/", "file", lambda: flask.send_file(io.BytesIO(b"file"), mimetype="text/plain"))
        environ = flask.Flask("x").test_request_context("/").request.environ | {"wsgi.file_wrapper": Wrapper}

        body = app.wsgi_app(environ, lambda *args: lambda chunk: None)

        assert [body] == made

    def test_async_view(self, app: flask.Flask, provider: TokenProvider) -> None:
        """An async view awaits acurrent_token()."""
        init_app(app, provider, wait=0)

        @app.get("/")
        async def view() -> Any:
            return await acurrent_token()

        assert app.test_client().get("/").text == provider.get_token()

    def test_required(self, app: flask.Flask, provider: TokenProvider, no_token: None) -> None:
        """Without a token the answer is 503 with Retry-After."""
        init_app(app, provider, required=True)

        response = app.test_client().get("/")

        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1

    def test_not_chosen(self, app: flask.Flask, provider: TokenProvider, wechat: WeChat) -> None:
        """A request that is not chosen fetches nothing, and may still ask."""
        init_app(app, provider, paths=["/wechat"])
        app.add_url_rule("/", "plain", lambda: str("wxmiddleware.token" in flask.request.environ))
        app.add_url_rule("/token", view_func=get_token)
        client = app.test_client()

        has_token = client.get("/").text
        fetches = wechat.fetches()
        token = client.get("/token").text

        assert (has_token, fetches) == ("False", 0)
        assert token == provider.get_token()

    def test_accounts(self, app: flask.Flask) -> None:
        """With several accounts each request has its own."""
        init_app(app, lambda environ: fake_provider(environ["PATH_INFO"]))
        app.add_url_rule("/<account>", view_func=lambda account: get_token())
        client = app.test_client()

        assert [client.get("/a").text, client.get("/b").text] == ["/a", "/b"]


class TestAppContext:
    """A CLI command, a job, a shell: an app, but no request."""

    def test_context(self, app: flask.Flask, provider: TokenProvider, call_api: Callable[[], Any]) -> None:
        """In the app's context its provider serves the helpers, the bare decorator included."""
        init_app(app, provider)

        with app.app_context():
            assert get_token() == current_token() == provider.get_token()
            assert provider_from() is provider
            assert "ip_list" in call_api()

    def test_command(self, app: flask.Flask, provider: TokenProvider) -> None:
        """A CLI command gets a token."""
        init_app(app, provider)

        @app.cli.command("show")
        def show() -> None:
            print(get_token())

        result = app.test_cli_runner().invoke(args=["show"])

        assert result.output.strip() == provider.get_token()

    def test_use_provider(self, app: flask.Flask, provider: TokenProvider) -> None:
        """In the app's context a use_provider block counts more."""
        init_app(app, provider)

        with app.app_context(), use_provider(fake_provider("other")):
            assert get_token() == "other"

    def test_two_apps(self) -> None:
        """Each app's context has its own provider."""
        one = init_app(flask.Flask("one"), fake_provider("one"))
        two = init_app(flask.Flask("two"), fake_provider("two"))

        with one.app_context():
            outer = get_token()
            with two.app_context():
                inner = get_token()

        assert (outer, inner) == ("one", "two")

    def test_outside(self, app: flask.Flask, provider: TokenProvider) -> None:
        """Outside the app's context nobody knows whose token is meant."""
        init_app(app, provider)

        with pytest.raises(NoProvider):
            get_token()

    def test_other_app(self, app: flask.Flask, provider: TokenProvider) -> None:
        """The context of an app without a provider has none."""
        init_app(flask.Flask("other"), provider)

        with app.app_context(), pytest.raises(NoProvider):
            get_token()

    def test_accounts(self, app: flask.Flask) -> None:
        """An app with several accounts has none of its own."""
        init_app(app, lambda environ: None)

        with app.app_context(), pytest.raises(NoProvider):
            provider_from()


class TestProviderFrom:
    def test_app(self, app: flask.Flask, provider: TokenProvider) -> None:
        """The provider of a given app is found anywhere."""
        assert provider_from(init_app(app, provider)) is provider

    def test_none(self, app: flask.Flask) -> None:
        """An app without one is told what to call."""
        with pytest.raises(NoProvider, match=r"init_app\(app, provider\)"):
            provider_from(app)


class TestInitApp:
    def test_returns(self) -> None:
        """The app comes back, with its own type and its provider in the extensions."""

        class Shop(flask.Flask):
            pass

        shop = Shop("shop")
        provider = fake_provider()

        assert init_app(shop, provider) is shop
        assert shop.extensions["wxmiddleware"] is provider

    def test_twice(self, app: flask.Flask, provider: TokenProvider) -> None:
        """The second time is an error."""
        init_app(app, provider)

        with pytest.raises(ConfigurationError, match="before"):
            init_app(app, provider)

    def test_wrong(self, app: flask.Flask, provider: TokenProvider) -> None:
        """A wrong option is said at once, and leaves the app as it was."""
        with pytest.raises(ConfigurationError, match="slash"):
            init_app(app, provider, paths=["wechat"])
        assert "wxmiddleware" not in app.extensions

    def test_closed(self, app: flask.Flask, provider: TokenProvider) -> None:
        """So is a provider that was closed."""
        provider.close()

        with pytest.raises(ProviderClosed):
            init_app(app, provider)


class TestNoToken:
    def test_503(self, app: flask.Flask, provider: TokenProvider, no_token: None) -> None:
        """A view that fails for want of a token is a 503 that tells a stranger nothing."""
        init_app(app, provider, wait=0)
        app.add_url_rule("/", view_func=get_token)

        answer = app.test_client().get("/")

        assert 503 == answer.status_code
        assert int(answer.headers["Retry-After"]) >= 1
        assert "40164" not in answer.text
        assert provider.account.appid not in answer.text

    def test_page_of_the_app(self, app: flask.Flask, provider: TokenProvider, no_token: None) -> None:
        """The app's own page for 503 is used."""
        init_app(app, provider, wait=0)
        app.add_url_rule("/", view_func=get_token)
        app.register_error_handler(503, lambda error: ("my page", 503))

        assert ("my page", 503) == _answer_of(app)

    @pytest.mark.parametrize("kind", [TokenUnavailable, TokenError, WxMiddlewareError, Exception])
    @pytest.mark.parametrize("first", [False, True])
    def test_handler_of_the_app(
        self, app: flask.Flask, wechat_account: Account, wechat: WeChat, kind: type[Exception], first: bool
    ) -> None:
        """A handler of the app's, for this error or for all, is the one that counts, whenever it was registered."""
        wechat.faults.add("/cgi-bin/stable_token", "errcode", None, errcode=-1)
        with TokenProvider(wechat_account) as provider:
            if not first:
                init_app(app, provider, wait=0)
            app.register_error_handler(kind, lambda error: (f"mine: {type(error).__name__}", 418))
            if first:
                init_app(app, provider, wait=0)
            app.add_url_rule("/", view_func=get_token)

            assert ("mine: TokenUnavailable", 418) == _answer_of(app)


def _answer_of(app: flask.Flask) -> tuple[str, int]:
    answer = app.test_client().get("/")
    return answer.text, answer.status_code
