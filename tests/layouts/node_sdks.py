"""SDKs of Node, as npm has them, in a Node of its own for each call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.node import node, packages

_SCRIPTS = Path(__file__).with_name("node")
PATIENCE = 300.0  # real seconds


class Node:
    """
    A directory with the SDKs in it.

    Args:
        directory: Where they are, and the scripts.
        place: Where programs run.
        names: What their environment has besides.
    """

    def __init__(self, directory: Path, place: Path, **names: str) -> None:
        self._program = node()
        self._directory = directory
        self._place = place
        self._names = names

    def start(self, script: str, how: str) -> subprocess.Popen[str]:
        """Start a program."""
        command = [self._program, str(self._directory / script), how]
        environment = {**os.environ, **self._names}
        return subprocess.Popen(
            command, cwd=self._place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, script: str, how: str) -> dict[str, Any]:
        """Run a program: one call, the token in use after it, and the errcode that came of it."""
        return said(self.start(script, how))

    def page(self, name: str, code: str) -> str:
        """Write a module that finds the SDKs; its path."""
        path = self._directory / f"{name}.mjs"
        path.write_text(code)
        return str(path)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a program says at its end."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


def installed(factory: pytest.TempPathFactory) -> Path:
    """
    A directory with the scripts, and with the SDKs as they find them.

    Without Node the test is skipped, in CI it fails.
    """
    directory = factory.mktemp("node-sdks")
    for file in _SCRIPTS.iterdir():
        shutil.copy(file, directory)
    (directory / "node_modules").symlink_to(packages())
    return directory
