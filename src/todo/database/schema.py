"""The schema's revision: what the code was written for, what a database has, and how the one becomes the other."""

from enum import Enum
from functools import cache
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from todo.database.connections import refuse_other_encodings
from todo.errors import BrokenEnvironment

READ_REVISION = text("SELECT version_num FROM alembic_version")
CONNECT_TIMEOUT_SECONDS = 15  # a Neon database that sleeps wakes up in much less

MIGRATION_LOCK = 7_030_301  # any number will do, as long as every migration of this schema takes the same one
_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
# Another migration may take its time; a lock on the table stops every request for as long as it is waited for.
_WAIT_FOR_OTHER_MIGRATION = text("SET LOCAL lock_timeout = '60s'")
_WAIT_FOR_TABLE = text("SET LOCAL lock_timeout = '5s'")


class SchemaState(Enum):
    """How a database's schema stands to this code."""

    CURRENT = "as this code wants it"
    OUTDATED = "older than this code"
    NEWER = "newer than this code"


@cache
def read_revisions() -> tuple[str, ...]:
    """Return every revision that this code knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(make_config()).walk_revisions())


def compare_revision(revision: str | None) -> SchemaState:
    """Say how a database at `revision` stands to this code; None is a database that was never migrated."""
    known = read_revisions()
    if revision == known[0]:
        return SchemaState.CURRENT
    # A revision that this code has never heard of was made after it.
    return SchemaState.OUTDATED if revision is None or revision in known else SchemaState.NEWER


def make_config(output: StringIO | None = None) -> Config:
    """Make the Alembic configuration; `output` takes the SQL of an offline run."""
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def migrate(url: URL) -> SchemaState:
    """Bring the database at `url`, a direct one, to this code's revision, and return how it stood before.

    Several at once end well; a schema newer than this code is left alone. Raises BrokenEnvironment when the
    database refuses or cannot be reached.
    """
    engine = create_engine(
        url,
        poolclass=NullPool,
        # Whatever the role's default is: one that has waited for another migration has to see what that has done.
        isolation_level="READ COMMITTED",
        client_encoding="utf8",
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )
    refuse_other_encodings(engine.pool)
    config = make_config()
    try:
        with engine.begin() as connection:
            connection.execute(_WAIT_FOR_OTHER_MIGRATION)
            connection.execute(_LOCK, {"lock": MIGRATION_LOCK})
            connection.execute(_WAIT_FOR_TABLE)
            found = compare_revision(MigrationContext.configure(connection).get_current_revision())
            if found is not SchemaState.NEWER:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise BrokenEnvironment(f"the database could not be migrated: {reason}") from error
    return found


def print_migration() -> str:
    """Return the SQL that brings an empty database to the newest revision."""
    output = StringIO()
    command.upgrade(make_config(output), "head", sql=True)
    return output.getvalue()
