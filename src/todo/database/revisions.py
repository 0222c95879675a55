"""The revisions of the schema, for comparing a database with them without Alembic, which is slow to import."""

from collections.abc import Sequence

import psycopg

from todo.database.urls import DatabaseUrl

# Newest first; a test compares them with the files in `migrations`.
REVISIONS: Sequence[str] = ("0004", "0003", "0002", "0001")
# Not Alembic's default, alembic_version, which may be another application's in a shared database.
VERSION_TABLE = "todo_schema_version"


def is_newest(url: DatabaseUrl) -> bool:
    """Tell whether the database is at the newest revision; False where it cannot be asked."""
    try:
        with psycopg.connect(url.conninfo) as connection:
            return connection.execute("SELECT version_num FROM todo_schema_version").fetchall() == [(REVISIONS[0],)]
    except psycopg.Error:
        return False
