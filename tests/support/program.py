"""A program in a process of its own, of Python if it is not said otherwise, which a test talks to line by line."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wxmiddleware

TESTS = Path(__file__).parents[1]
PATIENCE = 120.0  # real seconds after which a program is taken for hanging


def environment(*, measured: bool = True, **extra: str) -> dict[str, str]:
    """
    This process's environment for another one that imports the tests' modules, too.

    Args:
        measured: Whether its coverage is measured. What is killed at the end writes down none, and is only slower.
        extra: What is to be in it besides.
    """
    # The very package that is tested here, wherever it is; a server need not read what an editable install left.
    path = [str(Path(wxmiddleware.__file__).parents[1]), str(TESTS), os.environ.get("PYTHONPATH", "")]
    without = ("WECHAT_", "WX_TEST_") if measured else ("WECHAT_", "WX_TEST_", "COVERAGE_PROCESS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1", **extra}


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it has started, whether or not it still lives."""
    # It leads a session of its own; the group lives on while any of its processes does.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Program:
    """
    A running program.

    Args:
        file: Its source.
        args: Its arguments.
        env: Its environment.
        runs: What runs it; by default this Python.
        place: The directory that it is in; by default this one.
    """

    def __init__(
        self,
        file: Path,
        *args: str,
        env: Mapping[str, str],
        runs: Sequence[str] = (sys.executable, "-X", "faulthandler"),
        place: Path | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - close() closes it
        self._process = subprocess.Popen(
            [*runs, str(file), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=dict(env),
            cwd=place,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read()

    def _where(self) -> str:
        """End it, and tell where it stood."""
        self._process.send_signal(signal.SIGABRT)  # faulthandler writes the stacks
        self._process.wait()
        return self.errors

    def say(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Give the next line it says."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"The program said nothing for {PATIENCE:.0f} s.\n{self._where()}") from None
        assert line, f"The program ended instead of saying something.\n{self.errors}"
        return line

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self, patience: float = PATIENCE) -> list[str]:
        """Wait for it to end by itself, see that it ended well and silently, and give what it said meanwhile."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The program did not end in {patience:.0f} s.\n{self._where()}") from None
        self._reader.join()

        assert not self.errors, self.errors
        assert code == 0
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return [line for line in lines if line]

    def close(self) -> None:
        """Kill it if it still runs."""
        kill_group(self._process)
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
