"""
What the Python programs here share: one client lives on while a test sends it commands.

Each program takes ``WECHAT_BASE_URL``, ``WECHAT_APPID``, ``WECHAT_SECRET`` and, for WeCom, ``WECHAT_AGENTID`` from its
environment, and for each line on its standard input prints one line of JSON: what the SDK gave, or its error; and the
token that it has then.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

HUB, APPID, KEY = (os.environ[f"WECHAT_{name}"] for name in ("BASE_URL", "APPID", "SECRET"))
AGENTID = int(os.environ["WECHAT_AGENTID"])
PICTURE = os.environ["WX_TEST_PICTURE"]  # a file to upload
TEXT = "你好"


async def serve(
    actions: Mapping[str, Callable[[], Awaitable[Any]]], held_now: Callable[[], Awaitable[str | None]]
) -> None:
    """Do what is asked, line by line. Waiting for a line blocks the loop, and nothing else is on it."""
    for line in sys.stdin:
        said: dict[str, Any] = {}
        try:
            said["answer"] = await actions[line.strip()]()
        except Exception as error:
            said["error"] = f"{type(error).__name__}: {error}"
        said["token"] = await held_now()
        print(json.dumps(said), flush=True)


def serve_sync(actions: Mapping[str, Callable[[], Any]], held_now: Callable[[], str | None]) -> None:
    """Do the same with a client that knows no event loop."""
    import asyncio

    def later(action: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
        async def act() -> Any:
            return action()

        return act

    asyncio.run(serve({name: later(action) for name, action in actions.items()}, later(held_now)))
