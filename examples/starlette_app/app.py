"""
A WeChat webhook that answers text messages, and a way to send messages: Starlette.

Everything about tokens is in the five lines that say `account`, `provider` or `with_token`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from xml.etree import ElementTree as ET

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wxmiddleware import Account, TokenError, TokenProvider, with_token
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.stores import store_from_url

account = Account.from_env(os.environ)
store = store_from_url(os.environ["WXM_STORE"]) if "WXM_STORE" in os.environ else None
provider = TokenProvider(account, store=store)
webhook_token = os.environ.get("WECHAT_TOKEN", "")


# WeChat's APIs --------------------------------------------------------------------------------------------------------


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


# The webhook ----------------------------------------------------------------------------------------------------------


async def verify(request: Request) -> Response:
    """Show WeChat that this URL is ours; it asks once, when the URL is entered on its site."""
    check_signature(request)
    return PlainTextResponse(request.query_params.get("echostr", ""))


async def answer(request: Request) -> Response:
    """Answer a text message; the answer is the body of the response. WeChat waits five seconds."""
    check_signature(request)
    message = fields_of(await request.body())
    if message.get("MsgType") != "text":
        return PlainTextResponse("success")
    language = str((await user_info(request.state.client, message["FromUserName"])).get("language"))
    greeting = "收到" if language.startswith("zh") else "Received"
    return Response(reply(message, f"{greeting}: {message.get('Content', '')}"), media_type="application/xml")


def check_signature(request: Request) -> None:
    given = request.query_params
    words = sorted((webhook_token, given.get("timestamp", ""), given.get("nonce", "")))
    signature = hashlib.sha1("".join(words).encode()).hexdigest()
    if not webhook_token or not hmac.compare_digest(signature.encode(), given.get("signature", "").encode()):
        raise HTTPException(403)


def fields_of(body: bytes) -> dict[str, str]:
    try:
        text = body.decode()
        # What begins with its root element has no DTD, and so no entities that grow or fetch.
        if not text.startswith("<xml>"):
            raise HTTPException(400)
        return {field.tag: field.text or "" for field in ET.fromstring(text)}
    except (UnicodeDecodeError, ET.ParseError):
        raise HTTPException(400) from None


def reply(message: dict[str, str], text: str) -> str:
    return (
        f"<xml><ToUserName>{cdata(message['FromUserName'])}</ToUserName>"
        f"<FromUserName>{cdata(message['ToUserName'])}</FromUserName><CreateTime>{time.time():.0f}</CreateTime>"
        f"<MsgType>{cdata('text')}</MsgType><Content>{cdata(text)}</Content></xml>"
    )


def cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


# Our own side ---------------------------------------------------------------------------------------------------------


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
        Route("/wechat", verify, methods=["GET"]),
        Route("/wechat", answer, methods=["POST"]),
        Route("/notify/{openid}", notify, methods=["POST"]),
    ],
    middleware=[Middleware(TokenMiddleware, provider=provider)],
    exception_handlers={TokenError: no_token},
    lifespan=lifespan,
)
