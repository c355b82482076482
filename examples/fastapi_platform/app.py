"""
A third-party platform, whole: from the first ticket to a call for an account that has authorised it. FastAPI.

Everything about tokens is in the lines that say `platform`.
"""

from __future__ import annotations

import html
import os
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse

from wxmiddleware import Account, StoreError, TokenError
from wxmiddleware.httpx import WeChatAuth
from wxmiddleware.platform import Platform
from wxmiddleware.stores import store_from_url
from wxmiddleware.webhook.messages import Message, Notice
from wxmiddleware.webhook.starlette import webhook

platform = Platform(Account.from_env(os.environ), store=store_from_url(os.environ["WXM_STORE"]))
home = os.environ["PLATFORM_HOME"]  # https://example.com, the domain that is registered for the platform

app = FastAPI()


# What WeChat pushes: tickets, authorisations, cancellations


@app.api_route("/events", methods=["GET", "POST"])
@webhook(token=os.environ["WECHAT_TOKEN"], aes_key=os.environ["WECHAT_AES_KEY"], appid=platform.account.appid)
async def event(message: Message) -> None:
    """Handle a notice. If that fails, WeChat gets an error, and repeats it."""
    if isinstance(message, Notice):
        await platform.ahandle(message)


# How an account's owner comes in


@app.get("/start")
async def start(request: Request) -> HTMLResponse:
    """Show the link. WeChat looks whether it was clicked on the registered domain."""
    mobile = "MicroMessenger" in request.headers.get("user-agent", "")
    link = await platform.aauthorize_url(f"{home}/authorised", mobile=mobile)
    return HTMLResponse(f'<a href="{html.escape(link)}">Authorise us</a>')


@app.get("/authorised")
async def authorised(auth_code: str) -> dict[str, str]:
    """Take in the account whose owner WeChat sends back here; remember whose customer it is in a table of your own."""
    provider = await platform.aauthorize(auth_code)
    return {"appid": provider.account.appid}


# A call for an account. Put it behind your own login before others can reach it


@app.get("/accounts/{appid}/users/{openid}")
async def user(appid: str, openid: str) -> Any:
    provider = platform.authorizer(appid)
    async with httpx.AsyncClient(auth=WeChatAuth(provider), base_url=provider.account.base_url, timeout=3) as client:
        answer = (await client.get("/cgi-bin/user/info", params={"openid": openid})).json()
    if answer.get("errcode"):
        raise HTTPException(502, answer)
    return answer


@app.exception_handler(TokenError)
@app.exception_handler(StoreError)
async def no_token(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "WeChat gives us nothing for this account at the moment."}, 503)
