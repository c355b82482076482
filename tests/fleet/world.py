"""One test's world: a store, a simulated WeChat, a clock, and the workers that share them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.prelude import SharedClock

from wxmiddleware import Account
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import Record, record_key

from .backends import Backend
from .fork_server import ForkServer, Member, Setup

PATHS = {"stable": "/cgi-bin/stable_token", "classic": "/cgi-bin/token"}


class World:
    """
    What a fleet lives in.

    Args:
        backend: The store.
        kind: ``classic`` or ``stable``.
        wechat: The simulated WeChat.
        server: Where it is.
        clock: The test's, or ``None`` for real time.
        fork_server: Where workers come from.
        history: Where they write down what they do, if anywhere; see `fleet.history`.
    """

    def __init__(
        self,
        backend: Backend,
        kind: str,
        wechat: WeChat,
        server: SimulatorServer,
        clock: SharedClock | None,
        fork_server: ForkServer,
        history: Path | None = None,
    ) -> None:
        self.backend = backend
        self.kind = kind
        self.path = PATHS[kind]
        self.wechat = wechat
        self._clock = clock
        self._fork_server = fork_server
        account = Account(wechat.appid, wechat.secret, base_url=server.url)
        # A new account for each test: its records are nobody else's.
        self.key = record_key(account, kind)
        self._setup: dict[str, Any] = {
            "url": backend.url,
            "kind": kind,
            "appid": account.appid,
            "secret": account.secret,
            "base_url": account.base_url,
            "clock": None if clock is None else str(clock.path),
            "history": None if history is None else str(history),
        }

    @property
    def clock(self) -> SharedClock:
        """The clock in the test's hand."""
        assert self._clock is not None
        return self._clock

    @property
    def fetches(self) -> int:
        """How often WeChat's token endpoint was asked."""
        return self.wechat.fetches()

    @property
    def current(self) -> str | None:
        """The token that WeChat minted last."""
        return self.wechat.current(slot=self.kind)

    @property
    def record(self) -> Record:
        """What the store holds."""
        record = self.backend.record(self.key)
        assert record is not None
        return record

    def workers(self, count: int, *, hold: str | None = None) -> list[Member]:
        """Fork workers; `hold` says where their first refresh stands still."""
        return self._fork_server.fork(*[Setup(**self._setup, hold=hold)] * count)

    def worker(self, *, hold: str | None = None) -> Member:
        """Fork one."""
        (member,) = self.workers(1, hold=hold)
        return member

    def member(self, **what: Any) -> Member:
        """Fork one that differs from the others in what `Setup` says of it."""
        (member,) = self._fork_server.fork(Setup(**{**self._setup, **what}))
        return member

    def in_realm(self, realm: str) -> None:
        """Give all workers that are forked from now on an account of this realm."""
        self._setup["realm"] = realm
        url: str = self._setup["base_url"]
        self.key = record_key(Account(self.wechat.appid, self.wechat.secret, base_url=url, realm=realm), self.kind)

    def call(self, member: Member) -> tuple[str, int]:
        """
        Call an API as `with_token` does: once more, with another token, if WeChat refuses the first.

        Returns:
            The token that was accepted, and how many were rejected before it.
        """
        token, rejected = self.try_call(member)
        assert token is not None, "The repeated call was rejected, too, or there was no token for it."
        return token, rejected

    def try_call(self, member: Member) -> tuple[str | None, int]:
        """As `call`; without a token, if none was accepted."""
        token = member.ask()
        if self.wechat.is_valid(token):
            return token, 0
        again = member.try_ask(rejected=token)
        if again is None or not self.wechat.is_valid(again):
            return None, 1
        member.do("confirm", token=again)
        return again, 1

    def agreed(self, *members: Member) -> str:
        """See that all workers, the store and WeChat agree on one token; give it."""
        tokens = {member.ask() for member in members}

        assert len(tokens) == 1
        (token,) = tokens
        assert token == self.current
        assert self.wechat.is_valid(token)
        assert token == self.record.value
        assert self.record.lease is None
        return token
