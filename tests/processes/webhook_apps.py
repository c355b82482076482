"""
One slow handler behind the four doors of a webhook, for servers that want a module with apps in it.

It notes each call in a file, and takes until the test creates another one, or a number of seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.prelude import WORKER

from wxmiddleware import Account, TokenProvider
from wxmiddleware.stores import store_from_url
from wxmiddleware.webhook import Message, asgi, wsgi
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette

ROOM = Path(os.environ["WX_TEST_ROOM"])
PATIENCE = 30.0

options: dict[str, Any] = {
    "token": "AAAAA",
    "aes_key": os.environ["WX_TEST_KEY"],
    "appid": os.environ["WX_TEST_RECEIVER"],
    "store": store_from_url(os.environ["WX_TEST_STORE"]),
    "late": TokenProvider(Account.from_env(os.environ)),
    "deadline": float(os.environ.get("WX_TEST_DEADLINE", "4.5")),
    "body_timeout": float(os.environ.get("WX_TEST_BODY_TIMEOUT", "3.0")),
}


def handle(message: Message) -> str:
    with open(ROOM / "calls", "a") as calls:
        calls.write(f"{os.getpid()} {message.msg_id}\n")
    end = time.monotonic() + float(os.environ.get("WX_TEST_SECONDS", PATIENCE))
    while time.monotonic() < end and not (ROOM / "gate").exists():
        time.sleep(0.01)
    return f"at last {message.msg_id}"


async def handle_in_loop(message: Message) -> str:
    return await anyio.to_thread.run_sync(handle, message)


def named_wsgi(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Have the answers say which process gives them."""

    def named(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (WORKER, str(os.getpid()))], *rest)

        return app(environ, start)

    return named


def named_asgi(app: Any) -> Any:
    async def named(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (WORKER.encode(), str(os.getpid()).encode())]
            await send(message)

        await app(scope, receive, sending)

    return named


def _wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    said = handle(environ["wxmiddleware.message"])
    start_response("200 OK", [("Content-Type", "text/xml")])
    return [f"<xml><MsgType>text</MsgType><Content>{said}</Content></xml>".encode()]


async def _asgi(request: Request) -> Response:
    said = await handle_in_loop(request.state.wx_message)
    return PlainTextResponse(f"<xml><MsgType>text</MsgType><Content>{said}</Content></xml>")


_flask = Flask(__name__)
_flask.add_url_rule("/wechat", "wechat", in_flask.webhook(**options)(handle), methods=["GET", "POST"])
_fastapi = FastAPI()
_fastapi.add_api_route("/wechat", in_starlette.webhook(**options)(handle_in_loop), methods=["GET", "POST"])
_starlette = Starlette(routes=[Route("/wechat", _asgi, methods=["POST"])])

flask_app = named_wsgi(_flask)
wsgi_app = named_wsgi(wsgi.WebhookMiddleware(_wsgi, path="/wechat", **options))
fastapi_app = named_asgi(_fastapi)
starlette_app = named_asgi(asgi.WebhookMiddleware(_starlette, path="/wechat", **options))
