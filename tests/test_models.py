"""What the modules pass to each other: values that are checked, immutable and silent about secrets."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from wxmiddleware._engine.link import Seen
from wxmiddleware._rules.copies import replace
from wxmiddleware._rules.models import (
    NOTHING,
    WECHAT_URL,
    Account,
    Cause,
    Cooldown,
    Failure,
    Grant,
    Lease,
    Loaded,
    Record,
    Snapshot,
    WeComAccount,
)
from wxmiddleware.exceptions import ConfigurationError, TokenRefused, TokenUnavailable

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
TOKEN = "88_T0kenT0kenT0ken"


class TestAccount:
    def test_default_host(self) -> None:
        """Without a base_url it is WeChat's own."""
        assert WECHAT_URL == Account("wx1", SECRET).base_url == "https://api.weixin.qq.com"

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("https://sh.api.weixin.qq.com/", "https://sh.api.weixin.qq.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080//", "http://[::1]:8080"),
            ("https://proxy.example/wechat/", "https://proxy.example/wechat"),
            ("HTTPS://api.weixin.qq.com", "HTTPS://api.weixin.qq.com"),
        ],
    )
    def test_base_url(self, given: str, kept: str) -> None:
        """A base_url is kept without the slashes at its end."""
        assert kept == Account("wx1", SECRET, base_url=given).base_url

    @pytest.mark.parametrize(
        ("appid", "secret", "named"),
        [
            ("", SECRET, "appid is empty"),
            (None, SECRET, "appid must be a str, not NoneType"),
            ("wx1", None, "secret must be a str, not NoneType"),
            ("wx1", SECRET.encode(), "secret must be a str, not bytes"),
            (" wx1", SECRET, "appid has white space"),
            ("wx 1", SECRET, "appid has white space"),
            ("wx1", f"{SECRET}\n", "secret has white space"),
            ('"wx1"', SECRET, "appid has quotes around it.*docker run"),
            ("\u201cwx1\u201d", SECRET, "appid has quotes"),
            ("wx1", f"'{SECRET}'", "secret has quotes"),
            ("wx1", f'"{SECRET}', "secret has quotes"),
            ("wx1", f"{SECRET}'", "secret has quotes"),
            ("wx1", f'"{SECRET}"\n', "secret has quotes"),
            ("wx1", '""', "secret has quotes"),
            ("wx1", f"{SECRET}\x00", "secret has white space or control characters"),
            ("wx1", f"{SECRET}\u3000", "secret has white space"),
            ("wx1", f"{SECRET}\u200b", "secret has white space or control characters"),
            ("wx1", f"{SECRET}\ud800", "secret has white space or control characters"),
        ],
    )
    def test_bad_words(self, appid: Any, secret: Any, named: str) -> None:
        """An AppID or AppSecret that cannot be one is named, and what to do about it said."""
        with pytest.raises(ConfigurationError, match=named) as caught:
            Account(appid, secret)

        assert str(caught.value).endswith(".")
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "api.weixin.qq.com",
            "//api.weixin.qq.com",
            "ftp://api.weixin.qq.com",
            "https://",
            "https://:443",
            "https:///cgi-bin",
            "http://[::1",
            "http://host:0",
            "http://host:65536",
            "http://host:port",
            "http://ho st",
            "http://host/\n",
            "https://host?x=1",
            "https://host/#top",
            "https://user@host",
            f"https://user:{SECRET}@host",
            f"https://:{SECRET}@host",
            None,
            b"https://host",
            8080,
        ],
    )
    def test_bad_urls(self, url: Any) -> None:
        """A base_url that leads to no API is refused with an example of a good one, and not quoted."""
        with pytest.raises(ConfigurationError, match=r"base_url .*https://api\.weixin") as caught:
            Account("wx1", SECRET, base_url=url)

        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "host",
        [
            "api.weixin.qq.com",
            "SH.API.weixin.qq.com:80",
            "qyapi.weixin.qq.com/x",
            "api.weixin.qq.com.",
            "weixin.qq.com",
        ],
    )
    def test_clear_text(self, host: str) -> None:
        """Plain http is for proxies and the simulator; to WeChat's hosts it would show the secret to everybody."""
        for kind in (Account, WeComAccount):
            with pytest.raises(ConfigurationError, match="clear text"):
                kind("wx1", SECRET, base_url=f"http://{host}")
            own = WeComAccount if host.startswith("qyapi") else Account
            assert own("wx1", SECRET, base_url=f"https://{host}").base_url == f"https://{host}"
            assert kind("wx1", SECRET, base_url="http://notweixin.qq.com").host == "notweixin.qq.com"
            assert kind("wx1", SECRET, base_url="http://weixin.qq.com.example").host == "weixin.qq.com.example"

    @pytest.mark.parametrize("url", ["https://host?", "https://host#", "https://host/?#", "https://@host"])
    def test_urls_with_an_empty_part(self, url: str) -> None:
        """A query or a fragment is refused also if it is empty, for the path would be put behind it."""
        with pytest.raises(ConfigurationError, match="base_url"):
            Account("wx1", SECRET, base_url=url)

    def test_base_url_is_named(self) -> None:
        """A host cannot be given by position, where it might be taken for a secret."""
        with pytest.raises(TypeError):
            Account("wx1", SECRET, "https://host")  # type: ignore[call-arg]

    def test_immutable(self) -> None:
        """No attribute can be changed or added."""
        account = Account("wx1", SECRET)

        with pytest.raises(dataclasses.FrozenInstanceError):
            account.secret = "other"  # type: ignore[misc]
        with pytest.raises((AttributeError, TypeError)):
            account.extra = 1  # type: ignore[attr-defined]

    def test_equality(self) -> None:
        """Accounts with the same values are one key, however the URL was written."""
        same = Account("wx1", SECRET), Account("wx1", SECRET, base_url=f"{WECHAT_URL}/")

        assert len(set(same)) == 1

    def test_copies(self) -> None:
        """It can be copied and sent to another process."""
        account = Account("wx1", SECRET, base_url="http://host")

        assert account == copy.copy(account) == pickle.loads(pickle.dumps(account))

    def test_mark(self) -> None:
        """The mark differs by secret, and does not give it away."""
        marks = {Account("wx1", secret).mark for secret in (SECRET, SECRET[::-1])}

        assert len(marks) == 2
        assert Account("wx1", SECRET).mark == Account("wx1", SECRET, base_url="http://host").mark
        assert not [one for one in marks if one in SECRET]

    def test_without_a_secret(self) -> None:
        """An account may have no secret; an app of WeCom's is named by it."""
        assert Account("wx1") == Account("wx1", "")
        with pytest.raises(ConfigurationError, match="secret is empty"):
            WeComAccount("ww1", "")
        assert WeComAccount("ww1", agentid=7).secret == ""

    def test_host(self) -> None:
        """The host is what messages show of the URL."""
        assert Account("wx1", SECRET, base_url="http://127.0.0.1:80/wechat").host == "127.0.0.1:80"


class TestFromEnv:
    def test_reads(self) -> None:
        """AppID, secret and host come from the environment."""
        environ = {"WECHAT_APPID": "wx1", "WECHAT_SECRET": SECRET, "WECHAT_BASE_URL": "http://host"}

        assert Account("wx1", SECRET, base_url="http://host") == Account.from_env(environ)

    def test_optional(self) -> None:
        """The realm comes from there, too, and at WeCom the AgentId."""
        environ = {f"{of}_{name}": name.lower() for of in ("WECHAT", "WECOM") for name in ("APPID", "CORPID", "SECRET")}
        environ |= {"WECHAT_REALM": "private", "WECOM_REALM": "own", "WECOM_AGENTID": "7"}

        assert Account("appid", "secret", realm="private") == Account.from_env(environ)
        assert WeComAccount("corpid", "secret", realm="own", agentid="7") == WeComAccount.from_env(environ)

    def test_without_the_secret(self) -> None:
        """Who only follows may have no secret in the environment; one that is there is read all the same."""
        environ = {"WECHAT_APPID": "wx1", "WECOM_CORPID": "ww1"}

        assert Account("wx1") == Account.from_env(environ, secret=False)
        assert Account("wx1", SECRET) == Account.from_env(environ | {"WECHAT_SECRET": SECRET}, secret=False)
        with pytest.raises(ConfigurationError, match="WECOM_SECRET is empty"):
            WeComAccount.from_env(environ, secret=False)
        with_agent = WeComAccount.from_env(environ | {"WECOM_AGENTID": "7"}, secret=False)
        assert WeComAccount("ww1", agentid="7") == with_agent

    def test_malformed_realm(self) -> None:
        """A realm that is none is told by the variable's name."""
        with pytest.raises(ConfigurationError, match=r"^WECHAT_REALM is not such a word"):
            Account.from_env({"WECHAT_APPID": "wx1", "WECHAT_SECRET": SECRET, "WECHAT_REALM": "Not one"})

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: Account("wx1", SECRET, realm="wecom"), "realm is 'wecom', .*'wechat'.*WeComAccount"),
            (lambda: WeComAccount("ww1", SECRET, realm="wechat"), "realm is 'wechat', .*'wecom'.* Account"),
            (lambda: Account("wx1", SECRET, base_url="https://qyapi.weixin.qq.com"), "base_url leads to qyapi.*WeComA"),
            (lambda: WeComAccount("ww1", SECRET, base_url="https://API.weixin.qq.com/x"), "base_url leads to api"),
        ],
    )
    def test_another_kind_s_world(self, make: Callable[[], Account], said: str) -> None:
        """What is surely meant for the other kind of account is told at once, with the class that it needs."""
        with pytest.raises(ConfigurationError, match=said):
            make()

    @pytest.mark.parametrize("url", [{}, {"WECHAT_BASE_URL": ""}])
    def test_host_is_optional(self, url: dict[str, str]) -> None:
        """Without a host it is WeChat's own."""
        environ = {"WECHAT_APPID": "wx1", "WECHAT_SECRET": SECRET, **url}

        assert Account("wx1", SECRET) == Account.from_env(environ)

    @pytest.mark.parametrize(
        ("environ", "message"),
        [
            ({}, "Set the environment variables WECHAT_APPID and WECHAT_SECRET."),
            ({"WECHAT_APPID": "wx1"}, "Set the environment variable WECHAT_SECRET."),
            ({"WECHAT_APPID": "", "WECHAT_SECRET": SECRET}, "Set the environment variable WECHAT_APPID."),
        ],
    )
    def test_missing(self, environ: dict[str, str], message: str) -> None:
        """What is missing is named."""
        with pytest.raises(ConfigurationError) as caught:
            Account.from_env(environ)

        assert message == str(caught.value)

    def test_malformed(self) -> None:
        """What is malformed is refused as anywhere else."""
        with pytest.raises(ConfigurationError, match=r"^WECHAT_SECRET has white space"):
            Account.from_env({"WECHAT_APPID": "wx1", "WECHAT_SECRET": f"{SECRET}\n"})

    @pytest.mark.parametrize("quoted", ["appid", "secret", "url"])
    @pytest.mark.parametrize(("kind", "prefix"), [(Account, "WECHAT_APPID"), (WeComAccount, "WECOM_CORPID")])
    def test_quotes_of_an_env_file(self, kind: type[Account], prefix: str, quoted: str) -> None:
        """``docker run --env-file`` keeps quotes; they are no part of an id, a secret or a URL."""
        brand = prefix.partition("_")[0]
        values = {
            "appid": (prefix, "wx1"),
            "secret": (f"{brand}_SECRET", SECRET),
            "url": (f"{brand}_BASE_URL", "https://h"),
        }
        environ = {name: f'"{text}"' if each == quoted else text for each, (name, text) in values.items()}
        with pytest.raises(ConfigurationError, match=rf"^{values[quoted][0]} has quotes around it") as caught:
            kind.from_env(environ)

        assert SECRET not in str(caught.value)


class TestFailure:
    @pytest.mark.parametrize(
        ("cause", "kind"),
        [
            (Cause.TRANSIENT, TokenUnavailable),
            (Cause.AMBIGUOUS, TokenUnavailable),
            (Cause.QUOTA, TokenUnavailable),
            (Cause.PERMANENT, TokenRefused),
        ],
    )
    def test_kind_of_error(self, cause: Cause, kind: type[Exception]) -> None:
        """Only what asking again cannot cure is a refusal."""
        assert kind is type(Failure(cause, "No.").error())

    def test_error_carries_everything(self) -> None:
        """The error has the code, WeChat's text, the request's id and the time to wait."""
        error = Failure(Cause.PERMANENT, "No.", errcode=40013, errmsg="invalid appid", rid="a-b-c").error(12.3)

        assert (40013, "invalid appid", "a-b-c", 12.3) == (error.errcode, error.errmsg, error.rid, error.retry_after)
        assert str(error).startswith("No. The next try is in 13 s. If it is mended already, provider.retry_now()")

    @pytest.mark.parametrize(
        ("own", "given", "expected"),
        [(None, None, None), (5.0, None, 5.0), (5.0, 7.0, 7.0), (None, 7.0, 7.0), (5.0, 0.0, 0.0)],
    )
    def test_retry_after(self, own: float | None, given: float | None, expected: float | None) -> None:
        """The time to wait is the one given, else the failure's own."""
        assert expected == Failure(Cause.TRANSIENT, "No.", retry_after=own).error(given).retry_after

    def test_message_without_a_time(self) -> None:
        """A failure that does not know when to try again promises nothing."""
        assert str(Failure(Cause.TRANSIENT, "No.").error()) == "No."

    def test_errors_are_separate(self) -> None:
        """Every waiting caller gets an error of its own, as a shared one would collect their tracebacks."""
        failure = Failure(Cause.TRANSIENT, "No.")

        assert failure.error() is not failure.error()


VALUES = [
    Account("wx1", SECRET),
    Grant(TOKEN, 7200),
    Record(1, TOKEN, lease=Lease("1-a", 1.0), cooldown=Cooldown(1.0, Failure(Cause.TRANSIENT, "No."))),
    Loaded(Record(1, TOKEN), 1, 0.0),
    Snapshot(TOKEN, 1),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
class TestValues:
    def test_silent(self, value: Any) -> None:
        """Neither token nor secret is in the text of a value, nor of one that holds it."""
        texts = [repr(value), str(value), f"{value}", repr([value])]

        assert not [text for text in texts if SECRET in text or TOKEN in text]

    def test_frozen(self, value: Any) -> None:
        """No field can be changed."""
        name = dataclasses.fields(value)[0].name

        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)

    def test_slots(self, value: Any) -> None:
        """A value has no dict of its own: a platform holds a hundred thousand."""
        assert not hasattr(value, "__dict__")


def test_nothing() -> None:
    """The snapshot before the first token is never good at any time."""
    assert ("", 0) == (NOTHING.value, NOTHING.generation)
    assert NOTHING.hot_until == NOTHING.expires_at == float("-inf")


class TestMixedUp:
    def test_swapped(self) -> None:
        """AppID and AppSecret in the wrong order are noticed, and the secret is not shown."""
        secret = "565ef0a40cf70090e18e9f53076cb272"
        with pytest.raises(ConfigurationError, match="swapped") as caught:
            Account(secret, "wx0123456789abcdef")

        assert secret not in str(caught.value)

    def test_original_id(self) -> None:
        """The id that begins with gh_ is another one."""
        with pytest.raises(ConfigurationError, match="original id"):
            Account("gh_1234567890ab", "s")

    @pytest.mark.parametrize("url", ["https://api.weixin.qq.com/cgi-bin", "https://api.weixin.qq.com/cgi-bin/"])
    def test_url_with_the_path_of_the_endpoint(self, url: str) -> None:
        """A base_url that goes too far is noticed."""
        with pytest.raises(ConfigurationError, match="leave that off"):
            Account("wx1", "s", base_url=url)

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process's own environment is the default, and an error names the variables."""
        monkeypatch.setenv("WECHAT_APPID", "wx1")
        monkeypatch.setenv("WECHAT_SECRET", "s")
        monkeypatch.setenv("WECHAT_BASE_URL", "127.0.0.1:9001")
        with pytest.raises(ConfigurationError, match="WECHAT_BASE_URL"):
            Account.from_env()


class TestRecord:
    def test_shifted(self) -> None:
        """On another clock every time of a record is another, and nothing else."""
        failure = Failure(Cause.TRANSIENT, "Busy.")
        record = Record(
            7, "T", 100.0, 10.0, 11.0, True, Lease("p", 30.0), Cooldown(50.0, failure), 5.0, 2, 6.0, 9, 3, "R", 90.0
        )
        later = Record(
            7, "T", 107.0, 17.0, 18.0, True, Lease("p", 37.0), Cooldown(57.0, failure), 12.0, 2, 13.0, 9, 3, "R", 97.0
        )

        assert later == record.shifted(7.0)

    def test_shifted_without_times(self) -> None:
        """What has never happened has not happened on another clock either."""
        assert Record() == Record().shifted(-7.0)


class TestReplace:
    """Our own `replace` gives what that of the standard library does."""

    @pytest.mark.parametrize(
        ("value", "changes"),
        [
            (Record(7, TOKEN, 1.0, lease=Lease("me", 2.0)), {"lease": None, "owed_until": 3.0}),
            (Lease("me", 2.0), {"until": 3.0}),
            (Cooldown(1.0, Failure(Cause.QUOTA, "Spent."), streak=2), {"until": 3.0}),
            (Failure(Cause.QUOTA, "Spent.", 45009), {"retry_after": 3.0}),
            (Grant(TOKEN, 7200.0, refresh="r"), {"expires_in": 3.0}),
            (Snapshot(TOKEN, 7, own=True), {"rejected": True}),
            (Seen(Record(7), 1, 2.0, "none"), {"version": None}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_same(self, value: Any, changes: dict[str, Any]) -> None:
        """A changed field is changed, each other one is kept, and the value itself stays as it was."""
        before = repr(value)

        made = replace(value, **changes)

        assert dataclasses.replace(value, **changes) == made != value
        assert before == repr(value)
        # Of other kinds of dataclass it would lose something.
        assert {field.name for field in dataclasses.fields(value)} == set(type(value).__match_args__)
        assert not hasattr(value, "__post_init__")

    def test_no_such_field(self) -> None:
        """A field that there is not is an error, and not lost."""
        with pytest.raises(TypeError, match="Lease has no field end"):
            replace(Lease("me", 2.0), end=3.0)  # type: ignore[call-arg]
