"""``POST /cgi-bin/stable_token``: what is sent, and how it plays with WeChat's rules. Failures: test_http.py."""

from __future__ import annotations

import json

import pytest
from sources.conftest import PeerFactory

from wxmiddleware import Account, StableToken
from wxmiddleware.simulator import SimulatedClock, WeChat
from wxmiddleware.sources import Grant

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"


@pytest.mark.parametrize("force", [False, True])
def test_request(peer: PeerFactory, force: bool) -> None:
    """The request is the one of WeChat's page: a JSON body, nothing in the query."""
    someone = peer()
    StableToken().fetch(Account("wx1", SECRET, base_url=someone.url), force=force)
    head, _, body = someone.requests[0].partition(b"\r\n\r\n")

    assert head.split(b"\r\n")[0] == b"POST /cgi-bin/stable_token HTTP/1.1"
    assert b"\r\nContent-Type: application/json" in head
    assert json.loads(body) == {
        "grant_type": "client_credential",
        "appid": "wx1",
        "secret": SECRET,
        "force_refresh": force,
    }
    assert SECRET.encode() not in head


def test_normal_mode(wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
    """Who asks again gets the same token, with the time that is left."""
    first = StableToken().fetch(wechat_account)
    wechat_clock.advance(6855)
    second = StableToken().fetch(wechat_account)

    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert (first.value, 345) == (second.value, second.expires_in)


def test_last_minutes(wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
    """Within the window in which a provider renews, WeChat gives a new token."""
    first = StableToken().fetch(wechat_account)
    wechat_clock.advance(7200 - StableToken().refresh_ahead)
    second = StableToken().fetch(wechat_account)

    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert (True, 7200) == (first.value != second.value, second.expires_in)


def test_forced_mode(wechat: WeChat, wechat_account: Account) -> None:
    """The forced mode brings another token."""
    first, second = (StableToken().fetch(wechat_account, force=force) for force in (False, True))

    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert first.value != second.value
    assert second.value == wechat.current(slot="stable")


def test_not_the_classic_slot(wechat: WeChat, wechat_account: Account) -> None:
    """The classic token of the account lives on."""
    classic = wechat.steal(slot="classic")
    StableToken().fetch(wechat_account, force=True)

    assert wechat.is_valid(classic)
    assert (0, 1) == (wechat.fetches(slot="classic"), wechat.fetches(slot="stable"))


def test_character() -> None:
    """It does not kill the token before, can be forced, and is renewed where normal mode gives a new one."""
    source = StableToken()

    assert ("stable", False, True) == (source.kind, source.revokes_previous, source.can_force)
    assert source.refresh_ahead < 300
