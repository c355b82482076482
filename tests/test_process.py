"""Who holds a lease, and whether that process is still there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wxmiddleware._runtime import process as _process

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="needs Linux's /proc")

PROGRAM = "import sys; from wxmiddleware._runtime import process; print(process.name(), flush=True); sys.stdin.read()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """A process that has a name, and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def named(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip() + "1a2b3c4d"


def changed(owner: str, **parts: str) -> str:
    """The same owner, but for some parts of its name."""
    names = ("host", "pid", "start", "space", "flight")
    return "/".join(parts.get(name, part) for name, part in zip(names, owner.split("/")))


def test_name() -> None:
    """A name is the same all the time, and says host and process id."""
    host, pid, start, space, rest = _process.name().split("/")

    assert _process.name() == _process.name()
    assert (host, int(pid), rest) == (socket.gethostname(), os.getpid(), "")
    assert start.replace("@", "").isdecimal()
    assert len(space) == 12


def test_for_people() -> None:
    """A person is told the host and the process id."""
    assert f"process {os.getpid()} on {socket.gethostname()}" == _process.host_and_pid(f"{_process.name()}1a2b3c4d")
    assert "somebody" == _process.host_and_pid("somebody")


def test_alive(other: subprocess.Popen[str]) -> None:
    """A process that lives is there, and so are we."""
    assert not _process.gone(named(other))
    assert not _process.gone(f"{_process.name()}1a2b3c4d")


def test_killed(other: subprocess.Popen[str]) -> None:
    """One that was killed is gone, as soon as it is: before and after its parent has taken notice."""
    owner = named(other)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on

    assert _process.gone(owner)
    other.wait()
    assert _process.gone(owner)


def test_number_taken_by_another(other: subprocess.Popen[str]) -> None:
    """Another process with the same id is not the one that held the lease."""
    owner = named(other)
    _, _, scale = owner.split("/")[2].partition("@")

    assert _process.gone(changed(owner, start=f"1@{scale}" if scale else "1"))


class TestTimeNamespaces:
    """The kernel tells each namespace of time another start of the same process."""

    def test_start_in_another(self, other: subprocess.Popen[str]) -> None:
        """A holder that has told its start in another namespace's time lives, if its process id does."""
        assert not _process.gone(changed(named(other), start="8640000000@4026532999"))

    def test_missed_in_another(self, other: subprocess.Popen[str]) -> None:
        """Whose process id is not there any more is gone, in whatever time it was started."""
        owner = changed(named(other), start="8640000000@4026532999")
        other.kill()
        other.wait()

        assert _process.gone(owner)

    def test_seen_from_another(self) -> None:
        """A process in a namespace of its own does not take this one for gone."""
        command = ["unshare", "--time", "--boottime", "86400", "--fork", sys.executable, "-c"]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*command, ""], capture_output=True, check=False).returncode
        ):
            pytest.skip("no namespace of time can be made here")
        program = "import sys; from wxmiddleware._runtime import process; print(process.gone(sys.argv[1]))"
        owner = f"{_process.name()}1a2b3c4d"
        ended = subprocess.run([*command, program, owner], capture_output=True, text=True, check=False)

        assert ("False\n", 0) == (ended.stdout, ended.returncode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_of_another_user() -> None:
    """A process of another user, which may not be asked, is there."""
    lines = ["import os, sys", "from wxmiddleware._runtime import process", "os.setuid(65534)"]
    program = "\n".join([*lines, "sys.exit(process.gone(sys.argv[1]))"])
    ended = subprocess.run([sys.executable, "-c", program, f"{_process.name()}1a2b3c4d"], check=False)

    assert ended.returncode == 0


@pytest.mark.parametrize(
    "parts",
    [
        {"space": "0123456789ab"},  # another machine, boot or container
        {"space": "-"},  # a platform that cannot tell
        {"pid": "x"},
        {"pid": "9" * 30},
    ],
)
def test_unknown(other: subprocess.Popen[str], parts: dict[str, str]) -> None:
    """Of whom nothing is known for certain it is believed that they live."""
    owner = named(other)
    other.kill()
    other.wait()

    assert not _process.gone(changed(owner, **parts))


@pytest.mark.parametrize("owner", ["", "4711-1a2b3c4d", "a/b", "////", "me"])
def test_other_names(owner: str) -> None:
    """Names of another form are nobody that could be missed."""
    assert not _process.gone(owner)


def test_forked_child() -> None:
    """A forked child has a name of its own."""
    ours = _process.name()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, _process.name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read()

    assert theirs.split("/")[1] == str(child)
    assert theirs != ours == _process.name()


@pytest.mark.parametrize("locks", ["", "1: FLOCK\n", "1: FLOCK ADVISORY WRITE - fe:00:77 0 EOF\n", None])
def test_holder_of_a_lock_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, locks: str | None) -> None:
    """Where the machine does not say who holds a lock, nobody is taken for stopped."""

    def read(path: Path, encoding: str) -> str:
        if locks is None:
            raise FileNotFoundError(path)
        return locks

    monkeypatch.setattr(Path, "read_text", read)

    assert not _process.lock_is_stopped(77)
