"""The words of a token's status: in both languages for people, in English for machines."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware import Account
from wxmiddleware._rules.models import Cause, Cooldown, Failure, Lease
from wxmiddleware._rules.policies import State
from wxmiddleware._runtime.language import Language, Text, columns
from wxmiddleware.cli import main
from wxmiddleware.cli.words import CAUSES, LABELS, SAID, STATES, reason
from wxmiddleware.simulator import WeChat
from wxmiddleware.stores.jsonfile import JSONFileStore

TABLES = {"labels": LABELS, "states": STATES, "causes": CAUSES, "said": SAID}
SAME = {"appid"}
IP = "invalid ip 203.0.113.7, not in whitelist"


@pytest.fixture
def store(
    wechat: WeChat, wechat_account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> JSONFileStore:
    """A store with all that a record can hold; account and store are in the environment."""
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    monkeypatch.setenv("WXM_STORE", f"file:{tmp_path}/token.json")
    assert main(["token"]) == 0
    capsys.readouterr()
    return JSONFileStore(tmp_path / "token.json")


def busy(store: JSONFileStore) -> None:
    """Let the record tell of a refusal and a refresh under way."""
    (key,) = store.keys()
    loaded = store.load(key)
    assert loaded.record is not None
    failure = Failure(Cause.PERMANENT, "WeChat gives no token.", 40164, IP)
    full = replace(
        loaded.record,
        cooldown=Cooldown(loaded.now + 60.0, failure, 2),
        lease=Lease("web-1/1/2/3/", loaded.now + 8.0),
    )
    assert store.save(key, full, loaded.version) is not None


@pytest.mark.parametrize(
    ("name", "text"), [(f"{table} {name}", text) for table, each in TABLES.items() for name, text in each.items()]
)
def test_both_languages(name: str, text: Text) -> None:
    """Each is there in both languages, with the same things filled in."""
    fields = [{field for _, field, _, _ in string.Formatter().parse(each) if field} for each in text]

    assert fields[0] == fields[1]
    assert re.search("[\u4e00-\u9fff]", text.zh) or text.en in SAME


def test_complete() -> None:
    """Each state and each cause has its words."""
    assert {each.value for each in State} | {"unreadable"} == set(STATES)
    assert {each.value for each in Cause} == set(CAUSES)
    assert [text.en for text in LABELS.values()] == list(LABELS)


def test_store_in_chinese(store: JSONFileStore, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What a store holds is told in Chinese, with what to do; the columns stand below each other."""
    busy(store)
    monkeypatch.setenv("WXM_LANG", "zh")

    assert 0 == main(["inspect", "--store"])

    lines = capsys.readouterr().out.splitlines()
    rows = dict(re.split(r" {2,}", line, maxsplit=1) for line in lines)
    assert ("有效", "web-1") == (rows["状态"], rows["正在刷新"].split("，")[0].rpartition(" ")[2])
    assert "需人工处理，连续 2 次" == rows["原因"]
    assert "errcode 40164：请在 mp.weixin.qq.com 把 203.0.113.7 加入该账号的IP白名单。" == rows["说明"]
    assert 1 == len({columns(line) - columns(re.split(r" {2,}", line, maxsplit=1)[1]) for line in lines})


def test_json_is_english(store: JSONFileStore, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """For machines nothing changes with the language."""
    monkeypatch.setenv("WXM_LANG", "zh")

    assert 0 == main(["inspect", "--store", "--json"])
    assert "fresh" == json.loads(capsys.readouterr().out)["records"][0]["state"]


def test_status_and_retry(store: JSONFileStore, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """So are a process's own token, and what comes of another try."""
    monkeypatch.setenv("WXM_LANG", "zh")

    assert 0 == main(["retry"])
    assert "其他进程会从存储里取用" in capsys.readouterr().out
    monkeypatch.delenv("WXM_STORE")
    assert 0 == main(["inspect"])
    assert "剩余有效期  7200 秒" in capsys.readouterr().out


def test_reason() -> None:
    """Without an errcode there is only the text; WeCom has its own advice."""
    assert "No." == reason(Language.CHINESE, "No.", None, "", wecom=False)
    assert "No." == reason(Language.ENGLISH, "No.", 40164, IP, wecom=False)
    assert "企业可信IP" in reason(Language.CHINESE, "No.", 60020, "", wecom=True)
