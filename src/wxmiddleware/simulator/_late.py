"""What arrives through the customer-service API of a simulated WeChat in another process: ``wxmiddleware simulate``."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from wxmiddleware.exceptions import ConfigurationError

_TIMEOUT = 10.0
_LOOK = 0.1
_QUIET = 0.5  # a long reply comes in pieces, one after the other


class Mailbox:
    """
    A user's messages at the simulated WeChat that an app under test calls.

    Args:
        base_url: Where that WeChat is; the app's WECHAT_BASE_URL.
        openid: The user.
        patience: Seconds to wait for a message.
        clock: Gives seconds.
        sleep: Waits for so many.

    Raises:
        ConfigurationError: There is no URL, or nobody there who could tell.
    """

    def __init__(
        self,
        base_url: str | None,
        openid: str,
        patience: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not base_url:
            raise ConfigurationError("Set WECHAT_BASE_URL to the simulator that the app calls (wxmiddleware simulate).")
        if not math.isfinite(patience) or patience < 0:
            raise ConfigurationError("--wait takes the seconds to wait for a late reply.")
        self._parts = urlsplit(base_url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ConfigurationError("WECHAT_BASE_URL looks like http://127.0.0.1:8080, as simulate prints it.")
        self._path = f"{self._parts.path.rstrip('/')}/_simulator/sent?touser={quote(openid, safe='')}"
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._start = clock()
        self._seen = len(self._all())

    def wait(self) -> list[tuple[float, dict[str, Any]]]:
        """Wait for new messages; each with the seconds since this was made, none if none came in time."""
        found: list[tuple[float, dict[str, Any]]] = []
        end = self._start + self._patience
        while True:
            now = self._clock()
            new = self._all()[self._seen + len(found) :]
            found += [(now - self._start, each) for each in new]
            if new:
                end = now + _QUIET
            elif now >= end:
                return found
            self._sleep(_LOOK)

    def _all(self) -> list[dict[str, Any]]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        try:
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT)
            with contextlib.closing(connection):
                connection.request("GET", self._path)
                with connection.getresponse() as answer:
                    found = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ConfigurationError(
                f"No simulator answers at WECHAT_BASE_URL ({type(error).__name__}). Start wxmiddleware simulate."
            ) from None
        sent = found.get("sent") if isinstance(found, dict) else None
        if not isinstance(sent, list):
            why = found.get("error", found.get("errmsg")) if isinstance(found, dict) else None
            raise ConfigurationError(f"The simulator at WECHAT_BASE_URL does not tell what was sent: {why}")
        return sent
