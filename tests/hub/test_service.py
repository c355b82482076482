"""The hub that a file describes, as an app in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from starlette.testclient import TestClient

from wxmiddleware.hub import _service
from wxmiddleware.hub._service import Service

APPIDS = ("wx0123456789abcdef", "wx0123456789abcde0")


class Place:
    def __init__(self, room: Path) -> None:
        self.path = room / "hub.toml"
        self.write(*APPIDS)
        self.service = Service(self.path)

    def write(self, *appids: str) -> None:
        self.path.write_text("".join(f'[accounts.{each}]\nsecret = {{ env = "APP_SECRET" }}\n' for each in appids))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("APP_SECRET", "f" * 32)
    made = Place(tmp_path)
    yield made
    made.service.close()


def reload(http: TestClient, service: Service) -> None:
    assert http.portal is not None
    http.portal.call(service.reload)


def test_what_nobody_needs_is_closed(place: Place) -> None:
    kept, gone = place.service.hub.providers()
    with TestClient(place.service) as http:
        place.write(APPIDS[0])
        reload(http, place.service)

        assert [kept] == place.service.hub.providers()
        assert gone.closed
        assert not kept.closed


def test_the_unexpected(place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(path: Any) -> NoReturn:
        raise RuntimeError("S3CRET")

    before = place.service.hub.settings
    monkeypatch.setattr(_service, "read_config", fails)
    with TestClient(place.service) as http, caplog.at_level(logging.ERROR, "wxmiddleware"):
        reload(http, place.service)

    assert before is place.service.hub.settings
    assert ["The settings stay as they were: the hub met an unexpected RuntimeError. Please report it."] == [
        each.getMessage() for each in caplog.records
    ]
