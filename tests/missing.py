"""A package that is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Missing:
    """On `sys.meta_path` it stands for a package that is not there."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without(package: str, patch: pytest.MonkeyPatch) -> None:
    """Have `package` not be installed, nor imported, as long as `patch` holds."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        patch.delitem(sys.modules, name)
    patch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])
