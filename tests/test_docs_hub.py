"""docs/hub.md: what is pasted works, and the table has every key of the file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from stores.redis_server import free_port
from support.program import PATIENCE, environment
from test_docs import DOCS, blocks

from wxmiddleware.hub import Caller
from wxmiddleware.hub._config import Config

PAGES = ["hub.md", "zh/hub.md"]


@pytest.mark.processes
@pytest.mark.parametrize("page", PAGES)
def test_ten_minutes(page: str, tmp_path: Path) -> None:
    """The commands in an empty folder: three calls succeed, the last one after a theft, and the audit has them."""
    first, second = [block for language, block in blocks(page) if language == "shell"][:2]
    text = "".join(line for line in first.splitlines(keepends=True) if not line.startswith("pip "))
    script = f"set -eu\ntrap 'kill $(jobs -p)' EXIT\n{text}{second}".replace("8040", str(free_port()))
    env = environment() | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(
        ["bash", "-c", script.replace("\nsleep 2;", "\nuntil grep -q WECHAT_BASE_URL wechat.env; do sleep 0.1; done;")
         .replace("\nsleep 3\n", "\nuntil grep -q listens hub.log; do sleep 0.1; done\n")
         .replace("> audit.log &", "> audit.log 2> hub.log &")],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    key = (tmp_path / "shop.key").read_text().splitlines()[-1]

    assert 3 == done.stdout.count('"ip_list"'), done.stderr
    assert "answers" in done.stdout
    assert 4 == done.stdout.count('"caller": "shop"')
    assert 1 == done.stdout.count('"healed": true')
    assert key not in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_keys(page: str) -> None:
    """The table has each key that the file may have."""
    text = (DOCS / page).read_text(encoding="utf-8")
    named = {key for row in re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    top = {each.name for each in fields(Config)} - {"accounts", "hosts", "callers"}
    of_accounts = {"appid", "corpid", "agentid", "secret", "source", "follow", "base_url", "realm", "hosts"}
    of_callers = {each.name for each in fields(Caller)} - {"name"}

    assert top | of_accounts | of_callers <= named
