"""``/_simulator/``: the mischief for people who only have a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from wxmiddleware.exceptions import ConfigurationError

from ._clock import SimulatedClock
from ._knobs import Knob, Knobs

if TYPE_CHECKING:
    from ._wechat import WeChat


def administer(wechat: WeChat, request: Request) -> Response:
    """Do what was asked; 400 with ``{"error": ...}`` says why not. Never answers with a token or a secret."""
    what = request.path.removeprefix("/_simulator/").strip("/")
    try:
        if what == "state" and request.method == "GET":
            return _json(_state(wechat))
        if what == "faults" and request.method == "DELETE":
            wechat.faults.clear()
            return _json({"faults": []})
        if request.method != "POST":
            return _json({"error": f"{request.method} {request.path}: GET state, POST the rest, DELETE faults."}, 405)
        return _json(_do(wechat, what, request))
    except (ConfigurationError, LookupError, ValueError) as wrong:
        return _json({"error": str(wrong)}, 400)


def _do(wechat: WeChat, what: str, request: Request) -> dict[str, Any]:
    args = request.args
    if what == "steal":
        wechat.steal(args.get("appid"), args.get("slot"))
        return {"stolen": wechat.stolen()}
    if what == "revoke":
        return {"revoked": wechat.revoke(args.get("appid"), args.get("slot"))}
    if what == "advance":
        if not isinstance(wechat.clock, SimulatedClock):
            raise ConfigurationError("This WeChat runs on a clock that cannot be moved.")
        return {"now": wechat.clock.advance(float(args.get("seconds", "")))}
    if what == "reset":
        wechat.reset_counters()
        return _state(wechat)
    if what == "faults":
        options = _body(request)
        path, kind, times = options.pop("path", None), options.pop("kind", None), options.pop("times", 1)
        wechat.faults.add(path, kind, times, **options)
        return {"faults": [repr(fault) for fault in wechat.faults]}
    if what == "knobs":
        for name, value in _body(request).items():
            if not isinstance(getattr(Knobs, name, None), Knob):
                raise ConfigurationError(f"There is no knob {name!r}; there are: {', '.join(_knob_names())}.")
            setattr(wechat, name, value)
        return {name: getattr(wechat, name) for name in _knob_names()}
    raise ConfigurationError(f"There is no {what!r}; use state, steal, revoke, advance, reset, faults or knobs.")


def _state(wechat: WeChat) -> dict[str, Any]:
    return {
        "now": wechat.clock(),
        "fetches": wechat.fetches(),
        "minted": wechat.minted(),
        "stolen": wechat.stolen(),
        "calls": wechat.calls(),
        "refusals": wechat.refusals(),
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
