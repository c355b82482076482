"""The code in docs/sources.md does what the page says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api_server import Api, serving
from test_docs import python

from wxmiddleware import TokenProvider, TokenRefused, TokenUnavailable

PAGES = ["sources.md", "zh/sources.md"]
Run = Callable[..., TokenProvider]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as made:
        yield made


def says(api: Api, body: Any) -> None:
    api.answer = lambda seen: (200, {}, [json.dumps(body).encode()])


@pytest.fixture(params=PAGES)
def run(request: pytest.FixtureRequest) -> Run:
    """Run the blocks of a page up to that in which `name` is first, and give the provider that is made there."""
    found = python(request.param)

    def until(name: str, **names: Any) -> TokenProvider:
        last = next(index for index, block in enumerate(found) if name in block)
        names = {"__name__": "page", "os": __import__("os"), **names}
        for index, block in enumerate(found[: last + 1]):
            imports = "\n".join(line for line in block.splitlines() if line.startswith(("from ", "import ")))
            exec(compile(block if index == last else imports, request.param, "exec"), names)
        provider = names["provider"]
        assert isinstance(provider, TokenProvider)
        return provider

    return until


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_known(page: str) -> None:
    """No block was added that nothing here runs."""
    names = ["FileToken(", "RemoteToken(", "CallableToken(", "class PartnerToken", "class PartnerEndpoint"]

    assert [True] * len(names) == [name in block for name, block in zip(names, python(page), strict=True)]


def test_file(run: Run) -> None:
    """The file's token; then the owner's next one."""
    Path("access_token.json").write_text(json.dumps({"access_token": "88_one", "expires_in": 7200}))
    provider = run("FileToken(")
    assert "88_one" == provider.get_token()
    Path("access_token.json").write_text("88_two")

    assert "88_two" == provider.get_token(rejected="88_one")
    with pytest.raises(TokenUnavailable, match="asked for where it comes from"):
        provider.get_token(rejected="88_two")


def test_remote(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's token."""
    monkeypatch.setenv("HUB_URL", api.url)
    monkeypatch.setenv("HUB_KEY", "key-of-this-caller")
    says(api, {"access_token": "88_hub", "expires_in": 7000})

    assert "88_hub" == run("RemoteToken(").get_token()
    assert "Bearer key-of-this-caller" == api.seen[0].headers["authorization"]


def test_callable(run: Run) -> None:
    """The row's token."""
    db = sqlite3.connect("company.db")
    db.execute("CREATE TABLE token (name, value, seconds_left)")
    db.execute("INSERT INTO token VALUES ('shop', '88_row', 100)")
    db.commit()
    db.close()
    provider = run("CallableToken(")

    assert "88_row" == provider.get_token()
    assert 90 < (provider.status().expires_in or 0) <= 100


def _down(*_: Any, **__: Any) -> None:
    raise ConnectionRefusedError


def _unknown(*_: Any, **__: Any) -> None:
    raise PermissionError


def test_own(run: Run) -> None:
    """The token of the page's own class."""
    provider = run("class PartnerToken", ask_the_partner=lambda appid, timeout: (f"88_{appid}", timeout * 20))

    assert "88_wx8a1b2c3d4e5f6a7b" == provider.get_token()


@pytest.mark.parametrize(
    ("partner", "error", "said"),
    [(_down, TokenUnavailable, "The partner's service is down"), (_unknown, TokenRefused, "Write to them")],
)
def test_own_failures(run: Run, partner: Callable[..., None], error: type[Exception], said: str) -> None:
    """What the page's own class says of failures."""
    with pytest.raises(error, match=said):
        run("class PartnerToken", ask_the_partner=partner).get_token()


def test_endpoint(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of the page's own endpoint, and its advice."""
    monkeypatch.setenv("PARTNER_SECRET", "s3cr3t-of-the-partner")
    says(api, {"data": {"token": "88_partner", "seconds": 100}})
    provider = run("class PartnerEndpoint", PARTNER_URL=api.url)

    assert "88_partner" == provider.get_token()
    assert "s3cr3t-of-the-partner" == api.seen[0].headers["x-secret"]
    says(api, {"errcode": 7, "errmsg": "s3cr3t-of-the-partner"})
    with pytest.raises(TokenRefused, match="Pay their invoice") as caught:
        run("class PartnerEndpoint", PARTNER_URL=f"{api.url}/").get_token(rejected="88_partner")
    assert "s3cr3t" not in str(caught.value)
