"""Database URLs: read by libpq, as psql reads them, and refused where they cannot work. Nothing here connects."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

from todo.errors import BadSetting

_URL = re.compile(r"([\w+]+://(?:[^@/]*@)?[^?]*)\??(.*)", re.DOTALL)  # and its options
_SCHEMES = ("postgres://", "postgresql://", "postgresql+psycopg://")  # the last is SQLAlchemy's
# A password with `/` or `@` as it is: libpq would take parts of it for a port, a database or a host, and look that up.
_BARE_PASSWORD = re.compile(r"[^:]*://(?:[^/@]*:[^/@]*/[^?]*@|[^/@]*@[^/?]*@)")
# What follows a `?` or `&` inside a password would be named as an unknown option.
_MAYBE_PASSWORD = re.compile(r"@|password=|(?:^|&)[^=&]+(?:&|$)")
_NO_URL = (
    "is not a URL such as postgresql://user:password@host/database; inside a user name, password or value, "
    "write % as %25, & as %26, / as %2F, = as %3D, ? as %3F and @ as %40"
)
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
_MAX_PORT = 65535
SOCKETS = ("/", "@")  # how a host begins that is the folder of a socket, or an abstract one
_NO_SOCKET = "/dev/null"  # no folder, so no socket in it
_POOLER = "-pooler"


@dataclass(frozen=True)
class DatabaseUrl:
    """The connection parameters of a database URL, by libpq's names; its `repr` shows no value."""

    parameters: Mapping[str, str] = field(repr=False)

    @property
    def conninfo(self) -> str:
        """The parameters as psycopg and libpq take them."""
        return make_conninfo("", **self.parameters)

    @property
    def host(self) -> str:
        """The host, or several separated by commas, or the folder of a socket, or "" for the one that libpq finds."""
        return self.parameters.get("host", "")

    @property
    def is_at_neon(self) -> bool:
        """Whether the database is one of Neon's."""
        return self.host.endswith(".neon.tech")

    @property
    def is_pooled(self) -> bool:
        """Whether the host is Neon's pooler."""
        return self.is_at_neon and self.host.partition(".")[0].endswith(_POOLER)

    @property
    def direct(self) -> Self:
        """The same URL without Neon's pooler."""
        if not self.is_pooled:
            return self
        endpoint, dot, domain = self.host.partition(".")
        return self.with_parameters(host=endpoint.removesuffix(_POOLER) + dot + domain)

    def with_parameters(self, **parameters: str) -> Self:
        """Return a copy with other values for some parameters."""
        return replace(self, parameters={**self.parameters, **parameters})


def read_database_url(url: str, *, variable: str = "DATABASE_URL") -> DatabaseUrl:
    """Read a PostgreSQL URL; raise BadSetting, naming `variable` and no value of the URL, which holds a password.

    Whatever can be known to fail without connecting is refused. A URL for Neon without an `sslmode` gets `require`:
    libpq's default, `prefer`, continues without TLS if an attacker on the way removes it.
    """
    try:
        read = DatabaseUrl(_parse(url.strip()))
        _check(read)
    except _Refused as refused:
        raise BadSetting(f"{variable}: {refused}") from None
    if read.is_at_neon and "sslmode" not in read.parameters:
        return read.with_parameters(sslmode="require")
    return read


class _Refused(Exception):
    """A URL cannot work; the message says why, without a value of it."""


def _parse(url: str) -> dict[str, str]:
    """Return the parameters of a URL that are not empty."""
    if "\0" in unquote(url):
        raise _Refused("must not contain a NUL character")
    found = _URL.match(url)
    if found and not url.startswith(_SCHEMES):
        raise _Refused("must start with postgresql:// (PostgreSQL is the only database)")
    if not found or _BARE_PASSWORD.match(url):
        raise _Refused(_NO_URL)
    address, options = found.groups(default="")
    _check_names(options)
    # Spaces as psql read them before version 18, and as Python writes them in a query.
    readable = f"{address}?{options.replace('+', '%20')}".replace(" ", "%20")
    try:
        parameters = conninfo_to_dict(readable.replace("postgresql+psycopg://", "postgresql://", 1))
    except (ProgrammingError, ValueError):  # the latter where it is not in UTF-8
        raise _Refused(_NO_URL) from None
    return {name: str(value) for name, value in parameters.items() if value != ""}


def _check_names(options: str) -> None:
    counts = Counter(unquote(option.partition("=")[0]) for option in options.split("&"))
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"", "ssl"}  # ssl=true: sslmode=require
    for name, count in counts.items():
        if name not in known:
            if _MAYBE_PASSWORD.search(options):
                raise _Refused(_NO_URL)
            raise _Refused(f"has an option {name!a}, which libpq does not know; leave it out")
        if name and count > 1:
            raise _Refused(f"has the option {name!a} more than once")


def _check(url: DatabaseUrl) -> None:
    for name, value in url.parameters.items():
        if name in _NUMBERS and not re.fullmatch(r"-?\d{1,9}", value):
            raise _Refused(f"{name} must be a whole number")
        if name in _FILES and value != "system" and not _is_file(value):
            raise _Refused(f"{name} names a file that does not exist or cannot be reached")
    _check_hosts(url)
    if url.parameters.get("sslmode", "require") not in _SSL_MODES:
        raise _Refused(f"sslmode must be one of {', '.join(_SSL_MODES)}")
    if "replication" in url.parameters:
        raise _Refused("a replication connection takes no statements; leave replication out")
    if refusal := _ask_libpq(url):
        raise _Refused(refusal)


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a closed folder on the path, or a name that no file can have
        return False


def _check_hosts(url: DatabaseUrl) -> None:
    """Refuse impossible hosts and ports, which the driver would refuse only when it connects."""
    if not all(map(_is_host, url.host.split(","))):
        raise _Refused("the host is not a host name")
    if not all(map(_is_address, filter(None, url.parameters.get("hostaddr", "").split(",")))):
        raise _Refused("hostaddr must be an IP address")
    ports = url.parameters.get("port", "").split(",")
    if len(ports) not in (1, _count_hosts(url)) or not all(map(_is_port, filter(None, ports))):
        raise _Refused(
            f"the port must be a number from 1 to {_MAX_PORT}, and where there are several hosts, one for each"
        )


def _count_hosts(url: DatabaseUrl) -> int:
    return len((url.parameters.get("hostaddr") or url.host).split(","))


def _is_host(host: str) -> bool:
    if host.startswith(SOCKETS):
        return True
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return ":" not in host or _is_address(host)


def _is_address(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _is_port(port: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", port)) and 1 <= int(port) <= _MAX_PORT


def _ask_libpq(url: DatabaseUrl) -> str | None:
    """Return the reason why libpq refuses the options, if it does: only libpq knows which values go together.

    It is asked to connect to a socket that cannot exist, so nothing is sent and no name is looked up.
    """
    nowhere = url.with_parameters(
        host=",".join([_NO_SOCKET] * _count_hosts(url)),
        hostaddr="",
        gssencmode="disable",  # as it is for every connection
        password="none",  # noqa: S106 - there is nobody to take it
        passfile=_NO_SOCKET,
    )
    attempt = PGconn.connect_start(nowhere.conninfo.encode())
    message = attempt.get_error_message()
    attempt.finish()
    # No value is repeated: parts of a password that was not encoded may be among them.
    for value in url.parameters.values():
        message = re.sub(f':? "{re.escape(value)}"', "", message)
    lines = message.splitlines()
    return next((line for line in lines if _NO_SOCKET not in line and not line.startswith("\t")), None)
