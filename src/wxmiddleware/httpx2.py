"""
The access token for httpx2: an ``auth`` for ``Client`` and ``AsyncClient`` that heals refused calls.

::

    client = httpx2.Client(auth=WeChatAuth(provider), base_url="https://api.weixin.qq.com")
    client.get("/cgi-bin/user/info", params={"openid": "oABC"})
"""

from __future__ import annotations

from ._auth import TokenAuth
from ._httpx import TokenFlow

try:
    import httpx2
except ImportError as exc:
    raise ImportError("This needs the httpx2 package: pip install 'wxmiddleware[httpx2]'", name=exc.name) from None

__all__ = ["WeChatAuth"]


class WeChatAuth(TokenFlow, httpx2.Auth):
    __doc__ = TokenAuth.__doc__
    _error = httpx2.RemoteProtocolError
