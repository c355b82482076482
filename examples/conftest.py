"""The example app that lies beside a test, with its account and pushes at the simulator."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from wxmiddleware import Account
from wxmiddleware.simulator import WeChat

pytest.register_assert_rewrite("examples.checks")


@pytest.fixture
def webhook_token() -> str:
    """What pushes are signed with."""
    from examples.checks import TOKEN

    return TOKEN


@pytest.fixture
def module(
    request: pytest.FixtureRequest,
    wechat: WeChat,
    wechat_account: Account,
    webhook_token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """The app's module, fresh for each test."""
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    monkeypatch.setenv("WECHAT_TOKEN", webhook_token)
    spec = importlib.util.spec_from_file_location("example_app", request.path.with_name("app.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.provider.close()
