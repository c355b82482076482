"""What the doctor says, in both languages side by side: what was seen, and what to do about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..._runtime.language import Text

__all__ = ["COSTS", "FRAME", "LEVELS", "WORDS", "Words"]


class Words(NamedTuple):
    """What one finding says; nothing is to be done where `todo` is none."""

    seen: Text
    todo: Text | None = None


LEVELS: Final = {
    "ok": Text("ok", "正常"),
    "warn": Text("warn", "注意"),
    "fail": Text("fail", "失败"),
    "skip": Text("skip", "跳过"),
}

COSTS: Final = {
    "nothing": Text("nothing", "无"),
    "network": Text(
        "connections, and one request without token or secret", "建立连接，外加一次不带 token 和密钥的请求"
    ),
    "store": Text("reads from the store", "读取存储"),
    "probe": Text("a record of its own in the store, taken away again", "在存储里写一条自己的记录，随即删除"),
    "call": Text("an API call with the token at hand; no fetch", "用现有 token 调用一次接口；不获取 token"),
    "fetch": Text(
        "with --active one request to the token endpoint; else nothing", "加 --active 时请求一次 token 接口；否则无"
    ),
    "push": Text("two requests to the URL of --webhook", "向 --webhook 的地址发两次请求"),
}

# What stands around the checks.
FRAME: Final = {
    "head": Text(
        "wxmiddleware {version}, Python {python}, {system}. {appid} at {host}, kind {kind}.",
        "wxmiddleware {version}，Python {python}，{system}。账号 {appid}，位于 {host}，token 类型 {kind}。",
    ),
    "cause": Text("The cause: {name}. {said}\n{counts}", "原因：{name}。{said}\n{counts}"),
    "sound": Text("Nothing has failed.\n{counts}", "没有失败的检查。\n{counts}"),
    "unasked": Text(
        "Nothing has failed of what was looked at. Whether WeChat gives a token is not known: "
        "say --active, which asks once.\n{counts}",
        "查过的都没有失败。但不知道微信给不给 token：请加 --active，请求一次。\n{counts}",
    ),
    "counts": Text(
        "{ok} ok, {warn} warn, {fail} fail, {skip} skip.", "正常 {ok}，注意 {warn}，失败 {fail}，跳过 {skip}。"
    ),
    "list": Text("{about}; costs {cost}", "{about}；消耗：{cost}"),
    "nobody": Text("(no account)", "（没有账号）"),
}

_STORES: Final = Text(
    "Name the store of your services: --store, or WXM_STORE.", "请给出各服务共用的存储：--store 或 WXM_STORE。"
)
_ACTIVE: Final = Text(
    "With --active the token endpoint is asked once (stable_token without force_refresh: it ends no token).",
    "加 --active 会请求一次 token 接口（stable_token，不带 force_refresh，不会使任何 token 失效）。",
)

WORDS: Final[dict[str, Words]] = {
    "any.blocked": Words(Text("Means nothing until {name} is mended.", "{name} 未解决之前，这项没有意义。")),
    "any.broken": Words(
        Text("The check itself has failed ({error}).", "检查本身出错（{error}）。"),
        Text("Please report it, with this output.", "请连同本次输出一起反馈给我们。"),
    ),
    "any.proxied": Words(Text("The proxy does that.", "由代理负责。")),
    "any.no_token": Words(Text("There is no token at hand to ask with.", "手头没有可用的 token。"), _ACTIVE),
    "any.no_token_given": Words(
        Text("There is no token at hand to ask with, and none was given.", "手头没有可用的 token，也没有获取到。"),
        Text("Mend what failed first.", "请先解决前面失败的检查项。"),
    ),
    "any.wecom": Words(Text("WeCom has no such API.", "企业微信没有这个接口。")),
    # Settings
    "value.missing": Words(
        Text("{name} is not set.", "{name} 没有设置。"),
        Text(
            "Set it; it stands on the account's page at mp.weixin.qq.com (WeCom: work.weixin.qq.com).",
            "请设置。它在 mp.weixin.qq.com 的账号页面上（企业微信：work.weixin.qq.com）。",
        ),
    ),
    "value.quotes": Words(
        Text("{name} has quotes around it, and they count as a part of it.", "{name} 两边有引号，引号成了值的一部分。"),
        Text(
            "Leave them off: a shell takes them away, `docker run --env-file` does not.",
            "请去掉引号：shell 会去掉引号，`docker run --env-file` 不会。",
        ),
    ),
    "value.space": Words(
        Text("{name} has white space or control characters in it.", "{name} 里有空白或控制字符。"),
        Text("Copy it anew, without the end of the line.", "请重新复制，不要带上换行。"),
    ),
    "value.placeholder": Words(
        Text("{name} is a placeholder that nobody has replaced.", "{name} 还是占位符，没有换成真正的值。"),
        Text("Put the value there; is a variable not replaced?", "请填入真正的值；是不是变量没有展开？"),
    ),
    "appid.ok": Words(Text("{name} has the form of one: {appid}.", "{name} 格式正确：{appid}。")),
    "appid.form": Words(
        Text(
            "{name} has another form than usual: {length} characters, and not {form} with 16 hex digits.",
            "{name} 的格式不常见：共 {length} 个字符，而不是 {form} 加 16 位十六进制数。",
        ),
        Text("Compare it with the account's page.", "请与账号页面上的核对。"),
    ),
    "appid.secret": Words(
        Text("{name} looks like an AppSecret.", "{name} 看上去是 AppSecret。"),
        Text("Have the two been swapped?", "两个值是不是填反了？"),
    ),
    "appid.original": Words(
        Text("{name} begins with gh_: that is the original id.", "{name} 以 gh_ 开头：那是原始ID。"),
        Text("The AppID begins with wx.", "AppID 以 wx 开头。"),
    ),
    "appid.corp": Words(
        Text("{name} begins with ww: that is a CorpID of WeCom.", "{name} 以 ww 开头：那是企业微信的 CorpID。"),
        Text(
            "Say --wecom, with WECOM_CORPID, WECOM_AGENTID and WECOM_SECRET.",
            "请用 --wecom，并设置 WECOM_CORPID、WECOM_AGENTID、WECOM_SECRET。",
        ),
    ),
    "secret.ok": Words(Text("{name} has the form of one.", "{name} 格式正确。")),
    "secret.form": Words(
        Text(
            "{name} has another form than usual: {length} characters, and not 32 of 0-9a-f.",
            "{name} 的格式不常见：共 {length} 个字符，而不是 32 位 0-9a-f。",
        ),
        Text(
            "Compare it with the AppSecret that WeChat has shown once; a reset makes a new one.",
            "请与微信当时显示的开发者密码(AppSecret)核对；重置后会换成新的。",
        ),
    ),
    "secret.appid": Words(
        Text("{name} is an AppID.", "{name} 填的是 AppID。"),
        Text(
            "Put the AppSecret there. Have the two been swapped?",
            "请填开发者密码(AppSecret)。两个值是不是填反了？",
        ),
    ),
    "secret.follow": Words(
        Text(
            "{name} is not set: this process can only read the token that others fetch.",
            "{name} 没有设置：本进程只能读取别人获取的 token。",
        ),
        Text(
            "Set it where tokens are fetched; a process with follow=True needs none.",
            "在负责获取 token 的进程里设置；follow=True 的进程不需要。",
        ),
    ),
    "secret.file": Words(
        Text("The secret cannot be read. {problem}", "读不到密钥。{problem}"),
        Text("Check --secret-file, and who may read the file.", "检查 --secret-file，以及谁有权读这个文件。"),
    ),
    "base_url.ok": Words(Text("Requests go to {host}; the realm is {realm}.", "请求发往 {host}；realm 是 {realm}。")),
    "base_url.realm": Words(
        Text(
            "Requests go to {host}. That is a WeChat of its own, such as a simulator: the realm is {realm}.",
            "请求发往 {host}。它自成一个微信环境（如模拟器）：realm 是 {realm}。",
        )
    ),
    "base_url.wrong": Words(
        Text("The account cannot be one. {problem}", "账号设置有误。{problem}"),
        Text("Mend what is named there.", "请改正其中指出的设置。"),
    ),
    "store_url.none": Words(Text("No store is named.", "没有给出存储。"), _STORES),
    "store.none": Words(Text("There is no store to look at.", "没有存储可查。")),
    "store_url.ok": Words(Text("{store}", "{store}")),
    "store_url.wrong": Words(
        Text("The store cannot be opened. {problem}", "存储打不开。{problem}"),
        Text("Mend --store, or WXM_STORE.", "请改正 --store 或 WXM_STORE。"),
    ),
    # Workers
    "workers.ok": Words(
        Text("{name} says {count}; a store is named, or one needs none.", "{name} 为 {count}；有共享存储，或不需要。")
    ),
    "workers.shared": Words(
        Text("However many workers there are, a store is named.", "无论有多少工作进程，都给出了共享存储。")
    ),
    "workers.unknown": Words(
        Text(
            "The environment does not say how many workers there are (WEB_CONCURRENCY, GUNICORN_CMD_ARGS, UWSGI_…).",
            "环境变量没有说明有多少工作进程（WEB_CONCURRENCY、GUNICORN_CMD_ARGS、UWSGI_…）。",
        ),
        Text("With more than one, give them a store: --store.", "如果多于一个，请给它们一个共享存储：--store。"),
    ),
    "workers.alone": Words(
        Text(
            "{name} says {count} workers and no store is named: each fetches for itself.",
            "{name} 为 {count}，却没有共享存储：每个工作进程各自获取 token。",
        ),
        Text(
            "The stable endpoint gives all of them the same token, so calls work. With store= one fetches for all.",
            "stable 接口给它们的是同一个 token，调用不受影响。设置 store= 后，由一个进程替大家获取。",
        ),
    ),
    "workers.classic": Words(
        Text(
            "{name} says {count} workers, the token is the classic one, and no store is named: each fetch ends the "
            "token of the other workers.",
            "{name} 为 {count}，用的是老接口的 token，却没有共享存储：每次获取都会使其他工作进程的 token 失效。",
        ),
        Text(
            "Give them a store (store=, WXM_STORE), or use the stable endpoint (StableToken, the default).",
            "请给它们一个共享存储（store=、WXM_STORE），或改用 stable 接口（默认的 StableToken）。",
        ),
    ),
    # Network
    "proxy.none": Words(Text("No proxy stands between.", "没有使用代理。")),
    "proxy.ok": Words(Text("{proxy} lets WeChat's host through.", "{proxy} 放行微信的域名。")),
    "proxy.wrong": Words(
        Text("The proxy's URL in the environment is none.", "环境变量里的代理 URL 不成立。"),
        Text(
            "Mend HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: http://host:3128.",
            "请改正 HTTPS_PROXY、HTTP_PROXY 或 ALL_PROXY：http://host:3128。",
        ),
    ),
    "proxy.unreachable": Words(
        Text("{proxy} cannot be reached ({error}).", "连不上 {proxy}（{error}）。"),
        Text(
            "Check that it runs, and its URL (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY); or name WeChat's host in NO_PROXY.",
            "检查它是否在运行，以及 URL（HTTPS_PROXY、HTTP_PROXY、ALL_PROXY）；或把微信的域名写进 NO_PROXY。",
        ),
    ),
    "proxy.password": Words(
        Text("{proxy} wants a name and a password (407).", "{proxy} 需要用户名和密码（407）。"),
        Text(
            "Write them into its URL: http://name:password@proxy:3128.",
            "写进它的 URL：http://name:password@proxy:3128。",
        ),
    ),
    "proxy.refused": Words(
        Text(
            "{proxy} does not let WeChat's host through (status {status}).",
            "{proxy} 不放行微信的域名（状态码 {status}）。",
        ),
        Text("Have api.weixin.qq.com allowed there.", "请让代理放行 api.weixin.qq.com。"),
    ),
    "dns.ok": Words(
        Text(
            "{host} has {count} addresses, found in {ms:.0f} ms.",
            "{host} 有 {count} 个地址，解析用时 {ms:.0f} 毫秒。",
        )
    ),
    "dns.address": Words(Text("{host} is an address itself.", "{host} 本身就是地址。")),
    "dns.unknown": Words(
        Text("The name {host} is not known here.", "{host} 解析不了。"),
        Text(
            "Check the base URL, /etc/resolv.conf, and whether a proxy is needed (HTTPS_PROXY).",
            "检查 base_url、/etc/resolv.conf，以及是否需要代理（HTTPS_PROXY）。",
        ),
    ),
    "dns.slow": Words(
        Text("{host} could not be looked up in {seconds:.0f} s.", "{host} 在 {seconds:.0f} 秒内没有解析出来。"),
        Text("The nameserver does not answer; see /etc/resolv.conf.", "域名服务器没有应答；见 /etc/resolv.conf。"),
    ),
    "dns.late": Words(
        Text("{host} took {seconds:.1f} s to look up.", "解析 {host} 用了 {seconds:.1f} 秒。"),
        Text(
            "Does the first nameserver in /etc/resolv.conf answer? A fetch has 2 s for its connection.",
            "/etc/resolv.conf 里的第一个域名服务器有应答吗？获取 token 时建立连接只有 2 秒。",
        ),
    ),
    "dns.private": Words(
        Text("{host} has an address that is not a public one.", "{host} 解析到了非公网地址。"),
        Text(
            "Is that a gateway of yours? If not, /etc/hosts or the nameserver leads elsewhere.",
            "那是你们自己的网关吗？如果不是，就是 /etc/hosts 或域名服务器指向了别处。",
        ),
    ),
    "connect.ok": Words(
        Text("{host}:{port} takes connections ({ms:.0f} ms).", "{host}:{port} 可以连接（{ms:.0f} 毫秒）。")
    ),
    "connect.refused": Words(
        Text("{host}:{port} takes no connection ({error}).", "{host}:{port} 连不上（{error}）。"),
        Text(
            "Check the base URL and its port, the firewall, and whether a proxy is needed (HTTPS_PROXY).",
            "检查 base_url 和端口、防火墙，以及是否需要代理（HTTPS_PROXY）。",
        ),
    ),
    "connect.silent": Words(
        Text("{host}:{port} does not answer within {seconds:.0f} s.", "{host}:{port} 在 {seconds:.0f} 秒内没有应答。"),
        Text(
            "A firewall drops the packets: allow the way out to it, or name a proxy (HTTPS_PROXY).",
            "防火墙丢弃了数据包：请放行出站连接，或设置代理（HTTPS_PROXY）。",
        ),
    ),
    "tls.none": Words(Text("The base URL is plain http.", "base_url 是明文 http。")),
    "tls.ok": Words(Text("{host} has a certificate of {issuer}.", "{host} 的证书由 {issuer} 签发。")),
    "tls.bundle": Words(
        Text("The file of certificates cannot be read.", "证书文件读不了。"),
        Text("Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.", "检查 REQUESTS_CA_BUNDLE 和 CURL_CA_BUNDLE。"),
    ),
    "tls.failed": Words(
        Text("TLS with {host} failed ({error}).", "与 {host} 的 TLS 握手失败（{error}）。"),
        Text("Does the base URL have to be http, or another port?", "base_url 是不是应该用 http，或换一个端口？"),
    ),
    "tls.expired": Words(
        Text("The certificate of {host} is not valid today.", "{host} 的证书今天无效。"),
        Text("Check this machine's clock; else it has expired.", "检查本机时钟；如果时钟没错，就是证书过期了。"),
    ),
    "tls.host": Words(
        Text("The certificate is not one of {host}.", "证书不是 {host} 的。"),
        Text(
            "Another machine answers: check DNS, /etc/hosts and the proxy.",
            "应答的是别的机器：检查 DNS、/etc/hosts 和代理。",
        ),
    ),
    "tls.opened": Words(
        Text(
            "The certificate of {host} is signed by nobody who is known here ({code}).",
            "{host} 的证书不是由本机信任的机构签发的（{code}）。",
        ),
        Text(
            "If a proxy of your company opens TLS, name its certificate in REQUESTS_CA_BUNDLE. If not, do not go on: "
            "somebody stands between.",
            "如果公司的代理会解开 TLS，请用 REQUESTS_CA_BUNDLE 指定它的证书。如果不是，请不要继续：中间有人。",
        ),
    ),
    "tls.distrusted": Words(
        Text("The certificate of {host} is not trusted ({code}).", "{host} 的证书不受信任（{code}）。"),
        Text("Look at it: openssl s_client -connect {host}:443.", "看一看它：openssl s_client -connect {host}:443。"),
    ),
    "wechat.ok": Words(
        Text("{host} answers as WeChat does ({ms:.0f} ms).", "{host} 的应答符合微信接口（{ms:.0f} 毫秒）。")
    ),
    "wechat.busy": Words(
        Text("{host} says that it is busy (errcode -1).", "{host} 说系统繁忙（errcode -1）。"),
        Text("Try again in a minute.", "请过一分钟再试。"),
    ),
    "wechat.silent": Words(
        Text("{host} gave no answer. {problem}", "{host} 没有应答。{problem}"),
        Text("Check what stands between: proxy, gateway, firewall.", "检查中间的代理、网关、防火墙。"),
    ),
    "wechat.status": Words(
        Text("{host} answered HTTP {status}.", "{host} 返回 HTTP {status}。"),
        Text(
            "WeChat answers 200 also when it refuses; a gateway or proxy in between says this.",
            "微信即使拒绝也返回 200；这是中间的网关或代理返回的。",
        ),
    ),
    "wechat.page": Words(
        Text("{host} answered with something that is none of WeChat's answers.", "{host} 返回的不是微信接口的应答。"),
        Text(
            "Check the base URL; is it a page to log in to this network?",
            "检查 base_url；是不是上网认证的登录页面？",
        ),
    ),
    "clock.ok": Words(
        Text("This clock and WeChat's are {seconds:.0f} s apart.", "本机时钟与微信相差 {seconds:.0f} 秒。")
    ),
    "clock.unknown": Words(Text("The answer did not say what time it is there.", "应答没有给出对方的时间。")),
    "clock.behind": Words(
        Text("This clock is {seconds:.0f} s behind WeChat's.", "本机时钟比微信慢 {seconds:.0f} 秒。"),
        Text("Set it: chronyd, or systemd-timesyncd.", "请校时：chronyd 或 systemd-timesyncd。"),
    ),
    "clock.fast": Words(
        Text("This clock is {seconds:.0f} s ahead of WeChat's.", "本机时钟比微信快 {seconds:.0f} 秒。"),
        Text("Set it: chronyd, or systemd-timesyncd.", "请校时：chronyd 或 systemd-timesyncd。"),
    ),
    # The store
    "store.ok": Words(Text("{store} answers in {ms:.1f} ms.", "{store} 应答用时 {ms:.1f} 毫秒。")),
    "store.down": Words(
        Text("{store} does not answer. {problem}", "{store} 没有应答。{problem}"),
        Text(
            "Until it does, each process carries on with the token in its memory.",
            "在它恢复之前，各进程继续用自己内存里的 token。",
        ),
    ),
    "store.new_file": Words(
        Text("{store} has no file yet.", "{store} 的文件还不存在。"),
        Text("It is made with the first token.", "获取第一个 token 时会创建。"),
    ),
    "store_role.ok": Words(Text("It takes writes.", "可以写入。")),
    "store_role.unknown": Words(
        Text("It does not tell. {problem}", "它没有告知。{problem}"),
        Text("That is nothing bad: store_write tries it.", "这没有关系：store_write 会实际试一次。"),
    ),
    "store_role.replica": Words(
        Text("It is a replica; its primary spoke {lag} s ago.", "这是从库；{lag} 秒前收到过主库的数据。"),
        Text(
            "Give the store the address of the primary, or of Sentinel's master_for().",
            "请把存储的地址改成主库，或用 Sentinel 的 master_for()。",
        ),
    ),
    "store_role.read_only": Words(
        Text("The database ({database}) only lets itself be read.", "数据库（{database}）是只读的。"),
        Text("Give the store the address of the primary.", "请把存储的地址改成主库。"),
    ),
    "store_role.file": Words(
        Text("This user may not write {path}, or beside it.", "当前用户不能写 {path} 或它所在的目录。"),
        Text(
            "Run this as the services' user, or chown the directory.", "请用服务的用户运行，或用 chown 改目录的属主。"
        ),
    ),
    "store_commands.ok": Words(Text("A record can be read as the services read it.", "能像各服务那样读取记录。")),
    "store_commands.table": Words(
        Text("The table is not there yet.", "表还不存在。"),
        Text(
            "The first process that may CREATE makes it; else run what `wxmiddleware schema` prints.",
            "第一个有 CREATE 权限的进程会创建；否则请执行 `wxmiddleware schema` 打印的语句。",
        ),
    ),
    "store_commands.refused": Words(
        Text("A record cannot be read. {problem}", "读取不了记录。{problem}"),
        Text("Mend that; the services cannot read it either.", "请解决：各服务同样读不了。"),
    ),
    "store_eviction.durable": Words(Text("It forgets nothing.", "不会丢弃数据。")),
    "store_eviction.none": Words(Text("It has thrown nothing away.", "没有淘汰过数据。")),
    "store_eviction.endless": Words(Text("It has no limit of memory (maxmemory 0).", "没有内存上限（maxmemory 0）。")),
    "store_eviction.ok": Words(
        Text(
            "{percent:.0f} % of maxmemory are used; then it does {policy}.",
            "maxmemory 已用 {percent:.0f} %；满了之后按 {policy} 处理。",
        )
    ),
    "store_eviction.full": Words(
        Text(
            "maxmemory is used up ({percent:.0f} %), and it evicts nothing: writes fail.",
            "maxmemory 已用完（{percent:.0f} %），且不淘汰任何键：写入会失败。",
        ),
        Text(
            "Raise maxmemory, or choose volatile-ttl: the records' keys expire.",
            "调大 maxmemory，或改用 volatile-ttl：记录的键都会过期。",
        ),
    ),
    "store_eviction.nearly": Words(
        Text(
            "{percent:.0f} % of maxmemory are used, and it evicts nothing: writes will fail.",
            "maxmemory 已用 {percent:.0f} %，且不淘汰任何键：写入即将失败。",
        ),
        Text(
            "Raise maxmemory, or choose volatile-ttl: the records' keys expire.",
            "调大 maxmemory，或改用 volatile-ttl：记录的键都会过期。",
        ),
    ),
    "store_eviction.allkeys": Words(
        Text("It may evict any key ({policy}).", "任何键都可能被淘汰（{policy}）。"),
        Text(
            "Good enough for tokens: a process that has one writes it back. Not for a platform's refresh tokens; "
            "choose a volatile-… policy.",
            "对 token 来说够用：有 token 的进程会写回去。第三方平台的 refresh token 则不行；请改用 volatile-… 策略。",
        ),
    ),
    "store_eviction.memcached": Words(
        Text("It has thrown {count} items away for want of room.", "因空间不足淘汰过 {count} 条数据。"),
        Text("Give memcached more memory: -m.", "给 memcached 更多内存：-m。"),
    ),
    "store_write.ok": Words(
        Text(
            "A probe was written, read and swapped in {ms:.1f} ms.",
            "写入、读回、比较并交换一条探测记录，用时 {ms:.1f} 毫秒。",
        )
    ),
    "store_write.nothing": Words(Text("There is no table or file yet to write to.", "还没有表或文件可写。")),
    "store_write.race": Words(
        Text("Another doctor writes its probe in the same moment.", "另一个 doctor 正好也在写探测记录。"),
        Text("Run it again.", "请再运行一次。"),
    ),
    "store_write.refused": Words(
        Text("A probe cannot be written. {problem}", "探测记录写不进去。{problem}"),
        Text("Mend that; the services cannot share their token either.", "请解决：各服务同样无法共享 token。"),
    ),
    "store_write.swap": Words(
        Text(
            "A save over an outdated version was taken: compare-and-swap does not work.",
            "基于过期版本的写入居然成功了：比较并交换不起作用。",
        ),
        Text(
            "Does a proxy stand before several servers that do not know of each other?",
            "代理后面是不是有几台互不同步的服务器？",
        ),
    ),
    "store_write.lags": Words(
        Text("What was saved does not show in the next read.", "刚写入的数据，紧接着却读不到。"),
        Text("Reads go to a replica: give the store the primary for both.", "读请求走了从库：请让读写都走主库。"),
    ),
    "store_clock.ok": Words(
        Text("The store's clock and this one are {seconds:.1f} s apart.", "存储的时钟与本机相差 {seconds:.1f} 秒。")
    ),
    "store_clock.own": Words(Text("It goes by this machine's clock.", "用的是本机时钟。")),
    "store_clock.off": Words(
        Text("The store's clock and this one are {seconds:.0f} s apart.", "存储的时钟与本机相差 {seconds:.0f} 秒。"),
        Text(
            "No token suffers: times are converted. But one of the two clocks is wrong.",
            "token 不受影响：时间会换算。但两个时钟里有一个不对。",
        ),
    ),
    # The record
    "record.unknown": Words(Text("There is no record to look at.", "没有记录可查。")),
    "record.ok": Words(
        Text(
            "{key}: a token for {seconds:.0f} s more, fetched {ago:.0f} s ago; generation {generation}.",
            "{key}：token 还有 {seconds:.0f} 秒有效，{ago:.0f} 秒前获取；generation {generation}。",
        )
    ),
    "record.refused": Words(
        Text("{key}: no token yet, and why not is remembered.", "{key}：还没有 token，记录里写着原因。")
    ),
    "record.empty": Words(
        Text("{key}: no token yet.", "{key}：还没有 token。"),
        Text("Has a service been started, and asked for one?", "服务启动了吗？有没有请求过 token？"),
    ),
    "record.expired": Words(
        Text("{key}: the token ended {seconds:.0f} s ago.", "{key}：token 已在 {seconds:.0f} 秒前过期。"),
        Text(
            "Nobody has asked for it since; the next call fetches. `wxmiddleware keep` keeps it young.",
            "之后没有人用过；下一次调用会获取。`wxmiddleware keep` 可以让它一直有效。",
        ),
    ),
    "record.none": Words(
        Text("The store has no record of {key}.", "存储里没有 {key} 的记录。"),
        Text(
            "It is made with the first token. Is it the store that the services use, with the same prefix or table?",
            "获取第一个 token 时会写入。服务用的是这个存储吗？前缀或表名一样吗？",
        ),
    ),
    "record.other_kind": Words(
        Text("The store has no record of {key}, but one of {other}.", "存储里没有 {key}，却有 {other}。"),
        Text(
            "The services use the other endpoint: say --source {kind}.",
            "各服务用的是另一个接口：请加 --source {kind}。",
        ),
    ),
    "record.other_realm": Words(
        Text("The store has no record of {key}, but one of {other}.", "存储里没有 {key}，却有 {other}。"),
        Text(
            "Their realm is {realm}: set WECHAT_REALM (realm=) the same everywhere, or base_url.",
            "它们的 realm 是 {realm}：各处的 WECHAT_REALM（realm=）或 base_url 要一致。",
        ),
    ),
    "record.unreadable": Words(
        Text("{key} cannot be read. {problem}", "{key} 读不了。{problem}"),
        Text("Update this process, or give it the key.", "请升级本进程，或给它密钥。"),
    ),
    "record.garbage": Words(
        Text("Under {key} lies something that is no record.", "{key} 下面放的不是记录。"),
        Text(
            "Another program has written it: give the store a prefix= (or table=) of its own.",
            "是别的程序写的：请给存储单独的 prefix=（或 table=）。",
        ),
    ),
    "lease.none": Words(Text("Nobody is refreshing.", "没有进程在刷新。")),
    "lease.held": Words(
        Text("{owner} is refreshing, for {seconds:.0f} s at most.", "{owner} 正在刷新，最多还有 {seconds:.0f} 秒。")
    ),
    "lease.gone": Words(
        Text("{owner} was refreshing and has ended.", "{owner} 刷新到一半就结束了。"),
        Text("Others go on at once: they see that it is gone.", "其他进程能看出它已结束，会立即接手。"),
    ),
    # What WeChat says
    "fetch.passive": Words(
        Text(
            "The token endpoint was not asked, and the store does not tell.", "没有请求 token 接口，存储里也没有线索。"
        ),
        _ACTIVE,
    ),
    "fetch.no_secret": Words(
        Text("Without a secret the token endpoint cannot be asked.", "没有密钥，无法请求 token 接口。")
    ),
    "fetch.ok": Words(Text("{when}: here is a token.", "{when}：给了 token。")),
    "fetch.answered": Words(Text("{when}: errcode {errcode}; see below.", "{when}：errcode {errcode}；见下。")),
    "fetch.pause": Words(Text("{when}: why there is none; see pause.", "{when}：没有 token 的原因；见 pause。")),
    "fetch.silent": Words(
        Text("{when}: nothing. {problem}", "{when}：没有结果。{problem}"),
        Text("The first answer came, so look at what stands between.", "不带 token 的请求有应答，请检查中间的网络。"),
    ),
    "fetch.refused": Words(
        Text("{when}: errcode {errcode}.", "{when}：errcode {errcode}。"), Text("{advice}", "{advice}")
    ),
    "word.unknown": Words(Text("WeChat was not asked.", "没有问过微信。")),
    "word.silent": Words(Text("WeChat gave no answer that tells it.", "微信的应答没有说明。")),
    "word.before": Words(
        Text("Errcode {errcode} came first, and does not tell.", "先返回了 errcode {errcode}，看不出这一项。")
    ),
    "word.ok": Words(Text("{when}: all right.", "{when}：没有问题。")),
    "word.fleet": Words(
        Text(
            "The fleet was given a token {ago:.0f} s ago; this machine is tried with --active.",
            "各服务在 {ago:.0f} 秒前拿到了 token；加 --active 会从本机试一次。",
        )
    ),
    "word.known": Words(
        Text("{when}: it knows the account (errcode {errcode}).", "{when}：认识这个账号（errcode {errcode}）。")
    ),
    "word.refused": Words(
        Text("{when}: errcode {errcode}.", "{when}：errcode {errcode}。"), Text("{advice}", "{advice}")
    ),
    "pause.none": Words(Text("No back-off is in force.", "没有处于退避。")),
    "pause.on": Words(
        Text(
            "No request is sent to WeChat for {seconds:.0f} s more (back-off, failure {streak} in a row). {message}",
            "退避中：{seconds:.0f} 秒内不向微信发请求（连续第 {streak} 次失败）。{message}",
        ),
        Text("Once it is mended: `wxmiddleware retry`.", "解决之后运行：`wxmiddleware retry`。"),
    ),
    "pause.other_secret": Words(
        Text(
            "A back-off of {seconds:.0f} s is in force for processes with another secret than ours.",
            "使用另一个密钥的进程正在退避（{seconds:.0f} 秒）。",
        ),
        Text("Some of the services have an old secret: set it right there.", "有的服务用的是旧密钥：请在那里改正。"),
    ),
    # With a token
    "token.record": Words(Text("The store has one.", "存储里有。")),
    "token.fetched": Words(Text("It was fetched for this.", "为这次检查获取了一个。")),
    "token.sealed": Words(
        Text("The store's token is encrypted, and the key is not here.", "存储里的 token 是加密的，这里没有密钥。"),
        _ACTIVE,
    ),
    "api.ok": Words(Text("An API accepts the token.", "接口接受这个 token。")),
    "api.silent": Words(
        Text("The API gave no answer. {problem}", "接口没有应答。{problem}"),
        Text("Check what stands between: proxy, gateway, firewall.", "检查中间的代理、网关、防火墙。"),
    ),
    "api.rejected": Words(
        Text(
            "An API rejects the store's token (errcode {errcode}).", "接口拒绝了存储里的 token（errcode {errcode}）。"
        ),
        Text(
            "The next call of a service replaces it. If it happens again, another system fetches tokens: see rivals.",
            "服务的下一次调用会换掉它。如果反复出现，就是另一个系统也在获取 token：见 rivals。",
        ),
    ),
    "api.rejected_new": Words(
        Text(
            "An API rejects a token that was fetched just now (errcode {errcode}).",
            "接口拒绝了刚获取的 token（errcode {errcode}）。",
        ),
        Text(
            "Do the token endpoint and the APIs have the same base URL? Else WeChat's APIs lag; try again.",
            "token 接口和其他接口的 base_url 一样吗？如果一样，可能是微信的接口还没同步；请再试。",
        ),
    ),
    "api.refused": Words(
        Text("An API answers errcode {errcode}.", "接口返回 errcode {errcode}。"), Text("{advice}", "{advice}")
    ),
    "quota.ok": Words(
        Text("{path}: {used} of {limit} calls of today are used.", "{path}：今天已用 {used} 次，上限 {limit} 次。")
    ),
    "quota.endless": Words(
        Text(
            "{path}: {used} calls today; WeChat names no limit a day.", "{path}：今天 {used} 次；微信没有给出每日上限。"
        )
    ),
    "quota.nearly": Words(
        Text("{path}: {used} of {limit} calls of today are used.", "{path}：今天已用 {used} 次，上限 {limit} 次。"),
        Text(
            "See who calls so often. `wxmiddleware quota --clear` resets it, ten times a month.",
            "查一查是谁调用得这么频繁。`wxmiddleware quota --clear` 可以清零，每月十次。",
        ),
    ),
    "quota.gone": Words(
        Text("{path}: all {limit} calls of today are used ({used}).", "{path}：今天的 {limit} 次已用完（{used}）。"),
        Text(
            "See who calls so often. `wxmiddleware quota --clear` resets it, ten times a month.",
            "查一查是谁调用得这么频繁。`wxmiddleware quota --clear` 可以清零，每月十次。",
        ),
    ),
    "quota.spent": Words(
        Text(
            "{when}: the quota of token fetches is used up (errcode {errcode}).",
            "{when}：获取 token 的次数用完了（errcode {errcode}）。",
        ),
        Text(
            "See who else fetches. `wxmiddleware quota --clear` resets it, ten times a month; then `wxmiddleware "
            "retry`.",
            "查一查还有谁在获取。`wxmiddleware quota --clear` 可以清零，每月十次；然后运行 `wxmiddleware retry`。",
        ),
    ),
    "quota.rejected": Words(Text("WeChat does not accept the token; see api.", "微信不接受这个 token；见 api。")),
    "quota.no_path": Words(
        Text("WeChat knows no API {path}.", "微信没有 {path} 这个接口。"),
        Text(
            "Write the path without host, as in /cgi-bin/message/custom/send.",
            "请写不带域名的路径，如 /cgi-bin/message/custom/send。",
        ),
    ),
    "quota.refused": Words(
        Text("WeChat answers errcode {errcode}.", "微信返回 errcode {errcode}。"), Text("{advice}", "{advice}")
    ),
    "quota.cleared": Words(
        Text(
            "The day's counts are reset. That can be done {most} times a month.",
            "当天的次数已清零。每月可清零 {most} 次。",
        )
    ),
    "quota.clear_needs_secret": Words(
        Text("To reset the quota the secret is needed.", "清零需要密钥。"),
        Text("Set WECHAT_SECRET.", "请设置 WECHAT_SECRET。"),
    ),
    "quota.no_more_clears": Words(
        Text("The {most} resets of this month are used up.", "本月的 {most} 次清零机会已用完。"),
        Text("Wait for midnight in China, when the day's counts begin anew.", "请等到北京时间零点，次数会重新计算。"),
    ),
    "egress.ok": Words(Text("WeChat sees {addresses}.", "微信看到的出口 IP 是 {addresses}。")),
    "egress.unknown": Words(Text("WeChat has not told which address it sees.", "微信没有告知看到的出口 IP。")),
    "egress.several": Words(
        Text("WeChat has seen several addresses: {addresses}.", "微信看到过多个出口 IP：{addresses}。"),
        Text(
            "Requests leave by more than one: add each to the IP allowlist (IP白名单).",
            "请求从不止一个出口 IP 发出：请把每一个都加入IP白名单。",
        ),
    ),
    "rid.none_asked": Words(Text("No --rid was given.", "没有给出 --rid。")),
    "rid.form": Words(
        Text("That is no rid.", "这不是 rid。"),
        Text(
            "One looks like 61725984-6126f6f9-040f19c4; it ends WeChat's errmsg.",
            "rid 形如 61725984-6126f6f9-040f19c4，在微信 errmsg 的末尾。",
        ),
    ),
    "rid.not_found": Words(
        Text("WeChat does not know this request, or not any more.", "微信没有这个请求的记录，或已经没有了。"),
        Text("It remembers each for seven days.", "记录只保留七天。"),
    ),
    "rid.other_account": Words(
        Text("That was a request of another account.", "那是另一个账号的请求。"),
        Text("Ask with the account whose request it was.", "请用发出该请求的账号来查。"),
    ),
    "rid.refused": Words(
        Text("WeChat answers errcode {errcode}.", "微信返回 errcode {errcode}。"), Text("{advice}", "{advice}")
    ),
    "rid.ok": Words(
        Text(
            "{path} at {at}: {size} characters were sent from {address}; done in {ms} ms, errcode {errcode}.",
            "{path}，{at}：从 {address} 发来 {size} 个字符；用时 {ms} 毫秒，errcode {errcode}。",
        )
    ),
    "rid.error": Words(
        Text(
            "{path} at {at}: {size} characters were sent from {address}; answered in {ms} ms with errcode {errcode}"
            ". {advice}",
            "{path}，{at}：从 {address} 发来 {size} 个字符；用时 {ms} 毫秒，返回 errcode {errcode}。{advice}",
        )
    ),
    # Who else
    "rivals.none": Words(
        Text("No token was replaced because an API rejected it.", "没有出现过 token 被拒后更换的情况。")
    ),
    "rivals.once": Words(
        Text(
            "{count} tokens were rejected and replaced since {since}.", "从 {since} 起有 {count} 个 token 被拒后更换。"
        )
    ),
    "rivals.regular": Words(
        Text(
            "{count} tokens were rejected and replaced since {since}, about one every {every:.0f} s, the last at "
            "{last}: that is a timer (cron) of another system.",
            "从 {since} 起有 {count} 个 token 被拒后更换，大约每 {every:.0f} 秒一次，最近一次在 {last}：这是另一个系统"
            "的定时任务（cron）。",
        ),
        Text(
            "Find what runs every {every:.0f} s or so and fetches a token. Let one of the two own it: docs/beside.md.",
            "找出大约每 {every:.0f} 秒运行一次、会获取 token 的任务。只留一个刷新方：见 docs/zh/beside.md。",
        ),
    ),
    "rivals.irregular": Words(
        Text(
            "{count} tokens were rejected and replaced since {since}, the last at {last}, at no regular times.",
            "从 {since} 起有 {count} 个 token 被拒后更换，最近一次在 {last}，时间没有规律。",
        ),
        Text(
            "Another system fetches when it needs to, or processes of yours share no store: docs/beside.md.",
            "另一个系统按需获取，或者你们有进程没有共享存储：见 docs/zh/beside.md。",
        ),
    ),
    "rivals.counted": Words(
        Text(
            "WeChat has counted {used} fetches today, and this fleet has made {ours}: {theirs} are another system's.",
            "微信统计今天获取了 {used} 次，本系统只获取了 {ours} 次：其余 {theirs} 次是别的系统。",
        ),
        Text(
            "Each of them ends the token of this fleet. Let one of the two own it: docs/beside.md.",
            "每一次都会使本系统的 token 失效。只留一个刷新方：见 docs/zh/beside.md。",
        ),
    ),
    # Webhook
    "webhook.none_asked": Words(Text("No --webhook was given.", "没有给出 --webhook。")),
    "webhook.ok": Words(
        Text(
            "It answers a verification ({ms:.0f} ms), and refuses a forged one.",
            "通过了验证（{ms:.0f} 毫秒），并拒绝了伪造的签名。",
        )
    ),
    "webhook.wrong": Words(
        Text("It cannot be pushed to. {problem}", "无法推送。{problem}"),
        Text("Check --webhook, WECHAT_TOKEN and WECHAT_AES_KEY.", "检查 --webhook、WECHAT_TOKEN 和 WECHAT_AES_KEY。"),
    ),
    "webhook.late": Words(
        Text("It does not answer within 5 s, after which WeChat gives up.", "5 秒内没有应答，微信会放弃。"),
        Text("Answer at once, and do what takes long later.", "请先应答，耗时的事放到后面做。"),
    ),
    "webhook.lost": Words(
        Text("The connection gave no answer.", "连接没有得到应答。"),
        Text("Check the URL, and that the app runs.", "检查 URL，以及应用是否在运行。"),
    ),
    "webhook.status": Words(
        Text("The HTTP status is {status}, not 200. {problem}", "HTTP 状态码是 {status}，不是 200。{problem}"),
        Text(
            "401 and 403: another token in the app, or a login or CSRF protection in front. 404: another path.",
            "401、403：应用里的 Token 不一样，或前面有登录、CSRF 校验。404：路径不对。",
        ),
    ),
    "webhook.echo": Words(
        Text("It does not give echostr back. {problem}", "没有原样返回 echostr。{problem}"),
        Text("Answer with echostr alone, as plain text.", "请只返回 echostr，纯文本。"),
    ),
    "webhook.let-in": Words(
        Text("It takes a request with a forged signature.", "伪造签名的请求也被接受了。"),
        Text(
            "Anybody can push to it: check signatures, as WebhookMiddleware does.",
            "任何人都能推送：请校验签名，WebhookMiddleware 会做这件事。",
        ),
    ),
    "webhook.other": Words(
        Text("WeChat would mind its answer. {problem}", "微信不会接受它的应答。{problem}"),
        Text("`wxmiddleware push verify` shows it in full.", "`wxmiddleware push verify` 会显示完整内容。"),
    ),
    "callback.ok": Words(Text("WeChat reaches it ({count} ways tried).", "微信能连到它（试了 {count} 条线路）。")),
    "callback.no_url": Words(
        Text("No URL is entered on WeChat's site.", "微信后台没有填写服务器地址(URL)。"),
        Text(
            "Enter it at mp.weixin.qq.com, under the server's configuration (服务器配置).",
            "请在 mp.weixin.qq.com 的服务器配置里填写。",
        ),
    ),
    "callback.refused": Words(
        Text("WeChat answers errcode {errcode}.", "微信返回 errcode {errcode}。"),
        Text("Try again in a minute.", "请过一分钟再试。"),
    ),
    "callback.unknown_name": Words(
        Text("WeChat cannot look up the name in the URL on its site.", "微信解析不了后台所填地址的域名。"),
        Text("Check the domain's DNS, as seen from China.", "检查该域名的 DNS（从国内解析）。"),
    ),
    "callback.unreachable": Words(
        Text("WeChat's packets to the URL on its site are lost.", "微信发往后台所填地址的数据包全部丢失。"),
        Text(
            "Open the firewall for WeChat's addresses (getcallbackip).", "请在防火墙放行微信的地址（getcallbackip）。"
        ),
    ),
    # A platform
    "ticket.none_asked": Words(Text("No --component was given.", "没有给出 --component。")),
    "ticket.ok": Words(
        Text(
            "The component_verify_ticket came {minutes:.0f} min ago.",
            "component_verify_ticket 是 {minutes:.0f} 分钟前收到的。",
        )
    ),
    "ticket.sealed": Words(
        Text("There is a component_verify_ticket, encrypted.", "有 component_verify_ticket，是加密的。")
    ),
    "ticket.late": Words(
        Text(
            "The component_verify_ticket came {minutes:.0f} min ago; WeChat pushes one every ten minutes.",
            "component_verify_ticket 是 {minutes:.0f} 分钟前收到的；微信每十分钟推送一次。",
        ),
        Text(
            "Does the webhook of the platform still take it? See its log.", "第三方平台的回调还能收到吗？看它的日志。"
        ),
    ),
    "ticket.ended": Words(
        Text(
            "The last component_verify_ticket came {minutes:.0f} min ago, and is good for twelve hours.",
            "最后一个 component_verify_ticket 是 {minutes:.0f} 分钟前收到的，有效期只有十二小时。",
        ),
        Text(
            "Have the pushes started again (api_start_push_ticket), and look at the webhook's log.",
            "请重新启动推送（api_start_push_ticket），并看回调的日志。",
        ),
    ),
    "ticket.missing": Words(
        Text("The store has no component_verify_ticket.", "存储里没有 component_verify_ticket。"),
        Text(
            "Hand each push to Platform.remember_ticket(); have the pushes started (api_start_push_ticket).",
            "把每次推送交给 Platform.remember_ticket()；并启动推送（api_start_push_ticket）。",
        ),
    ),
    "ticket.wrong": Words(
        Text("--component is no AppID. {problem}", "--component 不是 AppID。{problem}"),
        Text("Give the platform's AppID.", "请给出第三方平台的 AppID。"),
    ),
    "ticket.unreadable": Words(
        Text("The ticket cannot be read. {problem}", "ticket 读不了。{problem}"),
        Text("Mend that; the platform cannot read it either.", "请解决：第三方平台同样读不了。"),
    ),
    # A suite
    "suite_ticket.none_asked": Words(Text("No --suite was given.", "没有给出 --suite。")),
    "suite_ticket.ok": Words(
        Text("The suite_ticket came {minutes:.0f} min ago.", "suite_ticket 是 {minutes:.0f} 分钟前收到的。")
    ),
    "suite_ticket.sealed": Words(Text("There is a suite_ticket, encrypted.", "有 suite_ticket，是加密的。")),
    "suite_ticket.late": Words(
        Text(
            "The suite_ticket came {minutes:.0f} min ago; WeCom pushes one every ten minutes.",
            "suite_ticket 是 {minutes:.0f} 分钟前收到的；企业微信每十分钟推送一次。",
        ),
        Text("Does the command URL of the suite still take it? See its log.", "应用的指令回调还能收到吗？看它的日志。"),
    ),
    "suite_ticket.ended": Words(
        Text(
            "The last suite_ticket came {minutes:.0f} min ago, and is good for thirty minutes.",
            "最后一个 suite_ticket 是 {minutes:.0f} 分钟前收到的，有效期只有三十分钟。",
        ),
        Text(
            "Push one by hand at WeCom's console, and look at the webhook's log.",
            "请在服务商后台手动推送一次，并看回调的日志。",
        ),
    ),
    "suite_ticket.missing": Words(
        Text("The store has no suite_ticket.", "存储里没有 suite_ticket。"),
        Text(
            "Hand each notice to Suite.handle(); push a ticket by hand at WeCom's console.",
            "把每个通知交给 Suite.handle()；可在服务商后台手动推送一次。",
        ),
    ),
    "suite_ticket.wrong": Words(
        Text("--suite is no suite id. {problem}", "--suite 不是 suite_id。{problem}"),
        Text("Give the suite's id.", "请给出应用的 suite_id。"),
    ),
    "suite_ticket.unreadable": Words(
        Text("The ticket cannot be read. {problem}", "ticket 读不了。{problem}"),
        Text("Mend that; the suite cannot read it either.", "请解决：应用同样读不了。"),
    ),
}
