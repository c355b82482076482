"""
What else one could use, each put to the same work in as few lines as its own documentation asks for.

The work is one call to WeChat's ``user/info`` with a token of the classic endpoint. google-auth, authlib and botocore
know nothing of WeChat; they are taken for what they are good at anywhere, a token that is fetched again in time. A
rejected token is none of their work: they look for HTTP 401 (google-auth) or for nothing at all, and WeChat says 200.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter

from wxmiddleware import Account, Runtime, TokenProvider, with_token
from wxmiddleware.sources import ClassicToken, StableToken
from wxmiddleware.stores import TokenStore

RETRYABLE = (40001, 40014, 42001)
TIMEOUT = 30.0  # seconds


class Refused(Exception):
    """WeChat answered with an errcode."""


class Peer(Protocol):
    """
    A keeper of one token, in one process.

    Attributes:
        name: What the tables call it.
        heals: Whether a rejected token is its work at all.
        window: Seconds before the end of a token's life at which it is sure to renew it.
    """

    name: str
    heals: bool
    window: float

    def __init__(self, appid: str, secret: str, url: str, /) -> None: ...

    def token(self) -> str:
        """Get a token."""

    def call(self) -> None:
        """Ask WeChat about a user, and raise whatever the user of the library would see."""


class Endpoint:
    """WeChat's classic endpoint and one API, for those who bring no client of their own."""

    def __init__(self, appid: str, secret: str, url: str) -> None:
        self._query = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        self._url = url
        self._session = _session()

    def fetch(self) -> tuple[str, int]:
        answer = self._session.get(f"{self._url}/cgi-bin/token", params=self._query, timeout=TIMEOUT)
        answer.raise_for_status()
        result = answer.json()
        if "access_token" not in result:
            raise Refused(result["errcode"])
        return result["access_token"], result["expires_in"]

    def user_info(self, access_token: str) -> dict[str, Any]:
        query = {"access_token": access_token, "openid": "o1"}
        answer: dict[str, Any] = self._session.get(
            f"{self._url}/cgi-bin/user/info", params=query, timeout=TIMEOUT
        ).json()
        return answer


class Ours:
    name, heals, window = "wxmiddleware", True, 200.0

    def __init__(self, appid: str, secret: str, url: str, store: TokenStore | None = None, **options: Any) -> None:
        options.setdefault("source", ClassicToken())
        self.provider = TokenProvider(Account(appid, secret, base_url=url), store=store, **options)
        self.token: Callable[[], str] = self.provider.get_token
        self._user_info = with_token(self.provider)(Endpoint(appid, secret, url).user_info)

    def call(self) -> None:
        _check(self._user_info())


class OursStable(Ours):
    name, window = "wxmiddleware, stable_token", 100.0

    def __init__(self, appid: str, secret: str, url: str, **options: Any) -> None:
        super().__init__(appid, secret, url, source=StableToken(), **options)


class Wechatpy:
    name, heals, window = "wechatpy", True, 30.0

    def __init__(self, appid: str, secret: str, url: str, session: Any = None) -> None:
        from wechatpy import WeChatClient

        self._client = WeChatClient(appid, secret, session=session)
        # The endpoint's address is written into fetch_access_token(), so that is sent elsewhere further down.
        self._client._http.mount("https://api.weixin.qq.com", _Elsewhere(url))

    def token(self) -> str:
        token: str = self._client.access_token
        return token

    def call(self) -> None:
        self._client.user.get("o1")


class WeRoBot:
    name, heals, window = "WeRoBot", True, 30.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        from werobot.client import Client

        class Here(Client):  # type: ignore[misc]  # it is not typed
            def get(self, url: str, **kwargs: Any) -> Any:
                return super().get(url.replace("https://api.weixin.qq.com", self.config["URL"]), **kwargs)

        self._client = Here({"APP_ID": appid, "APP_SECRET": secret, "URL": url})

    def token(self) -> str:
        token: str = self._client.token
        return token

    def call(self) -> None:
        self._client.get_user_info("o1")


class GoogleAuth:
    name, heals, window = "google-auth", False, 100.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        from google.auth.credentials import Credentials

        class WeChatCredentials(Credentials):  # type: ignore[misc]  # it is not typed
            def refresh(self, request: Any) -> None:
                self.token, seconds = endpoint.fetch()
                self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)

        self._endpoint = endpoint = Endpoint(appid, secret, url)
        self._credentials = WeChatCredentials()

    def token(self) -> str:
        self._credentials.before_request(None, "GET", "", {})
        token: str = self._credentials.token
        return token

    def call(self) -> None:
        _check(self._endpoint.user_info(self.token()))


class Authlib:
    name, heals, window = "authlib", False, 30.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        from authlib.integrations.requests_client import OAuth2Session

        class WeChatSession(OAuth2Session):  # type: ignore[misc]  # it is not typed
            def fetch_token(self, url: str | None = None, **_: Any) -> Any:
                token, seconds = endpoint.fetch()
                self.token: dict[str, Any] = {
                    "access_token": token,
                    "expires_at": int(time.time()) + seconds,
                    "token_type": "bearer",
                }
                return self.token

        self._url = url
        endpoint = Endpoint(appid, secret, url)
        self._session = WeChatSession(token_placement="uri", grant_type="client_credentials")
        self._session.mount("http://", HTTPAdapter(pool_maxsize=64))

    def token(self) -> str:
        if not self._session.token:
            self._session.fetch_token()
        self._session.ensure_active_token()
        token: str = self._session.token["access_token"]
        return token

    def call(self) -> None:
        if not self._session.token:
            self._session.fetch_token()
        _check(self._session.get(f"{self._url}/cgi-bin/user/info", params={"openid": "o1"}, timeout=TIMEOUT).json())


class Botocore:
    name, heals, window = "botocore", False, 800.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        from botocore.credentials import DeferredRefreshableCredentials

        def metadata() -> dict[str, str]:
            token, seconds = endpoint.fetch()
            end = datetime.now(UTC) + timedelta(seconds=seconds)
            return {"access_key": "-", "secret_key": "-", "token": token, "expiry_time": end.isoformat()}

        self._endpoint = endpoint = Endpoint(appid, secret, url)
        self._credentials = DeferredRefreshableCredentials(metadata, "wechat")

    def token(self) -> str:
        token: str = self._credentials.get_frozen_credentials().token
        return token

    def call(self) -> None:
        _check(self._endpoint.user_info(self.token()))


class Dict:
    """The cache of the tutorials, which forgets a rejected token."""

    name, heals, window = "dict cache", True, 30.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        self._endpoint = Endpoint(appid, secret, url)
        self._cache: dict[str, Any] = {}

    def token(self) -> str:
        if time.time() >= self._cache.get("end", 0):
            token, seconds = self._endpoint.fetch()
            self._cache.update(token=token, end=time.time() + seconds - 60)
        return str(self._cache["token"])

    def call(self) -> None:
        answer = self._endpoint.user_info(self.token())
        if answer.get("errcode") in RETRYABLE:
            self._cache["end"] = 0
            answer = self._endpoint.user_info(self.token())
        _check(answer)


class LockedDict(Dict):
    """The same by somebody who has thought of threads."""

    name = "dict cache, lock"

    def __init__(self, appid: str, secret: str, url: str) -> None:
        super().__init__(appid, secret, url)
        self._lock = threading.Lock()

    def token(self) -> str:
        with self._lock:
            return super().token()


class Fixed:
    """No keeper at all: one token, fetched before. What the calls themselves cost."""

    name, heals, window = "(a fixed token)", False, 200.0

    def __init__(self, appid: str, secret: str, url: str) -> None:
        self._endpoint = Endpoint(appid, secret, url)
        self._token = ""

    def token(self) -> str:
        self._token = self._token or self._endpoint.fetch()[0]
        return self._token

    def call(self) -> None:
        _check(self._endpoint.user_info(self.token()))


PEERS: tuple[type[Peer], ...] = (Ours, Wechatpy, WeRoBot, GoogleAuth, Authlib, Botocore, LockedDict, Dict)
_PACKAGES = {"google-auth": "google-auth", "authlib": "Authlib", "botocore": "botocore"}
_PACKAGES |= {"wechatpy": "wechatpy", "WeRoBot": "WeRoBot"}


def is_installed(name: str) -> bool:
    """Whether a peer's package is there."""
    try:
        metadata.version(_PACKAGES.get(name, "wxmiddleware"))
    except metadata.PackageNotFoundError:
        return False
    return True


def installed() -> tuple[list[type[Peer]], list[str]]:
    """The peers that are there, and the names of those that are not."""
    there = [peer for peer in PEERS if is_installed(peer.name)]
    return there, [peer.name for peer in PEERS if peer not in there]


def living_in(clock: Callable[[], float], peer: type[Peer], appid: str, secret: str, url: str) -> Peer:
    """Make one whose time is that of `clock`. All but ours read `time.time`, whatever that says."""
    if issubclass(peer, Ours):
        return peer(appid, secret, url, runtime=Runtime(clock=clock, time=clock))
    return peer(appid, secret, url)


class _Elsewhere(HTTPAdapter):
    """Sends what is for WeChat to the simulator."""

    def __init__(self, url: str) -> None:
        super().__init__(pool_maxsize=64)
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace("https://api.weixin.qq.com", self._url)
        return super().send(request, *args, **kwargs)


def _session() -> requests.Session:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=64))
    return session


def _check(answer: dict[str, Any]) -> None:
    if answer.get("errcode"):
        raise Refused(answer["errcode"])
