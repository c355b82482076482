"""The Flask example against the simulator. Its twin is ../starlette_app/test_app.py."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from wxmiddleware import Account
from wxmiddleware.simulator import WeChat

TOKEN = "AAAAA"
TEXT = (
    "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oAda]]></FromUserName>"
    "<CreateTime>1348831860</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    "<Content><![CDATA[1 < 2 & [[3]] ]]]]><![CDATA[>]]></Content><MsgId>1234567890123456</MsgId></xml>"
)


def signed(nonce: str = "486452656", **more: str) -> str:
    """The URL of a push as WeChat signs it."""
    words = {"timestamp": f"{time.time():.0f}", "nonce": nonce}
    signature = hashlib.sha1("".join(sorted([TOKEN, *words.values()])).encode()).hexdigest()
    return "/wechat?" + urlencode({"signature": signature, **words, **more})


@pytest.fixture
def webhook_token() -> str:
    return TOKEN


@pytest.fixture
def module(wechat_account: Account, webhook_token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat_account.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    monkeypatch.setenv("WECHAT_TOKEN", webhook_token)
    spec = importlib.util.spec_from_file_location("flask_example", Path(__file__).with_name("app.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.provider.close()


@pytest.fixture
def client(module: Any) -> FlaskClient:
    client: FlaskClient = module.app.test_client()
    return client


def test_verifies_the_url(client: FlaskClient) -> None:
    """WeChat gets its echostr back."""
    answer = client.get(signed(echostr="4375120948345356249"))

    assert (answer.status_code, answer.text) == (200, "4375120948345356249")


@pytest.mark.parametrize(
    "url",
    ["/wechat?echostr=1", signed().replace("nonce=4", "nonce=5"), "/wechat?signature=%C3%A9"],
    ids=["unsigned", "changed", "no ASCII"],
)
def test_refuses_a_wrong_signature(client: FlaskClient, url: str) -> None:
    """Whoever does not know the token is sent away."""
    assert [client.get(url).status_code, client.post(url, data=TEXT).status_code] == [403, 403]


@pytest.mark.parametrize("webhook_token", [""])
def test_refuses_everything_without_a_webhook_token(client: FlaskClient) -> None:
    """An empty token is no token: a signature made with it is refused."""
    now = f"{time.time():.0f}"
    signature = hashlib.sha1("".join(sorted([now, "2"])).encode()).hexdigest()
    url = f"/wechat?signature={signature}&timestamp={now}&nonce=2&echostr=3"

    assert client.get(url).status_code == 403


def test_answers_a_text(client: FlaskClient) -> None:
    """The answer goes back to the sender, in their language, with the text unharmed."""
    answer = client.post(signed(), data=TEXT)

    assert "<ToUserName><![CDATA[oAda]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>" in answer.text
    assert _content(answer.text) == "收到: 1 < 2 & [[3]] ]]>"


def test_answers_a_repeat_alike(client: FlaskClient, wechat: WeChat) -> None:
    """What WeChat repeats is answered as before, without another call to its APIs."""
    answers = [client.post(signed(nonce), data=TEXT).text for nonce in "123"]

    assert len(set(answers)) == 1
    assert wechat.calls("/cgi-bin/user/info") == 1


def test_takes_note_of_other_messages(client: FlaskClient, wechat: WeChat) -> None:
    """An event is answered with success, without a call to WeChat's APIs."""
    answer = client.post(signed(), data=TEXT.replace("[text]", "[event]"))

    assert (answer.text, wechat.calls()) == ("success", 0)


@pytest.mark.parametrize(
    "body", ["{}", "<xml><a>", '<!DOCTYPE x [<!ENTITY a "b">]><xml><a>&a;</a></xml>', b"\xff\xfe<"]
)
def test_refuses_what_is_no_message(client: FlaskClient, body: str) -> None:
    """A body that is no plain XML message, or that brings a DTD, is refused."""
    assert client.post(signed(), data=body).status_code == 403


def test_sends_a_message(client: FlaskClient, wechat: WeChat) -> None:
    """The follower gets the text in plain UTF-8."""
    wechat.reject_unicode_escapes = True

    answer = client.post("/notify/oAda", json={"text": "你好"})

    assert answer.status_code == 200
    assert [(sent.touser, sent.body["text"]) for sent in wechat.sent] == [("oAda", {"content": "你好"})]


def test_heals_a_stolen_token(client: FlaskClient, wechat: WeChat) -> None:
    """When another service takes the token away, nobody notices."""
    client.post("/notify/oAda", json={"text": "before"})
    wechat.steal()

    answer = client.post("/notify/oAda", json={"text": "after"})

    assert answer.status_code == 200
    assert [sent.body["text"]["content"] for sent in wechat.sent] == ["before", "after"]
    assert wechat.refusals() == 1


def test_passes_on_what_wechat_says(client: FlaskClient) -> None:
    """An error that no token cures is shown as it is."""
    answer = client.post("/notify/nobody", json={"text": "hello"})

    assert (answer.status_code, answer.get_json()["errcode"]) == (502, 40003)


def test_says_that_there_is_no_token(client: FlaskClient, wechat: WeChat) -> None:
    """While WeChat gives no token, the answer is 503, and says nothing of the account."""
    wechat.faults.add("/cgi-bin/stable_token", "status", None, status=502)

    answer = client.post("/notify/oAda", json={"text": "hello"})

    assert answer.status_code == 503
    assert wechat.appid not in answer.text


@pytest.mark.parametrize("body", [{}, [], "hello"])
def test_wants_a_text(client: FlaskClient, body: object) -> None:
    """A JSON body without a text is a bad request."""
    assert client.post("/notify/oAda", json=body).status_code == 400


PAGE = "https://example.com/page?x=1"


def test_page(client: FlaskClient) -> None:
    """The page asks for its signature, and hands it to the JS-SDK."""
    text = client.get("/page").text

    assert "fetch('/js-config'" in text
    assert "wx.config({...config" in text


def test_signs_the_page(client: FlaskClient, wechat: WeChat) -> None:
    """WeChat's browser accepts what the page got."""
    config = client.post("/js-config", json={"url": PAGE, "refused": None}).get_json()

    assert wechat.wx_config(PAGE, config) == "config:ok"


def test_signs_again(client: FlaskClient, wechat: WeChat) -> None:
    """When WeChat has refused it, the next one is signed with another ticket."""
    refused = client.post("/js-config", json={"url": PAGE}).get_json()
    wechat.void_tickets()
    config = client.post("/js-config", json={"url": PAGE, "refused": refused}).get_json()

    assert wechat.wx_config(PAGE, refused) == "config:invalid signature"
    assert wechat.wx_config(PAGE, config) == "config:ok"


def test_signs_again_with_the_same(client: FlaskClient, wechat: WeChat) -> None:
    """A browser that refuses what WeChat stands by gets it signed all the same: mostly the URL was wrong."""
    config = client.post("/js-config", json={"url": PAGE}).get_json()
    for _ in range(3):
        config = client.post("/js-config", json={"url": PAGE, "refused": config}).get_json()

    assert wechat.wx_config(PAGE, config) == "config:ok"


@pytest.mark.parametrize("body", [{}, [], "hello", {"url": "/page"}, {"url": 1, "refused": 1}])
def test_wants_a_page(client: FlaskClient, body: object) -> None:
    """A JSON body without the page's URL is a bad request."""
    assert client.post("/js-config", json=body).status_code == 400


def _content(xml: str) -> str | None:
    from xml.etree import ElementTree as ET

    return ET.fromstring(xml).findtext("Content")
