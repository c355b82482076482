"""The code of docs/moving-in.md and docs/beside.md does what the pages say, in both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from stores.redis_server import PATIENCE, RedisServer
from support.debian import find, missing
from test_docs import DOCS, blocks, python

from wxmiddleware import Account, ClassicToken, TokenProvider, TokenUnavailable
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import store_from_url

REDIS = "redis://localhost:6379/0"
PHP_NEEDS = ("curl", "redis")

both = pytest.mark.parametrize("folder", ["", "zh/"], ids=["en", "zh"])


@pytest.fixture(autouse=True)
def _account(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    monkeypatch.setenv("WECHAT_REALM", "wechat")  # the key that the pages show, and not a simulator's
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(one_redis: RedisServer) -> RedisServer:
    with one_redis.client() as client:
        client.flushall()
    return one_redis


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(code, "page", "exec"), names)
    return names


def page(name: str, server: RedisServer) -> list[str]:
    """A page's blocks of Python, with this Redis in the place of the page's."""
    return [block.replace(REDIS, server.url) for block in python(name)]


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def php(*arguments: str) -> str:
    """What a script says, in the folder of the test."""
    path = find("php", package="php-cli")
    there = subprocess.run([path, "-m"], capture_output=True, text=True, check=True).stdout.lower().split()
    if any(each not in there for each in PHP_NEEDS):
        missing(f"PHP's {' and '.join(PHP_NEEDS)}", "php-curl php-redis")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def fetched_elsewhere(wechat: WeChat, server: SimulatorServer) -> str:
    """The classic token, as the old program fetches it."""
    query = {"grant_type": "client_credential", "appid": wechat.appid, "secret": wechat.secret}
    return str(requests.get(f"{server.url}/cgi-bin/token", query, timeout=5).json()["access_token"])


def test_every_block_is_known() -> None:
    """No block was added that nothing here runs."""
    assert ["python"] * 5 == [language for language, _ in blocks("moving-in.md") if language != "shell"]
    assert ["shell", "php", "php", "js", "php", "python", "shell", "ini"] == [each for each, _ in blocks("beside.md")]


@pytest.mark.servers
@both
def test_wechatpy(folder: str, redis_server: RedisServer, wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """The client calls with the stable token, and the old processes' classic one lives on."""
    old = fetched_elsewhere(wechat, wechat_server)
    names = run(page(f"{folder}moving-in.md", redis_server)[0], {})

    assert 0 == names["client"].message.send_text("oFollower", "你好")["errcode"]
    assert wechat.current(slot="stable") == names["client"].fetch_access_token()["access_token"]
    assert wechat.is_valid(old)


@pytest.mark.servers
@both
def test_session_of_wechatpy(
    folder: str, redis_server: RedisServer, wechat: WeChat, wechat_server: SimulatorServer
) -> None:
    """A follower uses what wechatpy's own session keeps, and fetches nothing."""
    from wechatpy.session.redisstorage import RedisStorage

    old = fetched_elsewhere(wechat, wechat_server)
    with redis_server.client() as client:
        RedisStorage(client).set(f"{wechat.appid}_access_token", old, 7200)
    first, second, *_ = page(f"{folder}moving-in.md", redis_server)

    assert old == run(second, run(first, {}))["follower"].get_token()
    assert 1 == wechat.fetches()


@pytest.mark.servers
@both
def test_no_session_of_wechatpy(folder: str, redis_server: RedisServer, wechat: WeChat) -> None:
    """A follower of a session without a token has none."""
    first, second, *_ = page(f"{folder}moving-in.md", redis_server)

    with pytest.raises(TokenUnavailable, match="has no token"):
        run(second, run(first, {}))["follower"].get_token()
    assert 0 == wechat.fetches()


@both
def test_file_of_node(folder: str) -> None:
    """A follower uses what co-wechat-api's documentation keeps, and goes on with it while the file says null."""
    Path("access_token.txt").write_text(
        json.dumps({"accessToken": "88_node", "expireTime": (time.time() + 7190) * 1000})
    )
    follower = run(python(f"{folder}moving-in.md")[2], {})["follower"]
    assert "88_node" == follower.get_token()
    Path("access_token.txt").write_text("null")

    assert "88_node" == follower.get_token()


@pytest.mark.servers
@both
def test_key_of_your_own(
    folder: str, redis_server: RedisServer, wechat: WeChat, wechat_server: SimulatorServer
) -> None:
    """Followers and old readers have a valid token at each stage, also while both writers run, and after going back."""
    *_, follow, write = page(f"{folder}moving-in.md", redis_server)
    with redis_server.client(decode_responses=True) as client:
        old = fetched_elsewhere(wechat, wechat_server)
        client.set("wechat:token", old, ex=7200)
        follower = run(follow, {})
        assert old == follower["follower"].get_token()

        writer = run(write, {})["writer"]
        client.expire("wechat:token", 7000)  # ends before ours, which is then written over it
        with writer.keep():
            until(lambda: client.get("wechat:token") != old)
            new = client.get("wechat:token")
        writer.close()
        assert wechat.current(slot="stable") == new == follower["key"].read().value
        assert 7190 < client.ttl("wechat:token") <= 7200
        assert wechat.is_valid(old)

        back = fetched_elsewhere(wechat, wechat_server)
        client.set("wechat:token", back)
        assert back == follower["key"].read().value
        assert wechat.is_valid(back)
        assert wechat.is_valid(new)


@pytest.mark.servers
@both
def test_php_reads(folder: str, redis_server: RedisServer) -> None:
    """PHP, and an object for EasyWeChat, give the token of the record, and say what is wrong without one."""
    first, second, _ = (code for language, code in blocks(f"{folder}beside.md") if language == "php")
    Path("wechat_token.php").write_text(first.replace("6379", str(redis_server.port)))
    Path("easywechat.php").write_text(second)
    Path("page.php").write_text(
        "<?php namespace EasyWeChat\\Kernel\\Contracts {\n"
        "interface AccessToken { public function getToken(): string; public function toQuery(): array; } }\n"
        "namespace { $app = new class { public $set; function setAccessToken($given) { $this->set = $given; } };\n"
        "require 'easywechat.php'; echo json_encode([wechat_token(), $app->set->getToken(), $app->set->toQuery()]); }"
    )
    Path("none.php").write_text(
        "<?php require 'wechat_token.php';\n"
        "try { wechat_token(); } catch (RuntimeException $error) { echo $error->getMessage(); }"
    )

    assert "wxmiddleware keep" in php("none.php")
    token = TokenProvider(Account.from_env(), store=store_from_url(redis_server.url)).get_token()
    assert [token, token, {"access_token": token}] == json.loads(php("page.php"))


@pytest.mark.servers
@both
def test_php_owns(folder: str, wechat: WeChat) -> None:
    """PHP fetches once, and again for a rejected token, at most once in 30 s; Python follows its file."""
    owner = [code for language, code in blocks(f"{folder}beside.md") if language == "php"][2]
    Path("token_owner.php").write_text(owner)
    Path("call.php").write_text("<?php require 'token_owner.php'; echo wechat_token($argv[1]);")
    php("token_owner.php")
    php("token_owner.php")
    provider = run(python(f"{folder}beside.md")[0], {})["provider"]
    old = provider.get_token()
    assert wechat.current(slot="classic") == old
    assert 1 == wechat.fetches()
    assert 0o640 == Path("access_token.json").stat().st_mode & 0o777
    assert old == php("call.php", old)

    kept = json.loads(Path("access_token.json").read_text())
    Path("access_token.json").write_text(json.dumps(kept | {"fetched_at": kept["fetched_at"] - 31}))
    new = php("call.php", old)
    assert wechat.current(slot="classic") == new != old
    assert new == php("call.php", old)
    assert new == provider.get_token(rejected=old)
    assert 2 == wechat.fetches()


@pytest.mark.servers
@both
def test_php_owns_while_wechat_is_down(folder: str, wechat: WeChat) -> None:
    """PHP goes on with a token that lives, and gives none that is over."""
    owner = [code for language, code in blocks(f"{folder}beside.md") if language == "php"][2]
    Path("token_owner.php").write_text(owner)
    Path("call.php").write_text(
        "<?php require 'token_owner.php';\n"
        "try { echo wechat_token(); } catch (RuntimeException $error) { echo $error->getMessage(); }"
    )
    php("token_owner.php")
    kept = json.loads(Path("access_token.json").read_text())
    wechat.faults.add("/cgi-bin/token", "errcode", errcode=-1, times=2)
    told = []
    for left in (-7200 + 300, -7200 - 1):
        Path("access_token.json").write_text(json.dumps(kept | {"expires_at": kept["expires_at"] + left}))
        told.append(php("call.php"))

    assert [kept["access_token"] * 2, "WeChat gives no token, errcode -1"] == [told[0] * 2, told[1]]


def test_two_kinds(wechat: WeChat) -> None:
    """A provider of the stable token and one of the classic token leave each other's alone."""
    stable, classic = TokenProvider(Account.from_env()), TokenProvider(Account.from_env(), source=ClassicToken())
    tokens = stable.get_token(), classic.get_token()

    assert [True, True] == [wechat.is_valid(token) for token in tokens]
    assert 2 == len(set(tokens))


@both
def test_file(folder: str, wechat: WeChat) -> None:
    """The page's commands write the file that the page's table reads."""
    made, kept = [code for language, code in blocks(f"{folder}beside.md") if language == "shell"][1].splitlines()
    subprocess.run(made, shell=True, check=True)
    with subprocess.Popen(f"exec {kept}", shell=True, stderr=subprocess.DEVNULL, env=_with_our_command()) as keeper:
        path = Path("tokens") / f"{wechat.appid}.stable.token"
        until(path.exists)
        keeper.terminate()

    assert wechat.current(slot="stable") == path.read_text()
    assert 0o640 == path.stat().st_mode & 0o777
    read = next(
        line.split("`")[1] for line in (DOCS / folder / "beside.md").read_text().splitlines() if "| shell" in line
    )
    assert path.read_text() == subprocess.check_output(read, shell=True, text=True)


def _with_our_command() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
