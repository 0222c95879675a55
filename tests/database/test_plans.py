"""What PostgreSQL makes of every statement, whatever its statistics say: never more work than there are tasks.

Nothing here names a method or a statement of the store: what is added later is covered without a change.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from tests.arguments import METHODS, make_calls, takes_id
from tests.blocks import find_block
from tests.conformance.test_ownership import find_nodes
from tests.support import RecordingDatabase

from todo.database.migration import migrate
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.errors import TodoError
from todo.models.fields import Owner

OWNER, TASK_ID = Owner(f"user-{uuid4()}"), uuid4()
TASKS = 500
OTHERS_TASKS = 50
TOMBSTONES, IDS = 20_000, 20  # and those that are looked for among them
PARTITIONS = 32
VERSIONS = 50  # of a task: what the statements before have left in the indexes, having been taken back
FILL = """
    INSERT INTO tasks (user_id, id, title, completed, completed_at, tags, created_at)
    SELECT %s, gen_random_uuid(), 'Task ' || n, n %% 2 = 0, CASE WHEN n %% 2 = 0 THEN now() END, '{shop,home}',
           now() + n * interval '1 s'
    FROM generate_series(1, %s) AS n
"""
STATISTICS = ["fresh", "stale", "absent"]  # stale ones know another user alone: tasks were added faster than it looked
MODES = ["force_custom_plan", "force_generic_plan"]  # PostgreSQL chooses between them once a statement is prepared
JOINS = {"Nested Loop", "Hash Join", "Merge Join"}
SHORT_LIMITS = (3, 21)  # among `arguments`, with the one more that tells of a next page
IS_BY_CHANGE = re.compile(r"ORDER BY tasks\.updated_at")
CONDITIONS = ("Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond")  # a filter comes after the work


class Sent(NamedTuple):
    """A statement that the store has sent, and its parameters."""

    method: str
    statement: str
    parameters: list[object]


class Planned(NamedTuple):
    """A statement, and a plan by which it was run."""

    sent: Sent
    plan: dict[str, Any]


@pytest.fixture(scope="session")
async def all_sent(database_url: str) -> list[Sent]:
    """Everything that the store sends about tasks: every method, called in every way."""
    database = RecordingDatabase(database_url)
    store = TaskStore(database, OWNER)
    sent: list[Sent] = []
    for method in METHODS:
        for call in make_calls(method, TASK_ID):
            database.sent.clear()
            with suppress(TodoError):
                await call(store)
            sent += [Sent(method, *each) for each in database.sent]
    await database.close()
    return sent


@pytest.fixture(scope="module", params=STATISTICS)
def planned(request: pytest.FixtureRequest, all_sent: list[Sent], database_url: str) -> Iterator[list[Planned]]:
    """Run everything that was sent, as a custom plan and as a generic one, on statistics of one kind.

    The table is a temporary one, which no autovacuum reaches.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE tasks (LIKE public.tasks INCLUDING ALL) ON COMMIT DROP")
        connection.execute(FILL, ("another", OTHERS_TASKS))
        if request.param == "stale":
            connection.execute("ANALYZE tasks")
        connection.execute(FILL, (OWNER, TASKS))
        connection.execute("UPDATE tasks SET id = %s WHERE user_id = %s AND title = 'Task 1'", (TASK_ID, OWNER))
        if request.param == "fresh":
            connection.execute("ANALYZE tasks")
        connection.execute("SET LOCAL enable_seqscan = off")  # so that plans are those of a large table
        yield [Planned(sent, plan) for sent in all_sent for plan in explain(connection, sent)]
        connection.rollback()


@pytest.fixture(scope="module")
def partitioned(all_sent: list[Sent], database_url: str) -> Iterator[list[Planned]]:
    """Run everything that was sent on a table that is partitioned by a hash of the user."""
    with psycopg.connect(database_url) as connection:
        # In the place of the real one, and only until the end of the transaction.
        script = find_block("docs/scaling.md", "PARTITION BY HASH").replace("LIKE tasks", "LIKE public.tasks")
        script = script.replace("CREATE TABLE tasks_new", "CREATE TEMPORARY TABLE tasks").replace("tasks_new", "tasks")
        table, partition = re.findall(r"^(.*);", script, re.MULTILINE)
        connection.execute(f"{table} ON COMMIT DROP".encode())
        for number in range(PARTITIONS):
            one = partition.replace("tasks_0", f"tasks_{number}").replace("REMAINDER 0", f"REMAINDER {number}")
            connection.execute(f"{one} ON COMMIT DROP".encode())
        connection.execute(FILL, (OWNER, TASKS))
        connection.execute("UPDATE tasks SET id = %s WHERE user_id = %s AND title = 'Task 1'", (TASK_ID, OWNER))
        yield [Planned(sent, plan) for sent in all_sent for plan in explain(connection, sent)]
        connection.rollback()


def explain(connection: psycopg.Connection, sent: Sent) -> Iterator[dict[str, Any]]:
    """Run a prepared statement in either mode, take back what it did, and yield its plans."""
    values = sql.SQL(", ").join(map(sql.Literal, sent.parameters)).as_string(connection)
    script = [f"PREPARE sent AS {sent.statement}"]
    for mode in MODES:
        script += ["SAVEPOINT before", f"SET LOCAL plan_cache_mode = {mode}"]
        script += [f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE sent ({values})", "ROLLBACK TO before"]
    script += ["DEALLOCATE sent"]
    for result in connection.execute("; ".join(script).encode()).results():
        if result.description:
            [(explained,)] = result.fetchall()
            yield explained[0]["Plan"]


def count_rows(node: dict[str, Any]) -> float:
    """The rows that a node has looked at, whether they passed its conditions or not."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def find_joined_scans(join: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scans of the table whose rows a join puts together with others; not those that it only waits for."""
    children = [each for each in join.get("Plans", []) if each["Parent Relationship"] not in {"InitPlan", "SubPlan"}]
    if join["Node Type"] in JOINS and min(each["Actual Rows"] * each["Actual Loops"] for each in children) <= 1:
        return  # with a single row, such as that of the feed, nothing is quadratic
    for child in children:
        if child.get("Relation Name") == "tasks" and "Scan" in child["Node Type"]:
            yield child
        yield from find_joined_scans(child)


async def test_no_statement_does_more_than_there_are_tasks(planned: list[Planned]) -> None:
    """No part of a plan looks at more rows than there are, and where a task is named, at more than that one."""
    assert {sent.method for sent, _ in planned} == set(METHODS)
    for sent, plan in planned:
        rows = 1 if takes_id(sent.method) else TASKS + OTHERS_TASKS
        for node in find_nodes(plan):
            assert count_rows(node) <= rows * VERSIONS, (sent, node)


async def test_no_statement_joins_tasks_by_their_user_alone(planned: list[Planned]) -> None:
    """Where tasks are joined with anything, it is by user and id: by the user alone it would be quadratic."""
    for sent, plan in planned:
        for join in (node for node in find_nodes(plan) if node["Node Type"] in JOINS):
            for scan in find_joined_scans(join):
                condition = " ".join(str(node.get(name, "")) for node in (join, scan) for name in CONDITIONS)
                assert re.search(r"\buser_id = ", condition), (sent, join)
                assert re.search(r"\bid = ", condition), (sent, join)


async def test_what_has_changed_is_found_by_its_index(planned: list[Planned], request: pytest.FixtureRequest) -> None:
    """A short page of the feed, or of tasks by the time of their change, reads no more tasks than it has."""
    # Without statistics, a list is sorted: its user is expected to have few tasks.
    methods = {"changes"} if request.node.callspec.params["planned"] == "absent" else {"changes", "page"}
    found: set[str] = set()
    for sent, plan in planned:
        limit = next((value for value in sent.parameters if value in SHORT_LIMITS), 0)
        if limit and sent.method in methods and IS_BY_CHANGE.search(sent.statement):
            for node in find_nodes(plan):
                if node.get("Relation Name") == "tasks":
                    assert node.get("Index Name") == "tasks_user_id_updated_at_id_idx", (sent, node)
                    assert count_rows(node) <= limit, (sent, node)
                    found.add(sent.method)
    assert found == methods


@pytest.mark.parametrize("statistics", STATISTICS)
def test_deleted_tasks_are_found_by_their_ids(empty_url: str, statistics: str) -> None:
    """However many of the user's were deleted; a plan does not show what a function does, but what it has read.

    Where the statistics do not know the user, PostgreSQL 18 may read all of them, but once, and not for each id.
    """
    migrate(read_database_url(empty_url))
    query = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM find_deleted_tasks(%s, %s)"
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE task_tombstones SET (autovacuum_enabled = off)")
        for owner, count in (("another", OTHERS_TASKS), (OWNER, TOMBSTONES)):
            if statistics == "stale" and owner == OWNER:
                connection.execute("ANALYZE task_tombstones")
            connection.execute(
                "INSERT INTO task_tombstones SELECT %s, now() - n * interval '1 s', gen_random_uuid()"
                " FROM generate_series(1, %s) AS n",
                [owner, count],
            )
        if statistics == "fresh":
            connection.execute("ANALYZE task_tombstones")
        parameters = [OWNER, [uuid4() for _ in range(IDS)]]
        for _ in range(2):  # the first reads the catalogs, too
            [(explained,)] = connection.execute(query, parameters).fetchall()

    plan = explained[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < (
        10 * IDS if statistics == "fresh" else TOMBSTONES / 40
    )


async def test_every_statement_touches_one_partition(partitioned: list[Planned]) -> None:
    """Were the table partitioned by its users, no statement would look into another's partition."""
    found: set[str] = set()  # the methods that have looked into one
    for sent, plan in partitioned:
        scans = [node for node in find_nodes(plan) if "Scan" in node["Node Type"] and node["Actual Loops"]]
        touched = {node["Relation Name"] for node in scans if node.get("Relation Name", "").startswith("tasks")}
        assert len(touched) <= 1, (sent, touched)
        found |= {sent.method for _ in touched}
    assert found == set(METHODS) - {"add", "add_under_id"}
