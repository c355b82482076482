"""The command ``wxmiddleware push``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from wxmiddleware.exceptions import ConfigurationError

from ..simulator._checks import Problem
from ..simulator._late import Mailbox
from ..simulator._pusher import DEFAULT_OPENID, Attempt, Delivery, Pusher
from ..simulator._wechat import WeChat

_SHOWN = 2000  # characters of an answer


def push(
    to: str,
    kind: str,
    value: str | None = None,
    *,
    fields: Sequence[str] = (),
    openid: str | None = None,
    forged: bool = False,
    as_json: bool = False,
    environ: Mapping[str, str],
    wait: float | None = None,
    out: TextIO | None = None,
    **options: Any,
) -> int:
    """
    Push once, in real time, and print what came back and what WeChat thinks of it.

    Args:
        to: The webhook's URL.
        kind: ``verify``, ``text``, ``message``, ``event`` or ``notice``.
        value: The text, or the name of what is pushed; ``None`` for ``verify``.
        fields: More fields, each as ``Name=value``.
        openid: Who writes.
        forged: Sign it wrongly; then it is right not to be answered.
        as_json: Print one JSON object.
        environ: Where WECHAT_TOKEN, WECHAT_AES_KEY and WECHAT_APPID are; WECHAT_BASE_URL if it is waited. For a suite
            WECOM_SUITE_ID, WECOM_PROVIDER_CORPID and WECOM_CORPID take the place of WECHAT_APPID.
        wait: Seconds to wait for a reply through the customer-service API of the simulated WeChat that the app calls,
            if the push is not answered with one.
        out: Where to print; by default the standard output.
        options: More arguments of :class:`Pusher`.

    Returns:
        0 if WeChat is content and a late reply that was waited for has come, else 1.

    Raises:
        ConfigurationError: Something is missing or of no use.
    """
    out = sys.stdout if out is None else out
    options = {name: value for name, value in options.items() if value is not None}
    token, aes_key, appid = (environ.get(name) or None for name in ("WECHAT_TOKEN", "WECHAT_AES_KEY", "WECHAT_APPID"))
    if token is None:
        raise ConfigurationError("Set WECHAT_TOKEN to the webhook's token, the word beside its URL on WeChat's site.")
    if options.get("mode") == "plain":
        aes_key = None
    encrypted = options.get("profile", "mp") != "mp" or options.get("mode", "plain") != "plain"
    if encrypted and aes_key is None:
        raise ConfigurationError("Set WECHAT_AES_KEY to the EncodingAESKey that stands beside the token.")
    if options.get("profile") == "suite":
        options |= _suite_ids(environ, kind)
        appid = None
    elif aes_key is not None and appid is None:
        raise ConfigurationError("Set WECHAT_APPID (the CorpID for --wecom): encrypted messages name their receiver.")
    mailbox = None if wait is None else Mailbox(environ.get("WECHAT_BASE_URL"), openid or DEFAULT_OPENID, wait)
    with Pusher(WeChat(appid=appid), to, token=token, aes_key=aes_key, **options) as pusher:
        delivery = _pushed(pusher, kind, value, _fields(fields), openid, forged)
    waited = mailbox is not None and not forged and delivery.reply is None and "FromUserName" in delivery.message
    if not as_json:
        print("\n".join(_lines(delivery, forged)), file=out, flush=True)
    late = mailbox.wait() if mailbox is not None and waited else []
    if as_json:
        told = {**_as_dict(delivery), "late": [{"seconds": round(at, 3), **each} for at, each in late]}
        print(json.dumps(told, ensure_ascii=False, indent=1), file=out)
    elif waited:
        print("\n".join(_came_late(late, wait)), file=out)
    return 0 if delivery.ok and (late or not waited) else 1


def _suite_ids(environ: Mapping[str, str], kind: str) -> dict[str, str]:
    """Whom pushes to a suite are addressed to: notices, verifications and messages have a receiver each."""
    needed = {"notice": "WECOM_SUITE_ID", "verify": "WECOM_PROVIDER_CORPID"}.get(kind, "WECOM_CORPID")
    if not environ.get(needed):
        what = {"notice": "the suite id", "verify": "the provider's CorpID"}.get(kind, "the CorpID of the corp")
        raise ConfigurationError(f"Set {needed} to {what}: with --suite, {kind} is encrypted for that.")
    names = {"receiver": "WECOM_SUITE_ID", "provider": "WECOM_PROVIDER_CORPID", "to_user": "WECOM_CORPID"}
    return {"receiver": "none", **{name: environ[key] for name, key in names.items() if environ.get(key)}}


def _came_late(late: Sequence[tuple[float, Mapping[str, Any]]], wait: float | None) -> list[str]:
    lines = []
    for at, each in late:
        body = each.get("body")
        kind = body.get("msgtype") if isinstance(body, dict) else None
        content = body.get("text") if isinstance(body, dict) and kind == "text" else None
        said = str(content.get("content")) if isinstance(content, dict) else f"a reply of the type {kind}"
        lines.append(f"After {at:.1f} s the user sees: {_short(said)}")
    return lines or [f"No reply came through the customer-service API within {wait:g} s."]


def _pushed(
    pusher: Pusher, kind: str, value: str | None, fields: dict[str, str], openid: str | None, forged: bool
) -> Delivery:
    match kind, value:
        case "verify", _:
            return pusher.verify(forged=forged)
        case "notice", str():
            return pusher.notice(value, forged=forged, **fields)
        case "event", str():
            return pusher.event(value, openid=openid, forged=forged, **fields)
        case "text", str():
            return pusher.text(value, openid=openid, forged=forged, **fields)
        case _:
            return pusher.message(str(value), openid=openid, forged=forged, **fields)


def _fields(given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, equals, _ in pairs:
        if not equals or name in ("openid", "forged"):
            raise ConfigurationError("--field takes Name=value, such as EventKey=qrscene_42.")
    return {name: value for name, _, value in pairs}


def _lines(delivery: Delivery, forged: bool) -> list[str]:
    number = "MsgId {}".format(delivery.message["MsgId"]) if "MsgId" in delivery.message else ""
    lines = [f"{', '.join(part for part in (delivery.kind, 'forged' if forged else '', number) if part)}"]
    for count, each in enumerate(delivery.tries, 1):
        lines.append(f"try {count}  {each.seconds:6.3f} s  {_came_back(each)}")
        lines += [f"       {problem}" for problem in each.problems if problem not in delivery.problems]
    if delivery.encrypted and delivery.reply is not None:
        lines.append(f"decrypted  {_short(json.dumps(delivery.reply, ensure_ascii=False))}")
    if delivery.problems:
        lines += [f"WeChat minds: {problem}" for problem in delivery.problems]
    else:
        lines.append("Right: it was not let in." if forged else "WeChat is content.")
    return lines + _seen(delivery, forged)


def _seen(delivery: Delivery, forged: bool) -> list[str]:
    """What the user sees at once; nothing to say of a push that no user has caused."""
    if delivery.shown is not None:
        return [f"The user sees: {delivery.shown}"]
    if forged or not delivery.ok or "FromUserName" not in delivery.message:
        return []
    if delivery.reply is None:
        return ["The user sees nothing yet."]
    kind = delivery.reply.get("MsgType")
    if kind == "transfer_customer_service":
        return ["The user is handed over to the customer service."]
    return [f"The user sees: a reply of the type {_short(str(kind))}" if kind else "The user sees: a reply"]


def _came_back(attempt: Attempt) -> str:
    if attempt.answer is None:
        return "no answer"
    return f"{attempt.answer.status}  {_short(attempt.answer.body.decode('utf-8', 'replace')) or '(empty)'}"


def _short(text: str) -> str:
    # What a stranger's server sends must not drive the terminal.
    shown = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text[:_SHOWN])
    return shown.replace("\n", "\n       ").rstrip() + ("..." if len(text) > _SHOWN else "")


def _as_dict(delivery: Delivery) -> dict[str, Any]:
    def problems(given: Sequence[Problem]) -> list[dict[str, str]]:
        return [{"code": problem.code, "text": problem.text} for problem in given]

    return {
        "ok": delivery.ok,
        "kind": delivery.kind,
        "message": dict(delivery.message),
        "tries": [
            {
                "seconds": round(each.seconds, 3),
                "status": None if each.answer is None else each.answer.status,
                "body": None if each.answer is None else each.answer.body.decode("utf-8", "replace"),
                "problems": problems(each.problems),
            }
            for each in delivery.tries
        ],
        "problems": problems(delivery.problems),
        "reply": delivery.reply,
        "encrypted": delivery.encrypted,
        "shown": delivery.shown,
    }
