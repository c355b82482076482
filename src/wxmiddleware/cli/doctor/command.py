"""The commands ``doctor``, ``quota`` and ``rid``: the same checks, all of them or what one depends on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ..._runtime.language import language
from ..._runtime.masking import install
from ...exceptions import ConfigurationError
from ..account import is_wecom, read_secret, source_of
from .checks import Check, Result, cause_of, needed_for, run
from .examination import Examination, Names, Options, Settings
from .findings import Level
from .show import Screen, as_json, head, lines_of, list_of, secrets_of, summary
from .table import TABLE

__all__ = ["doctor", "quota", "rid"]

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
    wanted = Options(
        options.active,
        options.clear_quota,
        rid=options.rid or "",
        webhook=options.webhook or "",
        component=options.component or os.environ.get("WECHAT_COMPONENT_APPID", ""),
        suite=options.suite or os.environ.get("WECOM_SUITE_ID", ""),
    )
    results = _examined(options, url, wanted, TABLE)
    return _SOUND if cause_of(results) is None else _FAILED


def quota(options: argparse.Namespace, url: str) -> int:
    """
    Tell how much of an API's quota is used today, or reset all of the account's.

    Returns:
        0; 1 if that cannot be told, or the quota is used up.
    """
    return _one("quota", options, url, Options(options.active, options.clear, options.path or ""))


def rid(options: argparse.Namespace, url: str) -> int:
    """
    Show WeChat's own record of a request.

    Returns:
        0, or 1 if there is none.
    """
    return _one("rid", options, url, Options(options.active, rid=options.rid))


def _one(name: str, options: argparse.Namespace, url: str, wanted: Options) -> int:
    """Run one check with all that it depends on, and show it and what is wrong."""
    results = _examined(options, url, wanted, needed_for(TABLE, name, "store_commands"), only=name)
    found = next(each for each in results if each.check.name == name)
    return _SOUND if found.level in (Level.OK, Level.WARN) else _FAILED


def _examined(
    options: argparse.Namespace, url: str, wanted: Options, table: Sequence[Check], only: str = ""
) -> list[Result]:
    """
    Run checks, and print each as soon as it has ended.

    Args:
        only: The check that is shown, with what is wrong; all of them if it is empty.
    """
    install()  # so that HTTP clients log no token
    examination = Examination(settings_of(options), source_of(options), url, wanted)
    results: list[Result] = []
    try:
        width = max(len(check.name) for check in table) if not only else len(only)
        if not options.json and not only:
            print(head(examination, _screen(examination)) + "\n")
        for result in run(table, examination):
            results.append(result)
            loud = result.level in (Level.WARN, Level.FAIL)
            if not options.json and (not only or loud or result.check.name == only):
                print("\n".join(lines_of(result, width, _screen(examination))), flush=True)
        screen = _screen(examination)
        if options.json:
            print(as_json(examination, results, screen))
        elif not only:
            print("\n" + summary(results, screen))
    finally:
        examination.close()
    return results


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
