"""
Replies that came too late for the response, through the customer-service API; at WeCom through ``message/send``.

WeChat takes five messages within 48 hours of a user's own; three within a minute of a menu click, a scan or a follow
(docs/wechat.md#replies). The shapes of the kinds are those of WeChat's page on that API:
https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from wxmiddleware._rules.models import WeComAccount
from wxmiddleware._runtime.threads import run_in_thread
from wxmiddleware.exceptions import APIError

from ._limits import PIECES, cut_news, is_empty
from ._sending import check_sender, in_pieces, post
from .app_messages import AppMessages

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

    from .replies import Reply

__all__ = ["asend_reply", "send_reply"]

_logger = logging.getLogger("wxmiddleware")


def send_reply(
    provider: TokenProvider, openid: str, reply: Reply, *, agent: int | str | None = None, timeout: float = 5.0
) -> None:
    """
    Send `reply` to a follower. A rejected token is replaced, once, as with every call under ``@with_token``.

    A text that is longer than WeChat takes is sent in pieces, at most five, at WeCom twenty; of what is longer still
    the rest is left out, with a warning.

    Args:
        provider: Whose token, and whose API: a service account's, a mini program's or a WeCom app's.
        openid: To whom; at WeCom the userid.
        reply: Any but a `TransferReply` or a `RawReply`; at WeCom no `MusicReply`.
        agent: The agentid of the WeCom app, such as ``message.agent_id``; by default that of the account. Elsewhere it
            is not needed.
        timeout: Seconds to connect, and to wait for an answer.

    Raises:
        APIError: WeChat did not take it, with its errcode; or could not be reached: then nobody knows whether it did,
            and it is not sent again.
        ConfigurationError: The provider's token is of a kind that sends no messages; or WeCom's agent is missing.
        TokenError: There is no token.
    """
    check_sender("send_reply(provider)", provider)
    if is_empty(reply):
        return
    if isinstance(provider.account, WeComAccount):
        AppMessages(provider, agent=agent, timeout=timeout).send(reply, users=[openid])
        return
    content = cut_news(reply)._active()
    if content is None:
        raise APIError(f"The customer-service API cannot send a {type(reply).__name__}; return it within the deadline.")
    messages = in_pieces({"touser": openid, "msgtype": reply.kind, reply.kind: content}, PIECES)
    for message in messages:
        post(provider, "/cgi-bin/message/custom/send", message, timeout)
    _logger.info("A late reply was sent in %d message(s).", len(messages))


async def asend_reply(
    provider: TokenProvider, openid: str, reply: Reply, *, agent: int | str | None = None, timeout: float = 5.0
) -> None:
    """Send `reply` to a follower: `send_reply` for tasks of asyncio and trio."""
    await run_in_thread(partial(send_reply, provider, openid, reply, agent=agent, timeout=timeout))
