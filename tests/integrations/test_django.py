"""The plain middlewares around Django: three lines in wsgi.py or asgi.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from starlette.testclient import TestClient
from support.django import set_up_django
from werkzeug.test import Client

from wxmiddleware import TokenProvider, acurrent_token, asgi, current_token, wsgi
from wxmiddleware.simulator import WeChat


def wsgi_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse([request.META["wxmiddleware.token"], current_token()], safe=False)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        yield current_token()

    return StreamingHttpResponse(body())


async def async_view(request: Any) -> HttpResponse:
    return JsonResponse([request.scope["state"]["wx_token"], await acurrent_token()], safe=False)


def sync_view(request: Any) -> HttpResponse:
    return JsonResponse([request.scope["state"]["wx_token"], current_token()], safe=False)


class Urls:
    urlpatterns = (
        path("wsgi", wsgi_view),
        path("stream", stream),
        path("async", async_view),
        path("sync", sync_view),
    )


@pytest.fixture(scope="module", autouse=True)
def _django() -> Iterator[None]:
    set_up_django()
    with override_settings(ROOT_URLCONF=Urls):
        yield


def test_wsgi(provider: TokenProvider, wechat: WeChat) -> None:
    """A view finds the token in request.META, and as the current one."""
    application = wsgi.TokenMiddleware(get_wsgi_application(), provider)

    found = Client(application).get("/wsgi").json

    assert found == [provider.get_token()] * 2
    assert wechat.fetches() == 1


def test_wsgi_stream(provider: TokenProvider) -> None:
    """A streamed body is served to its end."""
    application = wsgi.TokenMiddleware(get_wsgi_application(), provider)

    assert Client(application).get("/stream").text == provider.get_token()


@pytest.mark.parametrize("view", ["/async", "/sync"])
def test_asgi(provider: TokenProvider, wechat: WeChat, view: str) -> None:
    """An async view and a sync one find the token in the scope's state, and as the current one."""
    application = asgi.TokenMiddleware(get_asgi_application(), provider)

    found = TestClient(application).get(view).json()

    assert found == [provider.get_token()] * 2
    assert wechat.fetches() == 1
