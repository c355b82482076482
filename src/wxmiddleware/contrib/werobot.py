"""
WeRoBot's client with its tokens from a provider.

::

    with_provider(robot.client, provider)
    robot.client.send_text_message("oABC", "hello")

Left to itself, WeRoBot keeps a token in each process until a minute before its end, and knows no rejected ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from .._runtime.needs import needs
from ._adoption import adopt, moved, unsigned

with needs("werobot", install="WeRoBot>=1.13"):
    from werobot.client import Client, check_error

if TYPE_CHECKING:
    from .._engine.provider import TokenProvider

__all__ = ["with_provider"]

ClientT = TypeVar("ClientT")
_API = "https://api.weixin.qq.com"


def with_provider(client: ClientT, provider: TokenProvider) -> ClientT:
    """
    Let a WeRoBot client (``robot.client``) take its tokens from `provider`, and give the client back.

    It is the same object. A rejected token is replaced by comparison and the call repeated once, files and all; if that
    is rejected, too, the ``ClientException`` is raised. Calls go to the account's ``base_url``, over one session.
    ``grant_token()`` fetches nothing any more: it tells the provider's token.

    Raises:
        ConfigurationError: It is no such client, or the client of another account.
    """
    session = requests.Session()
    adopt(client, provider, session, Client, _WithProvider)
    client._http = session  # type: ignore[attr-defined]
    return client


class _WithProvider:
    """Stands before the client's own class."""

    _provider: TokenProvider
    _http: requests.Session

    def get_access_token(self) -> str:
        return self._provider.get_token()

    def grant_token(self) -> dict[str, Any]:
        token = self._provider.get_token()
        return {"access_token": token, "expires_in": int(self._provider.status().expires_in or 0)}

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        """Do as WeRoBot's does, through the session."""
        response = self._send(method, url, **kwargs)
        response.raise_for_status()
        return check_error(json.loads(response.content.decode("utf-8", "replace"), strict=False))

    # These three call requests by themselves.

    def download_media(self, media_id: str) -> requests.Response:
        return self._send("get", f"{_API}/cgi-bin/media/get", params={"media_id": media_id})

    def download_permanent_media(self, media_id: str) -> requests.Response:
        return self._send("post", f"{_API}/cgi-bin/material/get_material", data={"media_id": media_id})

    def upload_permanent_video(self, title: str, introduction: str, video: Any) -> requests.Response:
        description = json.dumps({"title": title, "introduction": introduction}, ensure_ascii=False).encode()
        return self._send(
            "post",
            f"{_API}/cgi-bin/material/add_material",
            params={"type": "video"},
            files={"description": (None, description), "media": video},
        )

    def _send(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        if isinstance(kwargs.get("data"), dict):
            kwargs["data"] = json.dumps(kwargs["data"], ensure_ascii=False).encode()
        params = unsigned(kwargs.pop("params", None))
        return self._http.request(method, moved(url, self._provider), params=params, **kwargs)
