"""A real memcached on a free port, for tests that kill it."""

from __future__ import annotations

import os

from stores.sql_servers import Server
from support.debian import find


class Memcached(Server):
    """A memcached, with these options; it forgets everything when it is killed."""

    def __init__(self, *options: str) -> None:
        self.options = options
        super().__init__()

    @property
    def url(self) -> str:
        return f"memcached://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        as_root = ["-u", "root"] if os.geteuid() == 0 else []
        return [
            find("memcached"),
            "-l",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "0",
            "-m",
            "16",
            *as_root,
            *self.options,
        ]
