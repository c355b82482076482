"""
Replies that came too late for the response, through the customer-service API.

[SK-MSG]: five messages within 48 hours of a user's own; three within a minute of a menu click, a scan or a follow.
The shapes of the kinds beside ``text`` are those of WeChat's page on that API, which the facts do not repeat.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import requests

from wxmiddleware._context import use_provider
from wxmiddleware._quiet import untraced
from wxmiddleware._verdict import error_in
from wxmiddleware.decorators import with_token
from wxmiddleware.exceptions import APIError

from .replies import Reply

if TYPE_CHECKING:
    from wxmiddleware._provider import TokenProvider

__all__ = ["send_reply"]

_logger = logging.getLogger("wxmiddleware")


def send_reply(provider: TokenProvider, openid: str, reply: Reply, *, timeout: float = 5.0) -> None:
    """
    Send `reply` to a follower. A refused token is replaced, once, as with every call under ``@with_token``.

    Args:
        provider: Whose token, and whose API.
        openid: To whom.
        reply: Any but a `TransferReply` or a `RawReply`.
        timeout: Seconds to connect, and to wait for an answer.

    Raises:
        APIError: WeChat did not take it, with its errcode; or could not be reached: then nobody knows whether it did,
            and it is not sent again.
        TokenError: There is no token.
    """
    content = reply._active()
    if content is None:
        raise APIError(f"The customer-service API cannot send a {type(reply).__name__}; return it within the deadline.")
    message = {"touser": openid, "msgtype": reply.kind, reply.kind: content}
    # Escapes (\u4f60) would be shown as they are; halves of emoji have no other form.
    body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    with use_provider(provider):
        answer = _post(f"{provider.account.base_url}/cgi-bin/message/custom/send", body, timeout)
    error = error_in(answer)
    del answer  # it may quote the URL, and error trackers show local variables
    if error is not None:
        raise error
    _logger.info("A late reply was sent through the customer-service API.")


@with_token(parameter="token")  # a name whose value error trackers hide
def _post(token: str, url: str, body: bytes, timeout: float) -> dict[str, Any]:
    try:
        with untraced():
            response = requests.post(url, params={"access_token": token}, data=body, timeout=timeout)
        answer = response.json()
    except requests.RequestException as error:
        problem = type(error).__name__
    else:
        return answer if isinstance(answer, dict) else {"errcode": -1, "errmsg": "no JSON object"}
    # Out of the except clause: the cause would have the URL, and so the token.
    raise APIError(f"WeChat's customer-service API gave no answer ({problem}).")
