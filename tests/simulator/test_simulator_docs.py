"""The page on the simulator does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client as WSGIClient

from wxmiddleware.cli import main
from wxmiddleware.simulator import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_route() -> None:
    """The APIs that the page adds are answered, to those who have a token."""
    block = next(each for each in blocks("python") if "wechat.route" in each)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "docs/simulator.md", "exec"), names)
    wechat = names["wechat"]
    http: Any = WSGIClient(create_app(wechat))
    token = wechat.token()["access_token"]
    made = http.post(f"/cgi-bin/tags/create?access_token={token}", json={"tag": {"name": "a"}})

    assert {"tag": {"id": 100, "name": "a"}} == made.json
    assert "星标组" == http.get(f"/cgi-bin/tags/get?access_token={token}").json["tags"][0]["name"]
    assert 41001 == http.get("/cgi-bin/tags/get").json["errcode"]


def test_suite() -> None:
    """The suite that the page makes is installed, and tells of it."""
    block = next(each for each in blocks("python") if "add_suite" in each)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "docs/simulator.md", "exec"), names)

    assert "create_auth" == names["suite"].notices[-1]["InfoType"]


def test_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the page have options that there are."""
    monkeypatch.setattr("wxmiddleware.cli.simulate.simulate", lambda **_: 0)
    lines = [line for block in blocks("shell") for line in block.splitlines() if line.startswith("wxmiddleware ")]
    commands = [shlex.split(line, comments=True)[1:] for line in lines]

    assert commands
    assert [0] * len(commands) == [main(each) for each in commands if each[0] == "simulate"]
