"""WeRoBot. It has no option for the host, so a subclass sends elsewhere what is meant for WeChat."""

from __future__ import annotations

from typing import Any

from werobot.client import Client

from hub.sdks.driver import APPID, BASE, PICTURE, SECRET, TEXT, serve_sync


class Elsewhere(Client):  # type: ignore[misc]
    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://api.weixin.qq.com", BASE), **kwargs)


def upload() -> Any:
    with open(PICTURE, "rb") as picture:
        return client.upload_media("image", picture)


client = Elsewhere({"APP_ID": APPID, "APP_SECRET": SECRET})
serve_sync({"call": lambda: client.send_text_message("oWitness", TEXT), "upload": upload}, lambda: client._token)
