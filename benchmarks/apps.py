"""The two examples, each as it is, without the middleware, or with one by hand: ``gunicorn benchmarks.apps:app``."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from typing import Any

from . import by_hand

FLASK = os.environ["BENCH_EXAMPLE"] == "flask_app"


def _example() -> Any:
    path = Path(__file__).parents[1] / "examples" / os.environ["BENCH_EXAMPLE"] / "app.py"
    spec = importlib.util.spec_from_file_location("bench_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


app = _example()
if os.environ["BENCH_MIDDLEWARE"] != "with":
    if FLASK:
        app.wsgi_app = app.wsgi_app._app
    else:
        app.user_middleware.clear()
if os.environ["BENCH_MIDDLEWARE"] == "by hand":
    bare = by_hand.Bare("a-token-of-nobody", time.monotonic)
    if FLASK:
        app.wsgi_app = by_hand.wsgi(app.wsgi_app, bare)
    else:
        app = by_hand.asgi(app, bare)
