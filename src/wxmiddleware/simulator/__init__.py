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
"""

from __future__ import annotations

from ._app import create_app
from ._clock import SimulatedClock
from ._desk import Sent, Upload
from ._faults import Fault, Faults
from ._log import LogEntry
from ._rules import SimulatedAccount
from ._server import SimulatorServer
from ._wechat import WeChat

__all__ = [
    "Fault",
    "Faults",
    "LogEntry",
    "Sent",
    "SimulatedAccount",
    "SimulatedClock",
    "SimulatorServer",
    "Upload",
    "WeChat",
    "create_app",
]
