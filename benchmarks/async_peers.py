"""
Who has an async face: the same work as in `peers`, in tasks of one event loop.

Tokens come over HTTP. A call is a coroutine function that the benchmark gives, which takes the token: ten thousand
connections would measure the connections. google-auth's async credentials are in a module with an underscore; there is
no other of its that fetches a token in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx

from wxmiddleware import Account, Runtime, TokenProvider, with_token
from wxmiddleware.sources import ClassicToken

from .peers import RETRYABLE, TIMEOUT, Refused, is_installed
from .peers import Ours as SyncOurs


class Call(Protocol):
    """What is done with a token."""

    def __call__(self, access_token: str) -> Coroutine[Any, Any, dict[str, Any]]: ...


class AsyncPeer(Protocol):
    """
    A keeper of one token, for tasks.

    Attributes:
        name: What the tables call it.
        window: Seconds before the end of a token's life at which it is sure to renew it.
    """

    name: str
    window: float

    def __init__(self, appid: str, secret: str, url: str, call: Call, /) -> None: ...

    async def token(self) -> str:
        """Get a token."""

    async def call(self) -> dict[str, Any]:
        """Make the call, and give WeChat's answer as a user of the library would see it."""


class Endpoint:
    """WeChat's classic endpoint."""

    def __init__(self, appid: str, secret: str, url: str) -> None:
        self._url = f"{url}/cgi-bin/token"
        self._query = {"grant_type": "client_credential", "appid": appid, "secret": secret}

    async def fetch(self) -> tuple[str, int]:
        async with httpx.AsyncClient(timeout=TIMEOUT, verify=False) as client:
            answer = (await client.get(self._url, params=self._query)).raise_for_status().json()
        if "access_token" not in answer:
            raise Refused(answer["errcode"])
        return answer["access_token"], answer["expires_in"]


class Ours:
    name, window = SyncOurs.name, SyncOurs.window

    def __init__(self, appid: str, secret: str, url: str, call: Call) -> None:
        account = Account(appid, secret, base_url=url)
        provider = TokenProvider(account, source=ClassicToken(), runtime=Runtime(clock=time.time, time=time.time))
        self.token = provider.aget_token
        self.call = with_token(provider)(call)


class _Blind:
    """Does not look at what WeChat answers."""

    _call: Call

    async def token(self) -> str:
        raise NotImplementedError

    async def call(self) -> dict[str, Any]:
        return await self._call(await self.token())


class GoogleAuth(_Blind):
    name, window = "google-auth", 100.0

    def __init__(self, appid: str, secret: str, url: str, call: Call) -> None:
        from google.auth._credentials_async import Credentials

        class WeChatCredentials(Credentials):  # type: ignore[misc]  # it is not typed
            async def refresh(self, request: Any) -> None:
                self.token, seconds = await endpoint.fetch()
                self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)

        endpoint = Endpoint(appid, secret, url)
        self._credentials, self._call = WeChatCredentials(), call

    async def token(self) -> str:
        await self._credentials.before_request(None, "GET", "", {})
        token: str = self._credentials.token
        return token


class Authlib(_Blind):
    name, window = "authlib", 30.0

    def __init__(self, appid: str, secret: str, url: str, call: Call) -> None:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        class WeChatClient(AsyncOAuth2Client):  # type: ignore[misc]  # it is not typed
            async def fetch_token(self, url: str | None = None, **_: Any) -> Any:
                token, seconds = await endpoint.fetch()
                self.token: dict[str, Any] = {
                    "access_token": token,
                    "expires_at": int(time.time()) + seconds,
                    "token_type": "bearer",
                }
                return self.token

        endpoint = Endpoint(appid, secret, url)
        self._client, self._call = WeChatClient(grant_type="client_credentials"), call

    async def token(self) -> str:
        if not self._client.token:
            await self._client.fetch_token()
        await self._client.ensure_active_token(self._client.token)
        token: str = self._client.token["access_token"]
        return token


class Dict:
    """The cache of the tutorials, which forgets a rejected token."""

    name, window = "dict cache", 30.0

    def __init__(self, appid: str, secret: str, url: str, call: Call) -> None:
        self._endpoint, self._call = Endpoint(appid, secret, url), call
        self._cache: dict[str, Any] = {}

    async def token(self) -> str:
        if time.time() >= self._cache.get("end", 0):
            token, seconds = await self._endpoint.fetch()
            self._cache.update(token=token, end=time.time() + seconds - 60)
        return str(self._cache["token"])

    async def call(self) -> dict[str, Any]:
        answer = await self._call(await self.token())
        if answer["errcode"] in RETRYABLE:
            self._cache["end"] = 0
            answer = await self._call(await self.token())
        return answer


class LockedDict(Dict):
    """The same by somebody who has thought of tasks."""

    name = "dict cache, lock"

    def __init__(self, appid: str, secret: str, url: str, call: Call) -> None:
        super().__init__(appid, secret, url, call)
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        async with self._lock:
            return await super().token()


ASYNC_PEERS: tuple[type[AsyncPeer], ...] = tuple(
    peer for peer in (Ours, GoogleAuth, Authlib, LockedDict, Dict) if is_installed(peer.name)
)
