"""
Replies that came too late for the response, through the customer-service API; at WeCom through ``message/send``.

WeChat takes five messages within 48 hours of a user's own; three within a minute of a menu click, a scan or a follow
(docs/wechat.md#replies). The shapes of the kinds are those of WeChat's page on that API:
https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import requests

from wxmiddleware._outbound.errors import error_in
from wxmiddleware._rules.models import WeComAccount
from wxmiddleware._runtime.untraced import untraced
from wxmiddleware.context import use_provider
from wxmiddleware.decorators import with_token
from wxmiddleware.exceptions import APIError, ConfigurationError

from ._limits import cut_news, is_empty, pieces
from .replies import MusicReply, NewsReply, Reply, TextReply

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

__all__ = ["send_reply"]

_logger = logging.getLogger("wxmiddleware")


def send_reply(
    provider: TokenProvider, openid: str, reply: Reply, *, agent: int | str | None = None, timeout: float = 5.0
) -> None:
    """
    Send `reply` to a follower. A rejected token is replaced, once, as with every call under ``@with_token``.

    A text that is longer than WeChat takes is sent in pieces, at most five; of what is longer still the rest is left
    out, with a warning.

    Args:
        provider: Whose token, and whose API: a service account's, a mini program's or a WeCom app's.
        openid: To whom; at WeCom the userid.
        reply: Any but a `TransferReply` or a `RawReply`; at WeCom no `MusicReply`.
        agent: The agentid of the WeCom app, such as ``message.agent_id``. Elsewhere it is not needed.
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
    message = _message(reply, wecom=isinstance(provider.account, WeComAccount), agent=agent)
    path = "/cgi-bin/message/send" if "agentid" in message else "/cgi-bin/message/custom/send"
    contents = [message[reply.kind]]
    if isinstance(reply, TextReply):
        texts, left = pieces(reply.content)
        contents = [{"content": text} for text in texts]
        if left:
            _logger.warning("A late text was cut: its last %d bytes do not fit into %d messages.", left, len(texts))
    for content in contents:
        # Escapes (\\u4f60) would be shown as they are; halves of emoji have no other form.
        body = json.dumps({**message, "touser": openid, reply.kind: content}, ensure_ascii=False)
        with use_provider(provider):
            answer = _post(f"{provider.account.base_url}{path}", body.encode("utf-8", "replace"), timeout)
        error = error_in(answer)
        del answer  # it may quote the URL, and error trackers show local variables
        if error is not None:
            raise error
    _logger.info("A late reply was sent in %d message(s).", len(contents))


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


def _message(reply: Reply, *, wecom: bool, agent: int | str | None) -> dict[str, Any]:
    content = reply._active()
    if content is None or (wecom and isinstance(reply, MusicReply)):
        api = "WeCom's message/send" if wecom else "The customer-service API"
        raise APIError(f"{api} cannot send a {type(reply).__name__}; return it within the deadline.")
    if isinstance(reply, NewsReply):
        content = cut_news(reply)._active()
    if not wecom:
        return {"msgtype": reply.kind, reply.kind: content}
    if not str("" if agent is None else agent).isdecimal():
        raise ConfigurationError("At WeCom send_reply() needs agent=, the app's agentid, such as message.agent_id.")
    assert content is not None
    content.pop("thumb_media_id", None)
    return {"agentid": int(str(agent)), "msgtype": reply.kind, reply.kind: content}


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
