"""Whatever a role, a URL or the environment makes of a session, the service means and reads the same."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url
from tests.support import open_database, publish

from todo.database.checks import check_database
from todo.database.migration import MIGRATION_LOCK, migrate, print_migration
from todo.database.schema import SchemaState
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.models.fields import Owner
from todo.models.queries import TaskQuery
from todo.models.tasks import TaskCreate

PASSWORD = "canary-hunter2"  # noqa: S105 - of a role that lives as long as a test
TASK = TaskCreate.model_validate(
    {
        "title": "Größe 🎉",
        "description": "back\\slash, 'quote' and 日本",
        "due_at": "2030-01-02T03:04:05.678901Z",
        "priority": "high",
        "tags": ["a\\b", '"🎉"'],
        "order": -1,
    }
)
CLIENTS, TOGGLES = 10, 10


@pytest.fixture
def role(connection: psycopg.Connection) -> Iterator[sql.Identifier]:
    """A new role that may serve."""
    role = sql.Identifier(f"test_{uuid4().hex}")
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, PASSWORD))
    connection.execute(
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON tasks, task_feeds, task_tombstones TO {}").format(role)
    )
    connection.execute(sql.SQL("GRANT SELECT ON todo_schema_version, task_feed_generation TO {}").format(role))
    yield role
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def url(database_url: str, role: sql.Identifier) -> URL:
    """The database as that role sees it."""
    return make_url(database_url).set(username=role.as_string().strip('"'), password=PASSWORD)


def write_url(url: URL, **options: str) -> str:
    """Write a URL out, with the options that are given."""
    return url.update_query_dict(options).render_as_string(hide_password=False)


async def assert_tasks_are_served(url: str, owner: Owner) -> None:
    """See that a task comes back as it was sent, however it is asked for."""
    async with open_database(url, pool_size=1) as database:
        store = TaskStore(database, owner)
        added, _ = await store.add(TASK)
        found = await store.page(TaskQuery(q="GRÖßE 🎉", tag=['"🎉"'], sort="due_at"))

        assert publish(added).model_dump(include=set(TASK.model_fields_set)) == TASK.model_dump(exclude_unset=True)
        assert found.tasks == [added]
        assert await store.set_completed(added.id, completed=True) == await store.get(added.id)


DEFAULTS = [
    ("DateStyle", "SQL, DMY"),
    ("DateStyle", "German"),
    ("DateStyle", "Postgres, MDY"),
    ("client_encoding", "LATIN1"),
    ("client_encoding", "SQL_ASCII"),
    ("TimeZone", "Asia/Tokyo"),
    ("IntervalStyle", "sql_standard"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("standard_conforming_strings", "off"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
]


@pytest.mark.parametrize(("name", "value"), DEFAULTS)
async def test_defaults_of_a_role_do_not_matter(
    connection: psycopg.Connection, role: sql.Identifier, url: URL, owner: Owner, name: str, value: str
) -> None:
    """Serving goes on, and so does what `todo check` finds."""
    connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), value))

    await assert_tasks_are_served(write_url(url), owner)

    read = read_database_url(write_url(url))
    assert [finding for finding in check_database(read, read, 1) if not finding.is_right] == []


@pytest.mark.parametrize(
    "options",
    [
        {"options": "-c DateStyle=German"},
        {"options": "-c client_encoding=LATIN1"},
        {"client_encoding": "LATIN1"},
        {"client_encoding": "auto"},
    ],
    ids=lambda options: " ".join(options.values()),
)
async def test_defaults_in_a_url_do_not_matter(url: URL, owner: Owner, options: dict[str, str]) -> None:
    """What the service needs wins."""
    await assert_tasks_are_served(write_url(url, **options), owner)


@pytest.mark.parametrize(("variable", "value"), [("PGDATESTYLE", "German"), ("PGCLIENTENCODING", "LATIN1")])
async def test_defaults_in_the_environment_do_not_matter(
    url: URL, owner: Owner, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's library reads them, unasked."""
    monkeypatch.setenv(variable, value)

    await assert_tasks_are_served(write_url(url), owner)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_contended_changes_all_happen_at_any_isolation_level(url: URL, owner: Owner, level: str) -> None:
    """A change that is rolled back for another's sake is run again until it gets through, and once."""
    level = level.replace(" ", r"\ ")
    async with open_database(write_url(url, options=f"-c default_transaction_isolation={level}")) as database:
        store = TaskStore(database, owner)
        task, _ = await store.add(TASK)

        async def toggle() -> None:
            for _ in range(TOGGLES):
                await store.toggle(task.id)

        await asyncio.gather(*(toggle() for _ in range(CLIENTS)))

        assert (await store.get(task.id)).version == 1 + CLIENTS * TOGGLES


def test_migration_that_has_waited_sees_what_the_other_has_done(
    connection: psycopg.Connection, database_url: str
) -> None:
    """At any isolation level that its role may have: elsewhere it would begin with what it saw before it waited."""
    by_hand = print_migration()
    name = f"test_{uuid4().hex}"
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database = make_url(database_url).set(database=name)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND query LIKE '%%pg_try_advisory_xact_lock%%'"
    try:
        with ThreadPoolExecutor(1) as threads, psycopg.connect(write_url(database)) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
            url = write_url(database, options="-c default_transaction_isolation=serializable")
            migration = threads.submit(migrate, read_database_url(url))
            while not migration.done() and not connection.execute(waiting, [name]).fetchone():
                pass
            other.execute(by_hand.replace("BEGIN;", "").replace("COMMIT;", "").encode())
            other.commit()

            assert migration.result(timeout=10) is SchemaState.CURRENT
    finally:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
