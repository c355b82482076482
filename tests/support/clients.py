"""One way to call with each client that has an auth class: requests, httpx and httpx2, threads and tasks."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import httpx2
import requests

import wxmiddleware.httpx
import wxmiddleware.httpx2
import wxmiddleware.requests

# For each client httpx loads all root certificates, which takes longer than most tests; no server here speaks TLS.
NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ClientAdapter:
    """
    A client with a WeChatAuth of `provider`, at `url`.

    The options of a call have the names of requests: ``data`` is a form or a raw body, ``redirects`` whether they are
    followed. Answers are the client's own.
    """

    name = ""
    auth_class: Any
    errors: Any

    def __init__(self, provider: Any, url: str, **options: Any) -> None:
        self.url = url
        self.auth = self.auth_class(provider, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.send("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.send("POST", path, **options)

    def send(self, method: str, path: str, **options: Any) -> Any:
        raise NotImplementedError

    def herd(self, size: int, path: str) -> list[Any]:
        """Send the same request from so many threads or tasks at once."""
        raise NotImplementedError

    def stream(self, path: str, look: Callable[[bytes], object], raw: bool = False) -> Any:
        """Show each piece of a body as it comes."""
        raise NotImplementedError

    def at(self, path: str) -> str:
        return path if "://" in path else self.url + path


class Requests(ClientAdapter):
    name = "requests"
    auth_class = wxmiddleware.requests.WeChatAuth
    errors = requests.RequestException

    @contextlib.contextmanager
    def client(self) -> Iterator[requests.Session]:
        with wxmiddleware.requests.mask_errors(requests.Session()) as session:
            session.trust_env = False
            session.auth = self.auth
            yield session

    def send(self, method: str, path: str, redirects: bool = False, timeout: float = 10, **options: Any) -> Any:
        with self.client() as session:
            return session.request(method, self.at(path), allow_redirects=redirects, timeout=timeout, **options)

    def herd(self, size: int, path: str) -> list[Any]:
        with self.client() as session, ThreadPoolExecutor(size) as threads:
            return list(threads.map(lambda _: session.get(self.at(path), timeout=20), range(size)))

    def stream(self, path: str, look: Callable[[bytes], object], raw: bool = False) -> Any:
        with self.client() as session, session.get(self.at(path), stream=True, timeout=20) as response:
            for piece in response.raw.stream(65536, decode_content=False) if raw else response.iter_content(65536):
                look(piece)
            return response


def _options(data: Any = None, redirects: bool = False, **options: Any) -> dict[str, Any]:
    if data is not None:
        options["data" if isinstance(data, dict) else "content"] = data
    return {"follow_redirects": redirects, **options}


class Httpx(ClientAdapter):
    name = "httpx"
    library: Any = httpx
    auth_class: Any = wxmiddleware.httpx.WeChatAuth
    errors: Any = httpx.HTTPError

    def client(self, **options: Any) -> Any:
        return self.library.Client(auth=self.auth, verify=NO_ROOTS, trust_env=False, timeout=20, **options)

    def send(self, method: str, path: str, **options: Any) -> Any:
        with self.client() as client:
            return client.request(method, self.at(path), **_options(**options))

    def herd(self, size: int, path: str) -> list[Any]:
        with self.client() as client, ThreadPoolExecutor(size) as threads:
            return list(threads.map(lambda _: client.get(self.at(path)), range(size)))

    def stream(self, path: str, look: Callable[[bytes], object], raw: bool = False) -> Any:
        with self.client() as client, client.stream("GET", self.at(path)) as response:
            for piece in response.iter_raw() if raw else response.iter_bytes():
                look(piece)
            return response


class AsyncHttpx(Httpx):
    name = "httpx-async"

    def client(self, **options: Any) -> Any:
        return self.library.AsyncClient(auth=self.auth, verify=NO_ROOTS, trust_env=False, timeout=20, **options)

    def send(self, method: str, path: str, **options: Any) -> Any:
        async def main() -> Any:
            async with self.client() as client:
                return await client.request(method, self.at(path), **_options(**options))

        return anyio.run(main)

    def herd(self, size: int, path: str) -> list[Any]:
        answers: list[Any] = []

        async def one(client: Any) -> None:
            answers.append(await client.get(self.at(path)))

        async def main() -> None:
            async with self.client() as client, anyio.create_task_group() as tasks:
                for _ in range(size):
                    tasks.start_soon(one, client)

        anyio.run(main)
        return answers

    def stream(self, path: str, look: Callable[[bytes], object], raw: bool = False) -> Any:
        async def main() -> Any:
            async with self.client() as client, client.stream("GET", self.at(path)) as response:
                async for piece in response.aiter_raw() if raw else response.aiter_bytes():
                    look(piece)
                return response

        return anyio.run(main)


class Httpx2(Httpx):
    name = "httpx2"
    library = httpx2
    auth_class = wxmiddleware.httpx2.WeChatAuth
    errors = httpx2.HTTPError


class AsyncHttpx2(AsyncHttpx):
    name = "httpx2-async"
    library = httpx2
    auth_class = wxmiddleware.httpx2.WeChatAuth
    errors = httpx2.HTTPError


CLIENTS: list[type[ClientAdapter]] = [Requests, Httpx, AsyncHttpx, Httpx2, AsyncHttpx2]
