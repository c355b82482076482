"""`wxmiddleware serve`: real processes, signals and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.program import PATIENCE

from wxmiddleware.hub import new_key
from wxmiddleware.hub._server import note_hang_ups, run, server
from wxmiddleware.simulator import SimulatorServer

from .served import Served, command, until

pytestmark = pytest.mark.processes


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with SimulatorServer() as server:
        made = Served(tmp_path, server)
        yield made
        made.close()


def test_serves(served: Served) -> None:
    """At each of its addresses; it says what it does, and nothing secret."""
    served.start()
    unix = httpx.Client(transport=httpx.HTTPTransport(uds=str(served.room / "hub.sock")), base_url="http://hub")
    answers = [served.token(), served.token(http=unix)]
    health = unix.get("/livez")
    unix.close()
    served.signal(signal.SIGTERM)

    assert 0 == served.process.wait(PATIENCE)
    assert all(served.wechat.is_valid(answer["access_token"]) for answer in answers)
    assert (200, "ok\n") == (health.status_code, health.text)
    assert "server" not in health.headers
    assert ["shop", "shop"] == [line["caller"] for line in served.audit]
    assert not (served.room / "hub.sock").exists()
    for text in (served.said, (served.room / "stdout").read_text()):
        assert not [each for each in (served.key, served.wechat.secret, answers[0]["access_token"]) if each in text]


def test_a_call(served: Served) -> None:
    """A call goes on to WeChat, and the audit says how it went."""
    served.start()
    bearer = {"Authorization": f"Bearer {served.key}"}
    answer = served.http.get(f"/{served.wechat.appid}/cgi-bin/getcallbackip", headers=bearer).json()
    until(lambda: served.audit)

    assert "ip_list" in answer
    assert [("gateway", "ok")] == [(line["face"], line["result"]) for line in served.audit]


def test_keeps(served: Served) -> None:
    """With a store the token is there before anybody asks."""
    served.start()
    until(lambda: served.wechat.fetches() == 1)


def test_socket_mode(served: Served) -> None:
    served.start()

    assert 0o660 == (served.room / "hub.sock").stat().st_mode & 0o777


def test_name_of_a_killed_process(served: Served) -> None:
    """The name of a unix socket that a killed process left is taken over; that of one that lives is not."""
    served.start()
    served.process.kill()
    served.process.wait()
    served.start()
    other = command(served, "serve", str(served.path))

    assert 2 == other.returncode
    assert "another process does" in other.stderr
    assert served.token(http=served.http)["access_token"]


def test_reload(served: Served) -> None:
    """Another caller comes, the one before goes; what did not change is kept, and nothing is fetched."""
    served.start()
    before, other = served.token(), new_key()
    served.reload(served.top, served.account, served.caller_of("other", other))

    assert 40125 == served.token()["errcode"]
    assert before["access_token"] == served.token(other)["access_token"]
    assert 1 == served.wechat.fetches()
    assert served.says("accounts as before, callers changed, secrets as before, store as before.")


def test_signal_before_it_serves() -> None:
    """A SIGHUP that came while it started is acted on as soon as it serves."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        noted = note_hang_ups()
        os.kill(os.getpid(), signal.SIGHUP)

        async def reload() -> None:
            made.should_exit = True

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "lifespan"
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

        made = server(app, leave=lambda: None, grace=1, connections=10)
        asyncio.run(run(made, [], reload, noted))
    finally:
        signal.signal(signal.SIGHUP, before)

    assert [signal.SIGHUP] == noted


def test_reload_of_a_bad_file(served: Served) -> None:
    served.start()
    served.reload("keep = 1\n", served.top, served.account, served.caller)

    assert 0 == served.token()["errcode"]
    assert served.says("The settings stay as they were.")
    assert served.says("keep: must be true or false")


def test_reload_of_what_needs_a_restart(served: Served) -> None:
    served.start()
    served.reload("grace = 7\n", served.top, served.account, served.caller)

    assert served.says("Restart it for grace")


def test_reload_under_load(served: Served) -> None:
    """Settings are exchanged again and again, and no request notices."""
    served.start()
    stop, wrong = threading.Event(), []

    def ask() -> None:
        with httpx.Client(base_url=f"http://{served.host}", timeout=30) as http:
            while not stop.is_set():
                answer = served.token(http=http)
                if answer["errcode"] != 0:
                    wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(8):
        store = f'store = "file:{served.room}/tokens{number % 2}.json"\n'
        top = re.sub("store = .*\n", store, served.top)
        served.reload(top, served.account, served.caller, served.caller_of(f"more{number}", new_key()))
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert [] == wrong
    assert served.process.poll() is None
    assert not served.says("Traceback")


def test_end_with_a_request_under_way(served: Served) -> None:
    """A request whose body is still to come is answered after the signal; nobody new is let in."""
    served.start()
    appid, key = served.wechat.appid, served.key
    body = json.dumps({"grant_type": "client_credential", "appid": appid, "secret": key}).encode()
    with served.connect() as slow:
        head = f"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body[:10])
        until(lambda: served.http.get("/livez").status_code == 200)
        served.signal(signal.SIGTERM)
        until(lambda: refused(served))
        slow.sendall(body[10:])
        answer = slow.makefile("rb").read()

    assert b'"errcode":0' in answer
    assert 0 == served.process.wait(PATIENCE)


def test_end_with_a_download_under_way(served: Served) -> None:
    """Who reads slowly gets all of it."""
    picture = bytes(range(256)) * 100_000
    served.wechat.route("/cgi-bin/material/get_material", picture, method="GET")
    served.start()
    bearer = {"Authorization": f"Bearer {served.key}"}
    url = f"/{served.wechat.appid}/cgi-bin/material/get_material"
    with served.http.stream("GET", url, headers=bearer) as answer:
        chunks = answer.iter_raw()
        got = [next(chunks)]
        served.signal(signal.SIGTERM)
        until(lambda: refused(served))
        got += chunks

    assert picture == b"".join(got)
    assert 0 == served.process.wait(PATIENCE)


def test_end_with_a_follower_that_waits(served: Served) -> None:
    """Who waits for the next token is answered at once; the end does not wait for it."""
    served.write("grace = 10\n", served.top, served.account, served.caller)
    served.start()
    headers = {"Authorization": f"Bearer {served.key}", "Wxmiddleware": "1"}
    path = f"/v1/tokens/{served.wechat.appid}"
    first = served.http.get(path, headers=headers)
    lines = [f"GET {path}?wait=60 HTTP/1.1", "Host: hub", f"If-None-Match: {first.headers['etag']}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with served.connect() as follower:
        follower.sendall("\r\n".join([*lines, "", ""]).encode())
        assert 200 == served.http.get("/livez").status_code  # by then the follower's request was read
        served.signal(signal.SIGTERM)
        answer = follower.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 304 ")
    assert 0 == served.process.wait(PATIENCE)


def test_end_with_a_fetch_under_way(served: Served, tmp_path: Path) -> None:
    """The token that WeChat made is kept for the others: the one before is dead."""
    served.wechat.token_latency = 1.0
    served.start()
    until(lambda: served.wechat.in_progress or served.wechat.fetches())
    served.signal(signal.SIGTERM)

    assert 0 == served.process.wait(PATIENCE)
    assert str(served.wechat.current(slot="stable")) in (tmp_path / "tokens.json").read_text()


def refused(served: Served) -> bool:
    try:
        served.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_grace(served: Served) -> None:
    """Who takes too long is cut in the end."""
    served.write("grace = 0.5\n", served.top, served.account, served.caller)
    served.start()
    with served.connect() as slow:
        slow.sendall(b"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: hub\r\nContent-Length: 9\r\n\r\n")
        until(lambda: served.http.get("/livez").status_code == 200)
        served.signal(signal.SIGINT)

        assert 0 == served.process.wait(PATIENCE)


def test_outages(served: Served) -> None:
    """Neither WeChat's outage nor the store's takes it out, and it serves what it has."""
    served.write(served.top.replace("file:", "file:no-such-directory/"), served.account, served.caller)
    served.start()
    before = served.token()
    served.wechat.faults.add("/cgi-bin/stable_token", "errcode", times=None, errcode=-1)
    health = [served.http.get(path).status_code for path in ("/livez", "/readyz")]
    after = served.token()

    assert [200, 200] == health
    until(lambda: served.says("store_failed"))
    assert before["access_token"] == after["access_token"]


def test_check(served: Served) -> None:
    """It says what would be served, tries the store and what gives secrets, and asks WeChat nothing."""
    served.write()
    done = command(served, "serve", str(served.path), "--check")

    assert (0, "") == (done.returncode, done.stderr)
    assert f"account  {served.wechat.appid}: stable, secret from environment APP_SECRET" in done.stdout
    assert "caller   shop: 1 key" in done.stdout
    assert "answers" in done.stdout
    assert 0 == served.wechat.calls()


@pytest.mark.parametrize(
    ("old", "new", "code", "says"),
    [
        ("store = .*", 'store = "redis://127.0.0.1:1/0"', 4, "RedisStore"),
        ("secret = .*", 'secret = { command = ["false"] }', 2, "the command false ended with 1"),
        ("secrets = .*", "", 2, "nothing is there to sign"),
        ("store = .*", 'store = "memory:"', 2, "store: That store is in the memory of one process"),
        ("store = .*", 'store = "rediss3://h"', 2, "store: No store has a URL of this kind"),
    ],
)
def test_check_finds(served: Served, old: str, new: str, code: int, says: str) -> None:
    served.write(*(re.sub(old, new, part) for part in (served.top, served.account, served.caller_of("a", "b", ""))))
    done = command(served, "serve", str(served.path), "--check")

    assert code == done.returncode
    assert says in done.stderr


def test_check_warns_of_a_caller_without_accounts(served: Served) -> None:
    """What --new-caller prints may stand in the file as it is, and lets nobody use anything."""
    served.write(*served.parts, served.caller_of("idle", "key").replace(f'"{served.wechat.appid}"', ""))
    done = command(served, "serve", str(served.path), "--check")

    assert 0 == done.returncode
    assert "warning  The caller idle may use nothing yet" in done.stdout
    assert "The caller shop may use nothing" not in done.stdout


def test_new_caller(served: Served) -> None:
    """What is printed to the standard output goes into the file as it is; the key opens the hub."""
    done = command(served, "serve", "--new-caller", "shop.php")
    key = done.stderr.splitlines()[-1]
    served.write(served.top, served.account, done.stdout.replace("[]", f'["{served.wechat.appid}"]'))
    served.start()

    assert 0 == done.returncode
    assert key not in done.stdout
    assert 0 == served.token(key)["errcode"]


def test_new_caller_without_a_name(served: Served) -> None:
    done = command(served, "serve", "--new-caller", "a b")

    assert 2 == done.returncode
    assert "A caller's name must be" in done.stderr


def test_new_secret(served: Served) -> None:
    made = {command(served, "serve", "--new-secret").stdout.strip() for _ in range(2)}

    assert 2 == len(made)
    assert all(len(each) >= 32 for each in made)


def test_no_file(served: Served) -> None:
    done = command(served, "serve")

    assert (2, True) == (done.returncode, "Name the file of the hub" in done.stderr)
