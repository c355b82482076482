"""The checks in their order: what comes first is the cause of what comes later."""

from __future__ import annotations

from typing import Final

from ..._runtime.language import Text
from . import network, settings, stores, workers
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
)
