"""
The keys under which a webhook remembers messages, so that a store can tell them from those of tokens.

They are written with every push, and what they hold is over in minutes.
"""

from __future__ import annotations

import re

_OF_MESSAGES = re.compile(r".*:webhook:([0-9a-f]{2})", re.DOTALL)


def key_of_messages(whose: str, number: int) -> str:
    """
    Make one.

    Args:
        whose: A name that keeps accounts apart.
        number: Which of the account's records, from 0 to 255.
    """
    return f"wx:{whose}:webhook:{number:02x}"


def digits_of_messages(key: str) -> str | None:
    """Give the number in the key as two hex digits; ``None`` if it is another kind of key."""
    found = _OF_MESSAGES.fullmatch(key)
    return None if found is None else found[1]
