"""What WeChat remembers of a request that it answered with an error: for ``openapi/rid/get``."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from ._errors import Json

RID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}")
_TOKEN = re.compile(r"((?:access_token|secret)=[^&]{0,7})[^&]*")
_KEPT = 10_000
_LIFE = 7 * 86400
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Remembered:
    """One request: whose it was, when, and what was said."""

    appid: str
    at: float
    seconds: float
    url: str = field(repr=False)
    body: str = field(repr=False)
    answer: str = field(repr=False)
    ip: str = ""


class Rids:
    """The last requests that were answered with a rid. Its lock is a leaf."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Remembered] = OrderedDict()

    def remember(self, answer: Json, request: Remembered) -> None:
        """Keep a request, if its answer has a rid."""
        found = RID.search(str(answer.get("errmsg", "")))
        if found is not None:
            with self._lock:
                self._found[found[0]] = request
                if len(self._found) > _KEPT:
                    self._found.popitem(last=False)

    def answer(self, rid: object, appid: str, now: float) -> Json | int:
        """Give what is known of a request to the account whose it was, or the errcode for all others."""
        if not isinstance(rid, str) or not RID.fullmatch(rid):
            return 76002
        with self._lock:
            found = self._found.get(rid)
        if found is None or now - found.at > _LIFE:  # uncertain: an old one is 76001 in the text and 76004 in the table
            return 76001
        if found.appid != appid:
            return 76003
        return {
            "invoke_time": int(found.at),
            "cost_in_ms": int(found.seconds * 1000),
            "request_url": _TOKEN.sub(r"\1xxxx", found.url),
            "request_body": found.body[:_LONGEST],
            "response_body": found.answer[:_LONGEST],
            "client_ip": found.ip,
        }
