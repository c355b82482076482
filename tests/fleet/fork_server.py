"""The test's side of a fleet: workers are forked, asked, stopped and killed."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.program import Program, environment
from support.standstill import wait_for_standstill

PATIENCE = 60.0  # real seconds after which a worker is taken for hanging


@dataclass(frozen=True)
class Setup:
    """
    What a worker is to be.

    Attributes:
        url: The store's.
        kind: ``classic`` or ``stable``.
        appid: The account's.
        secret: The account's.
        base_url: The simulated WeChat's.
        clock: The file of a `SharedClock`; without one it lives in real time.
        hold: Where its first refresh is held, if anywhere; see `fleet.worker.Holding`.
        history: Where it writes down what it does, if anywhere; see `fleet.history`. It needs a `clock`.
        realm: The account's, if the test says which.
        follow: Whether it never fetches.
    """

    url: str
    kind: str
    appid: str
    secret: str
    base_url: str
    clock: str | None
    hold: str | None = None
    history: str | None = None
    realm: str | None = None
    follow: bool = False


class Member:
    """
    One worker of a fleet.

    Args:
        line: The connection to it.
        fork_server: What forked it.
    """

    def __init__(self, line: socket.socket, fork_server: ForkServer) -> None:
        self._line = line
        self._fork_server = fork_server
        self._heard = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[str] = []
        self._orders = 0
        self.number: int = self._next()["number"]
        self.pid: int = self._next()["pid"]
        self._handle = os.pidfd_open(self.pid)
        self.alive = True

    # Orders

    def send(self, do: str, **what: object) -> int:
        """Tell it to do something; the number of the order."""
        self._orders += 1
        self._line.sendall(json.dumps({"id": self._orders, "do": do, **what}).encode("ascii") + b"\n")
        return self._orders

    def answer(self, order: int) -> Any:
        """Wait for what came of an order."""
        while order not in self._answers:
            self._hear()
        said = self._answers.pop(order)
        assert "error" not in said, said["error"]
        return said["result"]

    def has_answered(self, order: int) -> bool:
        """Listen to what it says, which `select` has announced; whether that is what came of an order."""
        self._hear()
        while b"\n" in self._heard:
            self._hear()
        return order in self._answers

    def do(self, do: str, **what: object) -> Any:
        """Give an order, and wait for what comes of it."""
        return self.answer(self.send(do, **what))

    def fileno(self) -> int:
        """For `select`: something can be read when it has said something."""
        return self._line.fileno()

    def event(self, name: str) -> None:
        """Wait until it tells so."""
        while name not in self._events:
            self._hear()
        self._events.remove(name)

    def go_on(self) -> None:
        """Let it go on from where it is held."""
        self._line.sendall(b'{"do": "go_on"}\n')

    def ask(self, rejected: str | None = None) -> str:
        """Get a token from it; it is at rest afterwards."""
        token: str = self.do("ask", rejected=rejected)
        return token

    def try_ask(self, rejected: str) -> str | None:
        """Report a rejected token; another one, if there is any."""
        token: str | None = self.do("try_ask", rejected=rejected)
        return token

    # Fates

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        if self.alive:
            self.alive = False
            with suppress(ProcessLookupError):  # it hung, and was ended for that
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            assert select.select([self._handle], [], [], PATIENCE)[0], "A killed worker lives on."
            os.close(self._handle)
            self._line.close()

    def stop(self) -> None:
        """Stop it, and wait until it stands still."""
        signal.pidfd_send_signal(self._handle, signal.SIGSTOP)
        wait_for_standstill(self.pid)

    def cont(self) -> None:
        """Let a stopped one run."""
        signal.pidfd_send_signal(self._handle, signal.SIGCONT)

    # Listening

    def _hear(self) -> None:
        said = self._next()
        if "event" in said:
            self._events.append(said["event"])
        else:
            self._answers[said["id"]] = said

    def _next(self) -> dict[str, Any]:
        while b"\n" not in self._heard:
            if not select.select([self._line], [], [], PATIENCE)[0]:
                raise AssertionError(f"A worker said nothing for {PATIENCE:.0f} s.\n{self._where()}")
            chunk = self._line.recv(65536)
            assert chunk, f"A worker has ended.\n{self._fork_server.errors}"
            self._heard += chunk
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def _where(self) -> str:
        """End it, and tell where it stood."""
        signal.pidfd_send_signal(self._handle, signal.SIGABRT)  # faulthandler writes the stacks
        signal.pidfd_send_signal(self._handle, signal.SIGCONT)
        select.select([self._handle], [], [], PATIENCE)
        return self._fork_server.errors


class ForkServer:
    """Forks workers from a process that has imported everything; it ends them, and itself, when the test ends."""

    def __init__(self) -> None:
        self._numbers = 0
        self._members: list[Member] = []
        self._open()

    def _open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wx-fleet-")  # a socket's path must be short
        self._path = str(Path(self._folder.name) / "socket")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self._path)
        self._listening.listen(64)
        self._listening.settimeout(PATIENCE)
        self._program = Program(Path(__file__).with_name("worker.py"), env=environment(measured=False))
        assert self._program.hear() == "ready"

    def _close(self) -> None:
        with suppress(BrokenPipeError):
            self.clear()
        self._program.close()
        self._listening.close()
        self._folder.cleanup()

    @property
    def errors(self) -> str:
        """What the workers wrote to stderr so far."""
        return self._program.errors

    def fork(self, *setups: Setup) -> list[Member]:
        """Fork a worker for each."""
        try:
            return self._fork(*setups)
        except BaseException:  # whoever was not waited for would be taken for a later test's
            self._close()
            self._open()
            raise

    def _fork(self, *setups: Setup) -> list[Member]:
        first = self._numbers
        for setup in setups:
            self._program.say(json.dumps({**asdict(setup), "number": self._numbers, "socket": self._path}))
            self._numbers += 1
        forked = []
        for _ in setups:
            line, _ = self._listening.accept()
            forked.append(Member(line, self))
        self._members += forked
        assert all(member.number >= first for member in forked)
        return sorted(forked, key=lambda member: member.number)

    def clear(self) -> None:
        """Kill all workers that there are."""
        while self._members:
            self._members.pop().kill()
        self._numbers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()


def all_do(members: Iterable[Member], do: str, **what: object) -> list[Any]:
    """Give all of them an order at once; what came of it."""
    orders = [(member, member.send(do, **what)) for member in members]
    return [member.answer(order) for member, order in orders]
