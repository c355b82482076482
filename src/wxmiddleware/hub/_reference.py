"""
Where a secret lies: in the environment, in a file, or where a command gets it. It does not stand in the settings.

Each is a function that reads it anew, and two that say the same are equal: what did not change is kept.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..exceptions import ConfigurationError

_LONGEST = 64 * 1024  # bytes of a file or an output
_PATIENCE = 10.0  # seconds for a command; a fetch waits for it
FORMS = '{ env = "NAME" }, { file = "/run/secrets/name" } or { command = ["vault", "kv", "get", "…"] }'


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """What an environment variable of this process holds."""

    name: str

    def __call__(self) -> str:
        """
        Read it.

        Raises:
            ConfigurationError: It is not set, or empty.
        """
        token = os.environ.get(self.name, "")
        if not token:
            raise ConfigurationError(f"the environment variable {self.name} is not set, or empty. Set it")
        return _word(token, f"the environment variable {self.name}")

    def check(self) -> None:
        """See whether it can be read."""
        self()

    def __str__(self) -> str:
        return f"environment {self.name}"


@dataclass(frozen=True, slots=True)
class FromFile:
    """What a file holds, which only its owner and group may read."""

    path: str

    def __call__(self) -> str:
        """
        Read it.

        Raises:
            ConfigurationError: It cannot be read, is empty or no text, or all users of the machine can read it.
        """
        try:
            # A pipe would keep us waiting, so it is opened without that, and only a regular file is read.
            with open(os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise ConfigurationError(f"{self.path} is no regular file")
                if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
                    raise ConfigurationError(
                        f"every user of this machine can read {self.path}, or write to it. Run chmod o-rw {self.path}; "
                        "in Kubernetes say defaultMode: 0440 where the secret is mounted, in Docker mode: 0440"
                    )
                token = file.read(_LONGEST)
        except OSError as error:
            raise ConfigurationError(f"the file {self.path} cannot be read: {error.strerror}") from None
        return _text(token, f"the file {self.path}")

    def check(self) -> None:
        """See whether it can be read."""
        self()

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class FromCommand:
    """What a command prints, such as one of Vault's. No shell takes its words apart."""

    words: tuple[str, ...]

    def __call__(self) -> str:
        """
        Run it.

        Raises:
            ConfigurationError: It fails, takes too long, or prints nothing or no text. What it says is not repeated.
        """
        problem, token = "", b""
        try:
            done = subprocess.run(  # noqa: S603 - the owner of the settings named it
                self.words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            problem = f"did not end within {_PATIENCE:.0f} s"
        except OSError as error:
            problem = f"cannot be run: {error.strerror}"
        else:
            token = done.stdout[:_LONGEST]
            problem = f"ended with {done.returncode}" if done.returncode else ""
            del done
        if problem:
            raise ConfigurationError(f"the command {self.words[0]} {problem}. Run it by hand to see why")
        return _text(token, f"the output of the command {self.words[0]}")

    def check(self) -> None:
        """
        See whether there is such a command; it is not run.

        Raises:
            ConfigurationError: There is none.
        """
        if shutil.which(self.words[0]) is None:
            raise ConfigurationError(f"there is no command {self.words[0]} on the PATH. Install it, or give its path")

    def __str__(self) -> str:
        return f"command {self.words[0]}"


Reference = FromEnvironment | FromFile | FromCommand


def reference(value: Any, beside: Path) -> Reference:
    """
    Read where a secret lies.

    Args:
        value: As it stands in the settings.
        beside: The directory that a relative path begins at.

    Raises:
        ConfigurationError: It is no such table. The message does not quote it: it may be the secret itself.
    """
    if isinstance(value, str):
        raise ConfigurationError(
            f"a secret does not stand in this file, which backups and repositories keep. Say where it lies: {FORMS}"
        )
    if not isinstance(value, dict) or len(value) != 1:
        raise ConfigurationError(f"must be one of {FORMS}")
    ((kind, where),) = value.items()
    if kind == "env" and _is_text(where):
        return FromEnvironment(where)
    if kind == "file" and _is_text(where):
        return FromFile(str(beside / os.path.expanduser(where)))
    if kind == "command" and isinstance(where, list) and where and all(map(_is_text, where)):
        return FromCommand(tuple(where))
    raise ConfigurationError(f"must be one of {FORMS}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _text(token: bytes, whose: str) -> str:
    return _word(token.decode(errors="replace"), whose)


def _word(token: str, whose: str) -> str:
    token = token.strip()
    if not token or not token.isprintable() or "\ufffd" in token or any(map(str.isspace, token)):
        raise ConfigurationError(f"{whose} is empty, or not one word of text")
    return token
