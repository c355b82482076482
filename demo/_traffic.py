"""The users: they send messages to the webhooks and want answers. And one who does without this library."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests

SLOT = 0.5  # seconds that one column of the chart stands for
WEBHOOK = "/wechat"
_DEADLINE = 5.0  # WeChat hangs up then


@dataclass
class Tally:
    """
    How a group of users fares.

    Attributes:
        name: Whom they talk to.
        title: How that is run.
        done: Requests that were answered as they should.
        errors: Requests that were not.
        healed: Calls to WeChat that were rejected, repeated and accepted.
        slowest: Seconds that the slowest answer took.
        slots: Good and bad requests in each half second.
        first_errors: What went wrong first.
    """

    name: str
    title: str
    done: int = 0
    errors: int = 0
    healed: int = 0
    slowest: float = 0.0
    slots: list[list[int]] = field(default_factory=list)
    first_errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, at: float, seconds: float, wrong: str | None) -> None:
        """Count a request that began `at` seconds into the story; `wrong` is what was wrong with its answer."""
        with self._lock:
            while len(self.slots) <= at / SLOT:
                self.slots.append([0, 0])
            self.slots[int(at / SLOT)][wrong is not None] += 1
            self.slowest = max(self.slowest, seconds)
            if wrong is None:
                self.done += 1
            else:
                self.errors += 1
                self.first_errors = [*self.first_errors, wrong][:3]


class Crowd:
    """
    Threads that do something so many times a second, until they are told to stop.

    Args:
        tally: Where it is counted.
        make: Makes one thread's action: a function that says what was wrong, or ``None``.
        threads: How many at once.
        rate: How often a second, each.
    """

    def __init__(self, tally: Tally, make: Callable[[], Callable[[], str | None]], threads: int, rate: float) -> None:
        self.tally = tally
        self._make = make
        self._period = 1.0 / rate
        self._stop = threading.Event()
        self._began = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(number / threads,), daemon=True) for number in range(threads)
        ]

    def start(self, began: float) -> None:
        """Begin. `began` is when the story did."""
        self._began = began
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for the answers that are on their way."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_DEADLINE + 1)

    def _run(self, phase: float) -> None:
        act = self._make()
        due = time.monotonic() + phase * self._period
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            try:
                wrong = act()
            except Exception as exc:
                wrong = f"{type(exc).__name__}"
            ended = time.monotonic()
            self.tally.note(began - self._began, ended - began, wrong)
            due = max(due + self._period, ended - self._period)  # never a burst to catch up


def user_of(url: str, webhook_token: str) -> Callable[[], Callable[[], str | None]]:
    """
    Make users of an example app: in turns one writes to the webhook, and one is sent a message.

    Args:
        url: Where the app is.
        webhook_token: The word that its pushes are signed with.
    """

    def make() -> Callable[[], str | None]:
        session = requests.Session()
        session.trust_env = False
        turn = count()

        def act() -> str | None:
            number = next(turn)
            if number % 2:
                answer = session.post(f"{url}/notify/oFollower", json={"text": f"你好 {number}"}, timeout=_DEADLINE)
                right = '"ok"' in answer.text
            else:
                answer = session.post(
                    f"{url}{WEBHOOK}", params=_signed(webhook_token), data=_message(number), timeout=_DEADLINE
                )
                # Not the other language: that would mean that the app could not ask WeChat about the sender.
                right = f"收到: hello {number}" in answer.content.decode()
            return (
                None if answer.status_code == 200 and right else f"{answer.request.path_url[:8]} {answer.status_code}"
            )

        return act

    return make


def dict_with_ttl(base_url: str, appid: str, secret: str) -> Callable[[], Callable[[], str | None]]:
    """Make somebody who keeps the token in a dict until its time is over, as so much code does."""

    def make() -> Callable[[], str | None]:
        session = requests.Session()
        session.trust_env = False
        cache: dict[str, Any] = {"token": "", "until": 0.0}

        def get_token() -> str:
            if time.monotonic() >= cache["until"]:
                asked = {"grant_type": "client_credential", "appid": appid, "secret": secret}
                sent = time.monotonic()
                answer = session.post(f"{base_url}/cgi-bin/stable_token", json=asked, timeout=_DEADLINE).json()
                cache.update(token=answer["access_token"], until=sent + answer["expires_in"])
            return str(cache["token"])

        def act() -> str | None:
            query = {"access_token": get_token(), "openid": "oFollower"}
            answer = session.get(f"{base_url}/cgi-bin/user/info", params=query, timeout=_DEADLINE).json()
            return f"errcode {answer['errcode']}" if answer.get("errcode") else None

        return act

    return make


def _signed(webhook_token: str) -> dict[str, str]:
    words = {"timestamp": f"{time.time():.0f}", "nonce": f"{time.monotonic_ns() % 10**9}"}
    signature = hashlib.sha1("".join(sorted([webhook_token, *words.values()])).encode())  # noqa: S324 - WeChat's choice
    return {"signature": signature.hexdigest(), **words}


def _message(number: int) -> bytes:
    return (
        "<xml><ToUserName><![CDATA[gh_demo]]></ToUserName><FromUserName><![CDATA[oFollower]]></FromUserName>"
        f"<CreateTime>{time.time():.0f}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[hello {number}]]></Content><MsgId>{time.monotonic_ns()}</MsgId></xml>"
    ).encode()
