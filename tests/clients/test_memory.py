"""A long download does not lie in memory, whichever client streams it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api_server import OK, REJECTED, Api
from support.clients import CLIENTS, ClientAdapter

SIZE = 64 * 2**20
PIECE = b"\xff\xd8" + bytes(2**16 - 2)

PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from support.clients import CLIENTS
from support.scripted_provider import ScriptedProvider

name, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
provider = ScriptedProvider()
provider.account = SimpleNamespace(base_url=url)
adapter = next(each for each in CLIENTS if each.name == name)(provider, url)
adapter.get("/small")

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = peak()
got = 0
def look(piece):
    global got
    got += len(piece)
adapter.stream("/big", look)
assert got == size, got
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("adapter_class", CLIENTS, ids=lambda adapter: adapter.name)
def test_bounded(adapter_class: type[ClientAdapter], api: Api) -> None:
    """64 MB that come after a rejection take a few MB."""

    def body() -> Iterator[bytes]:
        for _ in range(SIZE // len(PIECE)):
            yield PIECE

    def answer(seen: Any) -> Any:
        if seen.path == "/small":
            return 200, {}, [OK]
        if seen.token == "T1":
            return 200, {}, [REJECTED]
        return 200, {"Content-Length": str(SIZE), "Content-Type": "video/mp4"}, body()

    api.answer = answer
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, adapter_class.name, api.url, str(SIZE)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert "" == done.stderr
    assert ["T1", "T1", "T2"] == api.tokens
    assert int(done.stdout) < 16 * 1024  # KiB
