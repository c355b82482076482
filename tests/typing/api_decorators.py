"""What type checkers see of `with_token`. Checked, never run."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, assert_type

from wxmiddleware._engine.provider import TokenProvider
from wxmiddleware.decorators import with_token


def takes_async(function: Callable[[str], Awaitable[bytes]]) -> None: ...


def check(provider: TokenProvider) -> None:
    @with_token
    def send_text(access_token: str, openid: str, text: str = "") -> dict[str, Any]:
        return {}

    assert_type(send_text("oABC", "hello"), dict[str, Any])
    assert_type(send_text(openid="oABC", text="hello"), dict[str, Any])
    send_text()  # type: ignore[call-arg]
    send_text("oABC", 1)  # type: ignore[arg-type]
    send_text("oABC", access_token="mine")  # type: ignore[call-arg]

    @with_token(provider)
    async def user_info(access_token: str, openid: str) -> bytes:
        return b""

    takes_async(user_info)

    @with_token(provider, codes={40014, 42001}, timeout=3)
    def menu(access_token: str) -> list[str]:
        return []

    assert_type(menu(), list[str])

    @with_token(provider=lambda: provider)
    def later(access_token: str, openid: str) -> int:
        return 1

    assert_type(later("oABC"), int)

    @with_token(codes=[40001])
    def with_options(access_token: str, openid: str) -> int:
        return 1

    assert_type(with_options(openid="oABC"), int)

    # Elsewhere than in front: say so, and see any arguments and the right result.
    @with_token(parameter="access_token")
    def in_the_middle(openid: str, access_token: str, text: str) -> dict[str, Any]:
        return {}

    assert_type(in_the_middle("oABC", text="hello"), dict[str, Any])

    @with_token(provider, parameter="access_token")
    async def by_keyword(openid: str, *, access_token: str) -> int:
        return 1

    takes_async(by_keyword)  # type: ignore[arg-type]

    @with_token(provider=lambda: provider, parameter="token")
    def other_name(token: str, openid: str) -> int:
        return 1

    assert_type(other_name("oABC"), int)
    partly = with_token(provider, parameter="access_token")(functools.partial(send_text, "oABC"))
    assert_type(partly(), dict[str, Any])

    def not_in_front(openid: str, access_token: str) -> int:
        return 1

    with_token(not_in_front)  # type: ignore[arg-type]
    with_token("wx8a1b")  # type: ignore[call-overload]
    with_token(provider, codes=40001)  # type: ignore[call-overload]


class Client:
    @with_token
    def send(self, access_token: str, openid: str) -> dict[str, Any]:
        return {}

    @with_token
    async def fetch(self, access_token: str, openid: str) -> int:
        return 1

    @classmethod
    @with_token
    def by_class(cls, access_token: str, openid: str) -> int:
        return 1

    @with_token
    @classmethod
    def by_class_too(cls, access_token: str, openid: str) -> int:
        return 1

    @staticmethod
    @with_token
    def by_itself(access_token: str, openid: str) -> int:
        return 1


async def check_methods(client: Client) -> None:
    assert_type(client.send("oABC"), dict[str, Any])
    assert_type(Client.send(client, openid="oABC"), dict[str, Any])
    assert_type(await client.fetch("oABC"), int)
    assert_type(Client.by_class("oABC"), int)
    assert_type(Client.by_class_too(openid="oABC"), int)
    assert_type(Client.by_itself(openid="oABC"), int)
    client.send()  # type: ignore[call-arg]
    client.send(1)  # type: ignore[arg-type]
