"""Database URLs: what Neon prints, turned into what SQLAlchemy takes. Nothing here connects."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from todo.errors import BadSetting

_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg"}


def read_database_url(url: str, *, variable: str = "DATABASE_URL") -> URL:
    """Read a PostgreSQL URL; raise BadSetting, naming `variable` and nothing of the URL, which holds a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadSetting(f"{variable}: is not a URL such as postgresql://user:password@host/database") from None
    if parsed.drivername not in _SCHEMES:
        raise BadSetting(f"{variable}: must start with postgresql:// (PostgreSQL is the only database)")
    return parsed.set(drivername="postgresql+psycopg")


def derive_direct_url(url: URL) -> URL:
    """Return the URL that reaches Neon's database without its pooler; any other URL is returned as it is."""
    endpoint, dot, domain = (url.host or "").partition(".")
    return url.set(host=endpoint.removesuffix("-pooler") + dot + domain) if domain.endswith(".neon.tech") else url
