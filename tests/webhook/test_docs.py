"""Every block of the page runs, and does what stands beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from werkzeug.test import Client

from wxmiddleware import Account
from wxmiddleware.simulator import WeChat
from wxmiddleware.webhook.messages import message_from

from .wechat import Pusher, text

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
ALL = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
DJANGO = [block for block in ALL if block.startswith("# mysite/")]  # for `test_docs_django.py`
BLOCKS = [block for block in ALL if block not in DJANGO]


@pytest.fixture
def pusher() -> Pusher:
    import time

    return Pusher(now=int(time.time()))


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, pusher: Pusher, wechat: WeChat, wechat_account: Account, tmp_path: Path
) -> Any:
    monkeypatch.setenv("WECHAT_TOKEN", pusher.token)
    monkeypatch.setenv("WECHAT_AES_KEY", pusher.aes_key)
    monkeypatch.setenv("WECHAT_APPID", pusher.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    monkeypatch.setenv("WXM_STORE", f"file:{tmp_path / 'store.json'}")

    def run(what: str) -> dict[str, Any]:
        (block,) = [block for block in BLOCKS if what in block]
        names: dict[str, Any] = {"__name__": "page"}
        exec(compile(block, "docs/webhooks.md", "exec"), names)
        return names

    return run


def push(client: Client, pusher: Pusher, body: str) -> str:
    pushed = pusher.sealed(body)
    return pusher.opened(client.post(pushed.url, data=pushed.body).get_data())


def test_flask(run: Any, pusher: Pusher) -> None:
    """The first example answers a text."""
    client = Client(run("You wrote")["app"])

    assert "You wrote hello" in push(client, pusher, text())


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_starlette(run: Any, pusher: Pusher, framework: str) -> None:
    """The second welcomes a follower, also in FastAPI."""
    names = run("NewsReply([")
    app = names["app"]
    if framework == "fastapi":
        app = FastAPI()
        app.add_api_route("/wechat", names["wechat"], methods=["GET", "POST"])
    pushed = pusher.sealed(text().replace("[text]", "[event]").replace("<MsgId>", "<Event>subscribe</Event><MsgId>"))
    with TestClient(app) as client:
        answer = client.post(pushed.url, content=pushed.body)

    assert "<Title><![CDATA[Welcome]]></Title><Url><![CDATA[http://testserver/]]></Url>" in pusher.opened(
        answer.content
    )


def test_middleware(run: Any, pusher: Pusher) -> None:
    """The middleware hands the message to a view, and encrypts its answer."""
    assert "<Content>hello</Content>" in push(Client(run("WebhookMiddleware(")["app"]), pusher, text())


def test_store(run: Any, pusher: Pusher, tmp_path: Path) -> None:
    """The example with a store remembers the message there."""
    pushed = pusher.plain(text())

    assert b"Thank you." in Client(run("Thank you")["app"]).post(pushed.url, data=pushed.body).get_data()
    assert any(":webhook:" in file.read_text() for file in (tmp_path / "store.json.webhook").glob("*.json"))


def test_senders(run: Any) -> None:
    """The last example can be made."""
    assert callable(run("CallbackAddresses(")["wechat"])


def test_customers(run: Any, pusher: Pusher) -> None:
    """The example of a suite takes a customer that came when it was running."""
    names = run("customers = ")
    client = Client(names["app"])
    later = Pusher(token="any-word", aes_key="a" * 43, appid="wwcustomer00000001", now=pusher.now)
    statuses = []
    for _ in range(2):
        pushed = later.sealed(text())
        statuses.append(client.post(pushed.url.replace("/wechat", "/suite"), data=pushed.body).status_code)
        names["customers"].add(later.appid)

    assert [403, 200] == statuses


def test_lists(run: Any) -> None:
    """The example of a list takes one entry and two, by the class and by the fields."""
    accepted = run("def accepted")["accepted"]
    for count in (1, 2):
        entries = [{"TemplateId": str(each), "SubscribeStatusString": "accept"} for each in range(count)]
        listed = {"SubscribeMsgPopupEvent": {"List": entries if count > 1 else entries[0]}}
        event = message_from({"MsgType": "event", "Event": "subscribe_msg_popup_event", **listed})

        assert [str(each) for each in range(count)] == accepted(event) == accepted(message_from(listed))


def test_all() -> None:
    """There is a test of each."""
    assert 7 == len(BLOCKS)


def test_defaults() -> None:
    """The figures of the page are those of the code."""
    import inspect

    from wxmiddleware.webhook import Webhook

    page = PAGE.read_text(encoding="utf-8")
    given = {name: each.default for name, each in inspect.signature(Webhook).parameters.items()}

    assert f"| `limit` | {given['limit'] // 1024} KiB |" in page
    assert f"| `body_timeout` | {given['body_timeout']:.0f} s " in page
    assert f"| `window` | {given['window']:.0f} s " in page
    assert f"| `concurrency` | {given['concurrency']} " in page
    assert f"After {given['deadline']} seconds" in page
