"""SDKs of Node, as npm has them, in a Node of its own for each call."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.debian import find

_SCRIPTS = Path(__file__).with_name("node")
_PACKAGE = "nodejs npm"
PATIENCE = 300.0  # real seconds


class Node:
    """
    A directory with the SDKs in it.

    Args:
        directory: Where they are installed, once for a run of the tests.
        place: Where programs run.
        names: What their environment has besides.
    """

    def __init__(self, directory: Path, place: Path, **names: str) -> None:
        self._program = find("node", package=_PACKAGE)
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
    Install the SDKs, once for all workers of a run; their directory.

    Without Node the test is skipped, in CI it fails.
    """
    find("node", package=_PACKAGE)
    npm = find("npm", package=_PACKAGE)
    # The workers of a run have directories side by side.
    base = factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "node-sdks"
    directory.mkdir(exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "done").exists():
            for file in _SCRIPTS.iterdir():
                shutil.copy(file, directory)
            command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert done.returncode == 0, done.stderr
            (directory / "done").touch()
    return directory
