"""Real SDKs of Node: they use what we own, as the pages say, and we follow what they own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from stores.sql_servers import wait_until

from layouts.node_sdks import Node, installed, said
from wxmiddleware import Account, TokenProvider
from wxmiddleware.cli.sink import Sink, file_name
from wxmiddleware.layouts import CoWechatApiFile, LayoutToken
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken, FileToken
from wxmiddleware.stores import store_from_url

pytestmark = [pytest.mark.servers]
APPID, SECRET = "wxneighbour", "5ecret"
CO, EASY = "co_wechat_api.mjs", "node_easywechat.mjs"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """A WeChat where each fetch of a classic token ends the one before at once."""
    with SimulatorServer(WeChat(appid=APPID, secret=SECRET, overlap=0.0)) as server:
        yield server


@pytest.fixture
def wechat(server: SimulatorServer) -> WeChat:
    """The account is Node's, too."""
    return server.wechat


@pytest.fixture
def node(server: SimulatorServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Node, whose programs run in the test's directory and keep their files there."""
    names = {"WECHAT_BASE_URL": server.url, "WECHAT_APPID": APPID, "WECHAT_SECRET": SECRET}
    return Node(installed(tmp_path_factory), tmp_path, **names)


@pytest.fixture
def owner(server: SimulatorServer, tmp_path: Path) -> Iterator[TokenProvider]:
    """We own the token, and write it where co-wechat-api keeps its own."""
    account = Account(APPID, SECRET, base_url=server.url)
    mirror = CoWechatApiFile(tmp_path / "access_token.txt")
    store = store_from_url(f"file:{tmp_path / 'token.json'}")
    with TokenProvider(account, source=ClassicToken(), store=store, mirrors=[mirror]) as owner:
        yield owner


def mirrored(owner: TokenProvider, tmp_path: Path, rejected: str | None = None) -> str:
    """Our token, once it is where co-wechat-api looks."""
    token, layout = owner.get_token(rejected), CoWechatApiFile(tmp_path / "access_token.txt")

    def there() -> bool:
        kept = layout.read()
        return kept is not None and kept.value == token

    wait_until(there, "the mirror")
    return token


@pytest.mark.parametrize("how", ["file", "reads"])
def test_uses_ours(node: Node, owner: TokenProvider, wechat: WeChat, tmp_path: Path, how: str) -> None:
    """co-wechat-api finds our token with its documentation's callbacks, with the secret and without, and the next."""
    first = mirrored(owner, tmp_path)
    assert {"token": first, "errcode": 0} == node.call(CO, how)
    second = mirrored(owner, tmp_path, rejected=first)
    assert {"token": second, "errcode": 0} == node.call(CO, how)

    assert first != second
    assert 2 == wechat.fetches()


def test_never_fetches(node: Node, owner: TokenProvider, wechat: WeChat, tmp_path: Path) -> None:
    """A stolen token is an error to who only reads; WeChat is not asked, and our next token ends it."""
    stolen = mirrored(owner, tmp_path)
    wechat.steal()
    assert 40001 == node.call(CO, "reads")["errcode"]
    assert 1 == wechat.fetches()

    token = mirrored(owner, tmp_path, rejected=stolen)
    assert {"token": token, "errcode": 0} == node.call(CO, "reads")


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[TokenProvider]:
    """We follow, without the secret, what co-wechat-api keeps."""
    (tmp_path / "access_token.txt").write_text("{}")
    source = LayoutToken(CoWechatApiFile(tmp_path / "access_token.txt"))
    with TokenProvider(Account(APPID), source=source) as theirs:
        yield theirs


def test_follows(node: Node, theirs: TokenProvider, wechat: WeChat) -> None:
    """co-wechat-api owns: we have its token, and after a theft the one that it heals with."""
    first = node.call(CO, "file")["token"]
    assert first == theirs.get_token()

    wechat.steal()
    healed = node.call(CO, "file")
    assert 0 == healed["errcode"]
    assert healed["token"] == theirs.get_token(rejected=first) == wechat.current()
    assert 2 == wechat.fetches()


def test_follows_through_null(node: Node, theirs: TokenProvider, wechat: WeChat, tmp_path: Path) -> None:
    """While co-wechat-api fetches the file has null: the token that was read stays in use."""
    first = node.call(CO, "file")["token"]
    assert first == theirs.get_token()
    wechat.steal()
    hang = wechat.faults.add("/cgi-bin/token", "hang")
    heals = node.start(CO, "file")
    wait_until(lambda: hang.hits > 0, "the fetch")
    assert "null" == (tmp_path / "access_token.txt").read_text()

    assert first == theirs.get_token()
    assert "fresh" == theirs.status().state
    hang.release()
    assert said(heals)["token"] == theirs.get_token(rejected=first) == wechat.current()


def test_file_of_easywechat(node: Node, wechat: WeChat, tmp_path: Path) -> None:
    """node-easywechat owns: its cache's file is one of those that FileToken takes, and says the token's end."""
    theirs = node.call(EASY, "file")
    source = FileToken(tmp_path / "wechat.cache", field="data", expires="lifeTime")
    with closing(TokenProvider(Account(APPID), source=source)) as follower:
        assert theirs["token"] == follower.get_token() == wechat.current(slot="stable")
        left = follower.status().expires_in
    assert left is not None
    assert 7000 < left <= 7200
    assert 1 == wechat.fetches()


@pytest.fixture
def sunk(server: SimulatorServer, tmp_path: Path) -> Iterator[str]:
    """Our stable token, in a file as `keep --sink` writes it."""
    account = Account(APPID, SECRET, base_url=server.url)
    (tmp_path / "tokens").mkdir()
    with TokenProvider(account) as owner:
        assert Sink(str(tmp_path / "tokens")).write(file_name(account, "stable"), owner.get_token())
        yield owner.get_token()


@pytest.mark.parametrize("page", ["beside.md", "zh/beside.md"])
def test_page(node: Node, sunk: str, wechat: WeChat, page: str) -> None:
    """What the pages paste for co-wechat-api reads that file."""
    (block,) = re.findall(r"```js\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    path = node.page(page.replace("/", "-"), block)

    assert {"token": sunk, "errcode": 0} == node.call(CO, path)
    assert 1 == wechat.fetches()


def test_easywechat_reads(node: Node, sunk: str, wechat: WeChat, tmp_path: Path) -> None:
    """node-easywechat uses what setAccessToken() gives it, and fetches nothing."""
    path = tmp_path / "tokens" / f"{APPID}.stable.token"

    assert {"token": sunk, "errcode": 0} == node.call(EASY, str(path))
    assert 1 == wechat.fetches()
