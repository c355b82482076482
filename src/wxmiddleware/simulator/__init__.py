"""
A WeChat on this machine: tokens, tickets and a few APIs, with faults on request.

It is an independent witness: it shares no code with the client it judges. In memory::

    clock = SimulatedClock()
    wechat = WeChat(clock=clock, overlap=0)
    wechat.token()["access_token"]
    clock.advance(7200)

Over HTTP::

    with SimulatorServer(WeChat()) as server:
        requests.get(f"{server.url}/cgi-bin/token", params=...)

WeChat's side of a webhook::

    pusher = Pusher(wechat, "http://127.0.0.1:8000/wechat", token=...)
    pusher.text("hello").problems
"""

from __future__ import annotations

import warnings

from ._added import APICall
from ._app import create_app
from ._checks import Problem
from ._clock import SimulatedClock
from ._faults import Fault, Faults
from ._log import LogEntry
from ._outbox import Sent, Upload
from ._platforms import SimulatedPlatform
from ._providers import SimulatedProvider, SimulatedSuite
from ._pusher import Attempt, Delivery, Pusher
from ._rules import SimulatedAccount
from ._server import SimulatorServer
from ._transports import ASGITransport, PushAnswer, PushRequest, Transport, WSGITransport
from ._wechat import WeChat
from ._wecom import SimulatedApp

__all__ = [
    "APICall",
    "ASGITransport",
    "Attempt",
    "Delivery",
    "Fault",
    "Faults",
    "LogEntry",
    "Problem",
    "PushAnswer",
    "PushRequest",
    "Pusher",
    "Sent",
    "SimulatedAccount",
    "SimulatedApp",
    "SimulatedClock",
    "SimulatedPlatform",
    "SimulatedProvider",
    "SimulatedSuite",
    "SimulatorServer",
    "Transport",
    "Upload",
    "WSGITransport",
    "WeChat",
    "create_app",
]

# What tests that were written against the main branch may still import; gone with 0.1.
_RENAMED = {"ASGICarrier": ASGITransport, "Carrier": Transport, "Try": Attempt, "WSGICarrier": WSGITransport}


def __getattr__(name: str) -> type:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: type = _RENAMED[name]
    warnings.warn(f"{name} is called {found.__name__} now.", DeprecationWarning, stacklevel=2)
    return found
