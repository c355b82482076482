"""The Flask example against the simulator; what both examples are to do stands in ../checks.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from examples.checks import AppChecks
from wxmiddleware.simulator import WeChat


@pytest.fixture
def client(module: Any) -> Iterator[httpx.Client]:
    transport = httpx.WSGITransport(app=module.app)
    with httpx.Client(transport=transport, base_url="http://example.test") as client:
        yield client


class TestFlaskApp(AppChecks):
    """All that both apps do."""


PAGE = "https://example.com/page?x=1"


def test_page(client: httpx.Client) -> None:
    """The page asks for its signature, and hands it to the JS-SDK."""
    text = client.get("/page").text

    assert "fetch('/js-config'" in text
    assert "wx.config({...config" in text


def test_signs_the_page(client: httpx.Client, wechat: WeChat) -> None:
    """WeChat's browser accepts what the page got."""
    config = client.post("/js-config", json={"url": PAGE, "rejected": None}).json()

    assert wechat.wx_config(PAGE, config) == "config:ok"


def test_signs_again(client: httpx.Client, wechat: WeChat) -> None:
    """When WeChat has refused it, the next one is signed with another ticket."""
    refused = client.post("/js-config", json={"url": PAGE}).json()
    wechat.void_tickets()
    config = client.post("/js-config", json={"url": PAGE, "rejected": refused}).json()

    assert wechat.wx_config(PAGE, refused) == "config:invalid signature"
    assert wechat.wx_config(PAGE, config) == "config:ok"


def test_signs_again_with_the_same(client: httpx.Client, wechat: WeChat) -> None:
    """A browser that refuses what WeChat stands by gets it signed all the same: mostly the URL was wrong."""
    config = client.post("/js-config", json={"url": PAGE}).json()
    for _ in range(3):
        config = client.post("/js-config", json={"url": PAGE, "rejected": config}).json()

    assert wechat.wx_config(PAGE, config) == "config:ok"


@pytest.mark.parametrize("body", [{}, [], "hello", {"url": "/page"}, {"url": 1, "rejected": 1}])
def test_wants_a_page(client: httpx.Client, body: object) -> None:
    """A JSON body without the page's URL is a bad request."""
    assert client.post("/js-config", json=body).status_code == 400
