"""No page, no JSON and no log has a token, a secret, a ticket or an openid in it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.leaks import everything_logged

from wxmiddleware import Account, TokenProvider, TokenRefused
from wxmiddleware._runtime.language import Language
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.platform import Platform
from wxmiddleware.pool import ProviderPool
from wxmiddleware.simulator import Pusher, SimulatedClock, SimulatorServer, WeChat, WSGITransport
from wxmiddleware.status import StatusPage
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.webhook import Message
from wxmiddleware.webhook.flask import webhook

TICKET, OPENID, CALLBACK = "ticket@@@a-very-secret-ticket", "oAdaLovelace0123456789abcdef", "token-of-the-callback"


@pytest.fixture
def wechat_clock() -> SimulatedClock:
    """The webhook looks at the time."""
    return SimulatedClock(int(time.time()))


def test_nothing_secret(
    wechat: WeChat, wechat_account: Account, wechat_server: SimulatorServer, tmp_path: Path
) -> None:
    from flask import Flask

    store, url = JSONFileStore(tmp_path / "tokens.json"), wechat_server.url
    wechat.add_account("wx0000000000000001", "1" * 32)
    theirs = wechat.add_platform("wxfedcba9876543210", "secret-of-the-platform")
    secrets = [wechat.secret, theirs.secret, TICKET, OPENID, CALLBACK, wrong := "f" * 32]
    app = Flask(__name__)

    @app.route("/wechat", methods=["GET", "POST"])
    @webhook(token=CALLBACK)
    def hello(message: Message) -> str:
        return "hello"

    with everything_logged() as log, TokenProvider(wechat_account, store=store) as provider:
        platform = Platform(Account(theirs.appid, theirs.secret, base_url=url), store=store)
        pool = ProviderPool(lambda appid: TokenProvider(Account(appid, wrong, base_url=url), store=store))
        jssdk = JSSDK(provider)
        page = StatusPage(provider, platform, pool, jssdk.tickets)
        jssdk.signature("https://shop.example/")
        secrets += [jssdk.tickets.get_token(), provider.get_token()]
        wechat.revoke()
        secrets.append(provider.get_token(rejected=secrets[-1]))
        platform.remember_ticket(TICKET)
        with pytest.raises(TokenRefused):
            pool.get("wx0000000000000001").get_token()
        Pusher(wechat, WSGITransport(app), token=CALLBACK, url="http://shop.example/wechat").text(
            "hello", openid=OPENID
        )
        shown = [page.answer({}, f"lang={language}").body.decode() for language in Language]
        shown += [page.answer({"Accept": "application/json"}).body.decode(), repr(page), repr(page._facts())]

    found = json.loads(shown[2])
    assert {"answered": 1} == found["pushes"]
    assert "good" == found["platforms"][0]["status"]["ticket"]
    assert "answered in time" in shown[0]
    assert "及时应答" in shown[1]
    for text in [*shown, log.getvalue()]:
        assert [] == [secret for secret in secrets if secret in text]
