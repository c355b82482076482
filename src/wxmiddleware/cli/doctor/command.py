"""The commands ``doctor``, ``quota`` and ``rid``: the same checks, all of them or what one depends on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ..._runtime.language import language
from ..._runtime.masking import install
from ...exceptions import ConfigurationError
from ..account import is_wecom, read_secret, source_of
from .checks import Check, Result, cause_of, run
from .examination import Examination, Names, Options, Settings
from .show import Screen, as_json, head, lines_of, list_of, secrets_of, summary
from .table import TABLE

__all__ = ["doctor"]

_SOUND, _FAILED = 0, 1


def doctor(options: argparse.Namespace, url: str) -> int:
    """
    Run the checks and print what they have found.

    Args:
        options: The command's.
        url: The store's; empty if there is none.

    Returns:
        0, or 1 if a check has failed.

    Raises:
        ConfigurationError: Options contradict each other.
    """
    if options.list:
        print("\n".join(list_of(TABLE, language())))
        return _SOUND
    wanted = Options(active=options.active)
    return _examined(Examination(settings_of(options), source_of(options), url, wanted), TABLE, options)


def _examined(examination: Examination, table: Sequence[Check], options: argparse.Namespace) -> int:
    install()  # so that HTTP clients log no token
    results: list[Result] = []
    try:
        width = max(len(check.name) for check in table)
        if not options.json:
            print(head(examination, _screen(examination)) + "\n")
        for result in run(table, examination):
            results.append(result)
            if not options.json:
                print("\n".join(lines_of(result, width, _screen(examination))), flush=True)
        screen = _screen(examination)
        print(as_json(examination, results, screen) if options.json else "\n" + summary(results, screen))
    finally:
        examination.close()
    return _SOUND if cause_of(results) is None else _FAILED


def _screen(examination: Examination) -> Screen:
    return Screen(secrets_of(examination), language())  # a check may have learned of another token


def settings_of(options: argparse.Namespace) -> Settings:
    """
    Take the account as the environment and the options have it; whether it can be one is for the checks to say.

    Raises:
        ConfigurationError: Options contradict each other.
    """
    wecom = is_wecom(options)
    service = "WECOM" if wecom else "WECHAT"
    names = Names(
        "WECOM_CORPID" if wecom else "WECHAT_APPID", f"{service}_SECRET", f"{service}_BASE_URL", f"{service}_REALM"
    )
    secret, problem = os.environ.get(names.secret, ""), ""
    if options.secret_file is not None:
        try:
            secret = read_secret(options.secret_file)
        except ConfigurationError as error:
            problem = str(error)

    def said(option: str | None, name: str) -> str:
        return os.environ.get(name, "") if option is None else option

    return Settings(
        names,
        said(options.corpid if wecom else options.appid, names.appid),
        secret,
        problem,
        said(options.base_url, names.base_url),
        said(options.realm, names.realm),
        said(options.agentid, "WECOM_AGENTID") if wecom else "",
        wecom,
    )
