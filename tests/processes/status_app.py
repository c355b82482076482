"""An app with a status page, as gunicorn with several workers serves it. Each answer names the worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from support.prelude import WORKER

from processes.apps import be_busy
from wxmiddleware import Account, TokenProvider
from wxmiddleware.status import StatusPage
from wxmiddleware.stores import store_from_url

provider = TokenProvider(Account.from_env(), store=store_from_url(os.environ["WXM_STORE"]))
page = StatusPage(provider)  # before the fork


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    be_busy()
    if environ["PATH_INFO"] == "/token":
        provider.get_token()
        start_response("200 OK", [(WORKER, str(os.getpid()))])
        return [b"ok"]
    accept = "application/json" if environ["PATH_INFO"] == "/json" else "text/html"
    answer = page.answer({"Accept": accept}, environ["QUERY_STRING"])
    start_response(answer.reason, [*answer.headers.items(), (WORKER, str(os.getpid()))])
    return [answer.body]
