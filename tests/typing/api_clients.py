"""What type checkers see of the clients' auth classes and of `raise_for_errcode`. Checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

import httpx
import httpx2
import requests

import wxmiddleware.httpx
import wxmiddleware.httpx2
import wxmiddleware.requests
from wxmiddleware import TokenProvider, araise_for_errcode, raise_for_errcode
from wxmiddleware.contrib import wechatpy, werobot


class Session(requests.Session):
    pass


class Client:
    pass


def check(provider: TokenProvider) -> None:
    session = wxmiddleware.requests.mask_errors(Session())
    assert_type(session, Session)
    session.auth = wxmiddleware.requests.WeChatAuth(provider)
    requests.get("x", auth=wxmiddleware.requests.WeChatAuth(provider, hosts=["a"], codes={40014}, timeout=3), timeout=1)
    assert_type(wxmiddleware.requests.WeChatAuth(provider).provider, TokenProvider)

    httpx.Client(auth=wxmiddleware.httpx.WeChatAuth(provider))
    httpx.AsyncClient(auth=wxmiddleware.httpx.WeChatAuth(provider, hosts=("a", "b")))
    httpx2.Client(auth=wxmiddleware.httpx2.WeChatAuth(provider))
    httpx2.AsyncClient(auth=wxmiddleware.httpx2.WeChatAuth(provider))
    httpx2.Client(auth=wxmiddleware.httpx.WeChatAuth(provider))  # type: ignore[arg-type]

    wxmiddleware.requests.WeChatAuth("wx8a1b")  # type: ignore[arg-type]
    wxmiddleware.httpx.WeChatAuth(provider, codes=40001)  # type: ignore[arg-type]

    found: dict[str, Any] = raise_for_errcode(session.get("x"))
    assert found
    # Of a mapping its own type; of an answer a dict, or what it was given if that is a picture.
    assert_type(raise_for_errcode({"a": 1}), dict[str, int])
    assert_type(raise_for_errcode(session.get("x")), dict[str, Any] | Any)
    assert_type(raise_for_errcode(httpx.get("x")), dict[str, Any] | Any)
    assert_type(raise_for_errcode(b"{}"), dict[str, Any] | Any)
    raise_for_errcode(httpx.AsyncClient().get("x"))  # type: ignore[call-overload]
    raise_for_errcode(None)  # type: ignore[call-overload]


async def acheck(client: httpx.AsyncClient) -> None:
    assert_type(await araise_for_errcode({"a": 1}), dict[str, int])
    found: dict[str, Any] = await araise_for_errcode(await client.get("x"))
    assert found
    await araise_for_errcode(client.get("x"))  # type: ignore[call-overload]


def check_adapters(provider: TokenProvider) -> None:
    assert_type(wechatpy.with_provider(Client(), provider), Client)
    assert_type(werobot.with_provider(Client(), provider), Client)
