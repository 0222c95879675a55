"""The revisions of the schema. A database is compared with them without Alembic, which takes long to import."""

from collections.abc import Sequence

import psycopg

from todo.database.urls import DatabaseUrl

# The newest first; a test compares them with the files in `migrations`.
REVISIONS: Sequence[str] = ("0001",)
# Not Alembic's own name, alembic_version: in a shared database that one may be another application's.
VERSION_TABLE = "todo_schema_version"


def is_newest(url: DatabaseUrl) -> bool:
    """Tell whether the database at `url`, which runs, has been migrated to the newest revision."""
    try:
        with psycopg.connect(url.conninfo) as connection:
            return connection.execute("SELECT version_num FROM todo_schema_version").fetchall() == [(REVISIONS[0],)]
    except psycopg.Error:
        return False
