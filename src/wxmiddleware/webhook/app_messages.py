"""
Messages that an app of WeCom sends by itself, through ``message/send``::

    messages = AppMessages(provider)
    messages.send("The build is red.", users=["ada", "bob"])

Facts: docs/wechat.md#messages-of-wecom-apps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from wxmiddleware._rules.models import WeComAccount, agent_of
from wxmiddleware._runtime import checks
from wxmiddleware._runtime.threads import run_in_thread
from wxmiddleware.exceptions import APIError, ConfigurationError

from ._limits import cut_news
from ._sending import check_sender, in_pieces, post
from .replies import MusicReply, Reply, TextReply

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

__all__ = ["AppMessages", "Delivery"]

_logger = logging.getLogger("wxmiddleware")

_PATH = "/cgi-bin/message/send"
_PIECES = 20  # a member gets 30 messages a minute from an app; of more WeCom drops the rest, and tells nobody
_MARKDOWN = 2048  # bytes
_USERS, _OTHERS = 1000, 100
_OURS = ("touser", "toparty", "totag", "agentid")


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What WeCom said to a message that it took.

    Attributes:
        msgids: The message's id; of a text in pieces one for each.
        invalid_users: Who did not get it: unknown, or outside the app's visible range (可见范围). In lower case.
        invalid_parties: Departments that did not get it.
        invalid_tags: Tags that did not get it.
        unlicensed_users: Who may not be reached, as the corp has no licence (接口许可) for them.
    """

    msgids: tuple[str, ...] = ()
    invalid_users: tuple[str, ...] = ()
    invalid_parties: tuple[str, ...] = ()
    invalid_tags: tuple[str, ...] = ()
    unlicensed_users: tuple[str, ...] = ()


class AppMessages:
    """
    Sends the messages of one app of WeCom.

    Args:
        provider: Gives the app's token: of a `WeComAccount`, or of a corp, ``suite.corp(corpid)``.
        agent: The app's agentid; by default that of the account.
        timeout: Seconds to connect, and to wait for an answer.

    Raises:
        ConfigurationError: `provider` is none of an app's, or the agentid is missing.
    """

    def __init__(self, provider: TokenProvider, *, agent: int | str | None = None, timeout: float = 5.0) -> None:
        if not isinstance(getattr(provider, "account", None), WeComAccount):
            raise ConfigurationError(
                "AppMessages(provider) takes the provider of a WeComAccount, or of a suite's corp."
            )
        check_sender("AppMessages(provider)", provider)
        self._provider = provider
        self._agent = _agent(provider, agent)
        self._timeout = checks.seconds("timeout", timeout)

    def send(
        self,
        message: str | Reply | Mapping[str, Any],
        *,
        users: str | Iterable[str] = (),
        parties: Iterable[int | str] = (),
        tags: Iterable[int | str] = (),
    ) -> Delivery:
        """
        Send a message. A rejected token is replaced, once, as with every call under ``@with_token``.

        A text of more than 2047 bytes, which WeCom would cut, is sent in pieces, at most twenty; of what is longer
        still the rest is left out, with a warning. If a piece is not taken, those before it have been sent.

        Args:
            message: A text; a reply as handlers return it; or a body as WeCom has it for all other kinds, such as
                ``{"msgtype": "markdown", "markdown": {"content": "**red**"}}``.
            users: Userids, 1000 at most; ``"@all"`` is everybody who sees the app.
            parties: Departments' ids, 100 at most.
            tags: Tags' ids, 100 at most.

        Raises:
            APIError: WeCom did not take it, with its errcode; or could not be reached: then nobody knows whether it
                did, and it is not sent again. Also for a reply of a kind that it does not have.
            ConfigurationError: There is no receiver, or there are too many; or the body is none.
            TokenError: There is no token.
        """
        receivers = {
            "touser": _receivers("users", users, _USERS),
            "toparty": _receivers("parties", parties, _OTHERS),
            "totag": _receivers("tags", tags, _OTHERS),
        }
        if not any(receivers.values()):
            raise ConfigurationError("Say who is to get the message: users=, parties= or tags=.")
        head = {**{name: who for name, who in receivers.items() if who}, "agentid": self._agent}
        # One after the other: a text is read from its beginning.
        answers = [
            post(self._provider, _PATH, {**head, **piece}, self._timeout)
            for piece in in_pieces(_body(message), _PIECES)
        ]
        _logger.info("A message of a WeCom app was sent in %d message(s).", len(answers))
        return _delivery(answers)

    async def asend(
        self,
        message: str | Reply | Mapping[str, Any],
        *,
        users: str | Iterable[str] = (),
        parties: Iterable[int | str] = (),
        tags: Iterable[int | str] = (),
    ) -> Delivery:
        """Send a message: `send` for tasks of asyncio and trio."""
        return await run_in_thread(partial(self.send, message, users=users, parties=parties, tags=tags))

    def __repr__(self) -> str:
        return f"<AppMessages {self._agent} of {self._provider.account.appid}>"


def _agent(provider: TokenProvider, agent: int | str | None) -> int:
    if agent is None or agent == "":
        found = agent_of(provider.account)
        if found is not None:
            return found
    elif not isinstance(agent, bool) and str(agent).isascii() and str(agent).isdecimal():
        return int(agent)
    raise ConfigurationError(
        "A message of WeCom's needs the app's agentid, a number: WeComAccount(corpid, secret, agentid=...), "
        "WECOM_AGENTID, suite.corp(corpid, agentid), or agent=, such as message.agent_id."
    )


def _receivers(name: str, given: str | Iterable[int | str], most: int) -> str:
    found = [given] if isinstance(given, str) else list(given)
    if len(found) > most:
        raise ConfigurationError(f"{name} has {len(found)} receivers; WeCom takes {most} at once. Send it in parts.")
    words = [str(each) for each in found]
    if not all(word.strip() and "|" not in word for word in words):
        raise ConfigurationError(f"{name} is a list of ids; none of them is empty or has | in it.")
    return "|".join(words)


def _body(message: str | Reply | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message, str):
        message = TextReply(message)
    body = _of_reply(message) if isinstance(message, Reply) else _as_given(message)
    content = body[body["msgtype"]].get("content")
    if body["msgtype"] in ("text", "markdown") and not (isinstance(content, str) and content.strip()):
        raise ConfigurationError("The message has no content.")
    if body["msgtype"] == "markdown" and len(str(content).encode("utf-8", "replace")) > _MARKDOWN:
        raise ConfigurationError(f"WeCom takes {_MARKDOWN} bytes of markdown, and only a text is sent in pieces.")
    return body


def _of_reply(reply: Reply) -> dict[str, Any]:
    content = cut_news(reply)._active()
    if content is None or isinstance(reply, MusicReply):
        raise APIError(f"WeCom's message/send cannot send a {type(reply).__name__}; it has no such kind.")
    content.pop("thumb_media_id", None)
    return {"msgtype": reply.kind, reply.kind: content}


def _as_given(message: object) -> dict[str, Any]:
    kind = message.get("msgtype") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(kind, str) or not isinstance(message.get(kind), Mapping):
        raise ConfigurationError(
            'A message is a str, a reply, or a body such as {"msgtype": "markdown", "markdown": {"content": "..."}}.'
        )
    if any(name in message for name in _OURS):
        raise ConfigurationError("Who gets the message stands in users=, parties= and tags=; leave it out of the body.")
    return {**message, kind: dict(message[kind])}


def _delivery(answers: list[dict[str, Any]]) -> Delivery:
    def missed(name: str) -> tuple[str, ...]:
        words = (word for answer in answers for word in str(answer.get(name) or "").split("|") if word)
        return tuple(dict.fromkeys(words))

    users, unlicensed = missed("invaliduser"), missed("unlicenseduser")
    parties, tags = missed("invalidparty"), missed("invalidtag")
    if users or unlicensed or parties or tags:
        _logger.warning(
            "A message of a WeCom app did not reach all: %d users, %d departments and %d tags are unknown or outside "
            "the app's visible range, %d users have no licence.",
            len(users),
            len(parties),
            len(tags),
            len(unlicensed),
        )
    msgids = tuple(str(answer["msgid"]) for answer in answers if answer.get("msgid"))
    return Delivery(msgids, users, parties, tags, unlicensed)
