"""A source of one's own on the base class of WeChat's: another host, its fields, headers and errcodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.api_server import Api, serving

from wxmiddleware import Account, ConfigurationError, TokenProvider, TokenRefused, WeComAccount
from wxmiddleware.sources import Cause, Endpoint, ErrorTable, Failure, Form, Grant, TokenSource

ACCOUNT = Account("wx0123456789abcdef", "s3cr3t-of-this-test")
FORM = Form("data.token", expires="data.life", errors=ErrorTable("Ours gives none", {7: (Cause.PERMANENT, "Ask Li.")}))


@dataclass(frozen=True, slots=True)
class Ours(Endpoint):
    """The endpoint of a company's own service."""

    url: str

    kind = "ours"
    refresh_ahead = 600.0
    revokes_previous = False
    can_force = False

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token."""
        return self.ask_with_secret(
            account,
            lambda secret, seconds: self.ask(
                account,
                "POST",
                self.url,
                form=FORM,
                query={"appid": account.appid},
                body={"force": force},
                headers={"X-Secret": secret},
                hidden=(secret,),
                seconds=seconds,
            ),
        )


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as made:
        says(made, {"data": {"token": "88_good", "life": 60}})
        yield made


def says(api: Api, body: Any) -> None:
    api.answer = lambda seen: (200, {}, [json.dumps(body).encode()])


def test_request(api: Api) -> None:
    """What was said is sent, to that URL and not below the account's base URL."""
    assert isinstance(Ours(api.url), TokenSource)
    assert Grant("88_good", 60.0) == Ours(url=f"{api.url}/t").fetch(ACCOUNT, force=True)

    (seen,) = api.seen
    assert ("POST", f"/t?appid={ACCOUNT.appid}") == (seen.method, seen.target)
    assert {"force": True} == json.loads(seen.body)
    assert ACCOUNT.secret == seen.headers["x-secret"]


@pytest.mark.parametrize(
    ("body", "cause", "said"),
    [
        (
            {"errcode": 7, "errmsg": f"not {ACCOUNT.secret}"},
            Cause.PERMANENT,
            "Ours gives none: errcode 7 (not ***). Ask",
        ),
        ({"data": {"life": 60}}, Cause.AMBIGUOUS, "answered with no token. Check the URL and what stands between"),
        ({"data": {"token": "88_good"}}, Cause.AMBIGUOUS, "a token without a plausible data.life"),
        ({"data": ["88_good"]}, Cause.AMBIGUOUS, "answered with no token"),
    ],
)
def test_failures(api: Api, body: Any, cause: Cause, said: str) -> None:
    """Its own error table counts, and what is wrong is said of its host."""
    says(api, body)
    failure = Ours(url=api.url).fetch(ACCOUNT)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert said in failure.message
    assert str(ACCOUNT.secret) not in repr(failure)


def test_provider(api: Api) -> None:
    """A provider takes it, and makes errors of its failures."""
    assert "88_good" == TokenProvider(ACCOUNT, source=Ours(url=api.url)).get_token()
    says(api, {"errcode": 7})
    with pytest.raises(TokenRefused, match=r"Ask Li\."):
        TokenProvider(Account("wx7", "secret"), source=Ours(url=api.url)).get_token()


def test_accounts() -> None:
    """It is for plain accounts unless it says otherwise."""
    with pytest.raises(ConfigurationError, match="Ours is not for a WeComAccount"):
        TokenProvider(WeComAccount("ww7", "secret"), source=Ours(url="https://ours.example.com"))
