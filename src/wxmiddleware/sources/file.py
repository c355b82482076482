"""The token that another program keeps in a file."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from dataclasses import dataclass

from .._rules.models import Account, Cause, Failure, Grant
from .._runtime import checks
from ..exceptions import ConfigurationError
from ._elsewhere import Elsewhere, first, granted, named
from ._reading import read_file
from ._within import OneAtATime

__all__ = ["FileToken"]

_MOST_BYTES = 65_536
_TOKENS = ("access_token", "accessToken", "token")
_ENDS = ("expires_in", "expires_at", "expireTime")
# What a program writes that has no token: a word of its language for that, an errcode, or an error page.
_NONE = re.compile(r"null|none|nil|undefined|false|true|-?[0-9]{1,9}|<.*", re.IGNORECASE | re.DOTALL)
_CUT = "It may be half written: have it replaced as a whole (written beside, then renamed)."


@dataclass(frozen=True, slots=True)
class FileToken(Elsewhere):
    """
    Read the token from a file that another program writes: as JSON, or as plain text with nothing else in it.

    The file is read every minute (`refresh_after`), and once more when a token was rejected. It is only read: whoever
    owns the token has to renew it. So if a rejected token still stands there, the caller gets WeChat's own answer, and
    the file is read again a second later, as long as calls are rejected; the first that finds another token is healed.

    A file that is away, empty, half written or without a token (``false``, an errcode, an error page in HTML) takes
    nothing away: the token that was read before stays in use until its end. An error names the path and nothing of
    the content, and is over when the file is right again, 5 s later at most. Half a token in plain text cannot be
    told from a whole one until WeChat rejects it: such a file must be replaced as a whole.

    Args:
        path: The file; a relative one is below the directory that the process is in now.
        field: The token's field in JSON, ``data.token`` for one in another; by default the first that is there of
            ``access_token``, ``accessToken`` and ``token``.
        expires: The field of its end: seconds of life, counted from when the file was written, or a time in seconds or
            milliseconds since 1970. By default the first that is there of ``expires_in``, ``expires_at`` and
            ``expireTime``. If there is none, the token is used until it is rejected, or for two hours after it was seen
            last.
        refresh_after: Seconds between two looks at the file.
        timeout: Seconds that a look may take: a drive of the network may hang. While it does, there is no other look.

    Raises:
        ConfigurationError: The path is none, a field's name is empty, or a number is not above 0.
    """

    path: str | os.PathLike[str]
    field: str | None = None
    expires: str | None = None
    _: dataclasses.KW_ONLY
    refresh_after: float = 60.0
    timeout: float = 5.0
    _calls: OneAtATime = dataclasses.field(init=False, repr=False, compare=False, default_factory=OneAtATime)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not isinstance(os.fspath(self.path), str):
            raise ConfigurationError("path must be the path of a file, a str or a Path.")
        if not str(self.path) or "\0" in str(self.path):
            raise ConfigurationError("path is empty, or has a NUL character in it.")
        for name in ("field", "expires"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigurationError(f"{name} must be the name of a field in the file, such as 'access_token'.")
        checks.seconds("refresh_after", self.refresh_after)
        checks.seconds("timeout", self.timeout)
        object.__setattr__(self, "path", os.path.abspath(self.path))

    @property
    def kind(self) -> str:
        """A name of its own for each path and field, so that two files of one account are not mixed up."""
        return named("file", str(self.path), self.field or "")

    @property
    def asks(self) -> str:
        """The file, for messages."""
        return f"the file {self.path}"

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Read the file. It says what it says, so `force` changes nothing."""
        who = f"The file {self.path}"
        try:
            (raw, written), _ = self._calls.call(self.timeout, self._read)
        except TimeoutError:
            return Failure(Cause.TRANSIENT, f"{who} cannot be read within {self.timeout:g} s. Does its drive hang?")
        except FileNotFoundError:
            return Failure(Cause.TRANSIENT, f"{who} is not there.")
        except PermissionError:
            return Failure(Cause.PERMANENT, f"{who} may not be read by the user that this process runs as.")
        except OSError as exc:
            return Failure(Cause.TRANSIENT, f"{who} cannot be read ({os.strerror(exc.errno or 0)}).")
        if raw is None:
            return Failure(Cause.PERMANENT, f"{who} is not a regular file, but a directory, a pipe or a device.")
        if len(raw) > _MOST_BYTES:
            return Failure(Cause.PERMANENT, f"{who} has more than {_MOST_BYTES} bytes. Is it the right one?")
        return self._parsed(who, raw, written)

    def _parsed(self, who: str, raw: bytes, written: float) -> Grant | Failure:
        try:
            text = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            return Failure(Cause.TRANSIENT, f"{who} is not text. {_CUT}")
        answer: object = text
        if text[:1] in ("{", "[", '"') or text == "null":
            try:
                answer = json.loads(text)
            except (ValueError, RecursionError):
                return Failure(Cause.TRANSIENT, f"{who} is no whole JSON. {_CUT}")
        elif self.field is not None and text:
            return Failure(Cause.TRANSIENT, f"{who} is no JSON, so it has no field {self.field}. {_CUT}")
        elif _NONE.fullmatch(text):
            answer = None
        end = None
        if isinstance(answer, dict):
            names = _TOKENS if self.field is None else (self.field,)
            end = first(answer, _ENDS if self.expires is None else (self.expires,))
            token = first(answer, names)
            if token is None and answer:
                return Failure(Cause.TRANSIENT, f"{who} has no field {' or '.join(names)}.")
            answer = token
        now = time.time()
        # The clock of a drive of the network may be ahead, and a token's life has begun by now.
        return granted(who, answer, end, now=now, since=min(written, now))

    def _read(self) -> tuple[bytes | None, float]:
        return read_file(self.path, _MOST_BYTES)
