"""Keys of Redis as wechatpy, WxJava and EasyWeChat have them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from stores.redis_server import RedisServer

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.layouts import EasyWeChatRedis, Kept, LayoutToken, PlainRedis, WechatpyRedis, WxJavaRedis

NOW = 1_795_819_524.0
TOKEN = "T" * 160


class FakeRedis:
    """As much of a client as the layouts use, with what it was told."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lives: dict[str, int] = {}
        self.told: list[str] = []

    def get(self, key: str) -> bytes | None:
        self.told.append(f"get {key}")
        return self.values.get(key)

    def pttl(self, key: str) -> int:
        self.told.append(f"pttl {key}")
        return self.lives.get(key, -1) if key in self.values else -2

    def set(self, key: str, value: str | int, *, px: int) -> None:
        self.told.append(f"set {key}")
        self.values[key], self.lives[key] = str(value).encode(), px


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.mark.parametrize(
    ("layout", "key", "raw", "margin"),
    [
        (lambda client: PlainRedis(client, "ours", clock=lambda: NOW), "ours", "T", 0),
        (lambda client: WxJavaRedis(client, "wx1", clock=lambda: NOW), "wx:access_token:wx1", "T", 0),
        (lambda client: WxJavaRedis(client, "wx1", mini=True, clock=lambda: NOW), "wa:access_token:wx1", "T", 200),
        (lambda client: WxJavaRedis(client, "wx1", prefix="p", clock=lambda: NOW), "p:access_token:wx1", "T", 0),
        (lambda client: WechatpyRedis(client, "wx1", clock=lambda: NOW), "wechatpy:wx1_access_token", '"T"', 0),
        (lambda client: WechatpyRedis(client, "wx1", prefix="p", clock=lambda: NOW), "p:wx1_access_token", '"T"', 0),
        (
            lambda client: EasyWeChatRedis(client, "wx1", "5ecret", clock=lambda: NOW),
            "easywechat:official_account.access_token.wx1.5ecret.0",
            's:1:"T";',
            0,
        ),
        (
            lambda client: EasyWeChatRedis(
                client, "wx1", "5ecret", stable=True, app="mini_app", namespace="n", clock=lambda: NOW
            ),
            "n:mini_app.access_token.wx1.5ecret.1",
            's:1:"T";',
            0,
        ),
    ],
)  # fmt: skip
def test_both_ways(client: FakeRedis, layout: Any, key: str, raw: str, margin: int) -> None:
    """What is written is what the program looks for, under its key and for as long as it wants; and is read again."""
    made = layout(client)
    assert None is made.read()

    made.write("T", NOW + 7200)

    assert raw.encode() == client.values[key]
    assert (7200 - margin) * 1000 == client.lives[key]
    assert Kept("T", NOW + 7200) == made.read()

    made.write("U", NOW + margin)  # over already to the program: there is no life of 0
    assert 1 == client.lives[key]


def test_an_end_too_early_rather_than_too_late(client: FakeRedis) -> None:
    """The time left is asked for before the token: another token may come in between."""
    PlainRedis(client, "ours").read()

    assert ["pttl ours", "get ours"] == client.told


def test_for_ever(client: FakeRedis) -> None:
    """A key without an end says nothing of the token's."""
    client.values["ours"] = b"T"

    assert Kept("T", None) == PlainRedis(client, "ours").read()


class TestWechatpy:
    key = "wechatpy:wx1_access_token"

    def test_end(self, client: FakeRedis) -> None:
        """wechatpy 2 finds the end, which is there before the token: a stale one would let it fetch."""
        WechatpyRedis(client, "wx1", clock=lambda: NOW).write("T", NOW + 7200)

        assert b"1795826724" == client.values[f"{self.key}_expires_at"]
        assert [f"set {self.key}_expires_at", f"set {self.key}"] == client.told

    def test_whose_end_is_read(self, client: FakeRedis) -> None:
        """The key's own time counts; wechatpy 1.8 leaves another one's end as it is. Without one it is that."""
        layout = WechatpyRedis(client, "wx1", clock=lambda: NOW)
        client.values |= {self.key: b'"T"', f"{self.key}_expires_at": str(int(NOW) + 60).encode()}
        assert Kept("T", NOW + 60) == layout.read()

        client.lives[self.key] = 7_200_000
        assert Kept("T", NOW + 7200) == layout.read()

    @pytest.mark.parametrize("raw", [b"T", b"", b"null", b"7", b'"', b"\xff"])
    def test_no_token(self, client: FakeRedis, raw: bytes) -> None:
        """What is no JSON text is no token."""
        client.values[self.key] = raw

        assert None is WechatpyRedis(client, "wx1").read()


class TestEasyWeChat:
    @pytest.mark.parametrize("client", [None, redis.Redis(decode_responses=True)])
    def test_trace_of_a_mistake(self, client: Any) -> None:
        """The key has the AppSecret in it, and no frame of ours shows it under a name that trackers do not hide."""
        with pytest.raises(ConfigurationError) as caught:
            EasyWeChatRedis(client, "wx1", "5ecret-of-this-app")
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
        shown = [repr(value) for frame in frames for name, value in frame.f_locals.items() if name != "secret"]

        assert frames
        assert not [each for each in shown if "5ecret-of" in each]

    def layout(self, client: FakeRedis, raw: bytes) -> EasyWeChatRedis:
        client.values["easywechat:official_account.access_token.wx1.5ecret.0"] = raw
        return EasyWeChatRedis(client, "wx1", "5ecret")

    @pytest.mark.parametrize(
        ("raw", "token"),
        [
            (b's:160:"' + TOKEN.encode() + b'";', TOKEN),
            (b"\0\0\0\x02\x11\xa0" + TOKEN.encode(), TOKEN),
            (b"\0\0\0\x02\x12\x02\x00" + b"T" * 512, "T" * 512),
        ],
    )
    def test_encodings(self, client: FakeRedis, raw: bytes, token: str) -> None:
        """With igbinary and without, short and long."""
        assert Kept(token, None) == self.layout(client, raw).read()

    @pytest.mark.parametrize(
        "raw",
        [
            b"T",
            b"a:0:{}",
            b's:2:"T";',
            b's:1:"T"',
            *(b"\0\0\0\x02" + end for end in (b"\x11\x02T", b"\x14\x01\x11", b"\x11\0\0")),
        ],
    )
    def test_no_token(self, client: FakeRedis, raw: bytes) -> None:
        """Something cut off, or not a text."""
        assert None is self.layout(client, raw).read()

    def test_the_secret_is_nowhere(self, client: FakeRedis) -> None:
        """The key has it, and the name does not."""
        layout = self.layout(client, b"")

        assert "EasyWeChatRedis(easywechat:official_account, wx1)" == layout.name == repr(layout)

    def test_kinds(self, client: Any) -> None:
        """What has a key of its own has a name of its own, so that followers of two share no record."""
        others: list[dict[str, Any]] = [{}, {"stable": True}, {"app": "mini_app"}, {"namespace": "shop"}]
        kinds = {LayoutToken(EasyWeChatRedis(client, "wx1", "5ec2e7", **each)).kind for each in others}

        assert 4 == len(kinds)

    def test_text(self) -> None:
        """A client that decodes cannot read what igbinary writes."""
        with pytest.raises(ConfigurationError, match="decode_responses"):
            EasyWeChatRedis(redis.Redis(decode_responses=True), "wx1", "5ecret")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PlainRedis(redis.Redis, "ours"), "not the class Redis"),
        (lambda: PlainRedis("redis://localhost", "ours"), "not a str"),
        (lambda: PlainRedis(redis.asyncio.Redis(), "ours"), "synchronous"),
        (lambda: PlainRedis(FakeRedis(), ""), "key must be a word"),
        (lambda: PlainRedis(FakeRedis(), 7), "key must be a str"),  # type: ignore[arg-type]
        (lambda: WechatpyRedis(FakeRedis(), "wx 1"), "appid must be a word"),
        (lambda: WechatpyRedis(FakeRedis(), "wx1", prefix=""), "prefix must be a word"),
        (lambda: WxJavaRedis(FakeRedis(), None), "appid must be a str"),  # type: ignore[arg-type]
        (lambda: WxJavaRedis(FakeRedis(), "wx1", prefix="w x"), "prefix must be a word"),
        (lambda: EasyWeChatRedis(FakeRedis(), "wx1", ""), "secret must be a word"),
        (lambda: EasyWeChatRedis(FakeRedis(), "wx1", "5ecret", app="work"), "app must be"),
        (lambda: EasyWeChatRedis(FakeRedis(), "wx1", "5ecret", namespace=""), "namespace must be"),
    ],
)
def test_bad_settings(make: Any, says: str) -> None:
    """They are told at construction, and nothing of the values."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        make()
    assert "5ecret" not in str(caught.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.servers
@pytest.mark.parametrize("decodes", [False, True])
def test_real(server: RedisServer, decodes: bool) -> None:
    """A real Redis takes and gives the same, also to a client that decodes."""
    from wechatpy.session.redisstorage import RedisStorage

    client = server.client(decode_responses=decodes)
    client.flushall()
    layout = WechatpyRedis(client, "wx1")
    assert None is layout.read()

    end = time.time() + 7200
    layout.write(TOKEN, end)

    kept = layout.read()
    assert kept is not None
    assert TOKEN == kept.value
    assert pytest.approx(end, abs=5) == kept.expires_at
    assert TOKEN == RedisStorage(client).get("wx1_access_token")
    assert int(end) == int(client.get("wechatpy:wx1_access_token_expires_at") or 0)

    RedisStorage(client).set("wx1_access_token", "theirs", 3600)
    kept = layout.read()
    assert kept is not None
    assert "theirs" == kept.value
    assert pytest.approx(time.time() + 3600, abs=5) == kept.expires_at
    client.close()


def test_where(tmp_path: Path) -> None:
    """A layout names its key."""
    assert "PlainRedis(ours)" == PlainRedis(FakeRedis(), "ours").name
