"""Requests of the doctor's own to WeChat: bounded, and silent about what was in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ..._rules.errcodes import request_id
from ..._rules.models import Account, Failure
from ..._runtime.clock import Clock, clock
from ...sources._http import Answer, Target, number, send
from .network import Reached

__all__ = ["Said", "ask", "reach"]

_PATIENCE = 5.0
_CHEAPEST = "/cgi-bin/get_api_domain_ip"


@dataclass(frozen=True, slots=True)
class Said:
    """
    What an API answered.

    Attributes:
        errcode: 0 if it did what it was asked for, ``None`` if nothing that can be read came back.
        errmsg: WeChat's text.
        fields: The whole answer.
        problem: Why nothing came back, in English.
    """

    errcode: int | None
    errmsg: str = ""
    fields: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def rid(self) -> str | None:
        """WeChat's id of the request, if its text has one."""
        return request_id(self.errmsg)

    def part(self, name: str) -> Mapping[str, Any]:
        """An object in the answer; empty if it is not there."""
        found = (self.fields or {}).get(name)
        return found if isinstance(found, Mapping) else {}


def ask(account: Account, path: str, access_token: str | None, body: Mapping[str, Any] | None = None) -> Said:
    """
    Call an API once: GET, or POST if there is a body.

    Args:
        access_token: What stands in the query; ``None`` for an API that takes none.
        body: The JSON to send.
    """
    target = Target(account.base_url + path)
    query = {} if access_token is None else {"access_token": access_token}
    answer = _sent(target, "GET" if body is None else "POST", query, body)
    if isinstance(answer, Failure):
        return Said(None, problem=answer.message)
    return _read(answer) or Said(None, problem=f"{target.host} answered HTTP {answer.status} without JSON.")


def reach(account: Account, time: Clock) -> Reached:
    """
    Send a request without a token, which costs nothing and to which WeChat answers errcode 41001.

    Args:
        time: Seconds since 1970, to compare with WeChat's.
    """
    before, began = time(), clock()
    answer = _sent(Target(account.base_url + _CHEAPEST), "GET", {}, None)
    seconds = clock() - began
    if isinstance(answer, Failure):
        return Reached(0, problem=answer.message, seconds=seconds)
    said = _read(answer)
    there = _date(answer.headers)
    return Reached(
        answer.status,
        None if said is None else said.errcode,
        "" if said is None else said.errmsg,
        # The header has whole seconds, so on average half of one is missing.
        ahead=None if there is None else there + 0.5 - (before + seconds / 2),
        seconds=seconds,
    )


def _sent(target: Target, method: str, query: Mapping[str, str], body: Mapping[str, Any] | None) -> Answer | Failure:
    return send(
        target, method, timeout=_PATIENCE, connect_timeout=_PATIENCE, whole=_PATIENCE, query=query or None, body=body
    )


def _read(answer: Answer) -> Said | None:
    try:
        found = json.loads(answer.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    code = number(found.get("errcode", 0)) if isinstance(found, dict) else None
    if code is None:
        return None
    errmsg = found.get("errmsg")
    return Said(int(code), errmsg if isinstance(errmsg, str) else "", found)


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
