"""The sites, closed when a test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .sites import FACES, Handler, Site
from .wechat import Pusher

MakeSite = Callable[..., Site]


@pytest.fixture
def pusher() -> Pusher:
    return Pusher()


@pytest.fixture(params=FACES)
def make_site(request: pytest.FixtureRequest) -> Iterator[MakeSite]:
    """Make the site that a handler and options of the webhook are."""
    sites: list[Site] = []

    def make(handler: Handler = lambda message: None, **options: Any) -> Site:
        sites.append(Site(request.param, handler, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def safe(pusher: Pusher) -> dict[str, Any]:
    """The options of an encrypted webhook."""
    return {"aes_key": pusher.aes_key, "appid": pusher.appid}
