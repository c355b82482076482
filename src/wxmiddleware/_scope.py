"""
The one rule about where a token may go.

It goes to the account's own ``base_url`` and to hosts that the user lists, by the scheme and port given there, and
nowhere else: not to another host of a session that serves many, not to a redirect elsewhere, and never over http where
https was said. Some paths of those hosts are not ours all the same: ``sns/*`` takes the token of a user, for which
40001 means another thing (wechat-api, sections 4.1 and 6.3), and the token endpoints take a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from .exceptions import ConfigurationError

__all__ = ["Scope"]

_PORTS: Final = {"http": 80, "https": 443}
_NOT_OURS: Final = re.compile(r"/*(?:sns/|cgi-bin/(?:token|stable_token|gettoken|component/api_component_token)/?$)")
_ADVICE: Final = (
    "Give names like 'sh.api.weixin.qq.com', with a port if it is unusual, or 'https://sh.api.weixin.qq.com'."
)


class Scope:
    """
    Which URLs get the token of an account.

    Args:
        base_url: The account's.
        hosts: More of them: ``name`` or ``name:port``, by the scheme of `base_url`; or ``scheme://name:port``.

    Raises:
        ConfigurationError: `hosts` is no collection of these.
    """

    __slots__ = ("_origins", "_prefix")

    def __init__(self, base_url: str, hosts: Iterable[str] = ()) -> None:
        base = urlsplit(base_url)
        if isinstance(hosts, str) or not isinstance(hosts, Iterable):
            raise ConfigurationError(f"hosts must be a list of hosts, not a {type(hosts).__name__}. {_ADVICE}")
        self._prefix = base.path.rstrip("/")
        self._origins = {_origin(base.scheme, base.hostname or "", base.port)}
        self._origins.update(_checked(host, base.scheme) for host in hosts)
        # The usual redirect from http to https is no step down.
        self._origins |= {
            ("https", host, 443) for scheme, host, port in self._origins if (scheme, port) == ("http", 80)
        }

    def covers(self, scheme: str, host: str, port: int | None, path: str) -> bool:
        """
        Tell whether the token may go there.

        Args:
            port: ``None`` for the usual one.
            path: Without the query.
        """
        return _origin(scheme, host, port) in self._origins and not _NOT_OURS.match(path.removeprefix(self._prefix))

    def refuse_downgrade(self, scheme: str, host: str) -> None:
        """
        Refuse a request that would be covered if it were not for http in place of https.

        Raises:
            ConfigurationError: It is one.
        """
        host = host.lower()
        if scheme.lower() == "http" and any(one[:2] == ("https", host) for one in self._origins):
            raise ConfigurationError(
                f"The access token is not sent to {host} over http, where all can read it. Write https:// in the URL."
            )


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
