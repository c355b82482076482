"""The checks of what WeChat and the record say: each is made to fail, and only it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from doctor.conftest import Doctor
from wxmiddleware import Account, ClassicToken, Runtime, TokenProvider
from wxmiddleware._rules.models import Cause, Cooldown, Failure, Grant, Lease, Record, SuiteAccount
from wxmiddleware._rules.policies import china_day
from wxmiddleware._runtime import process
from wxmiddleware.cli.doctor.asking import Said
from wxmiddleware.cli.doctor.calls import judge_api, judge_egress, judge_quota, judge_rid
from wxmiddleware.cli.doctor.credentials import Word, judge_fetch, judge_pause, judge_word, word_of
from wxmiddleware.cli.doctor.findings import Level
from wxmiddleware.cli.doctor.records import judge_record, judge_ticket
from wxmiddleware.cli.doctor.rivals import judge_rivals, period
from wxmiddleware.simulator import SimulatedApp, SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.stores import Loaded, record_key
from wxmiddleware.stores.jsonfile import JSONFileStore

HOUR = 3600.0
NO = Failure(Cause.TRANSIENT, "WeChat is busy.")
REFUSED = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6aac0063-7ed08fb9-1250f724"


@pytest.fixture
def key(wechat_account: Account) -> str:
    return record_key(wechat_account, "stable")


@pytest.fixture
def change(file_store: Path, key: str) -> Callable[..., None]:
    """Change the record that the services share."""

    def make(change: Callable[[Record, float], Record]) -> None:
        store = JSONFileStore(file_store)
        loaded = store.load(key)
        assert store.save(key, change(loaded.record or Record(), loaded.now), loaded.version) is not None

    return make


class TestFetch:
    def test_asks_once_and_spends_nothing_else(self, doctor: Doctor, wechat: WeChat) -> None:
        """With --active the stable endpoint is asked once, never the classic one; without, none is."""
        doctor()
        assert 0 == wechat.fetches()

        visit = doctor("--active", "--source", "classic")

        assert "fetch.ok" == visit.checks["fetch"]["finding"]
        assert "token.fetched" == visit.checks["token"]["finding"]
        assert (0, 2) == (wechat.fetches(slot="classic"), wechat.fetches(slot="stable"))  # English, then Chinese

    def test_ends_no_token(self, doctor: Doctor, wechat: WeChat, wechat_account: Account) -> None:
        """The token in use lives on."""
        with TokenProvider(wechat_account) as provider:
            token = provider.get_token()
            doctor("--active")

            assert wechat.is_valid(token)

    @pytest.mark.parametrize(
        ("kind", "options", "finding"),
        [
            ("reset", {}, "fetch.silent"),
            ("html", {}, "fetch.silent"),
            ("errcode", {"errcode": -1}, "fetch.refused"),
        ],
    )
    def test_no_answer(self, doctor: Doctor, wechat: WeChat, kind: str, options: dict[str, Any], finding: str) -> None:
        """A token endpoint that gives no answer is the cause."""
        wechat.faults.add("/cgi-bin/stable_token", kind, None, **options)

        doctor("--active").only("fetch", finding)

    def test_without_a_secret(self) -> None:
        """Without a secret it cannot be asked."""
        assert "fetch.no_secret" == judge_fetch(None, active=True, secret=False).key


class TestRefused:
    def test_account(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """An AppID that WeChat does not know is the cause."""
        environment.setenv("WECHAT_APPID", "wx0000000000000000")
        found = doctor("--active").only("account", "word.refused")

        assert "Check the AppID" in found["todo"]
        assert 40013 == found["data"]["errcode"]

    @pytest.mark.parametrize("errcode", [40125, 40001])
    def test_credentials(self, doctor: Doctor, environment: pytest.MonkeyPatch, wechat: WeChat, errcode: int) -> None:
        """So is a wrong secret."""
        wechat.wrong_secret_errcode = errcode
        environment.setenv("WECHAT_SECRET", "0" * 32)
        visit = doctor("--active", secrets=("0" * 32,))

        visit.only("credentials", "word.refused")
        assert "word.known" == visit.checks["account"]["finding"]
        assert "检查开发者密码(AppSecret)" in visit.text

    def test_frozen(self, doctor: Doctor, wechat: WeChat) -> None:
        """So is a frozen secret."""
        wechat.accounts[wechat.appid].frozen = True

        doctor("--active").only("frozen", "word.refused")

    def test_allowlist(self, doctor: Doctor, wechat: WeChat) -> None:
        """So is an address that is not on the list; it is shown, as WeChat has to be told it."""
        wechat.accounts[wechat.appid].ip_allowlist = ["203.0.113.0/24"]
        visit = doctor("--active")
        found = visit.only("allowlist", "word.refused")

        assert "Add 127.0.0.1 to the account's IP allowlist" in found["todo"]
        assert "把 127.0.0.1 加入该账号的IP白名单" in visit.text

    def test_fleet_was_refused(self, doctor: Doctor, change: Callable[..., None], wechat: WeChat) -> None:
        """What the fleet was told stands in the record, so nobody has to be asked; the address is shown in full."""
        failure = Failure(Cause.PERMANENT, "No.", 40164, REFUSED, retry_after=60.0)
        change(lambda record, now: Record(cooldown=Cooldown(now + 20.0, failure)))
        visit = doctor()

        assert "203.0.113.7" in visit.only("allowlist", "word.refused")["todo"]
        assert "203.0.113.7" in visit.text
        assert "pause" in [name for name, check in visit.checks.items() if check["blocked_by"] == "allowlist"]

    def test_quota(self, doctor: Doctor, wechat: WeChat) -> None:
        """A spent quota of fetches is the cause."""
        wechat.stable_daily_quota = 0

        visit = doctor("--active")
        assert "quota --clear" in visit.only("quota", "quota.spent")["todo"]
        assert "--active" not in str([each.get("todo") for each in visit.checks.values()])


class TestWord:
    def test_fetched_goes_first(self) -> None:
        """What we are told now counts before what the fleet was told."""
        record = Record(cooldown=Cooldown(100.0, NO))

        assert Word(None) == word_of(Grant("88_x", 7200), record, 50.0, "")
        assert Word(NO) == word_of(NO, record, 50.0, "")
        assert Word(NO, 0.0) == word_of(None, Record(cooldown=Cooldown(50.5, NO)), 50.5 - 0.5, "")

    def test_of_another_secret(self) -> None:
        """A failure about another secret tells nothing about ours."""
        record, paused = Record(cooldown=Cooldown(100.0, NO, mark="theirs")), replace(NO, retry_after=100.0)

        assert None is word_of(None, record, 50.0, "ours")
        assert Word(paused, 50.0) == word_of(None, Record(cooldown=Cooldown(100.0, paused)), 50.0, "ours")
        assert Level.WARN is judge_pause(record, 50.0, "ours").level

    def test_token_of_the_fleet(self) -> None:
        """A token that the fleet was given tells that all was right then."""
        assert Word(None, 40.0) == word_of(None, Record(1, "88_x", 100.0, received_at=10.0), 50.0, "")
        assert None is word_of(None, Record(), 50.0, "")

    def test_not_told(self) -> None:
        """Of what WeChat looks at later nobody knows, if it says no before."""
        word = Word(Failure(Cause.PERMANENT, "No.", 40125))

        assert Level.SKIP is judge_word(word, "allowlist", frozenset({40164})).level
        assert Level.SKIP is judge_word(Word(NO), "account", frozenset({40013})).level


class TestWeCom:
    CORPID, SECRET = "ww8a1b2c3d4e5f6a7b", "s3cr3t-0f-the-app-0123456789012345678901234"

    @pytest.fixture(autouse=True)
    def app(self, environment: pytest.MonkeyPatch, wechat: WeChat, wechat_server: SimulatorServer) -> SimulatedApp:
        """An app of a corp, in the environment."""
        for name, value in (("CORPID", self.CORPID), ("SECRET", self.SECRET), ("AGENTID", "7")):
            environment.setenv(f"WECOM_{name}", value)
        environment.setenv("WECOM_BASE_URL", wechat_server.url)
        return wechat.add_app(self.CORPID, self.SECRET, agentid=7)

    def test_sound(self, doctor: Doctor) -> None:
        """An app of WeCom is looked at, too; what WeCom has not is skipped."""
        visit = doctor("--wecom", "--active", secrets=(self.SECRET,))

        assert {"ok", "skip"} == {each["level"] for each in visit.checks.values()}
        assert ("api.ok", "any.wecom") == tuple(visit.checks[name]["finding"] for name in ("api", "quota"))

    def test_wrong_secret(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A wrong secret is the cause."""
        environment.setenv("WECOM_SECRET", "wr0ng-secret")
        found = doctor("--wecom", "--active", secrets=("wr0ng-secret",)).only("credentials", "word.refused")

        assert "another corp's" in found["todo"]

    def test_trusted_addresses(self, doctor: Doctor, app: SimulatedApp) -> None:
        """So is an address that is not trusted."""
        app.ip_allowlist = ["203.0.113.0/24"]

        assert "企业可信IP" in doctor("--wecom", "--active").only("allowlist", "word.refused")["todo"]


class TestPause:
    def test_in_force(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """A back-off after a failure that passes by itself is the cause."""
        change(lambda record, now: Record(cooldown=Cooldown(now + 30.0, NO, 4)))
        found = doctor().only("pause", "pause.on")

        assert "wxmiddleware retry" in found["todo"]
        assert 4 == found["data"]["streak"]


class TestRecord:
    def test_later_version(self, doctor: Doctor, file_store: Path, key: str) -> None:
        """A record that only a later version can read is the cause."""
        text = file_store.read_text()
        file_store.write_text(text.replace('"v": 1', '"v": 2'))

        doctor().only("record", "record.unreadable")

    def test_not_asked_for(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """A token that nobody has renewed is told."""
        change(lambda record, now: replace(record, expires_at=now - 60.0, rejected_at=now))

        doctor().only("record", "record.expired", "warn")

    def test_other_kind(self, doctor: Doctor, file_store: Path) -> None:
        """That the services use the other endpoint is told."""
        assert "--source stable" in doctor("--source", "classic").only("record", "record.other_kind", "warn")["todo"]

    def test_other_realm(self, doctor: Doctor, environment: pytest.MonkeyPatch, file_store: Path) -> None:
        """So is another realm."""
        environment.setenv("WECHAT_REALM", "elsewhere")

        doctor().only("record", "record.other_realm", "warn")

    def test_empty(self) -> None:
        """A record without a token."""
        assert Level.WARN is judge_record("wx", Record(), 5.0).level
        assert Level.OK is judge_record("wx", Record(cooldown=Cooldown(9.0, NO)), 5.0).level


def test_lease(doctor: Doctor, change: Callable[..., None]) -> None:
    """A lease of a process that has ended is told."""
    host, _, start, space, _ = process.name().split("/")
    owner = f"{host}/{2**22 + 1}/{start}/{space}/0a1b"
    change(lambda record, now: replace(record, lease=Lease(owner, now + 8.0)))

    doctor().only("lease", "lease.gone", "warn")


class TestAPI:
    def test_rejected(self, doctor: Doctor, file_store: Path, wechat: WeChat) -> None:
        """A token that WeChat does not honour any more is the cause."""
        wechat.revoke()

        doctor().only("api", "api.rejected")

    @pytest.mark.parametrize(
        ("said", "recorded", "key"),
        [
            (Said(42001, "access_token expired"), True, "api.rejected"),
            (Said(40001, "invalid credential"), False, "api.rejected_new"),
            (Said(40164, REFUSED), True, "api.refused"),
            (Said(None, problem="It did not answer."), True, "api.silent"),
        ],
    )
    def test_answers(self, said: Said, recorded: bool, key: str) -> None:
        """What an API may say."""
        assert key == judge_api(said, recorded=recorded).key

    def test_sealed(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """An encrypted token is told, and not sent anywhere."""
        change(lambda record, now: replace(record, value="fernet:gAAAA"))

        doctor(secrets=("gAAAA",)).only("token", "token.sealed", "warn")


class TestQuota:
    def test_gone(self, doctor: Doctor, file_store: Path, wechat: WeChat) -> None:
        """A spent quota is the cause, as WeChat counts it."""
        wechat.stable_daily_quota = 1
        found = doctor().only("quota", "quota.gone")

        assert (1, 1) == (found["data"]["daily_limit"], found["data"]["used"])

    def test_nearly(self, doctor: Doctor, file_store: Path, wechat: WeChat) -> None:
        """A quota that is nearly spent is told."""
        wechat.stable_daily_quota = 5
        for _ in range(3):
            wechat.stable_token()

        doctor().only("quota", "quota.nearly", "warn")

    def test_command(self, doctor: Doctor, file_store: Path) -> None:
        """The command tells it of any API, and of a path that is none."""
        visit = doctor("--path", "/cgi-bin/user/get", command="quota")
        wrong = doctor("--path", "/cgi-bin/none", command="quota")

        assert 500 == visit.checks["quota"]["data"]["daily_limit"]
        assert "今天已用" in visit.text
        assert "quota.no_path" == wrong.checks["quota"]["finding"]
        assert (0, 1) == (visit.code, wrong.code)

    def test_without_a_token(self, doctor: Doctor) -> None:
        """Without a store it says what it needs, and has not done what it was to."""
        visit = doctor(command="quota")

        assert "--active" in visit.checks["quota"]["todo"]
        assert 1 == visit.code

    def test_clear(self, doctor: Doctor, wechat: WeChat) -> None:
        """It is reset only on request, also where no token can be had."""
        wechat.daily_quota = 1
        wechat.token()
        doctor()
        assert 1 == wechat.quota_used()

        visit = doctor("--clear", command="quota")

        assert 0 == wechat.quota_used()
        assert "quota.cleared" == visit.checks["quota"]["finding"]

    def test_no_more_clears(self, doctor: Doctor) -> None:
        """After the month's ten it is told."""
        for _ in range(5):
            doctor("--clear", command="quota")  # in both languages

        doctor("--clear-quota").only("quota", "quota.no_more_clears")

    def test_unlimited(self) -> None:
        """Some APIs have no limit a day."""
        assert "quota.endless" == judge_quota("/wxa/x", Said(0, fields={"quota": {"daily_limit": 0, "used": 3}})).key


class TestEgress:
    def test_address(self, doctor: Doctor, file_store: Path) -> None:
        """WeChat's record of a request of ours tells the address."""
        assert ["127.0.0.1"] == doctor().checks["egress"]["data"]["addresses"]

    def test_several(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """Another address than one that was refused before is told, with both."""
        failure = Failure(Cause.PERMANENT, "No.", 40164, REFUSED)
        change(lambda record, now: replace(record, cooldown=Cooldown(now - 5.0, failure)))
        found = doctor().only("egress", "egress.several", "warn")

        assert ["127.0.0.1", "203.0.113.7"] == found["data"]["addresses"]

    def test_unknown(self) -> None:
        """It may be that nobody tells."""
        assert Level.SKIP is judge_egress(None, []).level


class TestRivals:
    def test_cron(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """Tokens that are replaced every 7000 s are another system's timer."""
        late = (0.0, 120.0, 30.0, 200.0, 60.0)
        change(lambda record, now: replace(record, replaced=tuple(now - 7000.0 * (5 - n) + late[n] for n in range(5))))
        visit = doctor()
        found = visit.only("rivals", "rivals.regular")

        assert 7000 == pytest.approx(found["data"]["every"], abs=60)
        assert "that is a timer (cron) of another system" in found["seen"]
        assert "定时任务" in visit.text

    def test_real_cron(
        self, wechat: WeChat, wechat_clock: SimulatedClock, wechat_account: Account, tmp_path: Path, key: str
    ) -> None:
        """It is told of a system that fetches by a timer, from nothing but the tokens that it has ended."""
        store = JSONFileStore(tmp_path / "token.json", clock=wechat_clock)
        runtime = Runtime(clock=wechat_clock, time=wechat_clock)
        with TokenProvider(wechat_account, store=store, runtime=runtime) as provider:
            for late in (10, 200, 60, 130):
                token = provider.get_token()
                wechat.revoke()
                wechat.steal(slot="stable")
                wechat_clock.advance(late)
                assert provider.get_token(rejected=token) == wechat.current(slot="stable")
                wechat_clock.advance(3600 - late)
        loaded = store.load(key)
        assert loaded.record is not None
        found = judge_rivals(loaded.record, loaded.now)

        assert "rivals.regular" == found.key
        assert 3600 == pytest.approx(found.data["every"], abs=100)

    def test_now_and_then(self, doctor: Doctor, change: Callable[..., None]) -> None:
        """At other times it is one that fetches when it needs to."""
        change(lambda record, now: replace(record, replaced=(now - 9 * HOUR, now - 7.3 * HOUR, now - HOUR, now - 5.0)))

        doctor().only("rivals", "rivals.irregular")

    def test_counted(
        self,
        doctor: Doctor,
        environment: pytest.MonkeyPatch,
        wechat: WeChat,
        wechat_account: Account,
        tmp_path: Path,
    ) -> None:
        """WeChat's count tells of fetches that are not the fleet's, with the classic endpoint."""
        environment.setenv("WXM_STORE", f"file:{tmp_path}/token.json")
        wechat.overlap, wechat.keep_previous = 300.0, 9
        store = JSONFileStore(tmp_path / "token.json")
        with TokenProvider(wechat_account, source=ClassicToken(), store=store) as provider:
            provider.get_token()
        for _ in range(5):
            wechat.steal(slot="classic")
        found = doctor("--source", "classic").only("rivals", "rivals.counted")

        assert (6, 1) == (found["data"]["used_today"], found["data"]["fetched_today"])

    @pytest.mark.parametrize(
        ("gaps", "expected"),
        [
            ([7000.0, 7000.0], 7000.0),
            ([7000.0, 14000.0, 7100.0], 7033.3),
            ([7000.0, 9500.0, 7000.0], None),
            ([7000.0], None),
            ([30.0, 30.0, 30.0], None),
        ],
    )
    def test_period(self, gaps: list[float], expected: float | None) -> None:
        """A gap may be several periods long; what is too short is our own rate limit."""
        times = [sum(gaps[:n]) for n in range(len(gaps) + 1)]

        assert expected == pytest.approx(period(times), abs=1.0)

    def test_nobody(self) -> None:
        """One or two are no proof, and old ones are over."""
        now = 1_700_000_000.0

        assert "rivals.none" == judge_rivals(Record(replaced=(now - 30 * 86400.0,)), now).key
        assert "rivals.once" == judge_rivals(Record(replaced=(now - HOUR,)), now).key
        assert Level.OK is judge_rivals(Record(fetched=12, fetched_day=china_day(now)), now, 14).level


class TestRid:
    def rid(self, wechat: WeChat, server: SimulatorServer) -> str:
        """The id of a request that was refused."""
        token = wechat.stable_token()["access_token"]
        answer = requests.post(
            f"{server.url}/cgi-bin/message/custom/send?access_token={token}",
            json={"touser": "?", "text": {"content": "private words"}},
            timeout=10,
        ).json()
        return str(answer["errmsg"].rpartition("rid: ")[2])

    def test_command(self, doctor: Doctor, file_store: Path, wechat: WeChat, wechat_server: SimulatorServer) -> None:
        """The command shows what became of a request, and nothing of its body."""
        visit = doctor(self.rid(wechat, wechat_server), command="rid", secrets=("private words",))
        found = visit.checks["rid"]

        assert (0, "rid.error") == (visit.code, found["finding"])
        assert ("/cgi-bin/message/custom/send", 40003) == (found["data"]["path"], found["data"]["errcode"])
        assert "Check the openid" in found["seen"]
        assert "检查 openid" in visit.text

    def test_unknown(self, doctor: Doctor, file_store: Path) -> None:
        """A request that WeChat does not know is told."""
        doctor("--rid", "61725984-6126f6f9-040f19c4").only("rid", "rid.not_found")

    @pytest.mark.parametrize(
        ("said", "key"),
        [(Said(76002), "rid.form"), (Said(76003), "rid.other_account"), (Said(48001), "rid.refused")],
    )
    def test_refused(self, said: Said, key: str) -> None:
        """What else WeChat may say."""
        assert key == judge_rid(said).key

    def test_no_rid(self, doctor: Doctor, file_store: Path) -> None:
        """What is no rid is not sent."""
        assert 1 == doctor("88_token", command="rid").code


class TestTicket:
    COMPONENT = "wx1111111111111111"

    def put(self, file_store: Path, server: SimulatorServer, age: float) -> None:
        store = JSONFileStore(file_store)
        key = record_key(Account(self.COMPONENT, "s", base_url=server.url), "component_verify_ticket")
        loaded = store.load(key)
        at = loaded.now - age
        store.save(key, Record(1, "ticket@@@x", at + 43_200.0, received_at=at, refresh="keep"), loaded.version)

    @pytest.mark.parametrize(
        ("age", "finding", "level"), [(7200.0, "ticket.late", "warn"), (50_000.0, "ticket.ended", "fail")]
    )
    def test_old(
        self, doctor: Doctor, file_store: Path, wechat_server: SimulatorServer, age: float, finding: str, level: str
    ) -> None:
        """A ticket that came long ago is told."""
        self.put(file_store, wechat_server, age)

        doctor("--component", self.COMPONENT, secrets=("ticket@@@x",)).only("ticket", finding, level)

    @pytest.mark.parametrize(
        ("age", "finding", "level"),
        [
            (600.0, "suite_ticket.ok", "ok"),
            (1500.0, "suite_ticket.late", "warn"),
            (1900.0, "suite_ticket.ended", "fail"),
        ],
    )
    def test_of_a_suite(
        self, doctor: Doctor, file_store: Path, wechat_server: SimulatorServer, age: float, finding: str, level: str
    ) -> None:
        """A suite's ticket is late after 20 minutes, and over after 30."""
        store = JSONFileStore(file_store)
        key = record_key(SuiteAccount("ww5d0f", "s", base_url=wechat_server.url), "suite_ticket")
        loaded = store.load(key)
        at = loaded.now - age
        store.save(key, Record(1, "tk-x", at + 1800.0, received_at=at, refresh="keep"), loaded.version)

        visit = doctor("--suite", "ww5d0f", secrets=("tk-x",))
        assert finding == visit.checks["suite_ticket"]["finding"]
        assert level == visit.level("suite_ticket")

    def test_no_ticket_of_a_suite(self, doctor: Doctor, file_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The id may come from the environment, and must be one."""
        monkeypatch.setenv("WECOM_SUITE_ID", "ww5d0f")
        doctor().only("suite_ticket", "suite_ticket.missing")
        doctor("--suite", "two words").only("suite_ticket", "suite_ticket.wrong")

    def test_missing(self, doctor: Doctor, file_store: Path) -> None:
        """So is none at all."""
        doctor("--component", self.COMPONENT).only("ticket", "ticket.missing")

    def test_new(self) -> None:
        """One of a moment ago is good."""
        record = Record(1, "ticket@@@x", 1000.0, received_at=0.0)

        assert Level.OK is judge_ticket(Loaded(record, "1", 100.0)).level
        assert Level.OK is judge_ticket(Loaded(replace(record, value="fernet:x"), "1", 100.0)).level
