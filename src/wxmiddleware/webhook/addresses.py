"""
Whether a push comes from an address of WeChat's, an option beside the signature.

WeChat lists the addresses that it pushes from (``getcallbackip``: docs/wechat.md#hosts-addresses-and-quotas), and
changes them.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import requests

from wxmiddleware._runtime import fork
from wxmiddleware._runtime.checks import checked_runtime
from wxmiddleware._runtime.threads import in_event_loop, start_thread, threads_freeze
from wxmiddleware._runtime.untraced import untraced
from wxmiddleware.context import use_provider
from wxmiddleware.decorators import with_token
from wxmiddleware.exceptions import APIError, ConfigurationError, WxMiddlewareError

from ._sending import check_sender

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

__all__ = ["Addresses", "CallbackAddresses", "Networks"]

_logger = logging.getLogger("wxmiddleware")

_PATIENCE = 2.0  # seconds that a push waits for the first list, counted from when its fetch began
_POLL = 0.02
_AGAIN = 1.0  # seconds until a thread is looked for again
_RETRY = 10.0  # seconds that WeChat is left alone after it gave no list

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@runtime_checkable
class Addresses(Protocol):
    """Tells whether a push may come from an address."""

    def allows(self, address: str) -> bool | None:
        """Tell whether `address`, which may be anything, may push; ``None`` if that is not known now. May block."""


@runtime_checkable
class Known(Protocol):
    """Addresses of which may be asked without waiting."""

    def known(self, address: str) -> bool | None:
        """Tell whether `address` may push; ``None`` if there is no list."""

    @property
    def coming(self) -> bool:
        """Whether it is worth while to wait for a list."""

    def renew(self) -> None:
        """Begin to renew the list, if that is due."""


class Networks:
    """
    Addresses and networks that do not change.

    Args:
        networks: Such as ``101.226.103.0/24``, ``101.226.103.*`` or ``2001:db8::1``.

    Raises:
        ConfigurationError: One of them is none.
    """

    def __init__(self, networks: Collection[str]) -> None:
        if isinstance(networks, str):
            networks = (networks,)
        try:
            self._networks = tuple(_network(each) for each in networks)
        except (ValueError, AttributeError, TypeError):
            raise ConfigurationError("senders must be addresses or networks such as 101.226.103.0/24.") from None

    coming = False

    def known(self, address: str) -> bool:
        """Tell whether `address` lies in one of them."""
        return _within(address, self._networks)

    allows = known

    def renew(self) -> None:
        """Do nothing: a fixed list of networks needs no renewal."""


class CallbackAddresses:
    """
    The addresses that WeChat says it pushes from.

    The first push whose signature is right has the list fetched, in a thread of its own, and waits for it up to two
    seconds; later ones find it, and have it renewed when it is `every` seconds old. While it cannot be renewed, the old
    one counts; while there is none at all, pushes are answered 503 and repeated.

    Args:
        provider: Whose token and whose API; what it takes for the time counts here, too.
        every: Seconds until the list is fetched again. WeChat advises to read it daily.
        timeout: Seconds for the call.
    """

    def __init__(self, provider: TokenProvider, *, every: float = 3600.0, timeout: float = 2.0) -> None:
        if not hasattr(provider, "get_token"):
            raise ConfigurationError("CallbackAddresses(provider) takes a TokenProvider.")
        check_sender("CallbackAddresses(provider)", provider)
        self._provider = provider
        self._every = every
        self._timeout = timeout
        self._clock = checked_runtime(getattr(provider, "runtime", None)).clock
        self._networks: tuple[_Network, ...] | None = None
        self._due = -float("inf")
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget a fetch that a thread of the parent may have begun: it does not run in the child."""
        self._lock = threading.Lock()
        self._begun: float | None = None  # when the fetch began that is under way

    @property
    def coming(self) -> bool:
        """Whether a fetch is under way that has not taken long yet."""
        begun = self._begun
        return begun is not None and self._clock() - begun < _PATIENCE

    def known(self, address: str) -> bool | None:
        """Tell whether `address` is in the list; ``None`` if there is no list. Waits for nothing."""
        networks = self._networks
        return None if networks is None else _within(address, networks)

    def renew(self) -> None:
        """Begin to fetch the list if that is due, in another thread."""
        if self._clock() < self._due:
            return
        fork.check()
        with self._lock:
            if self._begun is not None or self._clock() < self._due:
                return
            self._begun = self._clock()
        if not threads_freeze() and start_thread(self._renew, "wxmiddleware-webhook-addresses") is not None:
            return
        if in_event_loop():  # no thread, and here it must not be waited for: the old list counts, if there is one
            self._due = self._clock() + _AGAIN
            self._begun = None
        else:
            self._renew()

    def allows(self, address: str) -> bool | None:
        """Tell whether `address` is WeChat's; waits for the first list, up to two seconds."""
        self.renew()
        while (allowed := self.known(address)) is None and self.coming:
            time.sleep(_POLL)
        return allowed

    def _renew(self) -> None:
        found = None
        try:
            found = self._fetched()
            if found is not None:
                self._networks = found
        finally:
            self._due = self._clock() + (_RETRY if found is None else self._every)
            self._begun = None

    def _fetched(self) -> tuple[_Network, ...] | None:
        try:
            with use_provider(self._provider):
                answer = _callback_ips(f"{self._provider.account.base_url}/cgi-bin/getcallbackip", self._timeout)
            return tuple(_network(str(each)) for each in answer["ip_list"]) or None
        except (requests.RequestException, WxMiddlewareError, LookupError, TypeError, ValueError) as error:
            # The text of others has the URL in it, and so the token.
            problem = str(error) if isinstance(error, APIError) else type(error).__name__
            _logger.warning("WeChat gave no list of its addresses (%s).", problem)
            return None


@with_token(parameter="token")  # a name whose value error trackers hide
def _callback_ips(token: str, url: str, timeout: float) -> dict[str, Any]:
    with untraced():
        # A redirect would take the token elsewhere, and bring somebody else's list.
        answer = requests.get(url, {"access_token": token}, timeout=timeout, allow_redirects=False)
    if 300 <= answer.status_code < 400:
        raise APIError("A redirect, which is not followed; check base_url.")
    found: dict[str, Any] = answer.json()
    return found


def sender_of(peer: str, forwarded: str, hops: int) -> str:
    """
    Tell who sent a request: the peer, or what the outermost of `hops` proxies of ours saw.

    What stands further left in ``X-Forwarded-For`` anybody may have written.
    """
    if hops == 0:
        return peer
    seen = [each.strip() for each in forwarded.split(",")]
    return seen[-hops] if len(seen) >= hops else ""


def named_sender(peer: str, forwarded: str, hops: int) -> str:
    """Name who sent a request, for the log; only what is an address is shown."""
    sender = _shown(sender_of(peer, forwarded, hops))
    return sender if hops == 0 else f"{sender} behind {_shown(peer)}"


def _shown(address: str) -> str:
    found = _address(address)
    return "an unknown address" if found is None else str(found)


def _network(text: str) -> _Network:
    text = text.strip()
    if text.endswith(".*"):  # WeCom's samples
        octets = text.split(".")
        fixed = [octet for octet in octets if octet != "*"]
        return ipaddress.ip_network(f"{'.'.join([*fixed, *['0'] * (4 - len(fixed))])}/{8 * len(fixed)}")
    return ipaddress.ip_network(text, strict=False)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip().removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _within(address: str, networks: tuple[_Network, ...]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in networks if network.version == found.version)
