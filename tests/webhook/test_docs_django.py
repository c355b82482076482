"""The Django site of the page, written to files as it stands, takes a push; under WSGI and ASGI."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.program import environment

from .test_docs import DJANGO
from .wechat import Pusher, text

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
"""
CLIENTS = {
    "wsgi": """
from werkzeug.test import Client
from mysite.wsgi import application
for url in {urls!r}:
    answer = Client(application).post(url, data={body!r})
    print(answer.status_code, answer.get_data(as_text=True))
""",
    "asgi": """
from starlette.testclient import TestClient
from mysite.asgi import application
for url in {urls!r}:
    answer = TestClient(application, follow_redirects=False).post(url, content={body!r})
    print(answer.status_code, answer.text)
""",
}


@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
def test_site(speaks: str, tmp_path: Path) -> None:
    """Without the slash at the end the log says that a push was not handled, and why; with it, the push is."""
    site = tmp_path / "mysite"
    site.mkdir()
    (site / "__init__.py").touch()
    (site / "settings.py").write_text(SETTINGS)
    for block in DJANGO:
        first = block.partition("\n")[0]
        if first.endswith("under ASGI") <= (speaks == "asgi"):
            (site / first.removeprefix("# mysite/").partition(",")[0]).write_text(block)
    pusher = Pusher(now=int(time.time()))
    pushed = pusher.sealed(text("hello"))
    urls = [pushed.url, pushed.url.replace("/wechat", "/wechat/")]
    program = CLIENTS[speaks].format(urls=urls, body=pushed.body)
    env = environment(WECHAT_TOKEN=pusher.token, WECHAT_AES_KEY=pusher.aes_key, WECHAT_APPID=pusher.appid)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    handled = ["oAda hello" if speaks == "wsgi" else "text", "200 success"]
    assert handled == done.stdout.splitlines()[-2:], done.stderr
    assert "end alike" in done.stderr, done
