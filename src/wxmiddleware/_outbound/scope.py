"""
The one rule about where a token may go.

It goes to the account's own ``base_url``, below its path if it has one, and to hosts that the user lists, by the scheme
and port given there, and nowhere else: not to another host of a session that serves many, not to the neighbours of
WeChat's path on a gateway, not to a redirect elsewhere, and never over http where https was said. Some paths of those
hosts are not ours all the same: ``sns/*`` takes the token of a user, for which 40001 means another thing
(docs/wechat.md#tokens-of-users), and the token endpoints take a secret. A platform's token goes to ``sns/component/``,
too, where users of its accounts log in (docs/wechat.md#platforms).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from ..exceptions import ConfigurationError

__all__ = ["Scope"]

_PORTS: Final = {"http": 80, "https": 443}
# What a path may have in it besides letters and digits, as it is sent (RFC 3986).
_SAFE: Final = "/%:@!$&'()*+,;=~-._"
_UNRESERVED: Final = re.compile(r"%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", re.IGNORECASE)
_ENDPOINTS: Final = r"cgi-bin/(?:token|stable_token|gettoken|component/api_component_token)/?$"
_NOT_OURS: Final = re.compile(rf"/*(?:sns/|{_ENDPOINTS})")
_NOT_A_PLATFORMS: Final = re.compile(rf"/*(?:sns/(?!component/[^/])|{_ENDPOINTS})")
_LOGINS: Final = re.compile(r"/*sns/component/")
_READINGS: Final = 4
_ADVICE: Final = (
    "Give names like 'sh.api.weixin.qq.com', with a port if it is unusual, or 'https://sh.api.weixin.qq.com'."
)


class Scope:
    """
    Which URLs get the token of an account.

    Args:
        base_url: The account's.
        hosts: More of them: ``name`` or ``name:port``, by the scheme of `base_url`; or ``scheme://name:port``.
        platform: Whether the account is a third-party platform.

    Raises:
        ConfigurationError: `hosts` is no collection of these.
    """

    __slots__ = ("_below", "_not_ours", "_prefix")

    def __init__(self, base_url: str, hosts: Iterable[str] = (), *, platform: bool = False) -> None:
        self._not_ours = _NOT_A_PLATFORMS if platform else _NOT_OURS
        base = urlsplit(base_url)
        if isinstance(hosts, str) or not isinstance(hosts, Iterable):
            raise ConfigurationError(f"hosts must be a list of hosts, not a {type(hosts).__name__}. {_ADVICE}")
        self._prefix = _as_sent(base.path.rstrip("/"))
        # Each origin with the path below which the token may go; one that is listed is WeChat's as a whole.
        below = {_origin(base.scheme, base.hostname or "", base.port): self._prefix}
        below.update((_checked(host, base.scheme), "") for host in hosts)
        # The usual redirect from http to https is no step down.
        secure = {
            ("https", host, 443): path for (scheme, host, port), path in below.items() if (scheme, port) == ("http", 80)
        }
        self._below = {**secure, **below}

    def covers(self, scheme: str, host: str, port: int | None, path: str) -> bool:
        """
        Tell whether the token may go there.

        Args:
            port: ``None`` for the usual one.
            path: As it is sent, without the query.
        """
        below = self._below.get(_origin(scheme, host, port))
        if below is None:
            return False
        # A gateway may take a path as it is sent, or decode it, once or twice. It has to be ours in each reading.
        readings = [_as_sent(path)]
        while len(readings) < _READINGS and (decoded := unquote(readings[-1]).replace("\\", "/")) != readings[-1]:
            readings.append(decoded)
        return all(self._has(reading, below, unquote if n else str) for n, reading in enumerate(readings))

    def _has(self, path: str, below: str, spelt: Callable[[str], str]) -> bool:
        if below and (not f"{path}/".startswith(f"{spelt(below)}/") or ".." in re.split("[/;]", path)):
            return False
        rest = path.removeprefix(spelt(self._prefix))
        return not self._not_ours.match(rest) and not self._not_ours.match(posixpath.normpath(rest) + "/")

    def parameter(self, path: str) -> str:
        """Tell what the token is called in the query of a request to a path that is covered."""
        found = _LOGINS.match(_as_sent(path).removeprefix(self._prefix))
        return "component_access_token" if found else "access_token"

    def refuse_downgrade(self, scheme: str, host: str) -> None:
        """
        Refuse a request that would be covered if it were not for http in place of https.

        Raises:
            ConfigurationError: It is one.
        """
        host = host.lower()
        if scheme.lower() == "http" and any(one[:2] == ("https", host) for one in self._below):
            raise ConfigurationError(
                f"The access token is not sent to {host} over http, where all can read it. Write https:// in the URL."
            )


def _as_sent(path: str) -> str:
    """Spell a path as clients do: what need not be encoded is not, and what must be is."""
    return _UNRESERVED.sub(lambda found: chr(int(found[0][1:], 16)), quote(path, safe=_SAFE))


def _origin(scheme: str, host: str, port: int | None) -> tuple[str, str, int]:
    scheme = scheme.lower()
    return scheme, host.lower(), _PORTS.get(scheme, 0) if port is None else port


def _checked(host: Any, scheme: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(host if "://" in host else f"{scheme}://{host}")
        wellformed = parts.scheme in _PORTS and parts.hostname and parts.port != 0
        if wellformed and parts.path in ("", "/") and not any(c in "?#@*" or c.isspace() for c in host):
            return _origin(parts.scheme, parts.hostname or "", parts.port)
    except (TypeError, ValueError):
        pass
    # The value stays out of the message: somebody may have put a whole URL there, with a token.
    raise ConfigurationError(f"hosts has something in it that is no host. {_ADVICE}")
