"""The words among a webhook's settings, as they come from files and variables: what cannot be right is told at once."""

from __future__ import annotations

from collections.abc import Collection

from wxmiddleware.exceptions import ConfigurationError

_LONGEST_TOKEN = 32  # docs/wechat.md#verifying-a-webhook; official accounts have 3 to 32
_QUOTES = frozenset("\"'`")


def check_word(name: str, word: str) -> None:
    """Check a word that has only visible ASCII in it. The error does not show the word."""
    if word != word.strip():
        raise ConfigurationError(f"{name} begins or ends with a blank or a line end. Strip it where it is read.")
    if any(map(str.isspace, word)):
        raise ConfigurationError(f"{name} has a blank in it. WeChat takes none; copy it from WeChat's site.")
    if not _QUOTES.isdisjoint(word):
        raise ConfigurationError(
            f"{name} has quotes in it. Leave them off where it is set; an .env file may keep them."
        )
    if not (word.isascii() and word.isprintable()):
        raise ConfigurationError(
            f"{name} has characters that are not ASCII, or do not show. Copy it from WeChat's site."
        )


def tokens_of(token: object) -> tuple[str, ...]:
    """Check the token, or several, and return them."""
    tokens = several("token", token)
    for each in tokens:
        if not each:
            raise ConfigurationError("token is empty. Give the Token that stands beside the URL on WeChat's site.")
        check_word("token", each)
        if len(each) > _LONGEST_TOKEN:
            raise ConfigurationError(
                f"token has {len(each)} characters, and WeChat takes {_LONGEST_TOKEN} at most. It is the word that "
                "stands beside the URL on WeChat's site (令牌), and no access_token."
            )
    return tokens


def several(name: str, value: object) -> tuple[str, ...]:
    """Return one or several strings as a tuple."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Collection) else ()
    if not found or isinstance(value, (bytes, bytearray)) or not all(isinstance(each, str) for each in found):
        none = " It is None: is the variable set that it is read from?" if value is None or None in found else ""
        raise ConfigurationError(f"{name} must be a str, or several in a tuple while it is being replaced.{none}")
    return found
