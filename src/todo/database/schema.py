"""Whether a database's schema fits this code: its revision, its columns, and the privileges of the role."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedFunction, UndefinedTable
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlmodel import SQLModel

from todo.database.revisions import REVISIONS, VERSION_TABLE
from todo.models import tables  # noqa: F401 - importing it is what fills the metadata

# What the role that serves may do; its SELECT on VERSION_TABLE is missing where READ_SCHEMA fails.
_CHANGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_TABLES: Mapping[str, Sequence[str]] = {
    "tasks": _CHANGES,
    "task_feeds": _CHANGES,
    "task_tombstones": _CHANGES,
    "task_feed_generation": ("SELECT",),
}
NEEDED_PRIVILEGES = tuple(f"{table}.{privilege}" for table, granted in _TABLES.items() for privilege in granted)
_FUNCTION_COLUMN = "find_deleted_tasks.id"
# The catalogs can be read even where a column or a privilege is missing, so that one answer has all that is wrong.
READ_SCHEMA = text(
    "SELECT ARRAY(SELECT version_num::text FROM todo_schema_version),"
    " ARRAY(SELECT name || '.' || attname FROM unnest(CAST(:tables AS text[])) AS name"
    " JOIN pg_attribute ON attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped"
    " UNION ALL SELECT 'find_deleted_tasks.id' WHERE to_regprocedure('find_deleted_tasks(text, uuid[])') IS NOT NULL),"
    " ARRAY(SELECT needed FROM unnest(CAST(:privileges AS text[])) AS needed"
    " WHERE NOT has_table_privilege(to_regclass(split_part(needed, '.', 1)), split_part(needed, '.', 2))"
    " UNION ALL SELECT 'find_deleted_tasks.EXECUTE'"
    " WHERE NOT has_function_privilege(to_regprocedure('find_deleted_tasks(text, uuid[])'), 'EXECUTE'))"
).bindparams(
    bindparam("tables", list(_TABLES), type_=ARRAY(Text)),
    bindparam("privileges", list(NEEDED_PRIVILEGES), type_=ARRAY(Text)),
)
# Tables in a schema that the role may not use do not exist for it, without an error.
READ_HIDDEN_SCHEMA = text(
    "SELECT min(quote_ident(nspname)) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE relname = 'todo_schema_version' AND NOT has_schema_privilege(pg_namespace.oid, 'USAGE')"
)


class SchemaState(Enum):
    """How a database's schema compares with what this code needs."""

    CURRENT = "up to date"
    OUTDATED = "older than this version"
    NEWER = "newer than this version"
    UNUSABLE = "not usable"
    DENIED = "not fully accessible"


SERVABLE = frozenset({SchemaState.CURRENT, SchemaState.NEWER})


class Schema(NamedTuple):
    """The schema of a database: `found` describes it for an operator, with what to do where that is not obvious."""

    state: SchemaState
    found: str
    revision: str | None = None


def compare_revision(revision: str | None) -> SchemaState:
    """Compare a database's revision with this code's; None is a database that was never migrated."""
    if revision == REVISIONS[0]:
        return SchemaState.CURRENT
    # An unknown revision is one that was made later.
    return SchemaState.OUTDATED if revision is None or revision in REVISIONS else SchemaState.NEWER


def compare_schema(revisions: Sequence[str], columns: Sequence[str], missing_privileges: Sequence[str]) -> Schema:
    """Compare a schema, as READ_SCHEMA returns it, with what this code needs.

    Columns and privileges follow the name of their table or function, as in `tasks.title` and `tasks.INSERT`.
    """
    if len(revisions) > 1:
        found = f"`{VERSION_TABLE}` has {len(revisions)} rows: delete all but the right one"
        return Schema(SchemaState.UNUSABLE, found)
    revision = revisions[0] if revisions else None
    found = f"revision {revision or 'none'}"
    state = compare_revision(revision)
    if state is SchemaState.OUTDATED:
        return Schema(state, found, revision)
    needed = [
        *(str(column) for table in SQLModel.metadata.tables.values() for column in table.columns),
        _FUNCTION_COLUMN,
    ]
    if missing := _group([name for name in needed if name not in columns]):
        tables = _group(columns)
        problems = [
            f"`{table}` has no {', '.join(names)}" if table in tables else f"there is no `{table}`"
            for table, names in missing.items()
        ]
        remedy = "run a version that fits it" if state is SchemaState.NEWER else "restore it from a backup"
        return Schema(SchemaState.UNUSABLE, f"{found}, but {' and '.join(problems)}: {remedy}", revision)
    if missing_privileges:
        lacks = [f"{', '.join(names)} on `{table}`" for table, names in _group(missing_privileges).items()]
        return Schema(SchemaState.DENIED, f"this role has no {' and no '.join(lacks)}", revision)
    return Schema(state, found, revision)


def _group(names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Group names by the table before the dot."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        table, _, rest = name.partition(".")
        groups[table].append(rest)
    return groups


def classify_refusal(error: BaseException | None) -> Schema | None:
    """Return what is wrong with a schema when READ_SCHEMA fails; None when the error is not about the schema."""
    if isinstance(error, (UndefinedTable, UndefinedFunction)):
        return Schema(SchemaState.OUTDATED, "never migrated, or not visible to this role")
    if isinstance(error, UndefinedColumn):
        return Schema(
            SchemaState.UNUSABLE,
            f"`{VERSION_TABLE}` is not this service's: rename it, or give the service a database of its own",
        )
    if isinstance(error, InsufficientPrivilege):
        return Schema(SchemaState.DENIED, f"this role has no SELECT on `{VERSION_TABLE}`")
    return None
