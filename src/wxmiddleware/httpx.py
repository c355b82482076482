"""
The access token for httpx: an ``auth`` for ``Client`` and ``AsyncClient`` that heals rejected calls.

::

    client = httpx.Client(auth=WeChatAuth(provider), base_url="https://api.weixin.qq.com")
    client.get("/cgi-bin/user/info", params={"openid": "oABC"})
"""

from __future__ import annotations

from ._outbound.auth import TokenAuth
from ._outbound.httpx import TokenFlow
from ._runtime.needs import needs

with needs("httpx", extra="httpx"):
    import httpx

__all__ = ["WeChatAuth"]


class WeChatAuth(TokenFlow, httpx.Auth):
    __doc__ = TokenAuth.__doc__
    # Not a RequestError: to these the client adds the request, and that one's URL has the token.
    _error = httpx.HTTPError
