"""What a WSGI server hands to an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


def noting(statuses: list[str]) -> StartResponse:
    """A ``start_response`` that notes the status; what is written goes nowhere."""

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return len

    return start_response
