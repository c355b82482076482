"""A hub for uvicorn, made of what a test has written into a file, on the test's clock."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from support.prelude import time_of_test

from wxmiddleware import Account, TokenProvider, WeComAccount
from wxmiddleware.hub import Caller, Hub, HubAccount

_said: dict[str, Any] = json.loads(Path(os.environ["WX_TEST_HUB"]).read_text())


def _account(said: dict[str, Any]) -> HubAccount:
    name, agentid = said.pop("name"), said.pop("agentid")
    account = Account(**said) if agentid is None else WeComAccount(**said, agentid=agentid)
    return HubAccount(name, TokenProvider(account, **time_of_test()))


app = Hub(
    [_account(each) for each in _said["accounts"]],
    callers=[Caller(**each) for each in _said["callers"]],
    secrets=_said["secrets"],
)
