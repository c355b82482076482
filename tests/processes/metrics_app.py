"""
An app with metrics, as a gunicorn with several workers serves it: the storm of `test_metrics.py` is played on it.

``/call`` calls an API with a token, and once more if that is rejected; ``/wrong`` asks for the token of an account
whose secret is wrong; ``/metrics`` is what Prometheus scrapes. Each answer names the worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from support.on_clock import OnClock
from support.prelude import WORKER, time_of_test

from processes.apps import be_busy
from wxmiddleware import Account, TokenError, TokenProvider, with_token
from wxmiddleware.prometheus import instrument
from wxmiddleware.sources import ClassicToken
from wxmiddleware.stores import store_from_url

instrument()
account = Account.from_env()
options: dict[str, Any] = time_of_test()
options["store"] = OnClock(store_from_url(os.environ["WX_TEST_STORE"]), options["runtime"].clock)
provider = TokenProvider(account, source=ClassicToken(), **options)
wrong = TokenProvider(Account(os.environ["WX_TEST_OTHER"], "0" * 32, base_url=account.base_url), **options)


@with_token(provider)
def call(access_token: str) -> Any:
    url = f"{account.base_url}/cgi-bin/user/info"
    return requests.get(url, {"access_token": access_token, "openid": "oAda"}, timeout=20).json()


def answer(path: str) -> bytes:
    be_busy()
    if path == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)
    try:
        return str(wrong.get_token() if path == "/wrong" else call().get("errcode", 0)).encode()
    except TokenError as error:
        return f"no token: {error.errcode}".encode()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), (WORKER, str(os.getpid()))])
    return [body]
