"""Servers that pip does not bring, and that a test starts itself."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

MARKERS = ("servers", "processes", "nightly")

# Whether the test that runs now has one of these; outside of pytest there is none to ask.
may_start: bool = True


def find(program: str, *places: str, package: str = "") -> str:
    """
    Where a server's program is; without it the test is skipped, in CI it fails.

    Args:
        program: Its name.
        places: Where else to look than on the path and in ``/usr/sbin``.
        package: What Debian calls it, where that is another name.
    """
    assert may_start, f"This test starts {program}: mark it with one of {', '.join(MARKERS)} (see CONTRIBUTING.md)."
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *places]))
    if path is None:
        missing(program, package or program)
    return path


def missing(what: str, package: str) -> NoReturn:
    """Skip the test, as something is not installed that pip does not bring; in CI, fail."""
    reason = f"needs {what}: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
