"""
What the tests with real processes, servers and herds share.

The simulated WeChat runs in pytest's own process; programs and servers reach it over a socket and keep time with it
through a `SharedClock`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.prelude import SharedClock
from support.program import Program, environment

from wxmiddleware.simulator import SimulatorServer, WeChat

PATHS = {"stable": "/cgi-bin/stable_token", "classic": "/cgi-bin/token"}

StartProgram = Callable[..., Program]


@pytest.fixture
def shared_clock(tmp_path: Path) -> Iterator[SharedClock]:
    """A clock for several processes. A module whose programs need it puts it in the place of ``wechat_clock``."""
    with SharedClock.create(tmp_path / "clock") as clock:
        yield clock


@pytest.fixture
def program(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> Iterator[StartProgram]:
    """Start a Python program that finds the simulated WeChat in its environment."""
    running: list[Program] = []

    def start(source: str, *args: str, **env: str) -> Program:
        file = tmp_path / f"program{len(running)}.py"
        file.write_text(textwrap.dedent(source))
        account = {
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": wechat_server.url,
        }
        if isinstance(wechat.clock, SharedClock):
            env = {"WX_TEST_CLOCK": str(wechat.clock.path), **env}
        running.append(Program(file, *args, env={**environment(), **account, **env}))
        return running[-1]

    yield start
    for each in running:
        each.close()
