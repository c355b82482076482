"""
``/_simulator/``: the mischief for people who only have a shell.

It never answers with a token or a secret; a platform's ticket and ``auth_code`` are what WeChat itself would push.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from wxmiddleware.exceptions import ConfigurationError

from ._clock import SimulatedClock
from ._platforms import SimulatedPlatform
from ._settings import Knob, Knobs

if TYPE_CHECKING:
    from ._wechat import WeChat


def administer(wechat: WeChat, request: Request) -> Response:
    """Do what was asked; 400 with ``{"error": ...}`` says why not."""
    what = request.path.removeprefix("/_simulator/").strip("/")
    try:
        if what == "state" and request.method == "GET":
            return _json(_state(wechat))
        if what == "sent" and request.method == "GET":
            return _json(_sent(wechat, request.args.get("touser")))
        if what == "faults" and request.method == "DELETE":
            wechat.faults.clear()
            return _json({"faults": []})
        if request.method != "POST":
            return _json(
                {"error": f"{request.method} {request.path}: GET state and sent, POST the rest, DELETE faults."}, 405
            )
        return _json(_do(wechat, what, request))
    except (ConfigurationError, LookupError, ValueError) as wrong:
        return _json({"error": str(wrong)}, 400)


def _do(wechat: WeChat, what: str, request: Request) -> dict[str, Any]:
    if what not in _ACTIONS:
        raise ConfigurationError(f"There is no {what!r}; use state, sent, {', '.join(_ACTIONS)}.")
    return _ACTIONS[what](wechat, request)


def _steal(wechat: WeChat, request: Request) -> dict[str, Any]:
    wechat.steal(request.args.get("appid"), request.args.get("slot"))
    return {"stolen": wechat.stolen()}


def _revoke(wechat: WeChat, request: Request) -> dict[str, Any]:
    return {"revoked": wechat.revoke(request.args.get("appid"), request.args.get("slot"))}


def _advance(wechat: WeChat, request: Request) -> dict[str, Any]:
    if not isinstance(wechat.clock, SimulatedClock):
        raise ConfigurationError("This WeChat runs on a clock that cannot be moved.")
    return {"now": wechat.clock.advance(float(request.args.get("seconds", "")))}


def _ticket(wechat: WeChat, request: Request) -> dict[str, Any]:
    return {"component_verify_ticket": _platform(wechat, request).push_ticket()}


def _authorise(wechat: WeChat, request: Request) -> dict[str, Any]:
    return {"auth_code": _platform(wechat, request).authorise(request.args.get("appid"))}


def _reset(wechat: WeChat, _request: Request) -> dict[str, Any]:
    wechat.reset_counters()
    return _state(wechat)


def _add_fault(wechat: WeChat, request: Request) -> dict[str, Any]:
    options = _body(request)
    path, kind, times = options.pop("path", None), options.pop("kind", None), options.pop("times", 1)
    wechat.faults.add(path, kind, times, **options)
    return {"faults": [repr(fault) for fault in wechat.faults]}


def _turn(wechat: WeChat, request: Request) -> dict[str, Any]:
    for name, value in _body(request).items():
        if not isinstance(getattr(Knobs, name, None), Knob):
            raise ConfigurationError(f"There is no knob {name!r}; there are: {', '.join(_knob_names())}.")
        setattr(wechat, name, value)
    return {name: getattr(wechat, name) for name in _knob_names()}


_ACTIONS: dict[str, Callable[[WeChat, Request], dict[str, Any]]] = {
    "steal": _steal,
    "revoke": _revoke,
    "advance": _advance,
    "ticket": _ticket,
    "authorise": _authorise,
    "reset": _reset,
    "faults": _add_fault,
    "knobs": _turn,
}


def _platform(wechat: WeChat, request: Request) -> SimulatedPlatform:
    known, appid = wechat._platforms.known, request.args.get("platform")
    if appid is None and len(known) == 1:
        (appid,) = known
    if appid is None or appid not in known:
        raise ConfigurationError("Say which platform by platform=APPID; simulate --platform has one.")
    return known[appid]


def _sent(wechat: WeChat, touser: str | None) -> dict[str, Any]:
    found = wechat.sent if touser is None else wechat.sent_to(touser)
    return {"sent": [{"at": one.at, "appid": one.appid, "kind": one.kind, "body": one.body} for one in found]}


def _state(wechat: WeChat) -> dict[str, Any]:
    return {
        "now": wechat.clock(),
        "fetches": wechat.fetches(),
        "minted": wechat.minted(),
        "stolen": wechat.stolen(),
        "calls": wechat.calls(),
        "rejections": wechat.rejections(),
        "in_progress": wechat.in_progress,
        "paths": wechat._ledger.calls_by_path(),
        "sent": len(wechat.sent),
        "uploads": len(wechat.uploads),
        "faults": [repr(fault) for fault in wechat.faults],
        "accounts": {
            appid: {
                slot: {
                    "fetches": wechat.fetches(appid, slot),
                    "minted": wechat.minted(appid, slot),
                    "stolen": wechat.stolen(appid, slot),
                    "quota_used": wechat.quota_used(appid, slot),
                    "alive": wechat.current(appid, slot) is not None,
                }
                for slot in ("classic", "stable")
            }
            for appid in wechat.accounts
        },
    }


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data())
    except ValueError:
        raise ConfigurationError("Send a JSON object.") from None
    if not isinstance(body, dict):
        raise ConfigurationError("Send a JSON object.")
    return body


def _knob_names() -> list[str]:
    return sorted(name for name, knob in vars(Knobs).items() if isinstance(knob, Knob))


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, indent=1) + "\n", status=status, content_type="application/json")
