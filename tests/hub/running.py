"""A hub under a real uvicorn, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from wxmiddleware.hub import Hub


class Server(uvicorn.Server):
    """Tells the hub as soon as it is told to stop: it waits for requests before it ends the lifespan."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(uvicorn.Config(hub, port=0, log_config=None, access_log=False, lifespan="on"))
        self.hub = hub
        self.up = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets=None)
        self.up.set()

    async def shutdown(self, sockets: object = None) -> None:
        self.hub.leave()
        await super().shutdown(sockets=None)


@dataclass
class Running:
    """A hub's address, and the way to stop it."""

    url: str
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def running(hub: Hub) -> Iterator[Running]:
    server = Server(hub)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.up.wait(20)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = Running(f"http://127.0.0.1:{port}", server, thread)
    try:
        yield found
    finally:
        found.stop()
