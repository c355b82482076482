"""The page on pushing does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from simulator.test_push import served
from simulator.webhooks import Webhook
from wxmiddleware.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "pushing.md").read_text(encoding="utf-8")
BY_HAND = """
import hashlib
from xml.etree import ElementTree

from flask import Flask, abort, request

app = Flask(__name__)


@app.route("/wechat", methods=["GET", "POST"])
def wechat():
    args = request.args
    words = sorted(("word", args["timestamp"], args["nonce"]))
    if args["signature"] != hashlib.sha1("".join(words).encode()).hexdigest():
        abort(403)
    if request.method == "GET":
        return args["echostr"]
    message = {field.tag: field.text for field in ElementTree.fromstring(request.data)}
    return (
        f"<xml><ToUserName>{message['FromUserName']}</ToUserName><FromUserName>{message['ToUserName']}</FromUserName>"
        f"<CreateTime>1</CreateTime><MsgType>text</MsgType><Content>you said {message['Content']}</Content></xml>"
    )
"""
OUR_OWN = """
from flask import Flask

from wxmiddleware.webhook.flask import webhook

app = Flask(__name__)


@app.route("/wechat", methods=["GET", "POST"])
@webhook(token="word")
def wechat(message):
    return f"you said {message.content}"
"""


def block(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_shell(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The commands print what the page shows, but for numbers."""
    monkeypatch.delenv("WECHAT_AES_KEY", raising=False)
    first, *commands = re.split(r"^\$ ", block("console"), flags=re.MULTILINE)[1:]
    monkeypatch.setenv(*first.removeprefix("export ").strip().split("=", 1))
    monkeypatch.setattr("simulator.webhooks.TOKEN", "word")
    printed = []
    with served(Webhook(reply=lambda message: "success")) as url:
        for command in commands:
            line = command.partition("\n")[0].replace("http://127.0.0.1:8000/wechat", url)
            assert main(shlex.split(line)[1:]) == 0
            printed.append(capsys.readouterr().out)

    assert [blurred(command.partition("\n")[2]) for command in commands] == [blurred(text) for text in printed]


def blurred(text: str) -> str:
    return re.sub(r"[\d.]{5,}", "N", text)


@pytest.mark.parametrize("service", [BY_HAND, OUR_OWN], ids=["by hand", "our own"])
def test_tests(pytester: pytest.Pytester, service: str) -> None:
    """The tests of the page pass, also with a webhook that looks at timestamps, as this library's does."""
    pytester.makepyfile(myservice=service, test_page=block("python"))

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_codes() -> None:
    """The page names every problem that there is."""
    from wxmiddleware.simulator import Problem

    named = set(re.findall(r"``([a-z-]+)``", str(Problem.__doc__)))
    table = PAGE.partition("| `codes` |")[2].partition("##")[0]
    shown = {code for row in table.splitlines() for code in re.findall(r"`([a-z-]+)`", row.partition(" | ")[0])}

    assert named
    assert named == shown
