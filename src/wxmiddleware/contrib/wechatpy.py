"""
wechatpy's clients with their tokens from a provider.

::

    client = with_provider(WeChatClient(appid, secret), provider)
    client.message.send_text("oABC", "hello")

Left to itself, wechatpy 1.8 fetches a token whenever one is rejected, whoever else has fetched one meanwhile, and does
it again when the next one is rejected, until Python's recursion ends or the day's quota does.
"""

from __future__ import annotations

from typing import Any, TypeVar

from .._engine.provider import TokenProvider
from .._runtime.needs import needs
from ._adoption import adopt, check_url, moved, unsigned

with needs("wechatpy", install="wechatpy>=1.8"):
    from wechatpy.client.base import BaseWeChatClient

__all__ = ["with_provider"]

ClientT = TypeVar("ClientT")


def with_provider(client: ClientT, provider: TokenProvider) -> ClientT:
    """
    Let a wechatpy client take its tokens from `provider`, and give the client back.

    It is the same object with all it had, for all threads: ``WeChatClient``, a subclass of yours, or the client of
    ``wechatpy.enterprise``. A rejected token is replaced by comparison and the call repeated once, files and all; if
    that is rejected, too, the ``WeChatClientException`` is raised. Calls go to the account's ``base_url``. The
    client's own ``session`` goes on to hold what else it held, such as tickets. ``fetch_access_token()`` fetches
    nothing any more: it tells the provider's token.

    Raises:
        ConfigurationError: It is no such client, or the client of another account, or its ``API_BASE_URL`` was set to
            another host than the account's ``base_url``.
    """
    if isinstance(client, BaseWeChatClient) and isinstance(provider, TokenProvider):
        check_url(client.API_BASE_URL, provider)
    adopt(client, provider, getattr(client, "_http", None) or _no_session(), BaseWeChatClient, _WithProvider)
    return client


def _no_session() -> Any:
    import requests

    return requests.Session()  # of what is no client; adopt() says so


class _WithProvider:
    """Stands before the client's own class."""

    _provider: TokenProvider
    API_BASE_URL: str

    # Its own retry calls itself, without end.
    auto_retry = property(lambda self: False, lambda self, value: None)

    @property
    def access_token(self) -> str:
        return self._provider.get_token()

    def fetch_access_token(self) -> dict[str, Any]:
        token = self._provider.get_token()
        return {"access_token": token, "expires_in": int(self._provider.status().expires_in or 0)}

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> Any:
        base = kwargs.pop("api_base_url", self.API_BASE_URL)
        url = url_or_endpoint if "://" in url_or_endpoint[:8] else f"{base}{url_or_endpoint}"
        check_url(self.API_BASE_URL, self._provider)  # it may have been set since
        # It adds a token of its own to parameters in a dict, and only there.
        kwargs["params"] = unsigned(kwargs.get("params"))
        return super()._request(method, moved(url, self._provider), **kwargs)  # type: ignore[misc]
