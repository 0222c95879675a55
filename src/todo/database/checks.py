"""Whether a database is fit to serve: what `todo check` asks it, over a connection of its own."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from todo.database.schema import CONNECT_TIMEOUT_SECONDS, SchemaState, compare_revision, read_revisions

OLDEST_SERVER = 15
CLOCK_TOLERANCE_SECONDS = 5

_READ_SERVER = text("SELECT current_setting('server_version_num')::int, clock_timestamp()")
_READ_ROLE = text(
    "SELECT current_user, rolsuper, COALESCE(has_table_privilege(to_regclass('tasks'), 'SELECT')"
    " AND has_table_privilege(to_regclass('tasks'), 'INSERT')"
    " AND has_table_privilege(to_regclass('tasks'), 'UPDATE')"
    " AND has_table_privilege(to_regclass('tasks'), 'DELETE')"
    " AND has_table_privilege(to_regclass('alembic_version'), 'SELECT'), false)"
    " FROM pg_roles WHERE rolname = current_user"
)


@dataclass(frozen=True)
class Finding:
    """What was found of one subject; where it is not right, `found` says what to do."""

    subject: str
    is_right: bool
    found: str


def check_database(url: URL) -> Iterator[Finding]:
    """Look at the connection, the server, the role, the schema and the clock; stop where one cannot connect."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )
    try:
        with engine.connect() as connection:
            yield Finding("connection", is_right=True, found=f"{url.host or 'local socket'}, database {url.database}")
            yield from _check_server(connection)
            yield _check_role(connection)
            yield _check_schema(connection)
    except DBAPIError as error:
        yield Finding("connection", is_right=False, found=str(error.orig).strip().splitlines()[0])


def _check_server(connection: Connection) -> Iterator[Finding]:
    started = time.monotonic()
    number, server_clock = connection.execute(_READ_SERVER).one()
    round_trip = time.monotonic() - started
    major, minor = divmod(number, 10_000)
    is_new_enough = major >= OLDEST_SERVER
    advice = "" if is_new_enough else f"; {OLDEST_SERVER} or newer is needed"
    yield Finding("server", is_new_enough, f"PostgreSQL {major}.{minor}, {round_trip * 1000:.1f} ms away{advice}")
    ahead = (server_clock - datetime.now(UTC)).total_seconds()
    is_exact = abs(ahead) <= CLOCK_TOLERANCE_SECONDS + round_trip
    advice = "" if is_exact else "; set one of the two clocks right"
    yield Finding("clock", is_exact, f"{ahead:+.1f} s from this machine's{advice}")


def _check_role(connection: Connection) -> Finding:
    role, is_superuser, can_serve = connection.execute(_READ_ROLE).one()
    power = ", a superuser" if is_superuser else ""
    advice = "" if can_serve else "; it may not read and write tasks: run `todo migrate`, or grant it the tables"
    return Finding("role", can_serve, f"{role}{power}{advice}")


def _check_schema(connection: Connection) -> Finding:
    revision = MigrationContext.configure(connection).get_current_revision()
    state = compare_revision(revision)
    advice = "; run `todo migrate`" if state is SchemaState.OUTDATED else ""
    found = f"revision {revision or 'none'}, {state.value} ({read_revisions()[0]}){advice}"
    return Finding("schema", state is not SchemaState.OUTDATED, found)
