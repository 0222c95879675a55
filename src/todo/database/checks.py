"""The checks that `todo check` runs on a database, over connections of its own."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, cast

from psycopg import Connection as DriverConnection
from sqlalchemy import ARRAY, Connection, Text, bindparam, text
from sqlalchemy.exc import DBAPIError

from todo.database.migration import make_engine, read_schema
from todo.database.revisions import REVISIONS
from todo.database.schema import NEEDED_PRIVILEGES, SERVABLE, SchemaState
from todo.database.urls import SOCKETS, DatabaseUrl

OLDEST_SERVER = 15
CLOCK_TOLERANCE_SECONDS = 5
ROUND_TRIPS = 5  # of which the median is reported
SPARE_CONNECTIONS = 5  # for migrations, backups and people
NEON_POOLER_CLIENTS = 10_000
FAR_MILLISECONDS = 20
LOCAL_HOSTS = ("local socket", "localhost", "127.0.0.1", "::1")

# In seconds, since psycopg can read a timestamp only in some of the styles that a session may have.
_READ_SERVER = text("SELECT current_setting('server_version_num')::int, extract(epoch FROM clock_timestamp())::numeric")
_READ_TLS = text("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
# The last schema is where this service's tables are, also outside the role's search_path: any role reads the catalogs.
_READ_ROLE = text(
    "SELECT quote_ident(current_user), rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,"
    " to_regclass('tasks') IS NOT NULL AND to_regclass('todo_schema_version') IS NOT NULL,"
    " (SELECT min(quote_ident(nspname)) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE relname = 'todo_schema_version'),"
    " ARRAY(SELECT 'GRANT ' || string_agg(split_part(needed, '.', 2), ', ') || ' ON ' || split_part(needed, '.', 1)"
    " FROM unnest(CAST(:privileges AS text[])) AS needed"
    " WHERE NOT has_table_privilege(to_regclass(split_part(needed, '.', 1)), split_part(needed, '.', 2))"
    " GROUP BY split_part(needed, '.', 1) ORDER BY split_part(needed, '.', 1))"
    " || ARRAY(SELECT 'GRANT EXECUTE ON FUNCTION find_deleted_tasks'"
    " WHERE NOT has_function_privilege(to_regprocedure('find_deleted_tasks(text, uuid[])'), 'EXECUTE'))"
    " FROM pg_roles WHERE rolname = current_user"
).bindparams(bindparam("privileges", [*NEEDED_PRIVILEGES, "todo_schema_version.SELECT"], type_=ARRAY(Text)))
_POWERS = ("superuser", "bypasses row-level security", "creates roles", "creates databases", "replication")
_READ_TIMEOUTS = text(
    "SELECT name, setting::int FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name"
)
_READ_SESSION = text(
    "SELECT current_setting('default_transaction_isolation'), current_setting('synchronous_commit'),"
    " current_setting('transaction_read_only')::boolean"
)
_READ_CTYPE = text(
    "SELECT lower(E'\\u00C9') = E'\\u00E9', datctype FROM pg_database WHERE datname = current_database()"
)
_READ_SLOTS = text(
    "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int"
    " + COALESCE(current_setting('reserved_connections', true)::int, 0)"
)
_READ_USER = text("SELECT quote_ident(current_user)")
_ONE = text("SELECT 1")


@dataclass(frozen=True)
class Finding:
    """The result of one check; if it is not right, `found` includes what to do.

    `advice` is for what works but could be better.
    """

    subject: str
    is_right: bool
    found: str
    advice: str = ""


def check_database(url: DatabaseUrl, direct_url: DatabaseUrl, connections: int) -> Iterator[Finding]:
    """Check `url`, over which so many connections will serve, and `direct_url`, over which migrations run.

    A URL through which no connection can be opened is not checked further.
    """
    is_reached = True
    for finding in _check_url(url, partial(_check_serving, url, direct_url)):
        is_reached = finding.is_right or finding.subject != "connection"
        yield finding
    if is_reached or direct_url != url:
        yield from _check_url(direct_url, partial(_check_migrating, url, direct_url, connections))


def _check_url(url: DatabaseUrl, check: Callable[[Connection], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        with make_engine(url, "AUTOCOMMIT").connect() as connection:
            yield from check(connection)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        # Without a host in the URL, libpq has one from its environment or a service file, and its reason names it.
        yield Finding("connection", is_right=False, found=f"{url.host}: {reason}" if url.host else reason)


def _check_serving(url: DatabaseUrl, direct_url: DatabaseUrl, connection: Connection) -> Iterator[Finding]:
    yield _check_connection(connection, url, direct_url)
    yield _check_tls(connection, url)
    yield _check_distance(connection)
    role = _check_role(connection)
    yield role
    if role.is_right and url != direct_url:
        yield from _check_served_schema(connection)
    yield _check_timeouts(connection)
    yield _check_session(connection)


def _check_migrating(
    url: DatabaseUrl, direct_url: DatabaseUrl, connections: int, connection: Connection
) -> Iterator[Finding]:
    if url != direct_url:
        role = connection.execute(_READ_USER).scalar_one()
        yield Finding("migrations", is_right=True, found=f"as {role}, over {_name_host(connection)}")
    yield from _check_server(connection)
    yield _check_ctype(connection)
    yield _check_schema(connection)
    yield _check_slots(connection, connections, goes_through_pooler=url.is_pooled)


def _check_connection(connection: Connection, url: DatabaseUrl, direct_url: DatabaseUrl) -> Finding:
    route = "direct"
    if url.is_pooled:
        route = f"requests through Neon's pooler, migrations over {direct_url.host}"
    database = _get_driver_connection(connection).info.dbname
    return Finding("connection", is_right=True, found=f"{_name_host(connection)}, database {database}, {route}")


def _get_driver_connection(connection: Connection) -> DriverConnection[Any]:
    return cast("DriverConnection[Any]", connection.connection.driver_connection)  # SQLAlchemy's knows no type of it


def _name_host(connection: Connection) -> str:
    """Return the host that libpq has connected to, wherever it had its name from."""
    host = _get_driver_connection(connection).info.host
    return "local socket" if host.startswith(SOCKETS) else host


def _check_tls(connection: Connection, url: DatabaseUrl) -> Finding:
    if not _get_driver_connection(connection).pgconn.ssl_in_use:
        is_local = _name_host(connection) in LOCAL_HOSTS
        advice = "" if is_local else ": add sslmode=require to the URL, or verify-full"
        return Finding("encryption", is_local, f"none{advice}")
    version = connection.execute(_READ_TLS).scalar() or "terminated by a proxy"
    is_bound = url.parameters.get("channel_binding") == "require"
    binding = "channel binding used" if is_bound else "channel binding not required"
    # libpq does not report whether it was used; had it been required and not used, there would be no connection.
    advice = "" if is_bound or "sslrootcert" in url.parameters else "add channel_binding=require, as Neon's own URLs do"
    return Finding("encryption", is_right=True, found=f"TLS ({version}), {binding}", advice=advice)


def _check_server(connection: Connection) -> Iterator[Finding]:
    started = time.monotonic()
    number, server_clock = connection.execute(_READ_SERVER).one()
    round_trip = time.monotonic() - started
    major, minor = divmod(number, 10_000)
    is_new_enough = major >= OLDEST_SERVER
    advice = "" if is_new_enough else f"; {OLDEST_SERVER} or newer is needed"
    yield Finding("server", is_new_enough, f"PostgreSQL {major}.{minor}{advice}")
    ahead = float(server_clock) - time.time()
    is_exact = abs(ahead) <= CLOCK_TOLERANCE_SECONDS + round_trip
    advice = "" if is_exact else "; correct one of the two clocks"
    yield Finding("clock", is_exact, f"{ahead:+.1f} s from this machine's{advice}")


def _check_distance(connection: Connection) -> Finding:
    times = []
    for _ in range(ROUND_TRIPS):
        started = time.monotonic()
        connection.execute(_ONE)
        times.append(time.monotonic() - started)
    milliseconds = median(times) * 1000
    advice = "run the service in the database's region" if milliseconds > FAR_MILLISECONDS else ""
    return Finding("distance", is_right=True, found=f"{milliseconds:.1f} ms per round trip", advice=advice)


def _check_role(connection: Connection) -> Finding:
    role, *powers, sees_tables, home, grants = connection.execute(_READ_ROLE).one()
    if not sees_tables:
        if not home:
            return Finding("role", is_right=True, found=f"{role}; its privileges can be checked once there are tables")
        remedy = f"GRANT USAGE ON SCHEMA {home} TO {role}, and add {home} to its search_path"
        return Finding("role", is_right=False, found=f"{role} does not see the tables in schema {home}: {remedy}")
    if grants:
        missing = "; ".join(f"{grant} TO {role}" for grant in grants)
        return Finding("role", is_right=False, found=f"{role} lacks privileges: {missing}")
    surplus = ", ".join(power for power, has_it in zip(_POWERS, powers, strict=True) if has_it)
    advice = f"it has more rights than it needs ({surplus}): see docs/operations.md for a role that only serves"
    return Finding("role", is_right=True, found=role, advice=advice if surplus else "")


def _check_served_schema(connection: Connection) -> Iterator[Finding]:
    """Find a schema that cannot be served, over a URL that may lead to another database than the direct one."""
    schema = read_schema(connection)
    if schema.state not in SERVABLE:
        found = f"over DATABASE_URL: {schema.found}, {schema.state.value}"
        remedy = "run `todo migrate`, or let both URLs name one database"
        yield Finding("schema", is_right=False, found=f"{found}; {remedy}")


def _check_timeouts(connection: Connection) -> Finding:
    timeouts = {str(name): int(value) for name, value in connection.execute(_READ_TIMEOUTS)}
    found = ", ".join(f"{name} {value / 1000:g} s" if value else f"{name} off" for name, value in timeouts.items())
    missing = [name for name, value in timeouts.items() if not value]
    advice = f"ALTER ROLE … SET {missing[0]} = …: see docs/operations.md" if missing else ""
    return Finding("timeouts", is_right=True, found=found, advice=advice)


def _check_session(connection: Connection) -> Finding:
    """Check the session defaults that matter and that a connection cannot set through a pooler."""
    isolation, commits, is_read_only = connection.execute(_READ_SESSION).one()
    found = f"{isolation}, synchronous_commit {commits}"
    if is_read_only:
        found += "; read-only: use the primary, or ALTER ROLE … RESET default_transaction_read_only"
    if commits == "off":
        found += "; a crash may lose acknowledged writes: ALTER ROLE … RESET synchronous_commit"
    is_right = commits != "off" and not is_read_only
    advice = "concurrent changes of one task are retried many times: ALTER ROLE … RESET default_transaction_isolation"
    return Finding("session", is_right, found, advice="" if isolation == "read committed" else advice)


def _check_ctype(connection: Connection) -> Finding:
    knows_case, ctype = connection.execute(_READ_CTYPE).one()
    advice = (
        "" if knows_case else "search and sorting ignore the case of ASCII letters only: use a database with C.UTF-8"
    )
    return Finding("ctype", is_right=True, found=ctype, advice=advice)


def _check_schema(connection: Connection) -> Finding:
    schema = read_schema(connection)
    if schema.state in (SchemaState.UNUSABLE, SchemaState.DENIED):
        return Finding("schema", is_right=False, found=schema.found)
    advice = "; run `todo migrate`" if schema.state is SchemaState.OUTDATED else ""
    found = f"{schema.found}, {schema.state.value} ({REVISIONS[0]}){advice}"
    return Finding("schema", schema.state in SERVABLE, found)


def _check_slots(connection: Connection, connections: int, *, goes_through_pooler: bool) -> Finding:
    maximum, reserved = connection.execute(_READ_SLOTS).one()
    if goes_through_pooler:
        found = f"{connections} of the pooler's {NEON_POOLER_CLIENTS}, which share {maximum * 9 // 10} of the server's"
        return Finding("slots", connections <= NEON_POOLER_CLIENTS, found)
    room = maximum - reserved - SPARE_CONNECTIONS
    advice = "" if connections <= room else "; lower TODO_POOL_SIZE or TODO_WORKERS, or use Neon's pooled URL"
    return Finding("slots", connections <= room, f"{connections} of {room} connections{advice}")
