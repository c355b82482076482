"""
A message on its way to an API for messages: who may send one, in how many pieces, and one call with the one retry.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import requests

from wxmiddleware._outbound.errors import error_in
from wxmiddleware._runtime.untraced import untraced
from wxmiddleware.context import use_provider
from wxmiddleware.decorators import with_token
from wxmiddleware.exceptions import APIError, ConfigurationError

from ._limits import pieces

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

_logger = logging.getLogger("wxmiddleware")


def check_sender(what: str, provider: object) -> None:
    """
    Check that the provider's token is one of an account's or app's own.

    Raises:
        ConfigurationError: It is a platform's own token, or a ticket.
    """
    kind = str(getattr(getattr(getattr(provider, "_own", None), "source", None), "kind", ""))
    if kind in ("component", "provider") or kind.startswith("suite") or kind.endswith("ticket"):
        raise ConfigurationError(
            f"{what} needs the token of an account or a WeCom app; that of a {kind} does not serve there."
        )


def in_pieces(message: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Split a text that is longer than WeChat takes; of what is longer still the rest is left out, with a warning."""
    if message["msgtype"] != "text":
        return [dict(message)]
    texts, left = pieces(message["text"]["content"], most)
    if left:
        _logger.warning("A text was cut: its last %d bytes do not fit into %d messages.", left, len(texts))
    return [{**message, "text": {**message["text"], "content": text}} for text in texts]


def post(provider: TokenProvider, path: str, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """
    Send a message. A rejected token is replaced, once, as with every call under ``@with_token``.

    Raises:
        APIError: It was not taken, with its errcode; or nobody knows whether it was.
        TokenError: There is no token.
    """
    # Escapes (\u4f60) would be shown as they are; halves of emoji have no other form.
    body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    with use_provider(provider):
        answer = _post(f"{provider.account.base_url}{path}", body, timeout)
    error = error_in(answer)
    if error is not None:
        del answer  # it may quote the URL, and error trackers show local variables
        raise error
    return answer


@with_token(parameter="token")  # a name whose value error trackers hide
def _post(token: str, url: str, body: bytes, timeout: float) -> dict[str, Any]:
    try:
        with untraced():
            # A redirect would take the token, and the message, elsewhere.
            response = requests.post(
                url, params={"access_token": token}, data=body, timeout=timeout, allow_redirects=False
            )
        if 300 <= response.status_code < 400:
            problem = "a redirect, which is not followed; check base_url"
        else:
            answer = response.json()
            return answer if isinstance(answer, dict) else {"errcode": -1, "errmsg": "no JSON object"}
    except requests.RequestException as error:
        problem = type(error).__name__
    # Out of the except clause: the cause would have the URL, and so the token.
    raise APIError(f"WeChat's API for messages gave no answer ({problem}).")
