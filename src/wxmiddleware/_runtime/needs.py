"""What to install where a package is missing that not everybody needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(package: str, *, extra: str = "", install: str = "") -> Iterator[None]:
    """
    Import `package` in this block; where it is missing, say which extra of ours to install, or what else.

    Raises:
        ModuleNotFoundError: It is missing. One that is there and broken, or too old, raises its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        what = f"wxmiddleware[{extra}]" if extra else install or package
        raise ModuleNotFoundError(
            f"This needs {package}. Install it with: pip install '{what}'", name=package
        ) from None
