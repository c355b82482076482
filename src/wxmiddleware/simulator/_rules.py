"""WeChat's rules for access tokens, without HTTP. What they follow: docs/wechat.md#what-the-simulator-follows."""

from __future__ import annotations

import ipaddress
import re
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wxmiddleware.exceptions import ConfigurationError

from ._errors import Json, error
from ._log import Ledger
from ._settings import Knobs

SLOTS = ("classic", "stable", "authorizer")
_REMEMBERED = 50_000  # tokens kept for the reason of their rejection; the oldest are forgotten (40001 all the same)
_CHINA = 8 * 3600
_LOOKS_LIKE_A_TOKEN = re.compile(r"\d{1,3}_[A-Za-z0-9_-]{24,}", re.ASCII)


@dataclass(slots=True, eq=False)
class Token:
    """One token and when it is honoured, in simulated Unix seconds."""

    value: str = field(repr=False)
    appid: str
    slot: str
    expires_at: float
    accepted_from: float
    dies_at: float  # earlier than expires_at once it is replaced or revoked

    def honoured(self, now: float) -> bool:
        return self.accepted_from <= now < self.dies_at


class Tally:
    """Counts within a period, and starts again with the next."""

    def __init__(self) -> None:
        self._period = -1
        self.used = 0

    def in_period(self, period: int) -> Tally:
        if period != self._period:
            self._period, self.used = period, 0
        return self


class Slot:
    """The tokens of one endpoint: newest first, and only those that may still be honoured."""

    def __init__(self) -> None:
        self.live: deque[Token] = deque()
        self.day = Tally()
        self.minute = Tally()
        self.forced_day = Tally()
        self.forced_at: float | None = None


class SimulatedAccount:
    """
    An account at the simulated WeChat. Its attributes may be changed while it runs.

    Attributes:
        appid: The AppID.
        secret: The AppSecret; never shown in the ``repr``.
        ip_allowlist: Addresses and networks that may fetch tokens, or ``None`` for all.
        frozen: Whether the owner froze the secret (40243).
        daily_quota: Calls of the classic endpoint a day, or ``None`` for WeChat's knob of that name.
        callback_url: Whether messages go anywhere; ``None`` makes ``callback/check`` answer 40201.
        callback_loss: Percent of the packets to that URL that are lost, as ``callback/check`` tells it.
        unsubscribed: OpenIDs that do not follow the account. All others do.
        followers: OpenIDs that ``user/get`` lists.
        menu: The menu, as ``menu/create`` sent it, or ``None``.
    """

    def __init__(
        self,
        appid: str,
        secret: str,
        *,
        ip_allowlist: Iterable[str] | None = None,
        frozen: bool = False,
        daily_quota: int | None = None,
    ) -> None:
        for name, value in (("appid", appid), ("secret", secret)):
            if not isinstance(value, str) or not value or not value.isascii() or any(c.isspace() for c in value):
                raise ConfigurationError(f"The simulated account's {name} is a text without spaces; give one.")
        if not isinstance(frozen, bool):
            raise ConfigurationError("frozen is True or False.")
        if daily_quota is not None and (isinstance(daily_quota, bool) or not isinstance(daily_quota, int)):
            raise ConfigurationError("daily_quota is a whole number, or None for the simulator's own.")
        self.appid = appid
        self.secret = secret
        self.ip_allowlist = ip_allowlist
        self.frozen = frozen
        self.daily_quota = daily_quota
        self.callback_url: str | None = "https://example.com/wechat"
        self.callback_loss = 0
        self.unsubscribed: set[str] = set()
        self.followers = [f"o{appid[-4:]}Simulated_follower_{n:03d}" for n in (1, 2)]
        self.menu: Json | None = None
        self.slots = {name: Slot() for name in SLOTS}
        self.used_last = "classic"
        self.quota_clears = Tally()

    @property
    def ip_allowlist(self) -> tuple[str, ...] | None:
        """Addresses and networks that may fetch tokens, or ``None`` for all."""
        return None if self._networks is None else tuple(map(str, self._networks))

    @ip_allowlist.setter
    def ip_allowlist(self, addresses: Iterable[str] | None) -> None:
        if isinstance(addresses, str):
            raise ConfigurationError('ip_allowlist is a list of addresses or networks, such as ["10.0.0.0/8"].')
        try:
            self._networks = None if addresses is None else [ipaddress.ip_network(a) for a in addresses]
        except (ValueError, TypeError) as wrong:
            raise ConfigurationError(f"ip_allowlist holds something that is no address or network: {wrong}.") from None

    def admits(self, ip: str) -> bool:
        """Whether this caller's address may fetch tokens."""
        if self._networks is None:
            return True
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._networks if network.version == address.version)

    def __repr__(self) -> str:
        return f"<SimulatedAccount {self.appid}{' frozen' if self.frozen else ''}>"


class TokenRules:
    """
    Mints, replaces and judges tokens.

    Args:
        knobs: What can be turned.
        clock: Simulated Unix seconds.
        ledger: Where fetches and minted tokens are counted.
    """

    def __init__(self, knobs: Knobs, clock: Callable[[], float], ledger: Ledger) -> None:
        self._knobs = knobs
        self._clock = clock
        self._ledger = ledger
        self._lock = threading.RLock()
        self._tokens: OrderedDict[str, Token] = OrderedDict()
        self.accounts: dict[str, SimulatedAccount] = {}

    def day(self, now: float) -> int:
        return int((now + _CHINA) // 86400)

    # What clients ask for

    def token(self, appid: object, secret: object, grant_type: object, ip: str) -> Json:
        with self._lock:
            now = self._clock()
            account = self._checked(appid, secret, grant_type, ip, "classic", now)
            if isinstance(account, dict):
                return account
            slot = account.slots["classic"]
            tally = slot.day.in_period(self.day(now))
            limit = self._knobs.daily_quota if account.daily_quota is None else account.daily_quota
            if tally.used >= limit:
                return error(45009, now)
            tally.used += 1
            return self._minted(account, "classic", now)

    def stable_token(self, body: object, ip: str) -> Json:
        with self._lock:
            now = self._clock()
            if not isinstance(body, dict) or not isinstance(body.get("force_refresh", False), bool):
                self.count_fetch(None, "stable")
                return error(47001, now)
            account = self._checked(body.get("appid"), body.get("secret"), body.get("grant_type"), ip, "stable", now)
            if isinstance(account, dict):
                return account
            slot = account.slots["stable"]
            day, minute = slot.day.in_period(self.day(now)), slot.minute.in_period(int(now // 60))
            if day.used >= self._knobs.stable_daily_quota:
                return error(45009, now)
            if minute.used >= self._knobs.stable_minute_quota:
                return error(45011, now)
            day.used += 1
            minute.used += 1
            if body.get("force_refresh", False):
                if self._may_force(slot, now):
                    self._note_forced(slot, now)
                    return self._minted(account, "stable", now, forced=True)
                if self._knobs.forced_too_soon != "same":
                    return error(self._knobs.forced_too_soon, now)
            newest = slot.live[0] if slot.live else None
            if newest is not None:
                left = newest.expires_at - now
                if left >= self._knobs.renewal_window and (now < newest.dies_at or self._knobs.stable_sticky):
                    return {"access_token": newest.value, "expires_in": int(left + 1e-6)}
            return self._minted(account, "stable", now)

    def count_fetch(self, appid: object, slot: str) -> None:
        """Count a client's request to a token endpoint, whatever becomes of it."""
        known = isinstance(appid, str) and appid in self.accounts
        if known and slot in SLOTS:
            self.accounts[str(appid)].used_last = slot
        self._ledger.fetched(str(appid) if known else "", slot)

    def _checked(
        self, appid: object, secret: object, grant_type: object, ip: str, slot: str, now: float
    ) -> SimulatedAccount | Json:
        # Row 6 of docs/wechat.md#what-the-simulator-follows. The order after the appid is a guess.
        self.count_fetch(appid, slot)
        if not appid:
            return error(41002, now)
        account = self.accounts.get(appid) if isinstance(appid, str) else None
        if account is None:
            return error(40013, now)
        if grant_type != "client_credential":
            return error(40002, now)
        if not secret:
            return error(41004, now)
        if secret != account.secret:
            wrong = self._knobs.wrong_secret_errcode
            return error(wrong, now)
        if account.frozen:
            return error(40243, now)
        if not account.admits(ip):
            return error(40164, now, ip=ip)
        return account

    def _may_force(self, slot: Slot, now: float) -> bool:
        used = slot.forced_day.in_period(self.day(now)).used
        rested = slot.forced_at is None or now - slot.forced_at >= self._knobs.forced_interval
        return rested and used < self._knobs.forced_daily

    def _note_forced(self, slot: Slot, now: float) -> None:
        slot.forced_day.in_period(self.day(now)).used += 1
        slot.forced_at = now

    def _minted(self, account: SimulatedAccount, slot: str, now: float, *, forced: bool = False) -> Json:
        token = self._mint(account, slot, now, forced=forced)
        self._ledger.minted_one(account.appid, slot, stolen=False)
        return {"access_token": token.value, "expires_in": self._knobs.lifetime}

    def _mint(self, account: SimulatedAccount, slot_name: str, now: float, *, forced: bool) -> Token:
        knobs = self._knobs
        slot = account.slots[slot_name]
        keep = knobs.keep_previous
        if forced:  # the recipe against a leak: the second forced refresh kills the first one's predecessor
            keep = min(keep, 1) if knobs.stable_forced_keeps_previous else 0
        known_at = now + knobs.propagation_lag  # to the APIs; until then they go by the tokens before
        for age, old in enumerate(slot.live):
            if age >= keep:
                old.dies_at = min(old.dies_at, known_at)
            elif age == 0:
                old.dies_at = min(old.dies_at, known_at + knobs.overlap)
        token = Token(
            value=self._fresh_value(),
            appid=account.appid,
            slot=slot_name,
            expires_at=now + knobs.lifetime,
            accepted_from=known_at,
            dies_at=now + knobs.lifetime,
        )
        slot.live = deque([token, *(old for old in slot.live if old.dies_at > now)])
        self._tokens[token.value] = token
        if len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return token

    def _fresh_value(self) -> str:
        head = f"{60 + secrets.randbelow(40)}_"
        length = self._knobs.token_length - len(head)
        return head + secrets.token_urlsafe(length)[:length]

    # What API calls and tests ask

    def check(self, access_token: str | None, appid: str | None) -> Json | None:
        with self._lock:
            now = self._clock()
            if access_token is None:
                return error(41001, now)
            if not isinstance(access_token, str) or not _LOOKS_LIKE_A_TOKEN.fullmatch(access_token):
                return error(self._knobs.malformed_errcode, now)
            token = self._tokens.get(access_token)
            if token is None or (appid is not None and token.appid != appid) or now < token.accepted_from:
                return error(40001, now)
            if now < token.dies_at:
                return None
            if token.dies_at >= token.expires_at:
                return error(self._knobs.expired_errcode, now)
            return error(40001, now)

    def owner(self, access_token: str | None) -> SimulatedAccount | None:
        """Whose token this is or was."""
        with self._lock:
            token = self._tokens.get(access_token) if isinstance(access_token, str) else None
            return None if token is None else self.accounts.get(token.appid)

    def current(self, appid: str, slot: str) -> str | None:
        with self._lock:
            live = self.accounts[appid].slots[slot].live
            return live[0].value if live and self._clock() < live[0].dies_at else None

    # Mischief

    def steal(self, appid: str, slot: str | None) -> str:
        with self._lock:
            now = self._clock()
            account = self.accounts[appid]
            name = slot or account.used_last
            if name == "stable":
                self._note_forced(account.slots[name], now)
                account.slots[name].minute.in_period(int(now // 60)).used += 1
            account.slots[name].day.in_period(self.day(now)).used += 1
            token = self._mint(account, name, now, forced=name == "stable")
            self._ledger.minted_one(appid, name, stolen=True)
            return token.value

    def revoke(self, appid: str, slot: str | None) -> int:
        with self._lock:
            now = self._clock()
            killed = 0
            for name in SLOTS if slot is None else (slot,):
                for token in self.accounts[appid].slots[name].live:
                    killed += now < token.dies_at
                    token.dies_at = min(token.dies_at, now)
        self._ledger.tell()
        return killed

    def quota_used(self, appid: str, slot: str) -> int:
        with self._lock:
            return self.accounts[appid].slots[slot].day.in_period(self.day(self._clock())).used

    def clear_quota(self, account: SimulatedAccount) -> bool:
        """Reset the day's counts; ``False`` if the month's ten are used up."""
        with self._lock:
            now = self._clock()
            tally = account.quota_clears.in_period(_month(now))
            if tally.used >= 10:
                return False
            tally.used += 1
            account.slots["classic"].day.used = 0
            if self._knobs.clear_quota_covers_stable:
                account.slots["stable"].day.used = 0
            return True


def _month(now: float) -> int:
    from datetime import UTC, datetime

    there = datetime.fromtimestamp(now + _CHINA, UTC)
    return there.year * 12 + there.month
