"""What a layout is, and what all of them check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from .._runtime.checks import kind
from ..exceptions import ConfigurationError


@dataclass(frozen=True, slots=True)
class Kept:
    """
    What another program keeps.

    Attributes:
        value: The token.
        expires_at: Its end in seconds since 1970, or ``None`` if the layout does not tell it.
    """

    value: str = field(repr=False)
    expires_at: float | None


@runtime_checkable
class Layout(Protocol):
    """
    Where and how another program keeps a token.

    One of your own is a class with these three; it is called in threads, never by two at a time for a provider. What it
    raises is caught, and only its kind is told. A layout whose entries end before the token does has ``write_again``,
    too: the seconds after which they are written anew.

    Attributes:
        name: Where it is, for messages; without anything secret.
    """

    @property
    def name(self) -> str: ...

    def read(self) -> Kept | None:
        """Read what is kept; ``None`` if that is no token."""

    def write(self, value: str, expires_at: float) -> None:
        """
        Write a token over whatever is there.

        Args:
            value: The token.
            expires_at: Its end, in seconds since 1970.
        """


def same_place(one: Layout, other: Layout) -> bool:
    """Whether what is written with the one is read with the other, as far as can be told."""
    places = [getattr(each, "_place", None) for each in (one, other)]
    return one is other or (places[0] is not None and places[0] == places[1])


def word(name: str, value: Any, example: str) -> str:
    """
    Check a part of a key.

    Raises:
        ConfigurationError: It is no text, or empty, or has white space or control characters in it.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a str such as {example}, not {kind(value)}.")
    if not value or not value.isprintable() or any(each.isspace() for each in value):
        raise ConfigurationError(f"{name} must be a word such as {example}, without white space.")
    return value


def text(raw: bytes | str | None) -> str:
    """What is kept, as text; empty if there is nothing, or nothing readable."""
    if isinstance(raw, bytes):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return ""
    return raw or ""
