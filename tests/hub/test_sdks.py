"""Real SDKs as clients of a hub, unchanged but for the host."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from layouts.php import places
from pymemcache import Client as Memcached
from sqlalchemy import Engine
from stores.sql_servers import wait_until

from .sdks.site import LIFE, PICTURE, SDK, Article, Client, Site

SDKS = (
    SDK("co-wechat-api", "co_wechat_api.cjs"),
    SDK("wechat_api", "wechat_api.cjs"),
    SDK("node-easywechat-classic", "node_easywechat.cjs", "classic"),
    SDK("node-easywechat-stable", "node_easywechat.cjs", "stable"),
    SDK("node-easywechat-work", "node_easywechat.cjs", "work", wecom=True),
    SDK("wechat-enterprise-api", "wechat_enterprise_api.cjs", wecom=True),
    SDK("wechatpy", "wechatpy_client.py"),
    SDK("wechatpy-wecom", "wechatpy_client.py", "wecom", wecom=True),
    SDK("werobot", "werobot_client.py", can=("upload",)),
    SDK("wecomkit", "wecomkit_client.py", wecom=True, can=("upload",)),
    *(SDK(f"article-{form}", form, can=()) for form in ("database", "cache", "file", "live")),
)
BY_NAME = {each.name: each for each in SDKS}
WORKERS = 6
BASES = ("{hub}", "{hub}/", "{hub}/{account}", "{hub}/{account}/")
pytestmark = [pytest.mark.processes, pytest.mark.servers]


@pytest.fixture(scope="module")
def php() -> Iterator[tuple[Engine, Memcached, dict[str, str]]]:
    with places() as found:
        yield found


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory, php: tuple[Any, Any, dict[str, str]]) -> Iterator[Site]:
    site = Site(SDKS, tmp_path_factory.mktemp("site"), php[2])
    yield site
    site.close()


@pytest.fixture
def site(whole_site: Site, php: tuple[Any, Memcached, Any]) -> Iterator[Site]:
    """The site, at a time when all tokens have ended."""
    whole_site.pass_time(2 * LIFE)
    php[1].flush_all(noreply=False)  # its clock goes on as ours does
    yield whole_site
    whole_site.end_clients()


def ids(sdk: SDK) -> str:
    return sdk.name


def that_can(what: str) -> list[SDK]:
    return [each for each in SDKS if what in each.can]


def texts_arrive(site: Site, sdk: SDK, client: Client | Article, count: int = 1) -> str:
    """Have it send messages, none of which is lost, sent twice or refused; the token that it has then."""
    before, said = len(site.texts(sdk)), {}
    for _ in range(count):
        said = client.ask("call")
        assert "error" not in said, said["error"]
        assert 0 == said["answer"]["errcode"]
    assert ["你好"] * count == site.texts(sdk)[before:]
    held: str = said["token"]
    return held


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("sdk", SDKS, ids=ids)
def test_goes_on(site: Site, sdk: SDK, base: str) -> None:
    """
    No call fails through a theft, a token's end and a reset, also of those that never notice a rejected token.

    What they hold is the hub's, and stays the same; WeChat is asked once for each of its tokens that ended.
    """
    client, before = site.client(sdk, base.format(hub=site.url, account=sdk.name)), site.fetches(sdk)
    held = texts_arrive(site, sdk, client)
    assert 1 == site.fetches(sdk) - before

    site.end_token(sdk, by_thief=True)
    assert held == texts_arrive(site, sdk, client, 2)
    assert 2 == site.fetches(sdk) - before
    site.pass_time(LIFE + 1)
    assert held == texts_arrive(site, sdk, client)
    assert 3 == site.fetches(sdk) - before
    site.pass_time(60)
    site.end_token(sdk, by_thief=False)
    assert held == texts_arrive(site, sdk, client)
    assert 4 == site.fetches(sdk) - before
    assert not site.is_wechats(sdk, held)


@pytest.mark.parametrize("sdk", SDKS, ids=ids)
def test_wechats_token_at_the_hub(site: Site, sdk: SDK) -> None:
    """With WeChat's own token calls go on through the hub, too, which knows the tokens that it gave out before."""
    client = site.client(sdk, site.url, direct=True)
    held = texts_arrive(site, sdk, client)
    assert site.is_wechats(sdk, held)

    site.end_token(sdk, by_thief=True)
    texts_arrive(site, sdk, client, 2)
    site.pass_time(LIFE + 1)
    texts_arrive(site, sdk, client)
    site.pass_time(60)
    site.end_token(sdk, by_thief=False)
    texts_arrive(site, sdk, client)


@pytest.mark.parametrize("sdk", that_can("upload"), ids=ids)
def test_upload(site: Site, sdk: SDK) -> None:
    """A picture arrives whole, also when the call with it has to be repeated."""
    client = site.client(sdk, site.url)
    texts_arrive(site, sdk, client)
    site.end_token(sdk, by_thief=True)
    said = client.ask("upload")

    assert "MEDIA" == said.get("answer", {}).get("media_id"), said
    assert PICTURE in site.uploads[-1]


@pytest.mark.parametrize("sdk", that_can("ticket"), ids=ids)
def test_ticket(site: Site, sdk: SDK) -> None:
    """Tickets for the JS-SDK are had with the hub's token, before and after a theft."""
    client = site.client(sdk, site.url)
    said = client.ask("ticket")
    assert said.get("answer") == site.ticket(sdk), said
    assert not site.is_wechats(sdk, said["token"])

    site.end_token(sdk, by_thief=True)
    assert client.ask("ticket")["answer"] == site.ticket(sdk)


def test_hub_killed(site: Site) -> None:
    """All go on at a hub that was killed and knows nothing of them, with the token that they have."""
    clients = [(sdk, site.client(sdk, site.url)) for sdk in SDKS]
    held = [texts_arrive(site, sdk, client) for sdk, client in clients]
    site.kill_hub()

    assert held == [texts_arrive(site, sdk, client) for sdk, client in clients]


# Those that heal by themselves, as callers that are given WeChat's own tokens and call WeChat themselves.
HEALERS = (("wechatpy", "call"), ("wechatpy-wecom", "call"), ("co-wechat-api", "code"))


@pytest.mark.parametrize(("name", "what"), HEALERS)
def test_heals_itself(site: Site, name: str, what: str) -> None:
    """One that asks again for a token gets a living one, and each theft costs one fetch."""
    sdk = BY_NAME[name]
    client = site.client(sdk, site.url, direct=True, WECHAT_API_URL=site.simulator.url)
    before, tokens = site.fetches(sdk), set()
    for count in range(1, 4):
        said = client.ask(what)
        assert "error" not in said, said["error"]
        assert site.is_wechats(sdk, said["token"])
        assert count == site.fetches(sdk) - before
        tokens.add(said["token"])
        site.pass_time(60)
        site.end_token(sdk, by_thief=True)
    assert 3 == len(tokens)


@pytest.mark.parametrize(("name", "what"), HEALERS)
def test_workers_with_one_key(site: Site, name: str, what: str) -> None:
    """Processes of one service, each with its own copy of the token, heal at the same time: one fetch for a theft."""
    sdk = BY_NAME[name]
    clients = [site.client(sdk, site.url, direct=True, WECHAT_API_URL=site.simulator.url) for _ in range(WORKERS)]
    before = site.fetches(sdk)
    with ThreadPoolExecutor(WORKERS) as threads:
        for count in range(1, 4):
            said = list(threads.map(lambda each: each.ask(what), clients))
            assert [] == [each["error"] for each in said if "error" in each]
            assert count == site.fetches(sdk) - before
            site.pass_time(60)
            site.end_token(sdk, by_thief=True)


@pytest.mark.parametrize(("name", "what"), HEALERS)
def test_stolen_once_it_was_found_good(site: Site, name: str, what: str) -> None:
    """A token that is stolen right after the hub has found it good, as another process had asked, is replaced, too."""
    sdk = BY_NAME[name]
    one, other = (site.client(sdk, site.url, direct=True, WECHAT_API_URL=site.simulator.url) for _ in range(2))
    held = one.ask(what)["token"]
    assert held == other.ask(what)["token"]
    site.end_token(sdk, by_thief=True)
    said = one.ask(what)

    assert "error" not in said, said["error"]
    assert held != said["token"]


@pytest.mark.parametrize(("name", "what"), [HEALERS[0], HEALERS[2]])
def test_to_its_end(site: Site, name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is given what is left of a token's life has none rejected: it comes back in time for the next."""
    monkeypatch.setattr(site.wechat, "overlap", 300.0)
    sdk = BY_NAME[name]
    client = site.client(sdk, site.url, direct=True, WECHAT_API_URL=site.simulator.url)
    first = client.ask(what)["token"]
    site.wechat.reset_counters()
    site.pass_time(LIFE - 5)
    wait_until(lambda: client.ask(what)["token"] != first, "The next token does not come.")
    site.pass_time(10)

    assert "error" not in client.ask(what)
    assert 0 == site.wechat.rejections()


@pytest.mark.parametrize("name", ["wechatpy", "wechatpy-wecom"])
def test_without_end(site: Site, name: str) -> None:
    """wechatpy asks again without end while WeChat says 40001 to a token that lives: 45011 ends that."""
    sdk = BY_NAME[name]
    client = site.client(sdk, site.url, direct=True, WECHAT_API_URL=site.simulator.url)
    client.ask("call")
    before = site.fetches(sdk)
    path = "/cgi-bin/message/send" if sdk.wecom else "/cgi-bin/message/custom/send"
    fault = site.wechat.faults.add(path, "errcode", None, errcode=40001)
    said = client.ask("call")
    fault.remove()

    assert "45011" in said["error"]
    assert fault.hits < 400
    assert 0 == site.fetches(sdk) - before


def test_within_its_patience(site: Site) -> None:
    """While WeChat's token endpoint hangs, a call is answered before co-wechat-api gives up, which is after 3 s."""
    sdk = BY_NAME["co-wechat-api"]
    client = site.client(sdk, site.url)
    texts_arrive(site, sdk, client)
    fault = site.wechat.faults.add("/cgi-bin/stable_token", "hang", None, seconds=None)
    site.end_token(sdk, by_thief=True)
    said = client.ask("call")
    fault.remove()

    assert said["error"].startswith("WeChatAPIError"), said
    site.pass_time(60)
    texts_arrive(site, sdk, client)
