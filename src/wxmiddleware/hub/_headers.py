"""Which headers of a call go on to WeChat, and which of its answer come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ._answers import Refusal

WRONG_PARAMETER = 40035
Pairs = Iterable[tuple[bytes, bytes]]

# RFC 9110, 7.6.1: they are about one connection; and those that say how long a body is, which the client writes itself.
_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization proxy-authentication-info te "
    b"trailer transfer-encoding upgrade http2-settings content-length".split()
)
# The caller's affairs with the hub, which are nobody's further on: keys, cookies, where it came from.
_OWN = frozenset(
    b"authorization cookie cookie2 host expect accept-encoding forwarded via referer origin x-real-ip "
    b"true-client-ip cf-connecting-ip x-client-ip x-cluster-client-ip client-ip max-forwards "
    # Some frameworks go by these instead of the method and the path.
    b"x-http-method x-http-method-override x-method-override x-original-url x-rewrite-url".split()
)
_OWN_KINDS = (b"x-forwarded-", b"x-wxmiddleware-", b"sec-", b"proxy-")
# WeChat's affairs with the hub: its cookies, what it says of its own host, and what the server of the hub says itself.
_THEIRS = frozenset(
    b"set-cookie set-cookie2 alt-svc strict-transport-security public-key-pins date server via clear-site-data".split()
)
_SHORTEST = 40  # characters of a key or a token
_WELL_WRITTEN = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def onward(headers: Pairs, credential_in: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """
    Give the headers that go to WeChat.

    Args:
        headers: The caller's, with names in small letters.
        credential_in: Finds a key or a token in a text. It does not go on, whatever the header is called.
    """
    headers = list(headers)
    named = _named(headers)
    for name, value in headers:
        alike = name.replace(b"_", b"-")  # to CGI and its kin both signs are one
        if name in named or alike in _HOP or alike in _OWN or alike.startswith(_OWN_KINDS):
            continue
        if len(value) >= _SHORTEST and credential_in(value.decode("latin-1")):
            continue
        try:
            yield name.decode("ascii"), value.decode()
        except UnicodeDecodeError:
            raise Refusal(WRONG_PARAMETER, "invalid parameters: a header is not in UTF-8") from None
    # An answer that is packed could not be looked into.
    yield "accept-encoding", "identity"


def back(headers: Pairs) -> list[tuple[bytes, bytes]]:
    """Give the headers that go to the caller, with names in small letters."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = _named(pairs)
    return [
        (name, value)
        for name, value in pairs
        if name not in _HOP and name not in _THEIRS and name not in named and _WELL_WRITTEN.fullmatch(value)
    ]


def length_of(headers: Pairs) -> int | None:
    """
    Get how long the caller says that its body is; ``None`` if it does not say.

    Raises:
        Refusal: It says so in two ways. Servers should not let that through; the next may read it in the other way.
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    if len(lengths) > 1 or (lengths and chunked) or not all(each.isdigit() and len(each) < 16 for each in lengths):
        raise Refusal(WRONG_PARAMETER, "invalid parameters: the length of the body can be read in two ways")
    return int(lengths[0]) if lengths else None


def _named(headers: Pairs) -> frozenset[bytes]:
    """Get the names of headers that Connection says are about one connection."""
    said = b",".join(value for name, value in headers if name == b"connection")
    # It cannot name those without which a body would mean another thing.
    return frozenset(each.strip().lower() for each in said.split(b",")) - {b"content-type", b""}
