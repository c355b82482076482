"""A ``.netrc``, which other programs wrote for other purposes, has no say in a token fetch; proxies still have."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from sources.conftest import GOOD
from support.api_server import Api, serving

from wxmiddleware import Account, ClassicToken, StableToken
from wxmiddleware.sources import Grant, TokenSource

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"


@pytest.fixture(autouse=True)
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's, with a password for every host."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login someone password hunter22\ndefault login someone password hunter22\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def seen_by(api: Api, source: TokenSource, url: str) -> dict[str, str]:
    api.success = ({}, GOOD)
    assert isinstance(source.fetch(Account("wx1", SECRET, base_url=url)), Grant)
    return api.seen[0].headers


@pytest.mark.parametrize("kind", [ClassicToken, StableToken])
def test_no_password_goes_along(kind: type[ClassicToken | StableToken]) -> None:
    """Not even with a session of the user's, in which netrc counts elsewhere."""
    for session in (None, requests.Session()):
        with serving() as api:
            assert "authorization" not in seen_by(api, kind(session=session), api.url)


def test_a_sessions_own_auth_goes_along() -> None:
    """That one was meant for this."""
    session = requests.Session()
    session.auth = ("gateway", "password")
    with serving() as api:
        assert seen_by(api, ClassicToken(session=session), api.url)["authorization"].startswith("Basic ")


def test_a_proxy_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ever."""
    with serving() as api:
        monkeypatch.setenv("HTTP_PROXY", api.url)
        monkeypatch.setenv("http_proxy", api.url)
        headers = seen_by(api, StableToken(), "http://wechat.test")

        assert ("wechat.test", None) == (headers["host"], headers.get("authorization"))


def test_the_check_itself() -> None:
    """Requests that are not ours do send it."""
    with serving() as api:
        requests.get(api.url, timeout=5)

        assert "authorization" in api.seen[0].headers
