"""What type checkers see of tickets, WeCom, platforms and pools. Checked, never run."""

from __future__ import annotations

from typing import assert_type

from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware

from wxmiddleware import Account, ProviderPool, TokenProvider, WeComAccount, WeComToken, asgi, wsgi
from wxmiddleware.jssdk import JSSDK, AgentConfig, Config
from wxmiddleware.platform import Platform
from wxmiddleware.sources import AgentTicket, JsapiTicket
from wxmiddleware.stores import TokenStore


def tickets(provider: TokenProvider) -> None:
    assert_type(provider.with_source(JsapiTicket(provider)), TokenProvider)
    assert_type(JSSDK(provider, ticket=AgentTicket).signature("https://example.com/"), Config)
    assert_type(JSSDK(provider, ticket=AgentTicket).agent_config("https://example.com/"), AgentConfig)


def wecom() -> None:
    assert_type(WeComAccount.from_env(), WeComAccount)
    assert_type(Account.from_env(), Account)
    TokenProvider(WeComAccount("ww1", "secret"), source=WeComToken(timeout=3))


def platform(store: TokenStore) -> None:
    made = Platform(Account("wx1", "secret"), store=store)
    assert_type(made.authorize("code"), TokenProvider)
    assert_type(made.provider, TokenProvider)
    ProviderPool(made.authorizer)


def middlewares(app: Flask) -> None:
    pool = ProviderPool(lambda appid: None, appid_of=lambda request: str(request["PATH_INFO"]))
    app.wsgi_app = wsgi.TokenMiddleware(app.wsgi_app, pool)  # type: ignore[method-assign]
    Starlette(middleware=[Middleware(asgi.TokenMiddleware, provider=pool)])


async def pools(pool: ProviderPool) -> None:
    assert_type(pool.get("wx1"), TokenProvider)
    assert_type(await pool.aget("wx1"), TokenProvider)
