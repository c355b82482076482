"""The two examples, each as it is and without the middleware: ``gunicorn benchmarks.apps:app``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any


def _example(folder: str) -> Any:
    path = Path(__file__).parents[1] / "examples" / folder / "app.py"
    spec = importlib.util.spec_from_file_location(f"bench_{folder}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


app = _example(os.environ["BENCH_EXAMPLE"])
if os.environ["BENCH_MIDDLEWARE"] == "without":
    if os.environ["BENCH_EXAMPLE"] == "flask_app":
        app.wsgi_app = app.wsgi_app._app
    else:
        app.user_middleware.clear()
