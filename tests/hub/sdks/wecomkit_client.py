"""wecomkit, for WeCom."""

from __future__ import annotations

import asyncio
from typing import Any

from wecomkit import AsyncWeComClient, WeComConfig

from hub.sdks.driver import AGENTID, HUB, KEY, PICTURE, TEXT, serve
from hub.sdks.driver import APPID as CORPID


async def main() -> None:
    async with AsyncWeComClient(WeComConfig(CORPID, KEY, base_url=HUB)) as client:

        async def call() -> Any:
            return await client.messages.send_text(agent_id=AGENTID, content=TEXT, to_user="witness")

        async def upload() -> Any:
            return await client.media.upload(PICTURE, "image")

        await serve({"call": call, "upload": upload}, client.get_access_token)


asyncio.run(main())
