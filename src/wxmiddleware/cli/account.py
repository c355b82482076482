"""Whose token a command is about: an official account or mini program, or with ``--wecom`` an app of WeCom."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .._rules.identity import key_parts
from .._rules.models import Account, WeComAccount
from ..exceptions import ConfigurationError
from ..sources import ClassicToken, StableToken, TokenSource, WeComToken

_CORP = "ww"  # what a CorpID begins with, and no AppID


def account_of(options: argparse.Namespace, *, secret: bool = True) -> Account:
    """
    Make the account that the environment names, with what the options say instead.

    Args:
        options: The command's.
        secret: Whether its secret is needed.

    Raises:
        ConfigurationError: Something is missing or malformed, or is meant for the other kind of account.
    """
    wecom = is_wecom(options)
    environ = dict(os.environ)
    if not wecom and not environ.get("WECHAT_APPID") and options.appid is None and environ.get("WECOM_CORPID"):
        raise ConfigurationError("Set WECHAT_APPID; or add --wecom, for the app of WECOM_CORPID.")
    service = "WECOM" if wecom else "WECHAT"
    given = {
        "WECHAT_APPID": options.appid,
        "WECOM_CORPID": options.corpid,
        "WECOM_AGENTID": options.agentid,
        f"{service}_BASE_URL": options.base_url,
        f"{service}_REALM": options.realm,
        f"{service}_SECRET": None if options.secret_file is None else read_secret(options.secret_file),
    }
    environ |= {name: value for name, value in given.items() if value is not None}
    return (WeComAccount if wecom else Account).from_env(environ, secret=secret)


def source_of(options: argparse.Namespace) -> TokenSource:
    """Make the source that the options name."""
    if is_wecom(options):
        return WeComToken()
    return ClassicToken() if options.source == "classic" else StableToken()


def is_wecom(options: argparse.Namespace) -> bool:
    """
    Whether the options are about an app of WeCom.

    Raises:
        ConfigurationError: They are about that and about something else.
    """
    wecom = options.wecom or options.corpid is not None or options.agentid is not None
    if wecom and options.appid is not None:
        raise ConfigurationError(
            "--appid is an official account's or mini program's; an app of WeCom has --corpid and --agentid. "
            "Leave one of the two off."
        )
    if wecom and options.source is not None:
        raise ConfigurationError("--source is not for WeCom, which has one endpoint. Leave it off.")
    for name in ("corpid", "agentid"):
        if getattr(options, name) == "":
            raise ConfigurationError(f"--{name} is empty. Is the variable set that it is made of?")
    if (options.appid or "").startswith(_CORP):
        raise ConfigurationError("--appid begins with ww: that is a CorpID. Write --corpid, with --agentid.")
    return wecom


def is_wanted(options: argparse.Namespace, key: str) -> bool:
    """Whether the options ask for the record of `key`: for all, unless they name an account or an app."""
    wecom, parts = is_wecom(options), key_parts(key)
    appid, app = (key, "") if parts is None else (parts.appid, parts.app)
    return (options.corpid if wecom else options.appid) in (None, appid) and options.agentid in (None, app)


def check_named(account: Account) -> None:
    """
    See that the account has a name which stays, for the file of its token.

    Raises:
        ConfigurationError: It is an app of WeCom without an AgentId.
    """
    if isinstance(account, WeComAccount) and account.agentid is None:
        raise ConfigurationError(
            "--sink: set WECOM_AGENTID, or --agentid. The file's name has it; without it there is a digest of the "
            "secret in its place, which nobody can guess and which changes with the secret."
        )


def read_secret(name: str) -> str:
    """
    Read the secret from a file, or from the standard input if its name is ``-``.

    Raises:
        ConfigurationError: It cannot be read, is no text or empty.
    """
    try:
        secret = sys.stdin.read() if name == "-" else Path(name).read_text()
    except OSError as error:
        raise ConfigurationError(f"The file of the secret cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError("The file of the secret is not a text.") from None
    if not secret.strip():
        raise ConfigurationError("The file of the secret is empty.")
    return secret.strip()
