"""The Django site of the page, written to files as it stands, takes a push; under WSGI and ASGI."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes.program import environment

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
answer = Client(application).post({url!r}, data={body!r})
print(answer.status_code, answer.get_data(as_text=True))
""",
    "asgi": """
from starlette.testclient import TestClient
from mysite.asgi import application
answer = TestClient(application, follow_redirects=False).post({url!r}, content={body!r})
print(answer.status_code, answer.text)
""",
}


@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
def test_site(speaks: str, slash: str, tmp_path: Path) -> None:
    """With the slash at the end a push is handled; without, the log says that it was not, and why."""
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
    program = CLIENTS[speaks].format(url=pushed.url.replace("/wechat", "/wechat" + slash), body=pushed.body)
    env = environment(WECHAT_TOKEN=pusher.token, WECHAT_AES_KEY=pusher.aes_key, WECHAT_APPID=pusher.appid)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    if slash:
        assert done.stdout.splitlines() == ["oAda hello" if speaks == "wsgi" else "text", "200 success"], done.stderr
    else:
        assert "end alike" in done.stderr, done
