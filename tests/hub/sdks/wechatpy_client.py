"""
wechatpy, for accounts or (with the argument ``wecom``) for WeCom.

It has no option for the host, so an adapter of its session sends to the hub what is meant for WeChat. With
``WECHAT_API_URL`` calls go there, and only tokens come from the hub.
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

from hub.sdks.driver import AGENTID, APPID, HUB, KEY, PICTURE, TEXT, serve_sync


class To(HTTPAdapter):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        request.url = f"{self.base}{url.path}?{url.query}"
        return super().send(request, *args, **kwargs)


def upload() -> Any:
    with open(PICTURE, "rb") as picture:
        return client.media.upload("image", picture)


def call() -> Any:
    if isinstance(client, WeComClient):
        return client.message.send_text(AGENTID, "witness", TEXT)
    return client.message.send_text("oWitness", TEXT)


kind: Any = WeComClient if "wecom" in sys.argv[1:] else WeChatClient
client = kind(APPID, KEY, timeout=10)
if "WECHAT_API_URL" not in os.environ:
    client._http.mount("https://", To(HUB))
else:
    client._http.mount("https://", To(os.environ["WECHAT_API_URL"]))
    client._http.mount("https://api.weixin.qq.com/cgi-bin/token", To(HUB))
    client._http.mount("https://qyapi.weixin.qq.com/cgi-bin/gettoken", To(HUB))

serve_sync(
    {"call": call, "upload": upload, "ticket": lambda: client.jsapi.get_ticket()["ticket"]},
    lambda: client.session.get(client.access_token_key),
)
