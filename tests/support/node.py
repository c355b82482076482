"""Node, and packages of npm: the clients that users of JavaScript have. Once installed, tests share them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from support.debian import find, missing

_WANTED = Path(__file__).with_name("package.json")  # node-easywechat does not load with a later node-socialite
_PATIENCE = 240.0


def node() -> str:
    """Node's program; without it the test is skipped, in CI it fails."""
    return find("node", package="nodejs")


def packages() -> str:
    """
    The directory for ``NODE_PATH``, by which a script of CommonJS (``.cjs``) finds the packages of ``package.json``.

    They are installed once for a machine and each ``package.json``. Nothing of them runs meanwhile.
    """
    npm = find("npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wxmiddleware"
    place = cache / f"npm-{hashlib.sha256(_WANTED.read_bytes()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several pytest workers one installs
        if not (place / "installed").exists():
            _install(npm, place)
    return str(place / "node_modules")


def _install(npm: str, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(_WANTED, place)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        missing(f"packages of npm ({done.stderr.strip()[-300:]})", "npm, and let it reach a registry")
    (place / "installed").touch()
