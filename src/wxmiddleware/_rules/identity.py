"""
Whose token a record is: the key under which all who share it find it (docs/record.md, a contract).

It is made of what the members of a fleet have in common. Neither the secret is in it nor the way to WeChat: a token
belongs to the account. A simulator is another world, with records of its own.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from .models import _REALM, Account


def realm_of(account: Account) -> str:
    """
    Name the WeChat that the account is at: ``wechat`` or ``wecom`` unless it says otherwise or uses plain http.

    Nobody sends a secret over plain http to the real one, so that is a simulator, named by its host and port.
    """
    return account.realm or _realm_at(account.base_url, account._own_realm)


@lru_cache(64)
def _realm_at(url: str, real: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return real
    host, port, path = (parts.hostname or "").rstrip("."), parts.port or 80, parts.path.rstrip("/")
    name = f"{host}-{port}"
    if not path and _REALM.fullmatch(name):
        return name
    # No name of the other kind looks like this: a port has five digits at most.
    return f"x-{hashlib.sha256(f'{host}:{port}{path}'.encode()).hexdigest()[:12]}"


def record_key(account: Account, kind: str) -> str:
    """
    Name the record of one kind of token of an account: ``wx:{realm}:{appid}[/{app}]:{kind}``.

    Args:
        account: Whose token.
        kind: Which one, such as ``stable``, ``classic`` or ``wecom``: the source's.
    """
    app = account._app()
    whose = f"{quote(account.appid, safe='')}/{app}" if app else quote(account.appid, safe="")
    return f"wx:{realm_of(account)}:{whose}:{quote(kind, safe='')}"


class KeyParts(NamedTuple):
    """
    What a record's key says.

    Attributes:
        realm: Which WeChat.
        appid: The AppID; at WeCom the CorpID.
        app: At WeCom the AgentId, or ``secret=`` and a digest; of an authorised account its platform's AppID.
        kind: The kind of token.
    """

    realm: str
    appid: str
    app: str
    kind: str


def key_parts(key: str) -> KeyParts | None:
    """Read a key that `record_key` has made; ``None`` of others, such as those of what webhooks remember."""
    parts = key.split(":")
    if len(parts) != 4 or parts[0] != "wx" or not all(parts) or parts[2] == "webhook":
        return None
    appid, _, app = parts[2].partition("/")
    return KeyParts(parts[1], unquote(appid), unquote(app), unquote(parts[3]))
