"""
A WeChat webhook that answers text messages, and a way to send messages: Starlette.

Everything about tokens is in the lines that say `account`, `provider` or `with_token`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wxmiddleware import Account, TokenError, TokenProvider, with_token
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.stores import store_from_url
from wxmiddleware.webhook import Message, TextMessage
from wxmiddleware.webhook.starlette import webhook

account = Account.from_env(os.environ)
store = store_from_url(os.environ["WXM_STORE"]) if "WXM_STORE" in os.environ else None
provider = TokenProvider(account, store=store)


# WeChat's APIs


@with_token
async def user_info(access_token: str, client: httpx.AsyncClient, openid: str) -> dict[str, object]:
    query = {"access_token": access_token, "openid": openid}
    answer: dict[str, object] = (await client.get("/cgi-bin/user/info", params=query)).json()
    return answer


@with_token
async def send_text(access_token: str, client: httpx.AsyncClient, openid: str, text: str) -> dict[str, object]:
    message = {"touser": openid, "msgtype": "text", "text": {"content": text}}
    response = await client.post(
        "/cgi-bin/message/custom/send",
        params={"access_token": access_token},
        content=json.dumps(message, ensure_ascii=False).encode(),  # with \u4f60\u597d WeChat shows the backslashes
    )
    answer: dict[str, object] = response.json()
    return answer


# The webhook


@webhook(
    # Without a word that both sides know, one that nobody knows: every push is refused.
    token=os.environ.get("WECHAT_TOKEN") or secrets.token_hex(16),
    aes_key=os.environ.get("WECHAT_AES_KEY"),
    appid=account.appid,
    plain="WECHAT_AES_KEY" not in os.environ,
    store=store,
    late=provider,
)
async def answer(message: Message, request: Request) -> str | None:
    """Answer a text message, in the sender's language; WeChat waits five seconds, and after that it is sent."""
    if not isinstance(message, TextMessage):
        return None
    language = str((await user_info(request.state.client, message.from_user)).get("language"))
    return f"{'收到' if language.startswith('zh') else 'Received'}: {message.content}"


# Our own side


async def notify(request: Request) -> Response:
    """Send the text in the JSON body to a follower. Put it behind your own login before others can reach it."""
    try:
        text = str((await request.json())["text"])
    except (ValueError, LookupError, TypeError):
        raise HTTPException(400, 'Send {"text": "..."}.') from None
    result = await send_text(request.state.client, request.path_params["openid"], text)
    return JSONResponse(result, 502 if result.get("errcode") else 200)


async def no_token(request: Request, error: Exception) -> Response:
    logging.getLogger(__name__).warning("%s", error)
    return JSONResponse({"error": "WeChat gives us no token at the moment."}, 503)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient(base_url=account.base_url, timeout=3) as client:
        yield {"client": client}


app = Starlette(
    routes=[
        Route("/wechat", answer, methods=["GET", "POST"]),
        Route("/notify/{openid}", notify, methods=["POST"]),
    ],
    middleware=[Middleware(TokenMiddleware, provider=provider)],
    exception_handlers={TokenError: no_token},
    lifespan=lifespan,
)
