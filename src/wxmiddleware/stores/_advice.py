"""
What to do about an error of a store's server or client: one table.

An error's text may quote a URL with its password, a command with the token in it, or a row. So it is only searched, and
never repeated.
"""

from __future__ import annotations

import re
from typing import Final

from .._runtime.language import Text

_SCRIPTS = "+eval +evalsha +hget +hset +exists +pexpireat +time"

# What is looked for in the words of an error: the names of its kinds, its code and its text; and what to do then.
# The first that is found counts, so what is particular comes before what is general.
_TABLE: Final[tuple[tuple[str, Text], ...]] = (
    # MySQL and MariaDB, by number: https://mariadb.com/kb/en/mariadb-error-code-reference/
    (
        r"^code=(1045|1698|1251)$",
        Text(
            "The user or the password is wrong, or this user may not come from this host.",
            "用户名或密码不对，或者不允许该用户从这台主机连接。",
        ),
    ),
    (
        r"^code=1044$",
        Text(
            "This user may not use that database. GRANT it the rights, or name another database.",
            "该用户无权使用这个数据库。用 GRANT 授权，或换一个数据库。",
        ),
    ),
    (
        r"^code=1049$",
        Text(
            "There is no database of that name. Create it, or mend the end of the URL.",
            "没有这个名字的数据库。请先创建，或改正 URL 的末尾。",
        ),
    ),
    (
        r"^code=1054$",
        Text(
            "A table of that name belongs to another program: its columns are others. Give table= a name.",
            "同名的表属于另一个程序：列不一样。请用 table= 换一个表名。",
        ),
    ),
    (
        r"^code=(1142|1143)$",
        Text(
            "This user needs SELECT, INSERT and UPDATE on the table, and CREATE while it is missing.",
            "该用户需要这张表的 SELECT、INSERT、UPDATE 权限；表还不存在时还需要 CREATE。",
        ),
    ),
    (
        r"^code=(1040|1203|1226)$",
        Text(
            "It has too many connections. Raise max_connections, or find out who keeps them.",
            "连接数太多。调大 max_connections，或查出是谁占着连接。",
        ),
    ),
    (
        r"^code=(1290|1792|1836)$",
        Text(
            "It only lets itself be read. Give the store the address of the primary.",
            "它是只读的。请把存储的地址改成主库。",
        ),
    ),
    (
        r"^code=2005$",
        Text(
            "The host's name is not known. Check the host in the URL, and DNS.",
            "主机名解析不了。检查 URL 里的主机名和 DNS。",
        ),
    ),
    (
        r"^code=(2002|2003)$",
        Text(
            "It cannot be reached. Check host and port, that the server runs, and the firewall.",
            "连不上。检查主机和端口、服务是否在运行，以及防火墙。",
        ),
    ),
    (
        r"^code=(2006|2013)$",
        Text(
            "The connection was cut or took too long. Check the network and the server's log.",
            "连接被断开或超时。检查网络和服务端日志。",
        ),
    ),
    (
        r"'cryptography' package",
        Text(
            "The server wants a package for its passwords: pip install cryptography.",
            "服务端的密码方式需要一个包：pip install cryptography。",
        ),
    ),
    # PostgreSQL, by state (https://www.postgresql.org/docs/current/errcodes-appendix.html); at connecting by text.
    (
        r"^code=28P01$|password authentication failed|no password supplied",
        Text("The user or the password is wrong.", "用户名或密码不对。"),
    ),
    (
        r"^code=28000$|no pg_hba.conf entry|role \".*\" does not exist",
        Text("This user may not come from this host.", "不允许该用户从这台主机连接。"),
    ),
    (
        r"^code=3D000$|database \".*\" does not exist",
        Text(
            "There is no database of that name. Create it, or mend the URL.",
            "没有这个名字的数据库。请先创建，或改正 URL。",
        ),
    ),
    (
        r"^code=3F000$",
        Text(
            "There is no such schema. Create it, or give table= another name.",
            "没有这个 schema。请先创建，或用 table= 换一个名字。",
        ),
    ),
    (
        r"^code=42703$",
        Text(
            "A table of that name belongs to another program: its columns are others. Give table= a name.",
            "同名的表属于另一个程序：列不一样。请用 table= 换一个表名。",
        ),
    ),
    (
        r"^code=42P01$",
        Text(
            "The table is missing. Create it with what `wxmiddleware schema` prints.",
            "表不存在。用 `wxmiddleware schema` 打印的语句创建。",
        ),
    ),
    (
        r"^code=42501$",
        Text(
            "This user needs SELECT, INSERT and UPDATE on the table, and CREATE on the schema while it is missing.",
            "该用户需要这张表的 SELECT、INSERT、UPDATE 权限；表还不存在时还需要 schema 的 CREATE 权限。",
        ),
    ),
    (
        r"^code=53300$|too many clients|remaining connection slots",
        Text("It has too many connections. Raise max_connections.", "连接数太多。调大 max_connections。"),
    ),
    (
        r"^code=25006$",
        Text(
            "It only lets itself be read. Give the store the address of the primary.",
            "它是只读的。请把存储的地址改成主库。",
        ),
    ),
    # SQLite
    (
        r"^code=SQLITE_CANTOPEN",
        Text(
            "The file cannot be opened. Make its directory, for the user of this process.",
            "文件打不开。请为本进程的用户建好目录。",
        ),
    ),
    (
        r"^code=SQLITE_(READONLY|PERM)",
        Text(
            "This user may not write the file or its directory, or they are read-only.",
            "该用户不能写这个文件或它的目录，或者它们是只读的。",
        ),
    ),
    (
        r"^code=SQLITE_(NOTADB|CORRUPT)",
        Text("The file is no database, or is damaged. Move it away.", "这个文件不是数据库，或已损坏。请把它移走。"),
    ),
    (r"^code=SQLITE_FULL", Text("The disk is full. Make room.", "磁盘满了。请腾出空间。")),
    (
        r"^code=SQLITE_BUSY",
        Text(
            "Another process keeps the file locked. Find out which one.", "另一个进程一直锁着这个文件。请查出是哪一个。"
        ),
    ),
    # Redis: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
    (
        r"WRONGPASS|invalid (username-password pair|password)|without any password configured",
        Text("The user or the password in its URL is wrong.", "URL 里的用户名或密码不对。"),
    ),
    (
        r"NOAUTH|Authentication required",
        Text(
            "It wants a password: redis://:password@host, or redis://user:password@host.",
            "需要密码：redis://:password@host，或 redis://user:password@host。",
        ),
    ),
    (
        r"NOPERM|NoPermissionError|user executing the script",
        Text(
            f"Allow its user these commands on the store's keys: ACL SETUSER name {_SCRIPTS} '~*wx:*'.",
            f"允许它的用户在存储的键上用这些命令：ACL SETUSER name {_SCRIPTS} '~*wx:*'。",
        ),
    ),
    (
        r"\b(MOVED|ASK) |MovedError|AskError|CLUSTERDOWN|ClusterDownError",
        Text("It is a cluster. Give the store a RedisCluster client.", "这是集群。请给存储一个 RedisCluster 客户端。"),
    ),
    (
        r"MISCONF",
        Text(
            "It cannot write to its disk, and so takes no writes. Look at its log; make room.",
            "它写不了磁盘，因此拒绝写入。看它的日志，并腾出空间。",
        ),
    ),
    (
        r"READONLY|ReadOnlyError",
        Text(
            "It is a replica: give the store the primary, or a Sentinel client's master_for().",
            "这是从库：请给存储主库的地址，或 Sentinel 客户端的 master_for()。",
        ),
    ),
    (
        r"max number of clients",
        Text(
            "It has too many clients. Raise maxclients, or find out who keeps connections.",
            "客户端太多。调大 maxclients，或查出是谁占着连接。",
        ),
    ),
    (
        r"\bOOM |OutOfMemoryError",
        Text(
            "It has no memory left: raise maxmemory, or let it evict keys that expire (volatile-ttl).",
            "内存用完了：调大 maxmemory，或让它淘汰会过期的键（volatile-ttl）。",
        ),
    ),
    (
        r"LOADING|BusyLoadingError",
        Text("It is reading its data from the disk, after a start. Wait.", "它刚启动，正在从磁盘加载数据。请稍等。"),
    ),
    (
        r"DENIED",
        Text(
            "It is in protected mode: set a password, or a bind address.", "它处于保护模式：请设置密码，或 bind 地址。"
        ),
    ),
    (
        r"DB index is out of range",
        Text("It has no database of that number: redis://host:6379/0.", "没有这个编号的库：redis://host:6379/0。"),
    ),
    # memcached
    (
        r"object too large",
        Text(
            "The item is larger than memcached's limit: raise it with -I.",
            "数据超过了 memcached 单条的上限：用 -I 调大。",
        ),
    ),
    (
        r"out of memory storing",
        Text("memcached has no memory left: raise it with -m.", "memcached 内存用完了：用 -m 调大。"),
    ),
    # Files and networks
    (
        r"gaierror|[Nn]ame or service not known|Temporary failure in name resolution|resolve host",
        Text("The host's name is not known. Check the host, and DNS.", "主机名解析不了。检查主机名和 DNS。"),
    ),
    (
        r"ConnectionRefusedError|Connection refused|Error 111",
        Text(
            "Nothing listens there. Check host and port, and that the server runs.",
            "那里没有服务在监听。检查主机、端口，以及服务是否在运行。",
        ),
    ),
    (
        r"FileNotFoundError|No such file",
        Text(
            "There is no such file or socket. Check the path, and that the server runs.",
            "没有这个文件或套接字。检查路径，以及服务是否在运行。",
        ),
    ),
    (
        r"No space left|[Qq]uota exceeded",
        Text("The disk or the quota is full. Make room.", "磁盘或配额满了。请腾出空间。"),
    ),
    (
        r"Read-only file system",
        Text(
            "That drive can only be read. Mount it otherwise, or name another path.",
            "这个文件系统是只读的。请重新挂载，或换一个路径。",
        ),
    ),
    (
        r"PermissionError",
        Text("This user may not. Check the rights of the file or socket.", "该用户没有权限。检查文件或套接字的权限。"),
    ),
    (
        r"SSL|TLS|[Cc]ertificate",
        Text(
            "TLS failed. Check the certificate, and whether the server speaks TLS at that port.",
            "TLS 失败。检查证书，以及服务端在这个端口是否用 TLS。",
        ),
    ),
    (
        r"Timeout|timed out|timeout expired",
        Text(
            "It did not answer in time. Check host and port, the firewall, and its load.",
            "没有及时应答。检查主机、端口、防火墙和它的负载。",
        ),
    ),
)


# How our own errors begin.
_FRAMES: Final = (
    (re.compile(r"Redis refused a command \((\w+)\)\. ?"), r"Redis 拒绝了一个命令（\1）。"),
    (re.compile(r"The database gave an error \(([\w ]+)\)\. ?"), r"数据库报错（\1）。"),
    (re.compile(r" ?Its own log says more\."), "详情见它自己的日志。"),
)


def advise(error: BaseException, before: tuple[tuple[str, str], ...] = ()) -> str:
    """Say what to do about an error of a store's; empty if that is not known. What `before` says goes first."""
    words = _words(error)
    first = (advice for pattern, advice in before if any(re.search(pattern, word) for word in words))
    return next(first, advice_on(error).en)


def advice_on(error: BaseException) -> Text:
    """Say what to do about an error of a store's, in both languages; empty if that is not known."""
    words = _words(error)
    return next((advice for pattern, advice in _TABLE if any(re.search(pattern, word) for word in words)), Text("", ""))


def translated(message: str) -> Text:
    """Give one of our own errors in both languages; what the tables here do not have stays English in both."""
    chinese = message
    for advice in sorted((advice for _, advice in _TABLE), key=lambda each: -len(each.en)):
        chinese = chinese.replace(advice.en, advice.zh)
    for pattern, words in _FRAMES:
        chinese = pattern.sub(words, chinese)
    return Text(message, chinese)


def name_of(store: object) -> str:
    """A store's name for messages. Of ours that is where it is; what others put into their repr is not known."""
    if type(store).__module__.partition(".")[0] == "wxmiddleware":
        return repr(store)
    return type(store).__name__


def _words(error: BaseException) -> list[str]:
    """The words of an error and of its causes: the names of their kinds, their codes and texts."""
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 8:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            todo += [getattr(one, "orig", None), one.__cause__, *one.args]
    words: list[str] = []
    for one in found:
        first = one.args[0] if one.args else None
        names = ("sqlstate", "sqlite_errorname")
        codes = [first if isinstance(first, int) else None, *(getattr(one, name, None) for name in names)]
        words += [f"code={code}" for code in codes if code]
        words += [*(kind.__name__ for kind in type(one).__mro__[:3]), *map(_text, one.args)]
    return words


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
