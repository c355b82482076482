"""The real wechatpy, with its tokens from a provider."""

from __future__ import annotations

import io
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from support.leaks import everything_logged, shown
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from wxmiddleware import Account, ClassicToken, ConfigurationError, TokenProvider
from wxmiddleware.contrib.wechatpy import with_provider
from wxmiddleware.simulator import SimulatorServer, WeChat


@pytest.fixture
def provider(wechat_account: Account) -> TokenProvider:
    """Of classic tokens, as wechatpy fetches them: each kills the one before."""
    return TokenProvider(wechat_account, source=ClassicToken())


@pytest.fixture
def client(wechat: WeChat, provider: TokenProvider) -> WeChatClient:
    return with_provider(WeChatClient(wechat.appid, wechat.secret), provider)


def calls(client: WeChatClient, threads: int, each: int) -> int:
    """Call from so many threads, and count what succeeds."""

    def work(_: int) -> int:
        return sum(client.user.get("oFollower")["openid"] == "oFollower" for _ in range(each))

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, one) for one in range(threads)]
        return sum(one.result() for one in futures if one.exception() is None)


def test_revoked_token(client: WeChatClient, provider: TokenProvider, wechat: WeChat) -> None:
    """32 threads with a token that was just revoked make one fetch, and all of their 160 calls succeed."""
    provider.get_token()
    wechat.revoke()

    assert 160 == calls(client, 32, 5)
    assert 2 == wechat.fetches()


def test_without_the_adapter(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """Left to itself, wechatpy spends the quota on one call that is rejected for ever: what the adapter is for."""

    class Local(WeChatClient):  # type: ignore[misc]
        API_BASE_URL = f"{wechat_server.url}/cgi-bin/"

        def fetch_access_token(self) -> Any:
            params = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
            return self._fetch_access_token(f"{wechat_server.url}/cgi-bin/token", params)

    wechat.daily_quota = 40
    wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=40001)
    with pytest.raises(WeChatClientException) as caught:
        Local(wechat.appid, wechat.secret).user.get("oFollower")

    assert 45009 == caught.value.errcode
    assert 41 == wechat.fetches()


def test_refused_again(client: WeChatClient, wechat: WeChat) -> None:
    """A call that is rejected twice raises WeChat's error, and ends there."""
    wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=40001)
    with pytest.raises(WeChatClientException) as caught:
        client.user.get("oFollower")

    assert 40001 == caught.value.errcode
    assert (2, 2) == (wechat.calls("/cgi-bin/user/info"), wechat.fetches())


def test_upload_and_download(client: WeChatClient, provider: TokenProvider, wechat: WeChat) -> None:
    """A file that is rejected at first arrives whole, and so does one that comes back."""
    provider.get_token()
    wechat.revoke()
    file = io.BytesIO(b"\xff\xd8" * 1000)
    media = client.media.upload("image", ("a.jpg", file))
    saved = client.media.download(media["media_id"])

    assert b"\xff\xd8" * 1000 == saved.content
    assert 1 == wechat.rejections()


def test_calls_with_parameters_of_any_kind(client: WeChatClient, wechat: WeChat) -> None:
    """A token that an API of wechatpy's puts in its parameters itself gives way to the good one; others stay."""
    seen: list[str] = []
    client._http.hooks["response"].append(lambda answer, **_: seen.append(answer.request.url))
    for params in ({"access_token": "old", "b": [1, 2], "c": None}, "access_token=old&kf_account=a%40b", None):
        client.get("user/get", params=params)

    assert ["?b=1&b=2", "?kf_account=a%40b", ""] == [url.partition("user/get")[2] for url in seen]
    assert wechat.calls("/cgi-bin/user/get") == 3
    assert 0 == wechat.rejections()


def test_other_apis(client: WeChatClient, wechat: WeChat) -> None:
    """Full URLs of WeChat's API go to the account's base_url, too, and so do the APIs beside ``cgi-bin``."""
    client.get("https://api.weixin.qq.com/cgi-bin/user/get")
    client.wxa.get_wxa_code_unlimited("a=1")

    assert 1 == wechat.calls("/wxa/getwxacodeunlimit")
    assert 1 == wechat.calls("/cgi-bin/user/get")


def test_tickets_stay_in_the_clients_session(client: WeChatClient, wechat: WeChat) -> None:
    """What else wechatpy keeps, it keeps as before."""
    ticket = client.jsapi.get_jsapi_ticket()

    assert ticket == wechat.current_ticket()
    assert ticket == client.session.get(f"{wechat.appid}_jsapi_ticket")


def test_it_is_the_same_client(wechat: WeChat, provider: TokenProvider) -> None:
    """A subclass of the user's keeps its own, and taking the provider twice changes nothing."""

    class Mine(WeChatClient):  # type: ignore[misc]
        def hello(self) -> str:
            return "hello"

    client = Mine(wechat.appid, wechat.secret, timeout=3)
    adopted = with_provider(with_provider(client, provider), provider)

    assert adopted is client
    assert isinstance(client, Mine)
    assert ("hello", 3, False) == (client.hello(), client.timeout, client.auto_retry)
    assert provider.get_token() == client.access_token == client.fetch_access_token()["access_token"]
    assert 1 == wechat.fetches()


@pytest.mark.parametrize("wrong", [None, "client", requests.Session()])
def test_no_client(provider: TokenProvider, wrong: Any) -> None:
    """What is no wechatpy client is refused."""
    with pytest.raises(ConfigurationError, match="BaseWeChatClient"):
        with_provider(wrong, provider)


def test_client_of_another_account(provider: TokenProvider) -> None:
    """A client does not get the tokens of another account."""
    with pytest.raises(ConfigurationError, match="wxother"):
        with_provider(WeChatClient("wxother", "secret"), provider)


def test_secrets(wechat: WeChat, wechat_account: Account, provider: TokenProvider) -> None:
    """Neither WeChat's errors nor the network's show a token."""
    with everything_logged() as logged:
        client = with_provider(WeChatClient(wechat.appid, wechat.secret), provider)
        token = provider.get_token()
        with pytest.raises(WeChatClientException) as answered:
            client.user.get("!")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            client._http.auth = type(client._http.auth)(provider, hosts=[f"127.0.0.1:{closed.getsockname()[1]}"])
            with pytest.raises(requests.ConnectionError) as lost:
                client.get(f"http://127.0.0.1:{closed.getsockname()[1]}/cgi-bin/user/get")
        wechat.faults.add("/cgi-bin/user/*", "status", status=500)
        with pytest.raises(WeChatClientException) as broken:
            client.user.get("oFollower")
    everything = "".join(shown(one.value) for one in (answered, lost, broken)) + logged.getvalue()

    assert "access_token=***" in everything
    assert [] == [one[:4] for one in (token, wechat.secret) if one in everything]


class TestApiBaseUrl:
    """A proxy that was set on the client is used or refused, and never passed by."""

    @pytest.mark.parametrize("where", ["class", "instance"])
    @pytest.mark.parametrize("url", ["https://proxy.internal/cgi-bin/", "http://127.0.0.1:1/", "/cgi-bin/", ""])
    def test_refused(self, where: str, url: str, wechat: WeChat, provider: TokenProvider) -> None:
        """Another host than the account's is refused at construction, with what to do."""

        class Mine(WeChatClient):  # type: ignore[misc]
            API_BASE_URL = url if where == "class" else WeChatClient.API_BASE_URL

        client = Mine(wechat.appid, wechat.secret)
        if where == "instance":
            client.API_BASE_URL = url
        with pytest.raises(ConfigurationError, match="base_url"):
            with_provider(client, provider)

    def test_used(self, wechat: WeChat, wechat_server: SimulatorServer, provider: TokenProvider) -> None:
        """The account's own is used, for the parts of wechatpy that name WeChat's host, too."""

        class Mine(WeChatClient):  # type: ignore[misc]
            API_BASE_URL = f"{wechat_server.url}/cgi-bin/"

        client = with_provider(Mine(wechat.appid, wechat.secret), provider)

        assert "oFollower" == client.user.get("oFollower")["openid"]

    def test_set_later(self, client: WeChatClient) -> None:
        """So is one that is set when the client has its provider already."""
        client.API_BASE_URL = "https://proxy.internal/cgi-bin/"
        with pytest.raises(ConfigurationError, match="base_url"):
            client.user.get("oFollower")
