"""The common part of the adapters: they exchange a client's class and session, and leave the client itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from .._engine.provider import TokenProvider
from .._outbound.auth import without_token
from ..exceptions import ConfigurationError
from ..requests import WeChatAuth, mask_errors

_WECHAT = ("api.weixin.qq.com", "qyapi.weixin.qq.com")

__all__ = ["adopt", "check_url", "moved", "unsigned"]


def adopt(client: Any, provider: TokenProvider, session: requests.Session, base: type, mixin: type) -> None:
    """
    Let a client take its tokens from `provider`, and send through `session`.

    Raises:
        ConfigurationError: It is no such client, or a client of another account.
    """
    if not isinstance(client, base):
        raise ConfigurationError(f"client must be a {base.__module__}.{base.__name__}, not a {type(client).__name__}.")
    auth = WeChatAuth(provider)
    appid = getattr(client, "appid", None)
    if appid and appid != provider.account.appid:
        raise ConfigurationError(
            f"The client is of account {appid}, the provider of {provider.account.appid}. Give each its own."
        )
    session.auth = auth
    mask_errors(session)
    known: Any = client
    known._provider = provider
    if not isinstance(client, mixin):
        known.__class__ = type(type(client).__name__, (mixin, type(client)), {"__module__": type(client).__module__})


def moved(url: str, provider: TokenProvider) -> str:
    """Move a URL from WeChat's own hosts, which the SDK knows, to the account's ``base_url``."""
    parts = urlsplit(url)
    if parts.hostname not in _WECHAT:
        return url
    return f"{provider.account.base_url}{parts._replace(scheme='', netloc='').geturl()}"


def check_url(url: str, provider: TokenProvider) -> None:
    """
    See that an SDK does not send where the account's calls do not go: a proxy that somebody has set there.

    Raises:
        ConfigurationError: It is neither WeChat's own URL nor the account's.
    """
    base, host = provider.account.base_url, urlsplit(url).hostname
    if host in _WECHAT or f"{url}/".startswith(f"{base}/"):
        return
    raise ConfigurationError(
        f"The client's API_BASE_URL leads to {host}, and calls go to the account's base_url, at "
        f"{provider.account.host}. Give the account that URL instead: Account(…, base_url=…), without /cgi-bin."
    )


def unsigned(params: Any) -> Any:
    """Take the token out of parameters: the session's auth puts in the one that is good then."""
    if params is None:
        return []
    if isinstance(params, str):
        return without_token(params)
    pairs = params.items() if hasattr(params, "items") else params
    return [(name, value) for name, value in pairs if name != "access_token"]
