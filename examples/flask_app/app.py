"""
A WeChat webhook that answers text messages, a way to send messages, and a page with the JS-SDK: Flask.

Everything about tokens is in the lines that say `account`, `provider`, `with_token` or `jssdk`.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import requests
from flask import Flask, abort, request

from wxmiddleware import Account, ConfigurationError, TokenError, TokenProvider, with_token
from wxmiddleware.jssdk import JSSDK, Config
from wxmiddleware.stores import store_from_url
from wxmiddleware.webhook import Message, TextMessage
from wxmiddleware.webhook.flask import webhook
from wxmiddleware.wsgi import TokenMiddleware

account = Account.from_env(os.environ)
store = store_from_url(os.environ["WXM_STORE"]) if "WXM_STORE" in os.environ else None
provider = TokenProvider(account, store=store)
jssdk = JSSDK(provider)

app = Flask(__name__)
app.wsgi_app = TokenMiddleware(app.wsgi_app, provider)  # type: ignore[method-assign]  # Flask's own way, and mypy's no


# WeChat's APIs


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


# The webhook


@app.route("/wechat", methods=["GET", "POST"])
@webhook(
    # Without a word that both sides know, one that nobody knows: every push is rejected.
    token=os.environ.get("WECHAT_TOKEN") or secrets.token_hex(16),
    aes_key=os.environ.get("WECHAT_AES_KEY"),
    appid=account.appid,
    plain="WECHAT_AES_KEY" not in os.environ,
    store=store,
    late=provider,
)
def answer(message: Message) -> str | None:
    """Answer a text message, in the sender's language; WeChat waits five seconds, and after that it is sent."""
    if not isinstance(message, TextMessage):
        return None
    language = str(user_info(message.from_user).get("language"))
    return f"{'收到' if language.startswith('zh') else 'Received'}: {message.content}"


# Our own side


@app.post("/notify/<openid>")
def notify(openid: str) -> tuple[dict[str, object], int]:
    """Send the text in the JSON body to a follower. Put it behind your own login before others can reach it."""
    try:
        text = str(request.get_json()["text"])
    except (LookupError, TypeError):
        abort(400, 'Send {"text": "..."}.')
    result = send_text(openid, text)
    return result, 502 if result.get("errcode") else 200


# A page in WeChat's browser


@app.get("/page")
def page() -> str:
    """Show a page that may use the JS-SDK. Its domain has to be among the JS domains on the account's page."""
    return Path(__file__).with_name("page.html").read_text(encoding="utf-8")


@app.post("/js-config")
def js_config() -> Config:
    """Sign the page that asks; with another ticket, if WeChat has rejected the signature that it got before."""
    asked = request.get_json()
    rejected = asked.get("rejected") if isinstance(asked, dict) else None
    try:
        return jssdk.signature(asked["url"], rejected=rejected if isinstance(rejected, dict) else None)
    except (LookupError, TypeError, ConfigurationError):
        abort(400, 'Send {"url": location.href}.')


@app.errorhandler(TokenError)
def no_token(error: TokenError) -> tuple[dict[str, str], int]:
    app.logger.warning("%s", error)
    return {"error": "WeChat gives us no token at the moment."}, 503
