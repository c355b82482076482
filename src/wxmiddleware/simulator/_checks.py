"""
What WeChat thinks of an answer to a push (docs/wechat.md#verifying-a-webhook and what follows it there).

A list of problems that is empty means that WeChat is content. WeChat itself shows only the user that something went
wrong; what it was is written here in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _xml
from ._seal import Seal, Unreadable, signature
from ._transports import PushAnswer

Mode = Literal["plain", "compatible", "safe"]
Format = Literal["xml", "json"]
Profile = Literal["mp", "wecom", "component", "suite"]

# What a reply of each kind has to hold: fields, or paths of fields. Those that docs/wechat.md#replies does not name
# are WeChat's published shapes.
_NEEDED: dict[str, tuple[str, ...]] = {
    "text": ("Content",),
    "image": ("Image.MediaId",),
    "voice": ("Voice.MediaId",),
    "video": ("Video.MediaId",),
    "news": ("ArticleCount", "Articles"),
}
_OF_MP: dict[str, tuple[str, ...]] = {**_NEEDED, "music": ("Music.ThumbMediaId",), "transfer_customer_service": ()}
_OF_WECOM: dict[str, tuple[str, ...]] = {
    **_NEEDED,
    "update_button": (),
    "update_template_card": (),
    "update_taskcard": (),
}


# WeChat takes a text of 2047 bytes, and none of more than 2048; WeCom cuts it there.
_TEXT_LIMIT = 2047
_MOST_ARTICLES = 8


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Why WeChat takes no delight in an answer.

    Attributes:
        code: ``late``, ``lost``, ``status``, ``suspended``, ``echo``, ``let-in``, ``garbage``, ``unencrypted``,
            ``encrypted``, ``signature``, ``ciphertext``, ``receiver``, ``swapped``, ``type`` or ``content``.
        text: The same for people.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in an answer."""

    problems: tuple[Problem, ...]
    reply: dict[str, Any] | None = None
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """Knows how the account is set up, and so what an answer has to look like."""

    profile: Profile
    mode: Mode
    format: Format
    token: str = field(repr=False)
    seal: Seal | None

    def echo(self, answer: PushAnswer, echostr: str) -> Verdict:
        """Judge the answer to a verification."""
        return Verdict(_some(self._echo(answer, echostr)))

    def _echo(self, answer: PushAnswer, echostr: str) -> Problem | None:
        if answer.status != 200:
            return _status(answer)
        if answer.body == echostr.encode():
            return None
        what = "the decrypted echostr" if self.profile in ("wecom", "suite") else "echostr unchanged"
        if answer.body.strip(b' \t\r\n"\xef\xbb\xbf') == echostr.encode():
            return Problem("echo", f"The answer is {what}, but with quotes, a BOM or white space around it.")
        return Problem("echo", f"The answer is not {what}.")

    def stranger(self, answer: PushAnswer, echostr: str | None) -> Verdict:
        """Judge the answer to a forged request: anything but the answer that WeChat would get is right."""
        if echostr is not None:
            let_in = answer.status == 200 and echostr.encode() in answer.body
        else:
            verdict = self.reply(answer, None)
            replied = verdict.encrypted or "MsgType" in (verdict.reply or {})
            let_in = answer.status == 200 and (answer.body == b"success" or replied)
        return Verdict(_some(Problem("let-in", "A request with a forged signature was let in.") if let_in else None))

    def reply(self, answer: PushAnswer, message: Mapping[str, Any] | None) -> Verdict:
        """
        Judge the answer to a message.

        Args:
            answer: What came back.
            message: What it answers; ``None`` leaves out whether it fits.
        """
        if answer.status != 200:
            return Verdict((_status(answer),))
        notice = message is not None and "InfoType" in message
        if answer.body == b"success" or (answer.body == b"" and not (notice and self.profile == "suite")):
            return Verdict(())
        if notice:
            whose = "suite" if self.profile == "suite" else "platform"
            shown = " WeCom shows anything else to the corp's admin as an error." if whose == "suite" else ""
            return Verdict(
                (Problem("garbage", f"A {whose}'s notice is answered with success and nothing else.{shown}"),)
            )
        outer = self._parsed(answer.body)
        if isinstance(outer, Problem):
            return Verdict((outer,))
        encrypted = _get(outer, "Encrypt") is not None
        if not encrypted:
            if self.mode == "safe":
                return Verdict(
                    (Problem("unencrypted", "The reply is not encrypted, which safe mode asks for."),), outer
                )
            return Verdict(tuple(self._misfits(outer, message)), outer)
        inner = self._opened(outer)
        if isinstance(inner, Problem):
            return Verdict((inner,), None, True)
        return Verdict(tuple(self._misfits(inner, message)), inner, True)

    def _parsed(self, body: bytes) -> dict[str, Any] | Problem:
        if self.format == "json":
            try:
                found = json.loads(body)
            except (ValueError, RecursionError):
                return Problem("garbage", "The reply is neither empty nor success, and it is no JSON.")
            if not isinstance(found, dict):
                return Problem("garbage", f"The reply is JSON, but no object: {type(found).__name__}.")
            return found
        try:
            return _xml.read(body)
        except ValueError as wrong:
            return Problem("garbage", f"The reply is neither empty nor success, and {wrong}.")

    def _opened(self, envelope: Mapping[str, Any]) -> dict[str, Any] | Problem:
        if self.seal is None or self.mode == "plain":
            return Problem("encrypted", "The reply is encrypted, but the account is in plain mode.")
        names = ("TimeStamp", "Nonce", "Encrypt")
        values = [str(value) for value in (_get(envelope, name) for name in names) if value not in (None, "")]
        if len(values) < len(names):
            return Problem("garbage", "An encrypted reply has Encrypt, MsgSignature, TimeStamp and Nonce.")
        if _get(envelope, "MsgSignature") != signature(self.token, *values):
            return Problem(
                "signature",
                "MsgSignature of the reply is not that of [token, TimeStamp, Nonce, Encrypt]; another token?",
            )
        try:
            plain = self.seal.decrypt(values[-1])
        except Unreadable as wrong:
            code = "receiver" if "receiver" in str(wrong) else "ciphertext"
            return Problem(code, f"The encrypted reply cannot be read: {wrong}.")
        return self._parsed(plain)

    def _misfits(self, reply: Mapping[str, Any], message: Mapping[str, Any] | None) -> Iterator[Problem]:
        if message is None:
            return
        strict = self.format == "xml"  # a JSON reply may be anything, as in WeChat's own example (vector V4)
        for ours, theirs in (("ToUserName", "FromUserName"), ("FromUserName", "ToUserName")):
            if (strict or ours in reply) and reply.get(ours) != message.get(theirs):
                yield Problem("swapped", f"{ours} of the reply is not {theirs} of the message: swap the two.")
        if strict and not str(reply.get("CreateTime", "")).isdecimal():
            yield Problem("content", "CreateTime of the reply is not a number of seconds.")
        kinds = _OF_WECOM if self.profile in ("wecom", "suite") else _OF_MP
        kind = reply.get("MsgType")
        if kind in kinds if isinstance(kind, str) else False:
            for path in kinds[str(kind)]:
                if (strict or path.partition(".")[0] in reply) and not _at(reply, path):
                    yield Problem("content", f"A reply of type {kind} needs {path.replace('.', ' with ')}.")
            yield from self._beyond(str(kind), reply)
        elif strict or kind is not None:
            yield Problem("type", f"MsgType of the reply is {kind!r}; there are {', '.join(sorted(kinds))}.")

    def _beyond(self, kind: str, reply: Mapping[str, Any]) -> Iterator[Problem]:
        size = len(str(reply.get("Content", "")).encode("utf-8", "replace"))  # JSON has halves of emoji
        if kind == "text" and size > _TEXT_LIMIT:
            what = "WeCom cuts it." if self.profile in ("wecom", "suite") else "WeChat takes none of more than 2048."
            yield Problem("content", f"The text has {size} bytes in UTF-8, and may have {_TEXT_LIMIT}: {what}")
        if kind == "news" and reply.get("Articles"):
            count, said = len(_articles(reply["Articles"])), str(reply.get("ArticleCount"))
            if not 1 <= count <= _MOST_ARTICLES:
                yield Problem("content", f"The reply has {count} articles; 1 to {_MOST_ARTICLES} may be sent.")
            elif said != str(count):
                yield Problem("content", f"ArticleCount of the reply is {said[:20]}, and it has {count} articles.")


def _articles(given: Any) -> list[Any]:
    items = given.get("item") if isinstance(given, Mapping) else given
    return [one for one in (items if isinstance(items, list) else [items]) if isinstance(one, Mapping)]


# By status, or by its first digit.
_HINTS = {
    401: "A login in front of the view refuses it, which WeChat cannot pass.",
    403: "If the webhook has refused it, its log says why; else it is CSRF protection or a login in front of the view.",
    404: "The app has no view at this path.",
    405: "The view has to take GET (to verify the URL) and POST (pushes).",
    3: "WeChat follows no redirect. Let the route and the URL end alike, with a slash or without, and begin with the "
    "same http or https.",
    5: "The app's log says why.",
}


def _status(answer: PushAnswer) -> Problem:
    if answer.error is not None:
        return Problem("status", f"The app raised {type(answer.error).__name__}; a server answers that with 500.")
    hint = _HINTS.get(answer.status) or _HINTS.get(answer.status // 100, "")
    return Problem("status", f"The HTTP status is {answer.status}, not 200. {hint}".rstrip())


def _get(fields: Mapping[str, Any], name: str) -> Any:
    """Get a field of an envelope; WeCom's JSON writes their names small."""
    return fields.get(name, fields.get(name.lower()))


def _at(fields: Any, path: str) -> Any:
    for name in path.split("."):
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields


def _some(problem: Problem | None) -> tuple[Problem, ...]:
    return () if problem is None else (problem,)
