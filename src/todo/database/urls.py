"""Database URLs: what Neon prints, turned into what SQLAlchemy takes. Nothing here connects."""

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from todo.errors import BadSetting

_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_POOLER = "-pooler"


def read_database_url(url: str, *, variable: str = "DATABASE_URL") -> URL:
    """Read a PostgreSQL URL; raise BadSetting, naming `variable` and nothing of the URL, which holds a password.

    What it says of TLS is kept. A URL for Neon that says nothing gets `sslmode=require`: libpq alone would prefer TLS,
    and go on without it where somebody on the way takes it out.
    """
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise BadSetting(f"{variable}: is not a URL such as postgresql://user:password@host/database") from None
    if parsed.drivername not in _SCHEMES:
        raise BadSetting(f"{variable}: must start with postgresql:// (PostgreSQL is the only database)")
    _check_options(parsed, variable)
    if _is_at_neon(parsed) and "sslmode" not in parsed.query:
        parsed = parsed.update_query_dict({"sslmode": "require"})
    return parsed.set(drivername="postgresql+psycopg")


def _check_options(url: URL, variable: str) -> None:
    options: dict[str, str] = {}
    for name, value in url.query.items():
        if not isinstance(value, str):
            raise BadSetting(f"{variable}: has the option {name} more than once")
        options[name] = value
    try:
        make_conninfo("", **options)
    except psycopg.ProgrammingError as error:  # it names the option, and not its value
        raise BadSetting(f"{variable}: {str(error).strip()}; leave out what only other drivers know") from None
    if options.get("sslmode", "require") not in _SSL_MODES:
        raise BadSetting(f"{variable}: sslmode must be one of {', '.join(_SSL_MODES)}")


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
