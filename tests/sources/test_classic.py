"""``GET /cgi-bin/token``: what is sent, and how it plays with WeChat's rules. Failures: test_http.py."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from sources.conftest import PeerFactory

from wxmiddleware import Account, ClassicToken
from wxmiddleware.simulator import WeChat
from wxmiddleware.sources import Grant

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"


@pytest.mark.parametrize("force", [False, True])
def test_request(peer: PeerFactory, force: bool) -> None:
    """The request is the one of WeChat's page: everything in the query, no body."""
    someone = peer()
    ClassicToken().fetch(Account("wx1", SECRET, base_url=someone.url), force=force)
    head, _, body = someone.requests[0].partition(b"\r\n\r\n")

    assert head.split(b"\r\n")[0].decode() == (
        f"GET /cgi-bin/token?grant_type=client_credential&appid=wx1&secret={SECRET} HTTP/1.1"
    )
    assert body == b""


def test_escaped(peer: PeerFactory) -> None:
    """Characters that mean something in a URL arrive as they are."""
    someone = peer()
    ClassicToken().fetch(Account("wx&1", "a+b/c=&d#e%20é", base_url=someone.url))
    target = someone.requests[0].split(b" ")[1].decode()

    assert [("grant_type", "client_credential"), ("appid", "wx&1"), ("secret", "a+b/c=&d#e%20é")] == parse_qsl(
        urlsplit(target).query, strict_parsing=True
    )


def test_every_answer_is_a_new_token(wechat: WeChat, wechat_account: Account) -> None:
    """Asking again kills the token before."""
    first, second = (ClassicToken().fetch(wechat_account) for _ in range(2))

    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert (False, True) == (wechat.is_valid(first.value), wechat.is_valid(second.value))


def test_not_the_stable_slot(wechat: WeChat, wechat_account: Account) -> None:
    """The stable token of the account lives on."""
    stable = wechat.steal(slot="stable")
    ClassicToken().fetch(wechat_account)

    assert wechat.is_valid(stable)
    assert (1, 0) == (wechat.fetches(slot="classic"), wechat.fetches(slot="stable"))


def test_character() -> None:
    """It kills the token before, cannot be forced, and is renewed ten minutes before the end."""
    source = ClassicToken()

    assert ("classic", True, False, 600) == (
        source.kind,
        source.revokes_previous,
        source.can_force,
        source.refresh_ahead,
    )
