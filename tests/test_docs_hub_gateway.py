"""The command of docs/hub-gateway.md does what the page says, and its figures are the code's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hub.raw import SIGNS, served
from test_docs import blocks

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, HubAccount, _body, _forward, hash_key, new_key
from wxmiddleware.simulator import SimulatorServer, WeChat

PAGES = ["hub-gateway.md", "zh/hub-gateway.md"]
DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", PAGES)
def test_command(page: str, wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> None:
    key = new_key()
    with TokenProvider(Account(wechat.appid, wechat.secret, base_url=wechat_server.url)) as provider:
        account = HubAccount("wx8a1b2c3d4e5f6a7b", provider)
        hub = Hub([account], callers=[Caller("shop", [hash_key(key)], [account.name])], secrets=[SIGNS])
        with served(hub, "patient") as port:
            [command] = [code for language, code in blocks(page) if language == "shell"]
            script = f"KEY={key}; HUB=http://127.0.0.1:{port}; {command}"
            said = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True, text=True)

    assert 0 == json.loads(said.stdout)["errcode"]
    assert ["你好"] == [each.text for each in wechat.sent]


@pytest.mark.parametrize("page", PAGES)
def test_figures(page: str) -> None:
    text = (DOCS / page).read_text()

    assert f"{_body.KEPT // 1024 // 1024} MiB" in text
    assert f"{_forward._SILENCE:.0f} " in text
    assert f"{_forward._FOR_TOKENS} " in text
