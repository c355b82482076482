"""
One line of JSON for each decision: who asked for what, and what came of it. Never a token or a key.

The lines go to the logger ``wxmiddleware.hub.audit`` at INFO, so an app that mounts the hub sends them where it likes;
``wxmiddleware serve`` writes them to the standard output.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .._rules.models import one_line

logger = logging.getLogger("wxmiddleware.hub.audit")
_LIKE_KEY = re.compile(r"[\w.-]{40,}|[0-9A-Fa-f]{32}")  # somebody may have put one into a base URL
_LONGEST = 200  # characters of what a stranger chose


@dataclass(slots=True)
class Entry:
    """
    What one request came to.

    Attributes:
        face: ``wechat``, ``gateway``, ``native`` or ``status``; ``health`` is not told.
        method: Of HTTP.
        path: Without the query.
        caller: Its name; empty for a stranger.
        account: The account's name in the hub.
        generation: Of the token that was given or used.
        result: ``ok``, or in a word or two why not.
        status: Of HTTP.
        errcode: What the answer said, of WeChat's or of the hub's own.
        rid: WeChat's id of the request.
        healed: Whether a call was repeated with a newer token.
    """

    face: str
    method: str
    path: str
    caller: str = ""
    account: str = ""
    generation: int | None = None
    result: str = "ok"
    status: int = 200
    errcode: int | None = None
    rid: str | None = None
    healed: bool = False

    def tell(self, seconds: float, now: float) -> None:
        """
        Write the line.

        Args:
            seconds: How long it took.
            now: Seconds since 1970.
        """
        if not logger.isEnabledFor(logging.INFO):
            return
        said = {
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
            "caller": self.caller or None,
            "account": self.account or None,
            "face": self.face,
            "method": one_line(self.method, 20),
            "path": one_line(_LIKE_KEY.sub("***", self.path), _LONGEST),
            "result": self.result,
            "status": self.status,
            "errcode": self.errcode,
            "generation": self.generation,
            "healed": self.healed or None,
            "rid": None if self.rid is None else one_line(self.rid, _LONGEST),
            "ms": round(seconds * 1000, 1),
        }
        logger.info("%s", json.dumps({k: v for k, v in said.items() if v is not None}, ensure_ascii=False))


# Who counts requests gets each entry, and the seconds: a metrics library's adapter, for example.
Listener = Callable[[Entry, float], None]
