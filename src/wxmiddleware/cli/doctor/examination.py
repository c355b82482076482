"""What the checks look at: the account, its store and what WeChat answers, each asked for once and when needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._rules.identity import record_key
from ..._rules.models import Account, Failure, Grant, Loaded, Record, WeComAccount
from ..._rules.policies import no_token, sanitized
from ..._runtime.runtime import Runtime
from ...exceptions import ConfigurationError, StoreError
from ...sources import TokenSource
from ...stores._sealed import MARK
from ...stores._urls import open_store
from . import asking
from .credentials import Word, word_of
from .network import Reached

if TYPE_CHECKING:
    from ...stores import TokenStore
    from .asking import Said

__all__ = ["Examination", "Names", "Options", "Settings"]


class Names(NamedTuple):
    """What the settings are called where they come from."""

    appid: str = "WECHAT_APPID"
    secret: str = "WECHAT_SECRET"  # noqa: S105 - a name
    base_url: str = "WECHAT_BASE_URL"
    realm: str = "WECHAT_REALM"


_NAMES = Names()
_QUOTA = "/cgi-bin/openapi/quota/get"
# The quota of a path that is none is answered with an error, and so with a rid.
_NO_PATH = "/cgi-bin/wxmiddleware/doctor"


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """
    The account as the environment and the options have it, unchecked.

    Attributes:
        names: What they are called.
        appid: The AppID or CorpID.
        secret: The secret.
        secret_problem: Why the secret's file could not be read.
        base_url: Where WeChat is; empty for its own host.
        realm: Which WeChat it is; empty for the usual one.
        agentid: At WeCom the app's.
        wecom: Whether it is an app of WeCom.
    """

    names: Names = _NAMES
    appid: str = ""
    secret: str = ""
    secret_problem: str = ""
    base_url: str = ""
    realm: str = ""
    agentid: str = ""
    wecom: bool = False

    def account(self) -> Account:
        """
        Make the account. A secret that cannot be one is left out: what is wrong with it has a check of its own.

        Raises:
            ConfigurationError: Something else cannot be.
        """
        more: dict[str, Any] = {"base_url": self.base_url} if self.base_url else {}
        if self.realm:
            more["realm"] = self.realm
        if self.wecom:
            more["agentid"] = self.agentid or None
        kind = WeComAccount if self.wecom else Account
        try:
            return kind(self.appid, self.secret, **more)
        except ConfigurationError:
            return kind(self.appid, "", **more)


@dataclass(frozen=True, slots=True)
class Options:
    """
    What was asked for.

    Attributes:
        active: Whether the token endpoint may be asked once.
        clear: Whether to reset the day's quota.
        path: Of which API to tell the quota; empty for the token endpoint.
        rid: The id of a request to look up.
        webhook: The URL of the webhook to push to.
        component: The AppID of a third-party platform whose ticket is kept in the store.
        suite: The id of a suite of WeCom whose ticket is kept there.
    """

    active: bool = False
    clear: bool = False
    path: str = ""
    rid: str = ""
    webhook: str = ""
    component: str = ""
    suite: str = ""


class Examination:
    """
    One look at an account. What has been asked for is remembered, so no two checks ask twice.

    Args:
        settings: The account's.
        source: Which endpoint its tokens come from. It is only asked if it is not the classic one.
        url: The store's; empty if there is none.
        options: What was asked for.
        runtime: Clocks, in place of the process's own. For tests.
    """

    def __init__(
        self, settings: Settings, source: TokenSource, url: str, options: Options, runtime: Runtime | None = None
    ) -> None:
        self.settings = settings
        self.source = source
        self.url = url
        self.options = options
        self.runtime = runtime or Runtime()
        self.problem = ""
        self.store_problem = ""
        self.secrets: set[str] = {settings.secret}
        self._quotas: dict[str, Said | None] = {}
        self.probed: Loaded | None = None  # what the store had under the probe's key

    # The account and the store

    @cached_property
    def account(self) -> Account | None:
        """The account, unless its settings cannot be one's; then `problem` says why."""
        try:
            return self.settings.account()
        except ConfigurationError as error:
            self.problem = str(error)
            return None

    @cached_property
    def store(self) -> TokenStore | None:
        """The shared store, unless there is none or its URL cannot be one's; then `store_problem` says why."""
        if not self.url:
            return None
        try:
            store = open_store(self.url, create=False)
        except (ConfigurationError, ImportError) as error:
            self.store_problem = str(error)  # ours: without a part of the URL
            return None
        if not store.shared:
            self.store_problem = "That store is in the memory of one process. Name one that is shared."
            return None
        return store

    @cached_property
    def unmade(self) -> bool:
        """Whether the store's file is not there; a look would make it."""
        file = getattr(self.store, "_file", None) or getattr(self.store, "path", None)
        return isinstance(file, str) and not os.path.exists(file)

    @property
    def key(self) -> str:
        """The key of the account's record."""
        assert self.account is not None
        return record_key(self.account, self.source.kind)

    @cached_property
    def loaded(self) -> Loaded | StoreError | None:
        """The account's record as the store has it, or why it cannot be read; ``None`` without a store."""
        if self.store is None or self.account is None or self.unmade:
            return None
        try:
            loaded = self.store.load(self.key)
        except StoreError as error:
            return error
        except Exception as error:  # the client's own, which may quote the URL; the check of the store says more
            return StoreError(type(error).__name__)
        record = loaded.record
        if record is None:
            return loaded
        self.secrets |= {each for each in (record.value, record.refresh) if each}
        return Loaded(sanitized(record, loaded.now), loaded.version, loaded.now)

    @property
    def record(self) -> Record | None:
        """The account's record, if there is one that can be read."""
        loaded = self.loaded
        return loaded.record if isinstance(loaded, Loaded) else None

    @property
    def now(self) -> float:
        """The time of the store, or of this machine without one."""
        return self.loaded.now if isinstance(self.loaded, Loaded) else self.runtime.time()

    def close(self) -> None:
        """Close the store's connections, if there is one."""
        close = getattr(self.store, "close", None)
        if close is not None:
            close()

    # WeChat

    @cached_property
    def reached(self) -> Reached:
        """What WeChat answers to a request without a token."""
        assert self.account is not None
        return asking.reach(self.account, self.runtime.time)

    @cached_property
    def fetched(self) -> Grant | Failure | None:
        """What the token endpoint answers, asked once; ``None`` unless that is allowed."""
        account = self.account
        if not self.options.active or account is None or not account.secret:
            return None
        source = self.harmless_source
        got = source.fetch(account)
        if isinstance(got, Grant):
            self.secrets.add(got.value)
        return got

    @cached_property
    def word(self) -> Word | None:
        """What the token endpoint said last, to us or to the fleet."""
        mark = "" if self.account is None else self.account.mark
        return word_of(self.fetched, self.record, self.now, mark)

    @property
    def harmless_source(self) -> TokenSource:
        """The endpoint to ask: never the classic one, which would end the token that others use."""
        from ...sources import StableToken

        return StableToken() if self.source.revokes_previous else self.source

    @property
    def recorded_token(self) -> str | None:
        """The record's token, if it lives and is not encrypted."""
        record = self.record
        if record is None or record.value is None or record.value.startswith(MARK):
            return None
        return None if no_token(record, self.now) or self.now >= record.expires_at else record.value

    @property
    def token(self) -> str | None:
        """A token to call APIs with: the record's, or else the one that was fetched."""
        if self.recorded_token is not None:
            return self.recorded_token
        return self.fetched.value if isinstance(self.fetched, Grant) else None

    @cached_property
    def api(self) -> Said | None:
        """What an API answers that everybody may call; ``None`` without a token."""
        return self.call("/cgi-bin/get_api_domain_ip")

    @cached_property
    def address_by_rid(self) -> str | None:
        """The address that WeChat has seen us come from, as its own record of a request of ours tells it."""
        said = self.quota_of(_NO_PATH)
        if said is None or said.rid is None or self.settings.wecom:
            return None
        seen = self.call("/cgi-bin/openapi/rid/get", {"rid": said.rid})
        address = None if seen is None else seen.part("request").get("client_ip")
        return address if isinstance(address, str) and address else None

    def quota_of(self, path: str) -> Said | None:
        """What WeChat says of an API's quota; ``None`` without a token."""
        if path not in self._quotas:
            self._quotas[path] = None if self.settings.wecom else self.call(_QUOTA, {"cgi_path": path})
        return self._quotas[path]

    def call(self, path: str, body: dict[str, Any] | None = None) -> Said | None:
        """Call an API with the token at hand; ``None`` if there is none."""
        if self.account is None or self.token is None:
            return None
        return asking.ask(self.account, path, self.token, body)
