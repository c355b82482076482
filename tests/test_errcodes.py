"""What an errcode of a token endpoint means. The errcodes of API calls: test_answers.py."""

from __future__ import annotations

import pytest

from wxmiddleware._rules.errcodes import RETRYABLE, request_id, token_endpoint_failure
from wxmiddleware._rules.models import Cause
from wxmiddleware.exceptions import TokenRefused

RID = "6aac005a-01bfdbee-79769285"


def test_curable() -> None:
    """A new token cures three errors of an API call and no other."""
    assert {40001, 40014, 42001} == RETRYABLE


@pytest.mark.parametrize(
    ("errcode", "cause", "advice"),
    [
        (-1, Cause.TRANSIENT, "busy"),
        (-1000, Cause.TRANSIENT, "allowlist"),
        (40001, Cause.PERMANENT, "AppSecret"),
        (40002, Cause.PERMANENT, "client_credential"),
        (40013, Cause.PERMANENT, "AppID"),
        (40125, Cause.PERMANENT, "AppSecret"),
        (40164, Cause.PERMANENT, "allowlist"),
        (40243, Cause.PERMANENT, "frozen"),
        (41002, Cause.PERMANENT, "AppID"),
        (41004, Cause.PERMANENT, "AppSecret"),
        (43002, Cause.PERMANENT, "GET"),
        (45009, Cause.QUOTA, "clear_quota"),
        (45011, Cause.TRANSIENT, "minute"),
        (48001, Cause.PERMANENT, "may not use"),
        (50002, Cause.PERMANENT, "limited"),
        (50004, Cause.PERMANENT, "appeal"),
        (50007, Cause.PERMANENT, "frozen"),
        (61024, Cause.PERMANENT, "api_component_token"),
        (89501, Cause.PERMANENT, "administrator"),
        (89503, Cause.PERMANENT, "administrator"),
        (89506, Cause.PERMANENT, "24 hours"),
        (89507, Cause.PERMANENT, "an hour"),
        (47001, Cause.TRANSIENT, "list of global return codes"),
        (99999, Cause.TRANSIENT, "list of global return codes"),
    ],
)
def test_meaning(errcode: int, cause: Cause, advice: str) -> None:
    """Every code says whether asking again helps, and what a person should do."""
    failure = token_endpoint_failure(errcode, "some text")

    assert (cause, errcode) == (failure.cause, failure.errcode)
    assert advice in failure.message
    assert f"errcode {errcode} (some text)." in failure.message
    assert failure.message.endswith(".")
    assert "{" not in failure.message


@pytest.mark.parametrize(
    ("errmsg", "ip"),
    [
        (
            "invalid ip 116.25.45.231 ipv6 ::ffff:116.25.45.231, not in whitelist rid: 61250a39-612fed42-36740516",
            "116.25.45.231",
        ),
        ("invalid ip 113.70.100.150, not in whitelist hint: [i50PvA0089sha6]", "113.70.100.150"),
        ("invalid ip 240e:3b7:3270::1, not in whitelist", "240e:3b7:3270::1"),
        ("invalid ip 113.70.100.150", "113.70.100.150"),
        ("invalid ip, not in whitelist", "this machine's public IP"),
        ("", "this machine's public IP"),
    ],
)
def test_ip_to_allow(errmsg: str, ip: str) -> None:
    """40164 names the very address that WeChat saw."""
    assert f"Add {ip} to the account's IP allowlist" in token_endpoint_failure(40164, errmsg).message


@pytest.mark.parametrize(
    ("errmsg", "rid"),
    [
        (f"invalid appid rid: {RID}", RID),
        (f"invalid appid, rid: {RID}", RID),
        (f"invalid appid rid:{RID}", RID),
        ("access_token expired hint: [utxVxa0955vr19]", "utxVxa0955vr19"),
        ("access_token expired hints: [6HOC7Z3Me-_7iY3!]", "6HOC7Z3Me-_7iY3!"),
        ("invalid appid", None),
        ("invalid appid rid: nonsense", None),
        ("", None),
    ],
)
def test_request_id(errmsg: str, rid: str | None) -> None:
    """The id of the request is found where WeChat puts it."""
    assert rid == request_id(errmsg) == token_endpoint_failure(40013, errmsg).rid


def test_message() -> None:
    """The message says what happened, what to do, and the request's id once; WeChat's own text is kept beside it."""
    failure = token_endpoint_failure(40013, f"invalid appid rid: {RID}")

    assert failure.message == (
        "WeChat gives no token: errcode 40013 (invalid appid). Check the AppID: WeChat does not know it. "
        f"Request id (rid): {RID}."
    )
    assert failure.errmsg == f"invalid appid rid: {RID}"


def test_without_a_text() -> None:
    """An empty errmsg leaves no empty brackets."""
    message = "WeChat gives no token: errcode 40013. Check the AppID: WeChat does not know it."

    assert message == token_endpoint_failure(40013, "").message


def test_braces() -> None:
    """What WeChat's text has in braces is no placeholder."""
    assert "(a {0} b)" in token_endpoint_failure(40164, "a {0} b").message


def test_error() -> None:
    """The exception made of it carries code, text and id."""
    error = token_endpoint_failure(40125, f"invalid appsecret rid: {RID}").error(60)

    assert isinstance(error, TokenRefused)
    assert (40125, RID, 60) == (error.errcode, error.rid, error.retry_after)
