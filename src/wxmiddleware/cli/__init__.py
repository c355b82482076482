"""
The shell's way in: ``wxmiddleware token``, ``keep``, ``inspect``, ``doctor``, ``retry``, ``schema``, ``serve``,
``simulate``, ``push``.

Results go to the standard output, everything else to standard error. No option takes a secret: ``ps`` would show it.
A store's URL may hold a password; so it can come from the environment, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..exceptions import ConfigurationError, StoreError, TokenError, TokenRefused

if TYPE_CHECKING:
    from .._engine.events import Observer
    from .._engine.provider import TokenProvider
    from .inspect import Held
    from .store import FleetStore

__all__ = ["main"]

OK = 0
UNEXPECTED = 1
USAGE = 2
REFUSED = 3
UNAVAILABLE = 4
INTERRUPTED = 130

_EXIT_CODES = """\
exit codes:
  0    done
  1    something unexpected, or an answer to a push that WeChat would not accept
  2    a wrong option, or the account is not given as it should be
  3    WeChat refuses this account a token; a person has to change something
  4    no token at the moment, or the store cannot be reached; try again later. With --min-ttl: none that lives so
       long. With inspect --store --check: a token in the store has ended, or there is none
  130  ended by Ctrl-C
"""
_ACCOUNT = """\
The account comes from WECHAT_APPID, WECHAT_SECRET and (optional) WECHAT_BASE_URL, WECHAT_REALM;
with --wecom from WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET and (optional) WECOM_BASE_URL, WECOM_REALM.
"""
_OF_A_CHECK = "exit codes: 0 if nothing has failed, else 1; 2 for a wrong option\n"
_FROM_ENV = "WXM_STORE"
_LIFE = 7200  # seconds that a token of WeChat's lives
_NO_LATER = (
    "From the stable endpoint there is one in the last 300 s of a life.",
    "WeCom gives the same token until the end of its life.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: What follows the program's name; by default the process's own arguments.

    Returns:
        The exit code.
    """
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        sys.stdout.flush()
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else USAGE
    except ConfigurationError as error:
        return _fail(str(error), USAGE)
    except TokenError as error:
        return _fail(_text_of(error), _code_of(error))
    except StoreError as error:
        return _fail(str(error), UNAVAILABLE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe is gone. Python would complain once more when it flushes at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:
        return _fail(_without_text(error), UNEXPECTED)
    return code


def _fail(text: str, code: int) -> int:
    print(f"wxmiddleware: {text}", file=sys.stderr)
    return code


def _code_of(error: TokenError) -> int:
    return REFUSED if isinstance(error, TokenRefused) else UNAVAILABLE


def _text_of(error: TokenError) -> str:
    from .._rules.models import without_wait

    return without_wait(error)  # nobody tries again here


def _without_text(error: Exception) -> str:
    """Say where an exception comes from and not what it says: that may quote anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"Unexpected {type(error).__name__}{where}. Please report it."


# The commands


def _token(options: argparse.Namespace) -> int:
    with _store(options) as store, _provider(options, store) as provider:
        print(_renewed(provider, provider.get_token(), options))
        if store is not None and store.failed:
            print("wxmiddleware: The store failed; the other processes may not know this token.", file=sys.stderr)
    return OK


def _keep(options: argparse.Namespace) -> int:
    import threading

    from .account import check_named
    from .keep import keep, log_to_stderr
    from .sink import Sink

    sink = None if options.sink is None else Sink(options.sink, options.sink_mode)
    woken = threading.Event()
    log_to_stderr()
    with _store(options, forgiving=True) as store:
        if store is None and sink is None:
            raise ConfigurationError(
                f"Name the store in which the token is kept: --store, or {_FROM_ENV}; or a directory for it: --sink."
            )
        with _provider(options, store, observers=[lambda event: woken.set()]) as provider:
            if sink is not None:
                check_named(provider.account)
            return keep(provider, woken, sink)


def _retry(options: argparse.Namespace) -> int:
    from .._runtime.language import language
    from .words import SAID

    with _store(options) as store:
        if store is None:
            raise ConfigurationError(
                "Name the store in which the pause is: --store, or WXM_STORE. Without a shared store each process has "
                "a pause of its own: call provider.retry_now() in it, or restart it."
            )
        with _provider(options, store) as provider:
            provider.retry_now()
            provider.get_token()
            flight = provider._own.flight  # near the end of a token's life the next one is fetched in the background
            if flight is not None:
                flight.wait(options.timeout)
            status = provider.status()
    if status.failure is not None:
        return _fail(status.failure, UNAVAILABLE)
    print(SAID["there is one"].say(language(), seconds=status.expires_in or 0.0))
    return OK


def _renewed(provider: TokenProvider, token: str, options: argparse.Namespace) -> str:
    """
    A token that is not in the last part of its life, if one can be had.

    A service renews it behind its callers' backs. This process ends with its answer, so it waits for that.
    """
    from ..exceptions import TokenUnavailable
    from ..sources import WeComToken

    cached = provider._live()
    life = cached.snapshot.expires_at - cached.snapshot.received_at
    wanted = min(cached.source.refresh_ahead, life / 4) if options.min_ttl is None else options.min_ttl
    if (provider.status().expires_in or 0.0) < wanted:
        cached.expect_the_end()
        provider.get_token()  # starts the renewal
        if cached.flight is not None:
            cached.flight.wait(options.timeout)
        token = provider.get_token()
    left = provider.status().expires_in or 0.0
    if options.min_ttl is not None and left < options.min_ttl:
        reason = provider.status().failure
        raise TokenUnavailable(
            f"The token ends in {left:.0f} s, --min-ttl wants {options.min_ttl:.0f} s, and there is no later one. "
            + (reason or _NO_LATER[cached.source.kind == WeComToken.kind])
        )
    return token


def _inspect(options: argparse.Namespace) -> int:
    from .._runtime.language import language
    from .inspect import print_json, print_tables, rows_of_status

    if options.store is not None:
        return _inspect_store(options)
    failure: TokenError | None = None
    with _store(options) as store, _provider(options, store) as provider:
        try:
            provider.get_token()
        except TokenError as error:
            failure = error
        status = provider.status()
    if options.json:
        print_json(status)
    else:
        print_tables([rows_of_status(status, language())], language())
    if failure is None:
        return OK
    code, text = _code_of(failure), _text_of(failure)
    return code if text == status.failure else _fail(text, code)


def _inspect_store(options: argparse.Namespace) -> int:
    from .._runtime.language import language
    from .account import account_of, is_wanted
    from .inspect import keys_of, look, print_json, print_tables, rows_of_held

    with _store(options, create=False) as store:
        assert store is not None
        keys = store.keys()
        empty, unlisted = keys == [], ""
        if keys is None:
            try:
                keys = keys_of(account_of(options, secret=False))
            except ConfigurationError as error:
                raise ConfigurationError(f"This store cannot list what it holds, so name an account. {error}") from None
            unlisted = f"This store cannot list what it holds. Looked for {' and '.join(keys)} only."
        found = look(store, [key for key in keys if is_wanted(options, key)])
    if options.json:
        print_json(found)
    else:
        print_tables([rows_of_held(held, language()) for held in found], language())
    if unlisted:
        print(f"wxmiddleware: {unlisted}", file=sys.stderr)
    if not found:
        print(f"wxmiddleware: The store {'is empty' if empty else 'holds no such record'}.", file=sys.stderr)
    if options.check:
        return _verdict(found)
    return OK if all(held.readable for held in found) else UNAVAILABLE


def _verdict(found: Sequence[Held]) -> int:
    """The exit code for a probe: whether each token that the store holds can be used."""
    bad = [held for held in found if held.state not in ("fresh", "ahead")]
    for held in bad:
        reason = held.problem or (held.cooldown.message if held.cooldown is not None else "")
        print(f"wxmiddleware: {held.appid} ({held.kind}) is {held.state}. {reason}".rstrip(), file=sys.stderr)
    if found and not bad:
        return OK
    refused = any(held.cooldown is not None and held.cooldown.cause == "permanent" for held in bad)
    return REFUSED if refused else UNAVAILABLE


def _doctor(options: argparse.Namespace) -> int:
    from .doctor.command import doctor

    return doctor(options, _url(options) or "")


def _quota(options: argparse.Namespace) -> int:
    from .doctor.command import quota

    return quota(options, _url(options) or "")


def _rid(options: argparse.Namespace) -> int:
    from .doctor.command import rid

    return rid(options, _url(options) or "")


def _schema(options: argparse.Namespace) -> int:
    try:
        from ..stores.sql import _ddl, _table
    except ImportError as error:
        raise ConfigurationError(str(error)) from None  # it says what to install
    from sqlalchemy.engine import URL

    print(_ddl(_table(options.table), URL.create(options.dialect).get_dialect()()), end="")
    return OK


def _serve(options: argparse.Namespace) -> int:
    from . import serve

    if options.new_secret:
        return serve.new_secret()
    if options.new_caller is not None:
        return serve.new_caller(options.new_caller)
    if options.config is None:
        raise ConfigurationError("Name the file of the hub: wxmiddleware serve hub.toml.")
    return serve.check(options.config) if options.check else serve.serve(options.config)


def _simulate(options: argparse.Namespace) -> int:
    from .account import read_secret
    from .simulate import simulate

    names = ("appid", "overlap", "lifetime", "propagation_lag", "token_latency")
    knobs: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.secret_file is not None:
        knobs["secret"] = read_secret(options.secret_file)
    where = {"host": options.host, "port": options.port, "admin": options.admin, "hosts": options.allow_host}
    try:
        there = {"accounts": options.accounts, "platform": options.platform, "wecom": options.wecom}
        there |= {"suite": options.suite}
        return simulate(**where, **there, quiet=options.quiet, speed=options.speed, **knobs)
    except OSError as error:  # the port is taken, or not ours to take
        return _fail(f"{error.strerror or error}", UNEXPECTED)


def _push(options: argparse.Namespace) -> int:
    from .push import push

    return push(
        options.to,
        options.kind,
        options.value,
        fields=options.field,
        openid=options.openid,
        forged=options.forged,
        as_json=options.json,
        environ=os.environ,
        mode=options.mode,
        body=options.body,
        profile=options.profile,
        patience=options.patience,
        tries=options.tries,
        wait=options.wait,
    )


# The account and the store


@contextlib.contextmanager
def _provider(
    options: argparse.Namespace, store: FleetStore | None, observers: Sequence[Observer] = ()
) -> Iterator[TokenProvider]:
    import logging

    from .._engine.provider import TokenProvider
    from .account import account_of, source_of
    from .store import OnlyWithStore

    account = account_of(options)
    source = source_of(options)
    if store is not None:
        store.load("wx")  # one that is down is an error before anything else
        source = OnlyWithStore(source, store)
    # What goes wrong the command says itself, once; Python would show the log's warnings beside it. The handler stays:
    # events are told after the caller has its answer.
    logger = logging.getLogger("wxmiddleware")
    if not logger.hasHandlers():
        logger.addHandler(logging.NullHandler())
    given = {"source": source, "store": store, "timeout": options.timeout, "observers": observers}
    with TokenProvider(account, **given) as provider:
        yield provider


@contextlib.contextmanager
def _store(options: argparse.Namespace, *, create: bool = True, forgiving: bool = False) -> Iterator[FleetStore | None]:
    """The shared store, if one is named."""
    url = _url(options)
    if url is None:
        yield None
        return
    from .store import FleetStore

    with FleetStore(url, create=create, forgiving=forgiving) as store:
        yield store


def _url(options: argparse.Namespace) -> str | None:
    """The store's URL, from --store or the environment."""
    url: str | None = options.store or os.environ.get(_FROM_ENV) or None
    if options.store == "" and url is None:
        raise ConfigurationError(f"--store has no URL. Give it one, or set the environment variable {_FROM_ENV}.")
    return url


# The options


class _Version(argparse.Action):
    """Prints the version; looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        print(f"wxmiddleware {version('wxmiddleware')}")
        parser.exit()


class _Never(argparse.Action):
    """Answers an option that people expect and that would show the secret to everybody on the machine."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        otherwise = self.const or "WECHAT_SECRET, or use --secret-file PATH (- for the standard input)"
        parser.error(
            f"a secret is not given on the command line, where `ps` and the shell's history show it: set {otherwise}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="wxmiddleware",
        description="Keeps WeChat access tokens valid.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_token(commands)
    _add_keep(commands)
    _add_retry(commands)
    _add_inspect(commands)
    _add_doctor(commands)
    _add_quota(commands)
    _add_rid(commands)
    _add_schema(commands)
    _add_serve(commands)
    _add_simulate(commands)
    _add_push(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """As argparse has it, with paragraphs as they are written and without guessing at abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _add_token(commands: Any) -> None:
    command = commands.add_parser(
        "token",
        help="print a token and nothing else",
        description=f"Print a token and nothing else, so that $(wxmiddleware token) works.\n\n{_ACCOUNT}",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_token)
    _add_store_option(command, "share the token with the processes that use this store, such as redis://localhost/0")
    command.add_argument(
        "--min-ttl",
        type=_min_ttl,
        metavar="SECONDS",
        help="print a token that lives at least this long; refresh it first if it does not",
    )
    _add_account_options(command)


def _add_keep(commands: Any) -> None:
    command = commands.add_parser(
        "keep",
        help="keep the token in a store young, also when nobody asks for it",
        description="Keep the token in a store young until Ctrl-C or SIGTERM, also when no process asks for it.\n"
        f"Several may run, on several machines: one of them fetches.\n\n{_ACCOUNT}",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_keep)
    _add_store_option(command, "the store in which the token is kept, such as redis://localhost/0")
    command.add_argument(
        "--sink",
        metavar="DIR",
        help="also write the token to a file in this directory, for programs that can read nothing else: "
        "DIR/APPID.KIND.token, with --realm DIR/REALM@APPID.KIND.token; of WeCom DIR/CORPID.AGENTID.wecom.token",
    )
    command.add_argument(
        "--sink-mode", type=_mode, default=0o600, metavar="MODE", help="who may read these files (0600)"
    )
    _add_account_options(command)


def _add_retry(commands: Any) -> None:
    command = commands.add_parser(
        "retry",
        help="ask WeChat at once, after an IP was allowed or a secret set right",
        description="End the pause that follows an error of WeChat's, for all processes that share the store, and "
        f"ask for a token at once: the IP has been allowed, the secret set right, the quota reset.\n\n{_ACCOUNT}",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_retry)
    _add_store_option(command, "the store in which the pause is, such as redis://localhost/0")
    _add_account_options(command)


def _add_inspect(commands: Any) -> None:
    command = commands.add_parser(
        "inspect",
        help="show the token's status, never the token",
        description="Get a token and show its status; or with --store, show what a shared store holds,\n"
        "without a request to WeChat and without a change. The token itself is never printed.\n\n"
        f"{_ACCOUNT}A store is asked for all that it holds, of every account, kind and realm. memcached, and a proxy\n"
        "of Redis without SCAN, cannot tell: they are asked for this account's tokens of WeChat's own endpoints.\n",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_inspect)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--check", action="store_true", help="for probes: 0 only if each token can be used, else 3 or 4 (see below)"
    )
    _add_store_option(
        command,
        "only look into this store, such as redis://localhost/0; with --appid, --corpid or --agentid at that account",
    )
    _add_account_options(command)


def _add_doctor(commands: Any) -> None:
    command = commands.add_parser(
        "doctor",
        help="find out what is wrong: account, network, store, WeChat",
        description="Look at an account, its way to WeChat and its store, and say what is wrong, one line a check.\n"
        "The first that fails is the cause: what depends on it is skipped. What it prints can be shown to anybody.\n"
        "It fetches no token and changes nothing (the store gets a probe of its own for a moment), unless told:\n"
        "--list says what each check costs. In Chinese with WXM_LANG=zh, or by the locale.\n\n"
        f"{_ACCOUNT}",
        epilog=_OF_A_CHECK,
    )
    command.set_defaults(run=_doctor)
    command.add_argument("--list", action="store_true", help="print what checks there are and what they cost, and end")
    command.add_argument("--rid", help="also show WeChat's own record of this request")
    command.add_argument(
        "--webhook",
        metavar="URL",
        help="also verify this URL as WeChat does, with WECHAT_TOKEN (and WECHAT_AES_KEY); and have WeChat see whether "
        "it reaches the one on its site",
    )
    command.add_argument(
        "--component", metavar="APPID", help="also look at the ticket of this third-party platform, in the store"
    )
    command.add_argument("--suite", metavar="ID", help="also look at the ticket of this suite of WeCom, in the store")
    command.add_argument(
        "--clear-quota", action="store_true", help="reset the day's counts of all APIs: ten times a month"
    )
    _add_examination_options(command)


def _add_quota(commands: Any) -> None:
    command = commands.add_parser(
        "quota",
        help="how much of the day's quota is used; reset it",
        description="Tell how much of the day's quota an API has used, as WeChat counts it.\n"
        "It takes the store's token.\n\n"
        f"{_ACCOUNT}",
        epilog=_OF_A_CHECK,
    )
    command.set_defaults(run=_quota)
    command.add_argument("--path", help="of this API, such as /cgi-bin/user/info; by default the token endpoint")
    command.add_argument("--clear", action="store_true", help="reset the day's counts of all APIs: ten times a month")
    _add_examination_options(command)


def _add_rid(commands: Any) -> None:
    command = commands.add_parser(
        "rid",
        help="WeChat's own record of a request, by the rid in its errmsg",
        description="Show WeChat's own record of a request of the last seven days. It takes the store's token.\n\n"
        f"{_ACCOUNT}",
        epilog=_OF_A_CHECK,
    )
    command.set_defaults(run=_rid)
    command.add_argument("rid", metavar="RID", help="such as 61725984-6126f6f9-040f19c4")
    _add_examination_options(command)


def _add_examination_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--active",
        action="store_true",
        help="ask the token endpoint once: stable_token without force_refresh, one of 500 000 requests a day, which "
        "ends no token; the classic endpoint is never asked",
    )
    _add_store_option(command, "the store of your services, such as redis://localhost/0")
    _add_account_options(command, timeout=False)  # each check has limits of its own


def _add_store_option(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument(
        "--store",
        metavar="URL",
        nargs="?",
        const="",
        help=f"{text}. Without URL the one in {_FROM_ENV}: `ps` shows a password that is in a URL",
    )


def _add_schema(commands: Any) -> None:
    command = commands.add_parser(
        "schema",
        help="print the statement that creates SQLStore's table",
        description="Print the statement that creates SQLStore's table, for a database where the application may not.",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_schema)
    dialects = ("mysql", "mariadb", "postgresql", "sqlite")
    command.add_argument("--dialect", choices=dialects, default="mysql", help="the kind of database (mysql)")
    name = "wxmiddleware_tokens"
    command.add_argument("--table", default=name, metavar="NAME", help=f"the table's name, or schema.name ({name})")


def _add_account_options(command: argparse.ArgumentParser, *, timeout: bool = True) -> None:
    command.add_argument("--appid", help="instead of WECHAT_APPID")
    command.add_argument("--wecom", action="store_true", help="the account is an app of WeCom (企业微信)")
    command.add_argument("--corpid", help="instead of WECOM_CORPID; means --wecom")
    command.add_argument("--agentid", help="instead of WECOM_AGENTID: which app of the corp; means --wecom")
    command.add_argument(
        "--base-url", metavar="URL", help="instead of WECHAT_BASE_URL or WECOM_BASE_URL; by default WeChat's own"
    )
    command.add_argument(
        "--realm",
        metavar="WORD",
        help="instead of WECHAT_REALM or WECOM_REALM: which WeChat, as the services that share the store say it; by "
        "default wechat or wecom, or with an http URL a simulator of that host and port",
    )
    _add_secret_options(
        command, "instead of WECHAT_SECRET or WECOM_SECRET: a file with the secret, - for the standard input"
    )
    command.add_argument(
        "--source",
        choices=("stable", "classic"),
        help="the endpoint to ask (stable). Each fetch from classic makes a new token and ends the classic one before; "
        "neither touches the other's. WeCom has one endpoint only",
    )
    if timeout:
        text = "how long to wait at most (10)"
        command.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help=text)


def _add_secret_options(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--secret-file", metavar="PATH", help=text)
    command.add_argument("--secret", action=_Never, nargs="?", help=argparse.SUPPRESS)


def _add_serve(commands: Any) -> None:
    command = commands.add_parser(
        "serve",
        help="serve tokens, and calls that need one, to services in any language (a hub)",
        description="Serve tokens, and calls that need one, to services in any language, until Ctrl-C or SIGTERM.\n"
        "SIGHUP has the file read again; no request notices.",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_serve)
    command.add_argument("config", nargs="?", metavar="CONFIG", help="the hub's TOML file; docs/hub.md has all keys")
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--check", action="store_true", help="say what would be served, and try the store; WeChat is not asked"
    )
    instead.add_argument(
        "--new-caller", metavar="NAME", help="print the lines for a new caller, and its key, which is shown once"
    )
    instead.add_argument("--new-secret", action="store_true", help="print a new secret for the hub's own tokens")


def _add_simulate(commands: Any) -> None:
    command = commands.add_parser(
        "simulate",
        help="run a WeChat on this machine, for trying things out",
        description="Run a simulated WeChat until Ctrl-C. It prints the environment variables that lead to it.",
        epilog=_EXIT_CODES,
    )
    command.set_defaults(run=_simulate)
    command.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    command.add_argument("--port", type=int, default=0, help="the port; 0 takes a free one (0)")
    command.add_argument("--no-admin", dest="admin", action="store_false", help="do not serve /_simulator/")
    hosts = "another name under which /_simulator/ is reached, such as that of a container; may be given more than once"
    command.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=hosts)
    command.add_argument("--accounts", type=int, default=1, metavar="N", help="how many accounts there are (1)")
    command.add_argument("--platform", action="store_true", help="have a third-party platform there, too")
    command.add_argument("--wecom", action="store_true", help="have a WeCom corp with an app there, too")
    command.add_argument("--suite", action="store_true", help="have a provider of WeCom with a suite there, too")
    command.add_argument("--quiet", action="store_true", help="print no line per request")
    command.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second (1)")
    command.add_argument("--appid", help="AppID of the simulated account; by default a new one")
    _add_secret_options(command, "a file with the secret of the simulated account; by default a new one")
    command.add_argument("--lifetime", type=int, metavar="SECONDS", help="how long a token lives (7200)")
    command.add_argument("--overlap", type=float, metavar="SECONDS", help="how long a replaced token lives on (300)")
    command.add_argument(
        "--propagation-lag", type=float, metavar="SECONDS", help="how long the APIs do not know a new token (0)"
    )
    command.add_argument("--token-latency", type=float, metavar="SECONDS", help="how long a fetch takes (0)")


def _add_push(commands: Any) -> None:
    about = (
        "Push to a webhook as WeChat does, and say what WeChat thinks of the answer.\n\n"
        "The webhook's token comes from WECHAT_TOKEN; for encrypted modes the EncodingAESKey from WECHAT_AES_KEY and\n"
        "the receiver (AppID, CorpID) from WECHAT_APPID. With --suite they are three: WECOM_SUITE_ID for notices,\n"
        "WECOM_PROVIDER_CORPID for verify, and WECOM_CORPID for what a corp's users say."
    )
    push = commands.add_parser(
        "push",
        help="push to a webhook as WeChat does, and say what WeChat thinks of the answer",
        description=about,
        epilog=_EXIT_CODES,
    )
    kinds = push.add_subparsers(title="what to push", metavar="KIND", dest="kind", required=True)
    common = _push_options()
    for kind, value, text in (
        ("verify", None, "ask whether the URL is the service's own, as when it is entered on WeChat's site"),
        ("text", "TEXT", "a text that a user writes"),
        ("message", "TYPE", "a message of another type, such as image; its fields by --field"),
        ("event", "EVENT", "an event, such as subscribe or SCAN"),
        ("notice", "TYPE", "a platform's or suite's notice, such as suite_ticket; with --component or --suite"),
    ):
        command = kinds.add_parser(kind, help=text, description=about, epilog=_EXIT_CODES, parents=[common])
        command.set_defaults(run=_push, value=None, field=[], openid=None)
        if value is not None:
            command.add_argument("value", metavar=value)
            fields = "another field, such as EventKey=42; may be given more than once"
            command.add_argument("--field", action="append", metavar="NAME=VALUE", help=fields)
            command.add_argument("--openid", help="who writes; by default a made-up follower")


def _push_options() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--to", required=True, metavar="URL", help="the webhook")
    modes = ("plain", "compatible", "safe")
    common.add_argument("--mode", choices=modes, help="by default safe if WECHAT_AES_KEY is set, else plain")
    common.add_argument("--body", choices=("xml", "json"), help="how messages and replies are written (xml)")
    profiles = common.add_mutually_exclusive_group()
    names = ("wecom", "WeCom"), ("component", "a third-party platform"), ("suite", "a suite of WeCom")
    for name, what in names:
        profiles.add_argument(
            f"--{name}", dest="profile", action="store_const", const=name, help=f"push as to {what}; always encrypted"
        )
    common.add_argument("--forged", action="store_true", help="sign wrongly: not to be answered is right then")
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--patience", type=float, metavar="SECONDS", help="how long WeChat waits (5)")
    common.add_argument("--tries", type=int, metavar="N", help="how often one message is pushed at most (3)")
    wait = "wait for a reply through the customer-service API of `simulate`, whose URL is in WECHAT_BASE_URL"
    common.add_argument("--wait", type=float, nargs="?", const=60.0, metavar="SECONDS", help=f"{wait} (60)")
    for option, name in (("--token", "WECHAT_TOKEN"), ("--aes-key", "WECHAT_AES_KEY")):
        common.add_argument(option, action=_Never, nargs="?", const=name, help=argparse.SUPPRESS)
    return common


def _mode(text: str) -> int:
    with contextlib.suppress(ValueError):
        return int(text, 8)
    raise argparse.ArgumentTypeError("it is an octal number such as 0640")


def _min_ttl(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < _LIFE:
            return seconds
    raise argparse.ArgumentTypeError(f"it is a number of seconds above 0 and below {_LIFE}, the life of a token")
