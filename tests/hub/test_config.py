"""The hub's file: what it may say, and how it is told what is wrong in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from missing import without

from wxmiddleware import ConfigurationError, WeComAccount
from wxmiddleware.hub import Caller, _config, hash_key
from wxmiddleware.hub._config import Config, read_config
from wxmiddleware.hub._listen import Address

APPID, CORPID, HASH = "wx0123456789abcdef", "ww0123456789abcdef", hash_key("a key")
SIGNS = "0123456789abcdef0123456789abcdef"
SECRET = "fedcba9876543210fedcba9876543210"
Read = Callable[[str], Config]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read a file of this content, beside which a secret lies."""
    monkeypatch.setenv("APP_SECRET", SECRET)
    monkeypatch.setenv("HUB_SECRET", SIGNS)
    monkeypatch.setenv("TWO", "two words")
    monkeypatch.delenv("NOT_SET", raising=False)
    for name, mode in (("secret", 0o640), ("for-all", 0o644)):
        (tmp_path / name).write_text(f"{SECRET}\n")
        (tmp_path / name).chmod(mode)

    def read(content: str) -> Config:
        (tmp_path / "hub.toml").write_text(content, encoding="utf-8")
        return read_config(tmp_path / "hub.toml")

    return read


ACCOUNT = f'[accounts.{APPID}]\nsecret = {{ env = "APP_SECRET" }}\n'
WITH_SECRETS = 'secrets = [{ env = "HUB_SECRET" }]\n'


def test_least(read: Read) -> None:
    config = read(ACCOUNT)

    assert [APPID] == list(config.accounts)
    assert (None, False, "stdout") == (config.store, config.keep, config.audit)
    assert (Address("127.0.0.1", 8040),) == config.listen


def test_all(read: Read, tmp_path: Path) -> None:
    config = read(
        f"""
        listen = ["unix:/run/hub.sock", "[::1]:8041"]
        socket_mode = "0600"
        store = "redis://localhost:6379/0"
        keep = false
        audit = "audit.log"
        grace = 20
        {WITH_SECRETS}
        [accounts.{APPID}]
        secret = {{ file = "secret" }}
        source = "classic"
        base_url = "https://sh.api.weixin.qq.com"
        realm = "wechat"
        hosts = ["shop.hub.internal"]

        [accounts.followed]
        appid = "wxfedcba9876543210"
        follow = true

        [accounts.crm]
        corpid = "{CORPID}"
        agentid = 1000002
        secret = {{ command = ["cat", "{tmp_path}/secret"] }}

        [callers.shop]
        keys = ["{HASH}"]
        accounts = ["{APPID}", "crm"]
        faces = ["wechat", "native"]
        tokens = "wechat"
        paths = ["/cgi-bin/message/"]
        rate = 600
        longest_life = 300
        margin = 60.0
        keep_token = true
        """
    )
    classic, followed, crm = (config.accounts[name] for name in (APPID, "followed", "crm"))

    assert (Address(path="/run/hub.sock"), Address("::1", 8041)) == config.listen
    assert (0o600, False, str(tmp_path / "audit.log"), 20.0) == (
        config.socket_mode,
        config.keep,
        config.audit,
        config.grace,
    )
    assert ("classic", "https://sh.api.weixin.qq.com") == (classic.source.kind, classic.account.base_url)
    assert (True, "wxfedcba9876543210") == (followed.follow, followed.account.appid)
    assert isinstance(crm.account, WeComAccount)
    assert [SECRET, SECRET] == [each.account.secret() for each in (classic, crm) if callable(each.account.secret)]
    assert {APPID: ("shop.hub.internal",), "followed": (), "crm": ()} == config.hosts
    assert config.callers == (
        Caller(
            "shop",
            [HASH],
            [APPID, "crm"],
            faces=["wechat", "native"],
            tokens="wechat",
            paths=["/cgi-bin/message/"],
            rate=600,
            longest_life=300,
            margin=60,
            keep_token=True,
        ),
    )
    assert SECRET not in repr(config)
    assert SIGNS not in repr(config)


def test_every_field_of_a_caller() -> None:
    """Whatever a caller may be told can stand in the file."""
    assert {each.name for each in fields(Caller)} == {"name", "keys", "accounts", *_config._OF_CALLERS}


def test_read_anew(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is not remembered: the file and the environment are asked each time."""
    config = read(f'[accounts.{APPID}]\nsecret = {{ file = "secret" }}\n')
    secret = config.accounts[APPID].account.secret
    (tmp_path / "secret").write_text("another")

    assert callable(secret)
    assert "another" == secret()


def test_equal(read: Read) -> None:
    """What says the same is the same, so that a reload keeps it."""
    text = f'{WITH_SECRETS}{ACCOUNT}[callers.a]\nkeys = ["{HASH}"]\naccounts = ["{APPID}"]\n'

    assert read(text) == read(f"# a remark\n{text}")
    assert read(text) != read(text.replace("APP_SECRET", "HUB_SECRET"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "[accounts]: there is none"),
        ("a = [", "is no TOML"),
        (ACCOUNT + ACCOUNT, "Cannot declare"),
        (f"{ACCOUNT}secret = 1", "is no TOML"),
        (f"kep = true\n{ACCOUNT}", "kep: is not known here. Perhaps keep is meant."),
        (f"zzz = true\n{ACCOUNT}", "zzz: is not known here. There are accounts, audit"),
        (f"keep = 1\n{ACCOUNT}", "keep: must be true or false"),
        (f"grace = true\n{ACCOUNT}", "grace: must be a number"),
        (f"grace = -1\n{ACCOUNT}", "grace: must be a positive number of seconds"),
        (f"store = 3\n{ACCOUNT}", "store: must be one of { env"),
        (f'store = "redis://:{SECRET}@localhost/0"\n{ACCOUNT}', "store: a password does not stand in this file"),
        (f'store = {{ env = "NOT_SET" }}\n{ACCOUNT}', "store: the environment variable NOT_SET is not set"),
        (
            f'[accounts.{APPID}]\nsecret = "{SECRET}"',
            f"[accounts.{APPID}] secret: a secret does not stand in this file",
        ),
        (f"[accounts.{APPID}]", f"[accounts.{APPID}]: secret is missing"),
        (f'[accounts.{APPID}]\nsecret = {{ env = "NOT_SET" }}', "variable NOT_SET is not set"),
        (f'[accounts.{APPID}]\nsecret = {{ env = "TWO" }}', "variable TWO is empty, or not one word"),
        (f'[accounts.{APPID}]\nsecret = {{ file = "no" }}', "No such file"),
        (f'[accounts.{APPID}]\nsecret = {{ file = "~nosuchuser/no" }}', "No such file"),
        (f'[accounts.{APPID}]\nsecret = {{ file = "for-all" }}', "every user of this machine can read"),
        (f'[accounts.{APPID}]\nsecret = {{ file = "." }}', "cannot be read"),
        (f'[accounts.{APPID}]\nsecret = {{ command = ["no-such-command"] }}', "there is no command no-such-command"),
        (f'[accounts.{APPID}]\nsecret = {{ command = "vault read" }}', "secret: must be one of"),
        (f'[accounts.{APPID}]\nsecret = {{ vault = "x" }}', "secret: must be one of"),
        (f"[accounts.{APPID}]\nfollow = true", "follow takes what another service puts into the store"),
        (f'{ACCOUNT}source = "new"', 'source must be "stable" or "classic"'),
        (f"{ACCOUNT}agentid = 3", "agentid is WeCom's. Write corpid"),
        (f'{ACCOUNT}corpid = "{CORPID}"', "agentid is missing"),
        (f'{ACCOUNT}corpid = "{CORPID}"\nagentid = true', "agentid: must be the AgentId"),
        (f'{ACCOUNT}corpid = "{CORPID}"\nappid = "{APPID}"\nagentid = 1', "appid and corpid are of two kinds"),
        (f'{ACCOUNT}base_url = "ftp://x"', "base_url is not a URL"),
        (f"accounts = 3\n{WITH_SECRETS}", "accounts: must be a table"),
        ("[accounts]\nshop = 3", "[accounts.shop]: must be a table"),
        (f"{ACCOUNT}[callers.shop]", "[callers.shop] keys: is missing"),
        (f'{ACCOUNT}[callers.shop]\nkeys = ["{SECRET}"]\naccounts = []', "must be hashes of keys"),
        (f"{ACCOUNT}[callers.shop]\nkeys = [3]\naccounts = []", "[callers.shop] keys: must be a list of texts"),
        (f'{ACCOUNT}[callers.a]\nkeys = ["{HASH}"]\naccounts = ["b"]', "[callers.a] accounts: there is no table [acc"),
        (f'{ACCOUNT}[callers.a]\nkeys = ["{HASH}"]\naccounts = []\nrate = "1"', "[callers.a] rate: must be a number"),
        (f'{ACCOUNT}[callers.a]\nkeys = ["{HASH}"]\naccounts = []\nfaces = ["x"]', "'x' is no face"),
        (f"secrets = 3\n{ACCOUNT}", "secrets: must be a list of"),
        (f'{ACCOUNT}[callers.a]\nkeys = ["{HASH}"]\naccounts = []', "secrets: Caller 'a' is given tokens of the hub's"),
        (f'listen = "8040"\n{ACCOUNT}', "listen: must be like 127.0.0.1:8040"),
        (f'listen = "unix:hub.sock"\n{ACCOUNT}', "listen: after unix: stands an absolute path"),
        (f'listen = "127.0.0.1:70000"\n{ACCOUNT}', "listen: must be like"),
        (f"listen = []\n{ACCOUNT}", "listen: must be an address"),
        (f'listen = "0.0.0.0:8040"\n{ACCOUNT}', "0.0.0.0:8040 can be reached from other machines"),
        (f'listen = "hub.internal:8040"\n{ACCOUNT}', "hub.internal:8040 can be reached from other machines"),
        (f'metrics = "9140"\n{ACCOUNT}', "metrics: must be like 127.0.0.1:8040"),
        (f"metrics = []\n{ACCOUNT}", 'metrics: must be an address such as "127.0.0.1:9140"'),
        (f'metrics = "0.0.0.0:9140"\n{ACCOUNT}', "metrics: 0.0.0.0:9140 can be reached from other machines"),
        (f'metrics = "[::1]:8040"\nlisten = "[::1]:8040"\n{ACCOUNT}', "metrics: at [::1]:8040 the hub listens for"),
        (f'metrics_open = "yes"\n{ACCOUNT}', "metrics_open: must be true or false"),
        (f"socket_mode = 432\n{ACCOUNT}", "socket_mode: must be an octal number in quotes"),
    ],
)
def test_mistakes(read: Read, content: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(content)

    assert says in str(caught.value)
    assert "hub.toml" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_callers_are_told_with_the_rest(read: Read) -> None:
    """A key of two callers and missing secrets are told in one go with other mistakes; unread secrets are told once."""
    callers = "".join(f'[callers.{name}]\nkeys = ["{HASH}"]\naccounts = ["{APPID}"]\n' for name in "ab")
    with pytest.raises(ConfigurationError) as caught:
        read(f"kep = true\n{ACCOUNT}{callers}")
    with pytest.raises(ConfigurationError) as unread:
        read(f"secrets = 3\n{ACCOUNT}{callers}")

    assert "has 3 mistakes" in str(caught.value)
    assert "[callers]: Callers 'a' and 'b' have the same key" in str(caught.value)
    assert "secrets: Caller 'a' is given tokens of the hub's own" in str(caught.value)
    assert "kep: is not known" in str(caught.value)
    assert "nothing is there to sign" not in str(unread.value)


def test_metrics(read: Read) -> None:
    """They are off by default; elsewhere than on this machine they are only if the file says that all may read them."""
    assert () == read(ACCOUNT).metrics
    assert (Address("127.0.0.1", 9140),) == read(f'metrics = "127.0.0.1:9140"\n{ACCOUNT}').metrics
    far = read(f'metrics = ["0.0.0.0:9140", "unix:/run/metrics.sock"]\nmetrics_open = true\n{ACCOUNT}').metrics
    assert (Address("0.0.0.0", 9140), Address(path="/run/metrics.sock")) == far


def test_metrics_without_the_package(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told with the file's other mistakes, and only to who wants them."""
    without("prometheus_client", monkeypatch)
    read(ACCOUNT)

    with pytest.raises(ConfigurationError, match=r"metrics: This needs prometheus_client.*wxmiddleware\[prometheus\]"):
        read(f'metrics = "127.0.0.1:9140"\n{ACCOUNT}')


def test_all_mistakes_at_once(read: Read) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(f'kep = 1\nkeep = 1\n[accounts.{APPID}]\nsecret = "{SECRET}"\n[callers.shop]\nkeys = []\nname = "x"\n')
    lines = str(caught.value).splitlines()

    assert lines[0].endswith("hub.toml has 6 mistakes:")
    assert 7 == len(lines)


@pytest.mark.skipif(os.name != "posix", reason="needs the rights of POSIX")
def test_anybody_may_write(read: Read, tmp_path: Path) -> None:
    """Who may write to the file may name commands."""
    read(ACCOUNT)
    (tmp_path / "hub.toml").chmod(0o666)

    with pytest.raises(ConfigurationError, match="Every user of this machine may write"):
        read_config(tmp_path / "hub.toml")


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_config(tmp_path / "hub.toml")


@pytest.mark.parametrize(
    ("command", "says"),
    [("false", "ended with 1"), ("true", "is empty"), ("printf\x00\\377", "is empty, or not one word")],
)
def test_commands(read: Read, command: str, says: str) -> None:
    """A command is run when its secret is needed, and what it prints is not repeated."""
    words = ", ".join(f'"{word}"' for word in command.replace("\\", "\\\\").split("\0"))

    with pytest.raises(ConfigurationError, match=says):
        read(f"secrets = [{{ command = [{words}] }}]\n{ACCOUNT}")
