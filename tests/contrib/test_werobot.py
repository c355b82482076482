"""The real WeRoBot, with its tokens from a provider."""

from __future__ import annotations

import io
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import werobot
from support.leaks import everything_logged, shown
from werobot.client import Client, ClientException

from wxmiddleware import Account, ClassicToken, ConfigurationError, TokenProvider
from wxmiddleware.contrib import werobot as contrib
from wxmiddleware.contrib.werobot import with_provider
from wxmiddleware.simulator import WeChat


@pytest.fixture
def provider(wechat_account: Account) -> TokenProvider:
    """Of classic tokens, as WeRoBot fetches them."""
    return TokenProvider(wechat_account, source=ClassicToken())


@pytest.fixture
def client(wechat: WeChat, provider: TokenProvider) -> Client:
    robot = werobot.WeRoBot(token="token")
    robot.config["APP_ID"] = wechat.appid
    robot.config["APP_SECRET"] = wechat.secret
    client = with_provider(robot.client, provider)
    assert client is robot.client
    return client


def test_revoked_token(client: Client, provider: TokenProvider, wechat: WeChat) -> None:
    """32 threads with a token that was just revoked make one fetch, and all of their 160 calls succeed."""
    provider.get_token()
    wechat.revoke()
    with ThreadPoolExecutor(32) as pool:
        users = list(pool.map(lambda _: client.get_user_info("oFollower")["openid"], range(160)))

    assert ["oFollower"] * 160 == users
    assert 2 == wechat.fetches()


def test_refused_again(client: Client, wechat: WeChat) -> None:
    """A call that is rejected twice raises WeRoBot's error."""
    wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=40001)
    with pytest.raises(ClientException, match="40001"):
        client.get_user_info("oFollower")

    assert (2, 2) == (wechat.calls("/cgi-bin/user/info"), wechat.fetches())


def test_message(client: Client, wechat: WeChat) -> None:
    """A message arrives, in characters and not in escapes."""
    wechat.reject_unicode_escapes = True
    client.send_text_message("oFollower", "你好")

    assert {"content": "你好"} == wechat.sent[-1].body["text"]


def test_upload_and_download(client: Client, provider: TokenProvider, wechat: WeChat) -> None:
    """Files go there and come back whole, also through the methods that call requests by themselves."""
    file = io.BytesIO(b"\xff\xd8" * 1000)
    file.name = "图.jpg"
    provider.get_token()
    wechat.revoke()
    media = client.upload_media("image", file)
    saved = client.download_media(media["media_id"])

    assert b"\xff\xd8" * 1000 == saved.content
    assert 1 == wechat.rejections()


@pytest.mark.parametrize("method", ["video", "download"])
def test_methods_that_call_requests(client: Client, method: str) -> None:
    """They send what WeRoBot's own would, to the account's base_url (the simulator has no such path: 40066)."""
    sent: list[Any] = []
    client._http.hooks["response"].append(lambda answer, **_: sent.append(answer.request))
    if method == "video":
        answer = client.upload_permanent_video("题", "intro", io.BytesIO(b"video"))
        assert b'name="description"\r\n\r\n{"title": "\xe9\xa2\x98", "introduction": "intro"}' in sent[0].body
        assert b"video" in sent[0].body
    else:
        answer = client.download_permanent_media("m1")
        assert b'{"media_id": "m1"}' == sent[0].body

    assert 40066 == answer.json()["errcode"]


def test_nothing_is_fetched_beside_the_provider(client: Client, provider: TokenProvider, wechat: WeChat) -> None:
    """``token``, ``get_access_token`` and ``grant_token`` all tell the provider's."""
    told = {client.token, client.get_access_token(), client.grant_token()["access_token"]}

    assert {provider.get_token()} == told
    assert 1 == wechat.fetches()


def test_wrong_clients(provider: TokenProvider) -> None:
    """What is no client is refused, and so is the client of another account."""
    with pytest.raises(ConfigurationError, match="Client"):
        with_provider(werobot.WeRoBot(token="token"), provider)
    with pytest.raises(ConfigurationError, match="wxother"):
        with_provider(Client({"APP_ID": "wxother"}), provider)


def test_secrets(client: Client, wechat: WeChat, provider: TokenProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither WeChat's errors nor the network's show a token."""
    with everything_logged() as logged:
        token = client.token
        with pytest.raises(ClientException) as answered:
            client.get_user_info("!")
        wechat.faults.add("/cgi-bin/user/*", "status", status=500)
        with pytest.raises(requests.HTTPError) as broken:
            client.get_user_info("oFollower")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            client._http.auth = type(client._http.auth)(provider, hosts=[url])
            monkeypatch.setattr(contrib, "moved", lambda *_: url + "/cgi-bin/user/get")
            with pytest.raises(requests.ConnectionError) as lost:
                client.get_followers()
    everything = "".join(shown(one.value) for one in (answered, broken, lost)) + logged.getvalue()

    assert "access_token=***" in everything
    assert [] == [one[:4] for one in (token, wechat.secret) if one in everything]
