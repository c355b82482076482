"""
wechatpy, for accounts or (with the argument ``wecom``) for WeCom.

It has no option for the host, so an adapter of its session sends elsewhere what is meant for WeChat. With
``WECHAT_API_URL`` calls go there, and only tokens come from the base URL.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient
from wechatpy.enterprise import WeChatClient as WeComClient

from hub.sdks.driver import AGENTID, APPID, BASE, PICTURE, SECRET, TEXT, serve_sync


class Elsewhere(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        meant = urlsplit(request.url)
        tokens = meant.path in ("/cgi-bin/token", "/cgi-bin/gettoken")
        request.url = f"{BASE if tokens else os.environ.get('WECHAT_API_URL', BASE)}{meant.path}?{meant.query}"
        return super().send(request, *args, **kwargs)


def upload() -> Any:
    with open(PICTURE, "rb") as picture:
        return client.media.upload("image", picture)


if "wecom" in sys.argv[1:]:
    client: Any = WeComClient(APPID, SECRET, timeout=10)
else:
    client = WeChatClient(APPID, SECRET, timeout=10)
client._http.mount("https://", Elsewhere())


def call() -> Any:
    if isinstance(client, WeComClient):
        return client.message.send_text(AGENTID, "witness", TEXT)
    return client.message.send_text("oWitness", TEXT)


serve_sync(
    {"call": call, "upload": upload, "ticket": lambda: client.jsapi.get_ticket()["ticket"]},
    lambda: client.session.get(client.access_token_key),
)
