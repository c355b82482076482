"""The checks of the webhook: each is made to fail, and only it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import free_port
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from doctor.conftest import Doctor
from wxmiddleware.cli.doctor.asking import Said
from wxmiddleware.cli.doctor.webhooks import judge_callback
from wxmiddleware.simulator import WeChat
from wxmiddleware.webhook.wsgi import WebhookMiddleware

TOKEN = "w3bh00k-t0ken"
Serve = Callable[[Any], str]


@pytest.fixture
def serve(environment: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve an app, and give the URL of its webhook; WECHAT_TOKEN is set."""
    servers = []
    environment.setenv("WECHAT_TOKEN", TOKEN)

    def make(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.port}/wechat"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(body: str | None, status: int = 200) -> Any:
    """An app that gives this answer to everybody; ``None`` stands for the echostr."""

    @Request.application
    def app(request: Request) -> Response:
        return Response(request.args.get("echostr", "") if body is None else body, status=status)

    return app


class TestInside:
    def test_sound(self, doctor: Doctor, serve: Serve, file_store: Path) -> None:
        """A guarded webhook passes, and the handler is not called."""
        app = WebhookMiddleware(answering("success"), path="/wechat", token=TOKEN)
        visit = doctor("--webhook", serve(app), secrets=(TOKEN,))

        assert ("webhook.ok", "callback.ok") == tuple(visit.checks[name]["finding"] for name in ("webhook", "callback"))

    @pytest.mark.parametrize(
        ("app", "finding"),
        [
            (answering(None), "webhook.let-in"),
            (answering("hello"), "webhook.echo"),
            (answering("", 404), "webhook.status"),
        ],
    )
    def test_wrong(self, doctor: Doctor, serve: Serve, app: Any, finding: str) -> None:
        """A webhook that answers wrongly, or to everybody, is the cause."""
        doctor("--webhook", serve(app), secrets=(TOKEN,)).only("webhook", finding)

    def test_other_token(self, doctor: Doctor, serve: Serve, environment: pytest.MonkeyPatch) -> None:
        """So is one that has another token."""
        url = serve(WebhookMiddleware(answering("success"), path="/wechat", token="another"))

        assert "another token" in doctor("--webhook", url).only("webhook", "webhook.status")["todo"]

    def test_nobody_there(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """So is one that is not there."""
        environment.setenv("WECHAT_TOKEN", TOKEN)

        doctor("--webhook", f"http://127.0.0.1:{free_port()}/wechat").only("webhook", "webhook.lost")

    def test_settings(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """Without the word that it is signed with nothing can be pushed, nor with a key that is none."""
        doctor("--webhook", "http://127.0.0.1/wechat").only("webhook", "value.missing")
        environment.setenv("WECHAT_TOKEN", TOKEN)
        environment.setenv("WECHAT_AES_KEY", "sh0rt-key")

        doctor("--webhook", "http://127.0.0.1/wechat", secrets=("sh0rt-key",)).only("webhook", "webhook.wrong")


class TestOutside:
    @pytest.fixture
    def url(self, serve: Serve) -> str:
        return serve(WebhookMiddleware(answering("success"), path="/wechat", token=TOKEN))

    def test_no_url(self, doctor: Doctor, url: str, file_store: Path, wechat: WeChat) -> None:
        """That no URL is entered on WeChat's site is the cause."""
        wechat.accounts[wechat.appid].callback_url = None

        doctor("--webhook", url).only("callback", "callback.no_url")

    def test_unreachable(self, doctor: Doctor, url: str, file_store: Path, wechat: WeChat) -> None:
        """So is a firewall in front of it."""
        wechat.accounts[wechat.appid].callback_loss = 100

        doctor("--webhook", url).only("callback", "callback.unreachable")

    @pytest.mark.parametrize(
        ("said", "key"),
        [
            (Said(0, fields={"dns": [], "ping": []}), "callback.unknown_name"),
            (Said(0, fields={"dns": [{"ip": "203.0.113.7"}], "ping": [{"package_loss": "20%"}]}), "callback.ok"),
            (Said(45011, "too often"), "callback.refused"),
            (Said(None, problem="No answer."), "api.silent"),
        ],
    )
    def test_answers(self, said: Said, key: str) -> None:
        """What WeChat may tell."""
        assert key == judge_callback(said).key
