"""Migrations: brings a database's schema to this version with Alembic, for `todo migrate` and the embedded database."""

import time
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from psycopg import Connection as DriverConnection
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry

from todo.database.connections import KEEPALIVES, refuse_other_encoding
from todo.database.revisions import REVISIONS, VERSION_TABLE
from todo.database.schema import READ_SCHEMA, Schema, SchemaState, classify_refusal, compare_schema
from todo.database.urls import DatabaseUrl
from todo.errors import BrokenEnvironment

CONNECT_TIMEOUT_SECONDS = 15  # a suspended Neon compute starts in much less

MIGRATION_LOCK = 7_030_301  # any number, but the same for every migration of this schema
# Tried again and again, each time in a new transaction: one that waits is one for which the building of an index waits.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_LOCK_POLL_SECONDS = 0.1
# Another migration may take long; while a lock on the table is waited for, every request waits behind it.
OTHER_MIGRATION_SECONDS = 60
_WAIT_FOR_TABLE = text("SET LOCAL lock_timeout = '5s'")
# Building an index or validating a constraint takes as long as it takes. Version 17 has the second of these.
_LIFT_TIMEOUTS = text(
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout')"
)

# No transaction can have this one. It stops no request: it waits for older transactions, and nobody waits for it.
_REVISION_BEFORE_INDEX = "0003"
_IS_INDEX_VALID = text(
    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_tasks_user_id_updated_at_id')"
)
_DROP_INDEX = text("DROP INDEX CONCURRENTLY ix_tasks_user_id_updated_at_id")
_BUILD_INDEX = text("CREATE INDEX CONCURRENTLY ix_tasks_user_id_updated_at_id ON tasks (user_id, updated_at, id)")
_WAIT_FOR_TRANSACTIONS = text("SET lock_timeout = '60s'")
# The lock is held by a transaction that does nothing meanwhile. To be sent last: the portal of a SELECT keeps its
# snapshot until the next statement, and the building of an index waits for every older snapshot.
_IDLE_AS_LONG_AS_NEEDED = text("SET LOCAL idle_in_transaction_session_timeout = 0")

_HAS_TABLE = text("SELECT to_regclass(:name) IS NOT NULL")
# A constraint keeps its name when its table is renamed.
_IS_OURS = text(
    "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(:name) AND conname = 'ck_tasks_user_id')"
)
# The first version of this service kept its revision here; its processes still read it, so it stays unchanged.
EARLIER_VERSION_TABLE = "alembic_version"
_READ_EARLIER_REVISIONS = text("SELECT version_num FROM alembic_version")
_COPY_GRANTS = text("""
    DO $$
    DECLARE reader text;
    BEGIN
        FOR reader IN
            SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
            FROM pg_class, aclexplode(relacl)
            WHERE pg_class.oid = 'alembic_version'::regclass AND privilege_type = 'SELECT'
        LOOP
            EXECUTE format('GRANT SELECT ON todo_schema_version TO %s', reader);
        END LOOP;
    END
    $$
""")


def make_config(output: StringIO | None = None) -> Config:
    """Make the Alembic configuration; an offline run writes its SQL to `output`."""
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def read_schema(connection: Connection) -> Schema:
    """Return the state of the schema for the role that migrates: UNUSABLE also when something blocks a migration."""
    schema = Schema(SchemaState.OUTDATED, "revision none")
    if _has(connection, VERSION_TABLE):
        try:
            revisions, columns, _ = connection.execute(READ_SCHEMA).one()
            schema = compare_schema(revisions, columns, missing_privileges=[])
        except ProgrammingError as error:
            refusal = classify_refusal(error.orig)
            if refusal is None:
                raise
            schema = refusal
    if schema.state is SchemaState.OUTDATED and not schema.revision and (obstacle := _find_obstacle(connection)):
        return Schema(SchemaState.UNUSABLE, obstacle)
    return schema


def _find_obstacle(connection: Connection) -> str | None:
    """Return what blocks a first migration, if anything does."""
    for name in ("tasks", "tasks_set_aside"):
        if _has(connection, name) and not _is_ours(connection, name):
            return f"there is a `{name}` that is not this service's: give the service a database of its own"
    if _has(connection, "tasks") and not _find_earlier_revision(connection):
        return f"there is a `tasks` without its revision: restore `{VERSION_TABLE}` from the same backup"
    return None


def _find_earlier_revision(connection: Connection) -> str | None:
    """Return the revision of a database that has been migrated only by the first version of this service."""
    if not _is_ours(connection, "tasks") or not _has(connection, EARLIER_VERSION_TABLE):
        return None
    recorded = set(connection.execute(_READ_EARLIER_REVISIONS).scalars())
    return next((revision for revision in REVISIONS if revision in recorded), None)


def _has(connection: Connection, table: str) -> bool:
    return bool(connection.execute(_HAS_TABLE, {"name": table}).scalar_one())


def _is_ours(connection: Connection, table: str) -> bool:
    return bool(connection.execute(_IS_OURS, {"name": table}).scalar_one())


def make_engine(url: DatabaseUrl, isolation_level: IsolationLevel) -> Engine:
    """Make an engine for a few statements, whose connections fail where the database is not in UTF-8."""
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        isolation_level=isolation_level,
        client_encoding="utf8",
        connect_args={**url.parameters, **KEEPALIVES, "connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )

    # Before SQLAlchemy's own questions, whose answers from a database in SQL_ASCII are bytes that it cannot read.
    @event.listens_for(engine.pool, "connect", insert=True)
    def check_encoding(_: object, entry: ConnectionPoolEntry) -> None:
        connection: DriverConnection[Any] | None = entry.driver_connection
        if connection:
            refuse_other_encoding(connection)

    return engine


def migrate(url: DatabaseUrl) -> SchemaState:
    """Migrate the database at `url`, which must be direct, to this code's revision; return the state it was in.

    Each revision is a transaction, so that none holds the locks of those before it, and an index on a table in use is
    built outside of any. Concurrent migrations wait for each other; a newer schema is left alone. Raises
    BrokenEnvironment when the database cannot be reached, refuses, or holds something that blocks the migration.
    """
    # Whatever the role's default is: a migration that has waited for another must see what that one has done.
    engine = make_engine(url, "READ COMMITTED")
    try:
        state = found = _migrate_once(engine)
        while state is SchemaState.OUTDATED:
            state = _migrate_once(engine)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if isinstance(error.orig, LockNotAvailable):
            reason += "; something else holds the table: run it again"
        raise BrokenEnvironment(f"the database could not be migrated: {reason}") from error
    return found


def _migrate_once(engine: Engine) -> SchemaState:
    """Apply the next revision, if there is one, and return the state before it."""
    with engine.connect() as connection:
        _wait_for_other_migration(connection)
        connection.execute(_WAIT_FOR_TABLE)
        schema = read_schema(connection)
        if schema.state in (SchemaState.UNUSABLE, SchemaState.DENIED):
            raise BrokenEnvironment(f"the database could not be migrated: {schema.found}")
        if schema.state is SchemaState.OUTDATED:
            connection.execute(_LIFT_TIMEOUTS)
            if schema.revision == _REVISION_BEFORE_INDEX:
                connection.execute(_IDLE_AS_LONG_AS_NEEDED)
                _build_index(engine)
            _upgrade(connection, schema.revision)
        connection.commit()
        return schema.state


def _wait_for_other_migration(connection: Connection) -> None:
    """Begin a transaction that has the lock of migrations until it ends."""
    deadline = time.monotonic() + OTHER_MIGRATION_SECONDS
    while not connection.execute(_TRY_LOCK, {"lock": MIGRATION_LOCK}).scalar_one():
        if time.monotonic() > deadline:
            reason = f"another migration has not ended within {OTHER_MIGRATION_SECONDS} s"
            raise BrokenEnvironment(f"the database could not be migrated: {reason}")
        connection.rollback()
        time.sleep(_LOCK_POLL_SECONDS)


def _build_index(engine: Engine) -> None:
    """Build the index of the next revision beside the transaction of the migration, while requests go on."""
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_WAIT_FOR_TRANSACTIONS)
        connection.execute(_LIFT_TIMEOUTS)
        is_valid = connection.execute(_IS_INDEX_VALID).scalar_one_or_none()
        if is_valid is False:  # what is left where it was interrupted
            connection.execute(_DROP_INDEX)
        if not is_valid:
            connection.execute(_BUILD_INDEX)


def _upgrade(connection: Connection, revision: str | None) -> None:
    config = make_config()
    config.attributes["connection"] = connection
    if not revision and (earlier := _find_earlier_revision(connection)):
        command.stamp(config, earlier)
        connection.execute(_COPY_GRANTS)
    else:
        newer = REVISIONS[: REVISIONS.index(revision)] if revision else REVISIONS
        command.upgrade(config, newer[-1])


def print_migration() -> str:
    """Return the SQL that brings an empty database to the newest revision."""
    output = StringIO()
    command.upgrade(make_config(output), "head", sql=True)
    return output.getvalue()
