"""WeRoBot. It has no option for the host, so a subclass sends elsewhere what is meant for WeChat."""

from __future__ import annotations

from typing import Any

from werobot.client import Client

from hub.sdks.driver import APPID, HUB, KEY, PICTURE, TEXT, serve_sync


class AtTheHub(Client):  # type: ignore[misc]
    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://api.weixin.qq.com", HUB), **kwargs)


def upload() -> Any:
    with open(PICTURE, "rb") as picture:
        return client.upload_media("image", picture)


client = AtTheHub({"APP_ID": APPID, "APP_SECRET": KEY})
serve_sync({"call": lambda: client.send_text_message("oWitness", TEXT), "upload": upload}, lambda: client._token)
