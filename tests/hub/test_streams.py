"""Long bodies through a hub in a process of its own: every byte, and the memory that they take."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.program import environment, kill_group

from wxmiddleware.hub import hash_key, new_key

from .raw import APPID, APPSECRET, OK, PATH, SIGNS, Arrived, Door, RawWeChat, Wire, answer_on, until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]
MIB = 1024 * 1024
SIZE = 200 * MIB
PIECE = bytes(range(256)) * 1024  # 256 KiB
CHECKSUM = 0
for _ in range(SIZE // len(PIECE)):
    CHECKSUM = zlib.crc32(PIECE, CHECKSUM)


def answer(arrived: Arrived, there: Wire) -> bytes | None:
    """Give a token, or a long picture."""
    if "stable_token" in arrived.line:
        body = b'{"access_token":"60_abc","expires_in":7200}'
    elif "GET" in arrived.line:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
        there.sock.sendall(head + f"Content-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // len(PIECE)):
            there.sock.sendall(PIECE)
        return b""
    else:
        return OK
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Process:
    """A hub as `wxmiddleware serve` runs it."""

    def __init__(self, room: Path, wechat: RawWeChat) -> None:
        key, path = new_key(), room / "hub.toml"
        path.write_text(
            f'listen = ["127.0.0.1:0"]\nsecrets = {{ env = "HUB_SECRET" }}\n'
            f'[accounts.{APPID}]\nsecret = {{ env = "APP_SECRET" }}\nbase_url = "{wechat.url}"\n'
            f'[callers.shop]\nkeys = ["{hash_key(key)}"]\naccounts = ["{APPID}"]\n'
        )
        self._errors = room / "stderr"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wxmiddleware", "serve", str(path)],
                env=environment(measured=False, APP_SECRET=APPSECRET, HUB_SECRET=SIGNS),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        until(lambda: "listens at" in self.said or self.process.poll() is not None)
        found = re.search(r"listens at 127\.0\.0\.1:(\d+)", self.said)
        assert found is not None, self.said
        self.door = Door(wechat, key, int(found[1]))

    @property
    def said(self) -> str:
        return self._errors.read_text()

    def memory(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"(?m)^{name}:\s*(\d+) kB", status)[0]) * 1024


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Process]:
    wechat = RawWeChat()
    wechat.keeps_bodies, wechat.answer = False, answer
    made = Process(tmp_path, wechat)
    try:
        yield made
    finally:
        kill_group(made.process)
        wechat.close()
    assert "Traceback" not in made.said


def test_long_bodies_in_bounded_memory(hub: Process) -> None:
    door, checksums = hub.door, []
    assert 200 == door.ask(door.head(f"POST {PATH} HTTP/1.1")).status  # all is imported now
    before = hub.memory("VmRSS")

    def down() -> None:
        with door.connect() as sock:
            sock.sendall(door.head("GET /cgi-bin/media/get HTTP/1.1"))
            response, checksum = answer_on(sock), 0
            while piece := response.read(MIB):
                checksum = zlib.crc32(piece, checksum)
            checksums.append(checksum)

    def up(*headers: str) -> None:
        with door.connect() as sock:
            sock.sendall(door.head("POST /cgi-bin/media/upload HTTP/1.1", *headers))
            for _ in range(SIZE // len(PIECE)):
                sock.sendall(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if "chunked" in headers[0] else PIECE)
            sock.sendall(b"0\r\n\r\n" if "chunked" in headers[0] else b"")
            assert 200 == answer_on(sock).status

    threads = [
        threading.Thread(target=down),
        threading.Thread(target=up, args=[f"Content-Length: {SIZE}"]),
        threading.Thread(target=up, args=["Transfer-Encoding: chunked"]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sent = [each for each in door.wechat.arrived if "upload" in each.line]
    assert [CHECKSUM] == checksums
    assert [(SIZE, CHECKSUM)] * 2 == [(each.size, each.checksum) for each in sent]
    # Of 600 MiB that went through, what is kept to be sent again and what is under way.
    assert hub.memory("VmHWM") < 1.5 * before


def test_clients_that_do_not_read(hub: Process) -> None:
    door = hub.door
    assert 200 == door.ask(door.head(f"POST {PATH} HTTP/1.1")).status
    before = hub.memory("VmRSS")
    idle = [door.connect() for _ in range(20)]
    for sock in idle:
        sock.sendall(door.head("GET /cgi-bin/media/get HTTP/1.1"))
    for sock in idle:
        assert sock.recv(100)
    # What one client reads in this time the others would have been sent as well.
    response = door.ask(door.head("GET /cgi-bin/media/get HTTP/1.1"))
    assert SIZE == sum(map(len, iter(lambda: response.read(MIB), b"")))
    assert hub.memory("VmHWM") < 1.5 * before + len(idle) * 2 * MIB  # pieces under way: asyncio reads 256 KiB at once
    for sock in idle:
        sock.close()
    until(lambda: door.wechat.open <= 2)
