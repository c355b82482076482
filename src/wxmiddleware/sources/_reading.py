"""Reading the file of another program, whatever lies in its place."""

from __future__ import annotations

import os
import stat


def read_file(path: str | os.PathLike[str], most: int) -> tuple[bytes | None, float]:
    """
    Read a file without waiting for anybody.

    Args:
        most: Bytes; of a longer file one more is read.

    Returns:
        What is in it, and when it was written; ``None`` if it is no file.
    """
    # A pipe would else wait for somebody who writes.
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            return None, 0.0
        found = b""
        while len(found) <= most and (more := os.read(opened, most + 1 - len(found))):
            found += more
        return found, about.st_mtime
    finally:
        os.close(opened)
