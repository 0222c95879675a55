"""Database URLs: what Neon prints, turned into what SQLAlchemy takes. Nothing here connects."""

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, PGconn
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from todo.errors import BadSetting

_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_FILES = ("sslrootcert", "sslcert", "sslcrl", "passfile")
_PORTS = "the port must be a number from 1 to 65535, and where there are several hosts, one for each"
_NO_SOCKET = "/dev/null"  # where a folder of sockets would have to be
_POOLER = "-pooler"


def read_database_url(url: str, *, variable: str = "DATABASE_URL") -> URL:
    """Read a PostgreSQL URL; raise BadSetting, naming `variable` and no value of the URL, which holds a password.

    What can be known to be wrong without connecting is refused, as each request would be that tried to connect.

    What it says of TLS is kept. A URL for Neon that says nothing gets `sslmode=require`: libpq alone would prefer TLS,
    and go on without it where somebody on the way takes it out.
    """
    try:
        url.encode()
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise BadSetting(f"{variable}: is not a URL such as postgresql://user:password@host/database") from None
    if "\0" in unquote(url):
        raise BadSetting(f"{variable}: must not contain a NUL character")
    if parsed.drivername not in _SCHEMES:
        raise BadSetting(f"{variable}: must start with postgresql:// (PostgreSQL is the only database)")
    _check_options(parsed, variable)
    if _is_at_neon(parsed) and "sslmode" not in parsed.query:
        parsed = parsed.update_query_dict({"sslmode": "require"})
    return parsed.set(drivername="postgresql+psycopg")


def _check_options(url: URL, variable: str) -> None:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for name, value in url.query.items():
        if not isinstance(value, str):
            raise BadSetting(f"{variable}: has the option {name} more than once")
        if name not in known:
            raise BadSetting(f"{variable}: has an option {name}, which libpq does not know; leave it out")
        if name in _NUMBERS and not re.fullmatch(r"-?\d{1,9}", value):
            raise BadSetting(f"{variable}: {name} must be a whole number")
        if name in _FILES and value not in ("", "system") and not _is_file(value):
            raise BadSetting(f"{variable}: {name} names a file that is not there, or out of reach")
    _check_hosts(url, variable)
    if url.query.get("sslmode", "require") not in _SSL_MODES:
        raise BadSetting(f"{variable}: sslmode must be one of {', '.join(_SSL_MODES)}")
    if "replication" in url.query:
        raise BadSetting(f"{variable}: a replication connection takes no statements; leave replication out")
    if refusal := _ask_libpq(url):
        raise BadSetting(f"{variable}: {refusal}")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a folder on the way that is closed to this account, or a name that no file can have
        return False


def _check_hosts(url: URL, variable: str) -> None:
    """Refuse what is no host, which the driver would find out each time that it connects."""
    names = (url.host or "", *str(url.query.get("host", "")).split(","))
    addresses = filter(None, str(url.query.get("hostaddr", "")).split(","))
    try:
        for name in names:
            if not name.startswith(("/", "@")):
                name.encode("idna")
    except UnicodeError:
        raise BadSetting(f"{variable}: the host is no host name") from None
    try:
        for address in addresses:
            ip_address(address)
    except ValueError:
        raise BadSetting(f"{variable}: hostaddr must be an IP address") from None


def _ask_libpq(url: URL) -> str | None:
    """Return what libpq refuses before it connects: it alone knows what each option may be, and together with which.

    It is asked to connect to a socket where there can be none, so that nothing is sent and no name is looked up.
    """
    try:
        _, options = PGDialect_psycopg().create_connect_args(url)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    except (ArgumentError, ValueError):
        return _PORTS
    hosts = str(options.get("host", "")).count(",") + 1
    ports = str(options.get("port", "")).count(",") + 1
    if url.port == 0 or ports not in (1, hosts):
        return _PORTS
    instead = {
        "host": ",".join([_NO_SOCKET] * hosts),
        "hostaddr": "",
        "gssencmode": "disable",  # as it is for every connection
        "password": "none",
        "passfile": _NO_SOCKET,
    }
    attempt = PGconn.connect_start(make_conninfo("", **{**options, **instead}).encode())
    lines = attempt.get_error_message().splitlines()
    attempt.finish()
    refusals = (line for line in lines if _NO_SOCKET not in line and not line.startswith("\t"))
    # No value is repeated: what a password that is not quoted has come apart into may be one.
    values = {str(value) for value in options.values()}
    return next((re.sub(r':? "([^"]*)"', lambda at: "" if at[1] in values else at[0], line) for line in refusals), None)


def is_pooled(url: URL) -> bool:
    """Tell whether a URL leads through Neon's pooler."""
    return _is_at_neon(url) and (url.host or "").partition(".")[0].endswith(_POOLER)


def derive_direct_url(url: URL) -> URL:
    """Return the URL that reaches Neon's database without its pooler; any other URL is returned as it is."""
    if not is_pooled(url):
        return url
    endpoint, dot, domain = (url.host or "").partition(".")
    return url.set(host=endpoint.removesuffix(_POOLER) + dot + domain)


def _is_at_neon(url: URL) -> bool:
    return (url.host or "").endswith(".neon.tech")
