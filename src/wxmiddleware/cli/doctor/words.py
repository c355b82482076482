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
    "cause": Text("The cause: {name}. {seen} {counts}", "原因：{name}。{seen}{counts}"),
    "sound": Text("Nothing has failed. {counts}", "没有失败的检查。{counts}"),
    "counts": Text(
        "{ok} ok, {warn} warn, {fail} fail, {skip} skip.", "正常 {ok}，注意 {warn}，失败 {fail}，跳过 {skip}。"
    ),
    "list": Text("{about}; costs {cost}", "{about}；消耗：{cost}"),
    "nobody": Text("(no account)", "（没有账号）"),
}

_STORES: Final = Text(
    "Name the store of your services: --store, or WXM_STORE.", "请给出各服务共用的存储：--store 或 WXM_STORE。"
)
WORDS: Final[dict[str, Words]] = {
    "any.blocked": Words(Text("Means nothing until {name} is mended.", "{name} 未解决之前，这项没有意义。")),
    "any.broken": Words(
        Text("The check itself has failed ({error}).", "检查本身出错（{error}）。"),
        Text("Please report it, with this output.", "请连同本次输出一起反馈给我们。"),
    ),
    "any.proxied": Words(Text("The proxy does that.", "由代理负责。")),
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
}
