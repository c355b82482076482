"""
Other people's webhooks, as they are on PyPI, accept what the pusher pushes, and their replies are read.

Webhooks written by hand are in ``test_push.py``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from simulator.webhooks import AES_KEY, TOKEN
from wxmiddleware.simulator import Pusher, WeChat, WSGITransport

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

wechatpy = pytest.importorskip("wechatpy")
werobot = pytest.importorskip("werobot")

Make = Callable[..., Pusher]
MODES = ["plain", "compatible", "safe"]
CORPID = "ww0123456789abcdef"


class Wechatpy:
    """A webhook after wechatpy's guide."""

    def __init__(self, appid: str, mode: str) -> None:
        from wechatpy.crypto import WeChatCrypto

        self.crypto = None if mode == "plain" else WeChatCrypto(TOKEN, AES_KEY, appid)
        self.messages: list[Any] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return Request.application(self.answer)(environ, start_response)

    def answer(self, request: Request) -> Response:
        from wechatpy import create_reply, parse_message
        from wechatpy.exceptions import InvalidSignatureException
        from wechatpy.utils import check_signature

        args = request.args
        try:
            check_signature(TOKEN, args["signature"], args["timestamp"], args["nonce"])
            if request.method == "GET":
                return Response(args["echostr"])
            body = request.get_data(as_text=True)
            if self.crypto is not None:
                body = self.crypto.decrypt_message(body, args["msg_signature"], args["timestamp"], args["nonce"])
        except InvalidSignatureException:
            return Response(status=403)
        message = parse_message(body)
        self.messages.append(message)
        reply = create_reply(f"{message.type}: {getattr(message, 'content', '')}", message).render()
        if self.crypto is not None:
            reply = self.crypto.encrypt_message(reply, args["nonce"], args["timestamp"])
        return Response(reply, content_type="application/xml")


class WechatpyForWeCom:
    """A webhook after wechatpy's guide for WeCom."""

    def __init__(self) -> None:
        from wechatpy.enterprise.crypto import WeChatCrypto

        self.crypto = WeChatCrypto(TOKEN, AES_KEY, CORPID)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return Request.application(self.answer)(environ, start_response)

    def answer(self, request: Request) -> Response:
        from wechatpy.enterprise import create_reply, parse_message

        args = request.args
        stamps = (args["msg_signature"], args["timestamp"], args["nonce"])
        if request.method == "GET":
            return Response(self.crypto.check_signature(*stamps, args["echostr"]))
        message = parse_message(self.crypto.decrypt_message(request.get_data(as_text=True), *stamps))
        reply = create_reply(f"{message.agent}: {message.content}", message).render()
        return Response(self.crypto.encrypt_message(reply, args["nonce"], args["timestamp"]))


@pytest.mark.parametrize("mode", MODES)
class TestWechatpy:
    def test_verify(self, wechat: WeChat, wechat_pusher: Make, mode: str) -> None:
        """Its check of the signature takes ours and no forged one."""
        pusher = pushing(wechat_pusher, Wechatpy(wechat.appid, mode), mode)

        assert [[], []] == [pusher.verify().codes, pusher.verify(forged=True).codes]

    def test_text(self, wechat: WeChat, wechat_pusher: Make, mode: str) -> None:
        """It reads our text, and we its reply."""
        pusher = pushing(wechat_pusher, Wechatpy(wechat.appid, mode), mode)
        delivery = pusher.text("你好 & <xml> 😀")

        assert ([], "text: 你好 & <xml> 😀") == (delivery.codes, delivery.text)
        assert (mode != "plain") == delivery.encrypted
        assert [] == pusher.text("a", forged=True).codes

    def test_end_of_cdata(self, wechat: WeChat, wechat_pusher: Make, mode: str) -> None:
        """It reads the end of a CDATA section in our text, and does not write it: its reply is told to be no XML."""
        webhook = Wechatpy(wechat.appid, mode)
        delivery = pushing(wechat_pusher, webhook, mode).text("a]]>b")

        assert "a]]>b" == webhook.messages[0].content
        assert ["garbage"] == delivery.codes

    def test_event(self, wechat: WeChat, wechat_pusher: Make, mode: str) -> None:
        """It knows our events for what they are."""
        webhook = Wechatpy(wechat.appid, mode)
        delivery = pushing(wechat_pusher, webhook, mode).event("subscribe", EventKey="qrscene_42", Ticket="t")

        assert [] == delivery.codes
        assert ("subscribe_scan", "42") == (webhook.messages[0].event, webhook.messages[0].scene_id)


def test_wechatpy_for_wecom(wechat_pusher: Make) -> None:
    """Its crypto for WeCom decrypts our echostr and message."""
    pusher = pushing(wechat_pusher, WechatpyForWeCom(), "safe", profile="wecom", receiver=CORPID)
    delivery = pusher.text("hello")

    assert pusher.verify().ok
    assert ([], "1000002: hello") == (delivery.codes, delivery.text)


@pytest.mark.parametrize("mode", MODES)
def test_werobot(wechat: WeChat, wechat_pusher: Make, mode: str) -> None:
    """WeRoBot's own app takes verification, text and event in every mode, and refuses what is forged."""
    config = {} if mode == "plain" else {"ENCODING_AES_KEY": AES_KEY, "APP_ID": wechat.appid}
    robot = werobot.WeRoBot(token=TOKEN, SESSION_STORAGE=False)
    robot.config.update(config)
    robot.text(lambda message: f"robot: {message.content}")
    robot.subscribe(lambda message: f"welcome {message.source}")
    pusher = pushing(wechat_pusher, robot.wsgi, mode, url="http://service.test/")
    text, event = pusher.text("你好 😀"), pusher.event("subscribe", openid="oNew")

    assert pusher.verify().ok
    assert ([], "robot: 你好 😀") == (text.codes, text.text)
    assert ([], "welcome oNew") == (event.codes, event.text)
    assert [[], []] == [pusher.verify(forged=True).codes, pusher.text("a", forged=True).codes]


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1))
def test_any_text(text: str) -> None:
    """Any text that XML can hold arrives at wechatpy as it was written, in safe mode."""
    wechat = WeChat(appid="wx0123456789abcdef")
    webhook = Wechatpy(wechat.appid, "safe")
    Pusher(wechat, WSGITransport(webhook), token=TOKEN, aes_key=AES_KEY).text(f"<{text}>")

    assert f"<{text}>" == webhook.messages[0].content


def test_werobot_reads_back(wechat: WeChat) -> None:
    """WeRoBot's crypto reads our ciphertext and we its."""
    from werobot.crypto import PrpCrypto

    from wxmiddleware.simulator._seal import Seal

    theirs, ours = PrpCrypto(base64.b64decode(AES_KEY + "=")), Seal(AES_KEY, wechat.appid)

    for text in ("", "a", "你好" * 40):
        assert text.encode() == theirs.decrypt(ours.encrypt(text.encode()), wechat.appid)
        assert text.encode() == ours.decrypt(theirs.encrypt(text, wechat.appid).decode())


def pushing(make: Make, app: Any, mode: str, **options: Any) -> Pusher:
    key = None if mode == "plain" else AES_KEY
    return make(WSGITransport(app), token=TOKEN, aes_key=key, mode=mode, **options)
