"""What holds for both example apps. Each app's test_app.py runs it with a client of its own, and adds the rest."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

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


class AppChecks:
    """The checks. They need the fixture `client`, a client of the app in the manner of httpx."""

    def test_verifies_the_url(self, client: Any) -> None:
        """WeChat gets its echostr back."""
        answer = client.get(signed(echostr="4375120948345356249"))

        assert (answer.status_code, answer.text) == (200, "4375120948345356249")

    @pytest.mark.parametrize(
        "url",
        ["/wechat?echostr=1", signed().replace("nonce=4", "nonce=5"), "/wechat?signature=%C3%A9"],
        ids=["unsigned", "changed", "no ASCII"],
    )
    def test_refuses_a_wrong_signature(self, client: Any, url: str) -> None:
        """Whoever does not know the token is sent away."""
        assert [client.get(url).status_code, client.post(url, content=TEXT).status_code] == [403, 403]

    @pytest.mark.parametrize("webhook_token", [""])
    def test_refuses_everything_without_a_webhook_token(self, client: Any) -> None:
        """An empty token is no token: a signature made with it is refused."""
        now = f"{time.time():.0f}"
        signature = hashlib.sha1("".join(sorted([now, "2"])).encode()).hexdigest()
        url = f"/wechat?signature={signature}&timestamp={now}&nonce=2&echostr=3"

        assert client.get(url).status_code == 403

    def test_answers_a_text(self, client: Any) -> None:
        """The answer goes back to the sender, in their language, with the text unharmed."""
        answer = client.post(signed(), content=TEXT)

        assert "<ToUserName><![CDATA[oAda]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>" in answer.text
        assert _content(answer.text) == "收到: 1 < 2 & [[3]] ]]>"

    def test_answers_a_repeat_alike(self, client: Any, wechat: WeChat) -> None:
        """What WeChat repeats is answered as before, without another call to its APIs."""
        answers = [client.post(signed(nonce), content=TEXT).text for nonce in "123"]

        assert len(set(answers)) == 1
        assert wechat.calls("/cgi-bin/user/info") == 1

    def test_takes_note_of_other_messages(self, client: Any, wechat: WeChat) -> None:
        """An event is answered with success, without a call to WeChat's APIs."""
        answer = client.post(signed(), content=TEXT.replace("[text]", "[event]"))

        assert (answer.text, wechat.calls()) == ("success", 0)

    @pytest.mark.parametrize(
        "body", ["{}", "<xml><a>", '<!DOCTYPE x [<!ENTITY a "b">]><xml><a>&a;</a></xml>', b"\xff\xfe<"]
    )
    def test_refuses_what_is_no_message(self, client: Any, body: str) -> None:
        """A body that is no plain XML message, or that brings a DTD, is refused."""
        assert client.post(signed(), content=body).status_code == 403

    def test_sends_a_message(self, client: Any, wechat: WeChat) -> None:
        """The follower gets the text in plain UTF-8."""
        wechat.reject_unicode_escapes = True

        answer = client.post("/notify/oAda", json={"text": "你好"})

        assert answer.status_code == 200
        assert [(sent.touser, sent.body["text"]) for sent in wechat.sent] == [("oAda", {"content": "你好"})]

    def test_heals_a_stolen_token(self, client: Any, wechat: WeChat) -> None:
        """When another service takes the token away, nobody notices."""
        client.post("/notify/oAda", json={"text": "before"})
        wechat.steal()

        answer = client.post("/notify/oAda", json={"text": "after"})

        assert answer.status_code == 200
        assert [sent.body["text"]["content"] for sent in wechat.sent] == ["before", "after"]
        assert wechat.rejections() == 1

    def test_passes_on_what_wechat_says(self, client: Any) -> None:
        """An error that no token cures is shown as it is."""
        answer = client.post("/notify/nobody", json={"text": "hello"})

        assert (answer.status_code, answer.json()["errcode"]) == (502, 40003)

    def test_says_that_there_is_no_token(self, client: Any, wechat: WeChat) -> None:
        """While WeChat gives no token, the answer is 503, and says nothing of the account."""
        wechat.faults.add("/cgi-bin/stable_token", "status", None, status=502)

        answer = client.post("/notify/oAda", json={"text": "hello"})

        assert answer.status_code == 503
        assert wechat.appid not in answer.text

    @pytest.mark.parametrize("body", [{}, [], "hello"])
    def test_wants_a_text(self, client: Any, body: object) -> None:
        """A JSON body without a text is a bad request."""
        assert client.post("/notify/oAda", json=body).status_code == 400


def _content(xml: str) -> str | None:
    return ET.fromstring(xml).findtext("Content")
