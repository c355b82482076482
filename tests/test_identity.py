"""Whose token a record is: the keys that the members of a fleet have in common, and those that keep worlds apart."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wxmiddleware import Account, WeComAccount
from wxmiddleware._rules.identity import key_parts, realm_of
from wxmiddleware._rules.models import AuthorizerAccount, CorpAccount, ProviderAccount, SuiteAccount
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.stores import record_key

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
# A contract: docs/record.md. A key that changes parts a fleet of two versions, and each part kills the other's token.
KEYS = {
    "wx:wechat:wx8a1b2c3d4e5f6a7b:stable": (Account("wx8a1b2c3d4e5f6a7b", SECRET), "stable"),
    "wx:private:wx1:classic": (Account("wx1", SECRET, base_url="https://host", realm="private"), "classic"),
    "wx:127.0.0.1-8000:wx1:stable": (Account("wx1", SECRET, base_url="http://127.0.0.1:8000"), "stable"),
    "wx:simulator-80:wx1:stable": (Account("wx1", SECRET, base_url="http://Simulator."), "stable"),
    "wx:x-cf720fe29d5d:wx1:stable": (Account("wx1", SECRET, base_url="http://127.0.0.1:8000/wx1/"), "stable"),
    "wx:x-8f4d05879031:wx1:stable": (Account("wx1", SECRET, base_url="http://[::1]:8000"), "stable"),
    "wx:wecom:ww1/1000002:wecom": (WeComAccount("ww1", SECRET, agentid=1000002), "wecom"),
    "wx:wecom:ww1/1000002:jsapi_ticket": (WeComAccount("ww1", agentid="1000002"), "jsapi_ticket"),
    "wx:wecom:ww1/secret=613bc5f957a3:wecom": (WeComAccount("ww1", SECRET), "wecom"),
    "wx:wechat:wx1/wxplatform:authorizer": (AuthorizerAccount("wx1", "wxplatform"), "authorizer"),
    "wx:wecom:ww5d0f:suite": (SuiteAccount("ww5d0f", SECRET), "suite"),
    "wx:wecom:ww1a2b:provider": (ProviderAccount("ww1a2b", SECRET), "provider"),
    "wx:wecom:wpCorp01/ww5d0f:corp": (CorpAccount("wpCorp01", "ww5d0f", agentid=7), "corp"),
    "wx:wechat:wx1:of%3Amine": (Account("wx1", SECRET), "of:mine"),
}


@pytest.mark.parametrize("key", KEYS)
def test_keys(key: str) -> None:
    """A key is what it has always been, and memcached, a column of 191 characters and a shell can hold it."""
    assert key == record_key(*KEYS[key])
    assert re.fullmatch(r"wx:[a-z0-9.-]+:[\w.~%/=-]+:[\w.~%-]+", key, re.ASCII)
    assert SECRET not in key


@pytest.mark.parametrize("key", KEYS)
def test_parts(key: str) -> None:
    """What a key says can be read."""
    account, kind = KEYS[key]
    parts = key_parts(key)
    assert parts is not None

    assert (realm_of(account), account.appid, kind) == (parts.realm, parts.appid, parts.kind)
    assert parts.app in ("", "1000002", "wxplatform", "ww5d0f") or parts.app.startswith("secret=")


@pytest.mark.parametrize("key", ["", "wx", "wx:wx1:webhook:00", "wx:wechat::stable", "wx:a:b:c:d", "token:a:b:c"])
def test_other_keys(key: str) -> None:
    """Another key has no such parts."""
    assert key_parts(key) is None


@pytest.mark.parametrize(
    "member",
    [
        Account("wx1"),
        Account("wx1", SECRET[::-1]),
        Account("wx1", lambda: SECRET),
        Account("wx1", SECRET, base_url="https://sh.api.weixin.qq.com"),
        Account("wx1", SECRET, base_url="https://proxy.example:8443/wechat"),
        Account("wx1", SECRET, base_url="http://gateway.internal:8080", realm="wechat"),
    ],
)
def test_one_fleet(member: Account) -> None:
    """Neither the secret nor the way to WeChat tells one token from another."""
    assert record_key(Account("wx1", SECRET), "classic") == record_key(member, "classic")


def test_worlds_apart() -> None:
    """A simulator is never taken for WeChat, nor for another simulator, nor an app for another one."""
    accounts: list[Account] = [
        Account("wx1", SECRET),
        Account("wx2", SECRET),
        Account("wx1", SECRET, realm="private"),
        *(
            Account("wx1", SECRET, base_url=f"http://{host}")
            for host in ("host", "host:81", "host/a", "host/b", "h-80")
        ),
        *(Account("wx1", SECRET, base_url=f"http://{host}") for host in ("x_y", "x_y:81", "[::1]", "a" * 70)),
        WeComAccount("wx1", SECRET),
        WeComAccount("wx1", SECRET[::-1]),
        WeComAccount("wx1", SECRET, agentid=1),
        WeComAccount("wx1", SECRET, agentid="secret=a"),
        WeComAccount("wx", f"1{SECRET}"),
        AuthorizerAccount("wx1", "wxplatform"),
        AuthorizerAccount("wx1/wxplatform", "b"),
        Account("wx1/wxplatform", SECRET),
        SuiteAccount("ww1", SECRET),
        CorpAccount("wx1", "ww1"),
        CorpAccount("WX1", "ww1"),
        CorpAccount("wx1", "ww2"),
        Account("wechat:wx1", SECRET),
    ]

    assert len(accounts) == len({record_key(account, "kind") for account in accounts})


@pytest.mark.parametrize("realm", ["", "Private", "a b", "a:b", "a_b", "-a", "a.", "a/b", "'a'", "x" * 64, 5, b"a"])
def test_bad_realms(realm: Any) -> None:
    """What is no short word is refused, with an example of one."""
    for kind in (Account, WeComAccount):
        with pytest.raises(ConfigurationError, match=r"realm .*(?:such as 'private'|quotes)"):
            kind("wx1", SECRET, realm=realm)


@pytest.mark.parametrize("realm", ["a", "private", "10.0.0.1-8080", "x" * 63])
def test_good_realms(realm: str) -> None:
    """A short word is taken as it is."""
    assert f"wx:{realm}:wx1:stable" == record_key(Account("wx1", SECRET, realm=realm), "stable")
