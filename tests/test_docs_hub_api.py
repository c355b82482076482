"""The commands of docs/hub-api.md do what the page says, at a hub under a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub.running import running
from test_docs import blocks

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, HubAccount, hash_key, new_key
from wxmiddleware.jssdk import sign
from wxmiddleware.simulator import SimulatorServer, WeChat

APPID = "wx8a1b2c3d4e5f6a7b"
PAGES = ["hub-api.md", "zh/hub-api.md"]
COMMANDS = ["first", "wait", "rejected", "signature"]


@dataclass
class Page:
    """A page's commands, run in one folder."""

    wechat: WeChat
    provider: TokenProvider
    commands: dict[str, str]
    folder: Path
    environment: dict[str, str]

    def run(self, name: str, **changes: str) -> Any:
        command = self.commands[name]
        for old, new in changes.items():
            assert old in command
            command = command.replace(old, new)
        said = subprocess.check_output(
            ["bash", "-euc", command], cwd=self.folder, env=self.environment, text=True, timeout=60
        )
        return json.loads(said or "null")


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    found = [code for language, code in blocks(request.param) if language == "shell"]
    wechat = WeChat(appid=APPID, secret="s3cr3t-of-the-account-0123456789")
    with SimulatorServer(wechat) as server, TokenProvider(Account(APPID, wechat.secret, base_url=server.url)) as given:
        key = new_key()
        caller = Caller("shop", [hash_key(key)], [APPID], ["native", "jssdk"], tokens="wechat")
        with running(Hub([HubAccount(APPID, given)], callers=[caller])) as hub:
            curl = str(Path(shutil.which("curl") or "/usr/bin/curl").parent)
            environment = {"PATH": f"{curl}:/usr/bin:/bin", "HUB": hub.url, "KEY": key, "no_proxy": "*"}
            yield Page(wechat, given, dict(zip(COMMANDS, found, strict=True)), tmp_path, environment)


def test_token(page: Page) -> None:
    """The page's own answer has the fields of the real one; and nobody else may read the key."""
    said = page.run("first")

    assert page.wechat.is_valid(said["access_token"])
    (shown, signed) = [json.loads(code) for language, code in blocks("hub-api.md") if language == "json"]
    assert set(shown) == set(said)
    assert {"appId", "timestamp", "nonceStr", "signature"} == set(signed)
    assert 0o600 == (page.folder / "headers").stat().st_mode & 0o777


def test_wait(page: Page) -> None:
    """What was the token stays in its file while it is the token."""
    page.run("first")
    page.run("wait", **{"?wait=30": "?wait=1"})

    assert page.provider.peek() == json.loads((page.folder / "token.json").read_text())["access_token"]


def test_rejected(page: Page) -> None:
    generation = page.run("first")["generation"]
    page.wechat.revoke()
    said = page.run("rejected", **{"1795861137123456": str(generation)})

    assert page.wechat.is_valid(said["access_token"])
    assert said["generation"] > generation


def test_signature(page: Page) -> None:
    page.run("first")
    said = page.run("signature")
    ticket, url = page.wechat.current_ticket() or "", "https://shop.example.com/page?x=1"

    assert said["signature"] == sign(ticket, url, nonce=said["nonceStr"], timestamp=said["timestamp"])
    assert APPID == said["appId"]
