"""
A WeChat webhook that answers text messages, a way to send messages, and a page with the JS-SDK: Flask.

Everything about tokens is in the lines that say `account`, `provider`, `with_token` or `jssdk`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import requests
from flask import Flask, Response, abort, request

from wxmiddleware import Account, ConfigurationError, TokenError, TokenProvider, with_token
from wxmiddleware.jssdk import JSSDK, Config
from wxmiddleware.stores import store_from_url
from wxmiddleware.wsgi import TokenMiddleware

account = Account.from_env(os.environ)
store = store_from_url(os.environ["WXM_STORE"]) if "WXM_STORE" in os.environ else None
provider = TokenProvider(account, store=store)
jssdk = JSSDK(provider)
webhook_token = os.environ.get("WECHAT_TOKEN", "")

app = Flask(__name__)
app.wsgi_app = TokenMiddleware(app.wsgi_app, provider)  # type: ignore[method-assign]  # Flask's own way, and mypy's no


# WeChat's APIs --------------------------------------------------------------------------------------------------------


@with_token
def user_info(access_token: str, openid: str) -> dict[str, object]:
    query = {"access_token": access_token, "openid": openid}
    answer: dict[str, object] = requests.get(f"{account.base_url}/cgi-bin/user/info", query, timeout=3).json()
    return answer


@with_token
def send_text(access_token: str, openid: str, text: str) -> dict[str, object]:
    message = {"touser": openid, "msgtype": "text", "text": {"content": text}}
    answer: dict[str, object] = requests.post(
        f"{account.base_url}/cgi-bin/message/custom/send",
        params={"access_token": access_token},
        data=json.dumps(message, ensure_ascii=False).encode(),  # with \u4f60\u597d WeChat shows the backslashes
        timeout=3,
    ).json()
    return answer


# The webhook ----------------------------------------------------------------------------------------------------------


@app.get("/wechat")
def verify() -> Response:
    """Show WeChat that this URL is ours; it asks once, when the URL is entered on its site."""
    check_signature()
    return Response(request.args.get("echostr", ""), mimetype="text/plain")


@app.post("/wechat")
def answer() -> Response:
    """Answer a text message; the answer is the body of the response. WeChat waits five seconds."""
    check_signature()
    message = fields_of(request.get_data())
    if message.get("MsgType") != "text":
        return Response("success", mimetype="text/plain")
    language = str(user_info(message["FromUserName"]).get("language"))
    greeting = "收到" if language.startswith("zh") else "Received"
    return Response(reply(message, f"{greeting}: {message.get('Content', '')}"), mimetype="application/xml")


def check_signature() -> None:
    given = request.args
    words = sorted((webhook_token, given.get("timestamp", ""), given.get("nonce", "")))
    signature = hashlib.sha1("".join(words).encode()).hexdigest()
    if not webhook_token or not hmac.compare_digest(signature.encode(), given.get("signature", "").encode()):
        abort(403)


def fields_of(body: bytes) -> dict[str, str]:
    try:
        text = body.decode()
        # What begins with its root element has no DTD, and so no entities that grow or fetch.
        if not text.startswith("<xml>"):
            abort(400)
        return {field.tag: field.text or "" for field in ET.fromstring(text)}
    except (UnicodeDecodeError, ET.ParseError):
        abort(400)


def reply(message: dict[str, str], text: str) -> str:
    return (
        f"<xml><ToUserName>{cdata(message['FromUserName'])}</ToUserName>"
        f"<FromUserName>{cdata(message['ToUserName'])}</FromUserName><CreateTime>{time.time():.0f}</CreateTime>"
        f"<MsgType>{cdata('text')}</MsgType><Content>{cdata(text)}</Content></xml>"
    )


def cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


# Our own side ---------------------------------------------------------------------------------------------------------


@app.post("/notify/<openid>")
def notify(openid: str) -> tuple[dict[str, object], int]:
    """Send the text in the JSON body to a follower. Put it behind your own login before others can reach it."""
    try:
        text = str(request.get_json()["text"])
    except (LookupError, TypeError):
        abort(400, 'Send {"text": "..."}.')
    result = send_text(openid, text)
    return result, 502 if result.get("errcode") else 200


# A page in WeChat's browser -------------------------------------------------------------------------------------------


@app.get("/page")
def page() -> str:
    """Show a page that may use the JS-SDK. Its domain has to be among the JS domains on the account's page."""
    return Path(__file__).with_name("page.html").read_text(encoding="utf-8")


@app.post("/js-config")
def js_config() -> Config:
    """Sign the page that asks; with another ticket, if WeChat has refused the signature that it got before."""
    asked = request.get_json()
    refused = asked.get("refused") if isinstance(asked, dict) else None
    try:
        return jssdk.signature(asked["url"], refused=refused if isinstance(refused, dict) else None)
    except (LookupError, TypeError, ConfigurationError):
        abort(400, 'Send {"url": location.href}.')


@app.errorhandler(TokenError)
def no_token(error: TokenError) -> tuple[dict[str, str], int]:
    app.logger.warning("%s", error)
    return {"error": "WeChat gives us no token at the moment."}, 503
