"""
What to do about an error of a store's server or client: one table.

An error's text may quote a URL with its password, a command with the token in it, or a row. So it is only searched, and
never repeated.
"""

from __future__ import annotations

import re
from typing import Final

_SCRIPTS = "+eval +evalsha +hget +hset +exists +pexpireat +time"

# What is looked for in the words of an error: the names of its kinds, its code and its text; and what to do then.
# The first that is found counts, so what is particular comes before what is general.
_TABLE: Final = (
    # MySQL and MariaDB, by number: https://mariadb.com/kb/en/mariadb-error-code-reference/
    (r"^code=(1045|1698|1251)$", "The user or the password is wrong, or this user may not come from this host."),
    (r"^code=1044$", "This user may not use that database. GRANT it the rights, or name another database."),
    (r"^code=1049$", "There is no database of that name. Create it, or mend the end of the URL."),
    (
        r"^code=1054$",
        "A table of that name belongs to another program: its columns are others. Give table= a name.",
    ),
    (
        r"^code=(1142|1143)$",
        "This user needs SELECT, INSERT and UPDATE on the table, and CREATE while it is missing.",
    ),
    (r"^code=(1040|1203|1226)$", "It has too many connections. Raise max_connections, or find out who keeps them."),
    (r"^code=(1290|1792|1836)$", "It only lets itself be read. Give the store the address of the primary."),
    (r"^code=2005$", "The host's name is not known. Check the host in the URL, and DNS."),
    (r"^code=(2002|2003)$", "It cannot be reached. Check host and port, that the server runs, and the firewall."),
    (r"^code=(2006|2013)$", "The connection was cut or took too long. Check the network and the server's log."),
    (r"'cryptography' package", "The server wants a package for its passwords: pip install cryptography."),
    # PostgreSQL, by state (https://www.postgresql.org/docs/current/errcodes-appendix.html); at connecting by text.
    (r"^code=28P01$|password authentication failed|no password supplied", "The user or the password is wrong."),
    (r"^code=28000$|no pg_hba.conf entry|role \".*\" does not exist", "This user may not come from this host."),
    (
        r"^code=3D000$|database \".*\" does not exist",
        "There is no database of that name. Create it, or mend the URL.",
    ),
    (r"^code=3F000$", "There is no such schema. Create it, or give table= another name."),
    (
        r"^code=42703$",
        "A table of that name belongs to another program: its columns are others. Give table= a name.",
    ),
    (r"^code=42P01$", "The table is missing. Create it with what `wxmiddleware schema` prints."),
    (
        r"^code=42501$",
        "This user needs SELECT, INSERT and UPDATE on the table, and CREATE on the schema while it is missing.",
    ),
    (
        r"^code=53300$|too many clients|remaining connection slots",
        "It has too many connections. Raise max_connections.",
    ),
    (r"^code=25006$", "It only lets itself be read. Give the store the address of the primary."),
    # SQLite
    (r"^code=SQLITE_CANTOPEN", "The file cannot be opened. Make its directory, for the user of this process."),
    (r"^code=SQLITE_(READONLY|PERM)", "This user may not write the file or its directory, or they are read-only."),
    (r"^code=SQLITE_(NOTADB|CORRUPT)", "The file is no database, or is damaged. Move it away."),
    (r"^code=SQLITE_FULL", "The disk is full. Make room."),
    (r"^code=SQLITE_BUSY", "Another process keeps the file locked. Find out which one."),
    # Redis: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
    (
        r"WRONGPASS|invalid (username-password pair|password)|without any password configured",
        "The user or the password in its URL is wrong.",
    ),
    (
        r"NOAUTH|Authentication required",
        "It wants a password: redis://:password@host, or redis://user:password@host.",
    ),
    (
        r"NOPERM|NoPermissionError|user executing the script",
        f"Allow its user these commands on the store's keys: ACL SETUSER name {_SCRIPTS} '~*wx:*'.",
    ),
    (
        r"\b(MOVED|ASK) |MovedError|AskError|CLUSTERDOWN|ClusterDownError",
        "It is a cluster. Give the store a RedisCluster client.",
    ),
    (r"MISCONF", "It cannot write to its disk, and so takes no writes. Look at its log; make room."),
    (
        r"READONLY|ReadOnlyError",
        "It is a replica: give the store the primary, or a Sentinel client's master_for().",
    ),
    (r"max number of clients", "It has too many clients. Raise maxclients, or find out who keeps connections."),
    (
        r"\bOOM |OutOfMemoryError",
        "It has no memory left: raise maxmemory, or let it evict keys that expire (volatile-ttl).",
    ),
    (r"LOADING|BusyLoadingError", "It is reading its data from the disk, after a start. Wait."),
    (r"DENIED", "It is in protected mode: set a password, or a bind address."),
    (r"DB index is out of range", "It has no database of that number: redis://host:6379/0."),
    # memcached
    (r"object too large", "The item is larger than memcached's limit: raise it with -I."),
    (r"out of memory storing", "memcached has no memory left: raise it with -m."),
    # Files and networks
    (
        r"gaierror|[Nn]ame or service not known|Temporary failure in name resolution|resolve host",
        "The host's name is not known. Check the host, and DNS.",
    ),
    (
        r"ConnectionRefusedError|Connection refused|Error 111",
        "Nothing listens there. Check host and port, and that the server runs.",
    ),
    (
        r"FileNotFoundError|No such file",
        "There is no such file or socket. Check the path, and that the server runs.",
    ),
    (r"No space left|[Qq]uota exceeded", "The disk or the quota is full. Make room."),
    (r"Read-only file system", "That drive can only be read. Mount it otherwise, or name another path."),
    (r"PermissionError", "This user may not. Check the rights of the file or socket."),
    (
        r"SSL|TLS|[Cc]ertificate",
        "TLS failed. Check the certificate, and whether the server speaks TLS at that port.",
    ),
    (
        r"Timeout|timed out|timeout expired",
        "It did not answer in time. Check host and port, the firewall, and its load.",
    ),
)


def advise(error: BaseException, before: tuple[tuple[str, str], ...] = ()) -> str:
    """Say what to do about an error of a store's; empty if that is not known. What `before` says goes first."""
    words = _words(error)
    return next(
        (advice for pattern, advice in (*before, *_TABLE) if any(re.search(pattern, word) for word in words)), ""
    )


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
