"""The checks in their order: what comes first is the cause of what comes later."""

from __future__ import annotations

from typing import Final

from ..._runtime.language import Text
from . import calls, credentials, network, records, rivals, settings, stores, webhooks, workers
from .checks import Check, Cost

__all__ = ["TABLE"]

_LINE: Final = ("appid", "base_url")

TABLE: Final[tuple[Check, ...]] = (
    Check("appid", settings.look_at_appid, Text("the AppID's form", "AppID 的格式")),
    Check("secret", settings.look_at_secret, Text("the secret's form; it is never shown", "密钥的格式；绝不显示")),
    Check(
        "base_url",
        settings.look_at_base_url,
        Text("where requests go, and the realm", "请求发往哪里，realm 是什么"),
        needs=("appid",),
    ),
    Check("store_url", settings.look_at_store_url, Text("the store's URL", "存储的 URL")),
    Check(
        "workers",
        workers.look_at_workers,
        Text("several workers without a store", "多个工作进程却没有共享存储"),
    ),
    Check("proxy", network.look_at_proxy, Text("the proxy", "代理"), Cost.NETWORK, _LINE),
    Check(
        "dns", network.look_at_dns, Text("the name of WeChat's host", "微信域名的解析"), Cost.NETWORK, (*_LINE, "proxy")
    ),
    Check("connect", network.look_at_connect, Text("a connection", "建立连接"), Cost.NETWORK, ("dns",)),
    Check(
        "tls", network.look_at_tls, Text("TLS and who signed", "TLS 和证书签发者"), Cost.NETWORK, ("connect", "proxy")
    ),
    Check(
        "wechat", network.look_at_wechat, Text("is it WeChat that answers", "应答的是不是微信"), Cost.NETWORK, ("tls",)
    ),
    Check(
        "clock",
        network.look_at_clock,
        Text("this clock and WeChat's", "本机时钟与微信的时钟"),
        Cost.NETWORK,
        ("wechat",),
    ),
    Check("store", stores.look_at_store, Text("does the store answer", "存储是否应答"), Cost.STORE, ("store_url",)),
    Check("store_role", stores.look_at_role, Text("a primary or a replica", "主库还是从库"), Cost.STORE, ("store",)),
    Check(
        "store_commands",
        stores.look_at_commands,
        Text("may this user read records", "当前用户能否读取记录"),
        Cost.STORE,
        ("store",),
    ),
    Check(
        "store_eviction",
        stores.look_at_eviction,
        Text("may it forget", "会不会丢弃数据"),
        Cost.STORE,
        ("store",),
    ),
    Check(
        "store_write",
        stores.look_at_write,
        Text("can a record be written", "能否写入记录"),
        Cost.PROBE,
        ("store_commands", "store_role", "store_eviction"),
    ),
    Check(
        "store_clock",
        stores.look_at_store_clock,
        Text("the store's clock", "存储的时钟"),
        Cost.STORE,
        ("store_commands",),
    ),
    Check(
        "record", records.look_at_record, Text("the account's record", "账号的记录"), Cost.STORE, ("store_commands",)
    ),
    Check("lease", records.look_at_lease, Text("who is refreshing", "谁在刷新"), Cost.STORE, ("record",)),
    Check(
        "fetch",
        credentials.look_at_fetch,
        Text("does the token endpoint answer", "token 接口是否应答"),
        Cost.FETCH,
        ("wechat", "secret"),
    ),
    Check(
        "account",
        credentials.look_at_account,
        Text("WeChat knows the AppID", "微信认识这个 AppID"),
        Cost.FETCH,
        ("fetch",),
    ),
    Check(
        "credentials",
        credentials.look_at_credentials,
        Text("the secret is right", "密钥正确"),
        Cost.FETCH,
        ("account",),
    ),
    Check(
        "frozen",
        credentials.look_at_frozen,
        Text("neither secret nor account are frozen", "密钥和账号没有被冻结"),
        Cost.FETCH,
        ("credentials",),
    ),
    Check(
        "allowlist",
        credentials.look_at_allowlist,
        Text("this address may ask (IP allowlist)", "出口 IP 在IP白名单里"),
        Cost.FETCH,
        ("frozen",),
    ),
    Check("quota", calls.look_at_quota, Text("the day's quota", "当天的调用次数"), Cost.CALL, ("allowlist",)),
    Check(
        "pause",
        credentials.look_at_pause,
        Text("a back-off that is in force", "是否处于退避"),
        Cost.STORE,
        ("record", "allowlist", "quota"),
    ),
    Check("token", calls.look_at_token, Text("a token at hand", "手头的 token"), Cost.STORE, ("allowlist",)),
    Check("api", calls.look_at_api, Text("an API accepts the token", "接口接受 token"), Cost.CALL, ("token",)),
    Check(
        "egress", calls.look_at_egress, Text("the address that WeChat sees", "微信看到的出口 IP"), Cost.CALL, ("api",)
    ),
    Check(
        "rivals", rivals.look_at_rivals, Text("who else fetches tokens", "还有谁在获取 token"), Cost.CALL, ("record",)
    ),
    Check("webhook", webhooks.look_at_webhook, Text("the webhook from inside", "从内部看回调"), Cost.PUSH, ("appid",)),
    Check("callback", webhooks.look_at_callback, Text("the webhook from outside", "从外部看回调"), Cost.CALL, ("api",)),
    Check(
        "ticket",
        records.look_at_ticket,
        Text("a platform's ticket", "第三方平台的 ticket"),
        Cost.STORE,
        ("store_commands",),
    ),
    Check(
        "suite_ticket",
        records.look_at_suite_ticket,
        Text("a suite's ticket", "服务商应用的 ticket"),
        Cost.STORE,
        ("store_commands",),
    ),
    Check("rid", calls.look_at_rid, Text("WeChat's record of a request", "微信对某个请求的记录"), Cost.CALL, ("api",)),
)
