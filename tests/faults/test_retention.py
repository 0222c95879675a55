"""How long positions in a feed and tombstones are kept, and what makes every position void."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from tests.blocks import run_as_owner
from tests.support import make_empty_database, open_client

from todo.api.cursors import make_feed_cursor, read_feed_cursor
from todo.app import create_app
from todo.database.migration import migrate
from todo.database.urls import read_database_url
from todo.embedded.binaries import find_binaries
from todo.models.fields import Owner
from todo.settings import Settings

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EXPIRED = "urn:todo:problem:changes-expired"


async def read_changes(client: httpx2.AsyncClient, user: str, since: str | None = None) -> dict[str, Any]:
    """A page of the user's feed, or the problem."""
    parameters = {"since": since} if since else {}
    page: dict[str, Any] = (await client.get(f"/api/{user}/tasks/changes", params=parameters)).json()
    return page


async def create(client: httpx2.AsyncClient, user: str) -> str:
    """Create a task and return its id."""
    return str((await client.post(f"/api/{user}/tasks", json={"title": "A task"})).json()["id"])


@pytest.mark.parametrize(
    ("age", "is_valid"),
    [(90 * DAY - MINUTE, True), (90 * DAY + MINUTE, False), (MINUTE - DAY, True), (-DAY - MINUTE, False)],
)
async def test_position_is_valid_for_ninety_days(
    client: httpx2.AsyncClient, owner: Owner, age: timedelta, *, is_valid: bool
) -> None:
    """Row 158: an older one is 410, and so is one that is more than a day ahead of the clock."""
    await create(client, owner)
    position = read_feed_cursor(owner, (await read_changes(client, owner))["next"])
    await create(client, owner)

    page = await read_changes(client, owner, make_feed_cursor(owner, position._replace(as_of=datetime.now(UTC) - age)))

    assert len(page["changes"]) == 1 if is_valid else page["type"] == EXPIRED


def age_tombstones(connection: psycopg.Connection, days: float, *users: str) -> None:
    """Let tombstones be so many days older."""
    statement = "UPDATE task_tombstones SET deleted_at = deleted_at - interval '1 day' * %s WHERE user_id = ANY(%s)"
    assert connection.execute(statement, [days, list(users)]).rowcount


def find_tombstones(connection: psycopg.Connection, user: str) -> set[str]:
    """The ids of the tasks of which it is kept that they were deleted."""
    found = connection.execute("SELECT id::text FROM task_tombstones WHERE user_id = %s", [user])
    return {task_id for (task_id,) in found}


async def delete(client: httpx2.AsyncClient, user: str, task_id: str) -> httpx2.Response:
    """Delete one task."""
    return await client.delete(f"/api/{user}/tasks/{task_id}")


async def delete_all(client: httpx2.AsyncClient, user: str, _: str) -> httpx2.Response:
    """Delete every task."""
    return await client.delete(f"/api/{user}/tasks", params={"status": "all"})


async def delete_in_batch(client: httpx2.AsyncClient, user: str, task_id: str) -> httpx2.Response:
    """Delete one task in a batch."""
    return await client.post(f"/api/{user}/tasks/batch", json={"operations": [{"op": "delete", "id": task_id}]})


@pytest.mark.parametrize("deletion", [delete, delete_all, delete_in_batch])
async def test_deletion_purges_tombstones_older_than_any_valid_position(
    client: httpx2.AsyncClient,
    connection: psycopg.Connection,
    owner: Owner,
    deletion: Any,  # noqa: ANN401 - one of three
) -> None:
    """Row 159: those of more than 91 days, of the same user alone; without a deletion, none."""
    other = f"other-{owner}"
    oldest, old, new, others = [await create(client, user) for user in (owner, owner, owner, other)]
    await delete(client, owner, oldest)
    await delete(client, other, others)
    age_tombstones(connection, 0.1, owner)
    await delete(client, owner, old)
    age_tombstones(connection, 90.95, owner)
    age_tombstones(connection, 100, other)

    assert (await delete(client, owner, oldest)).status_code == 404
    assert find_tombstones(connection, owner) == {oldest, old}
    assert (await deletion(client, owner, new)).is_success

    assert find_tombstones(connection, owner) == {old, new}
    assert find_tombstones(connection, other) == {others}


async def test_copy_that_begins_is_told_of_no_deletion_of_before(client: httpx2.AsyncClient, owner: Owner) -> None:
    """However many tombstones are kept, they are for those who may have the tasks."""
    kept, deleted = [await create(client, owner) for _ in range(2)]
    await delete(client, owner, deleted)

    page = await read_changes(client, owner)
    await delete(client, owner, kept)

    assert [change["id"] for change in page["changes"]] == [kept]
    assert (await read_changes(client, owner, page["next"]))["changes"] == [{"id": kept, "task": None}]


@pytest.mark.parametrize(("days", "status"), [(89.9, 410), (90.1, 201)])
async def test_deleted_id_can_be_used_again_when_no_copy_can_have_its_task(
    client: httpx2.AsyncClient, connection: psycopg.Connection, owner: Owner, days: float, status: int
) -> None:
    """Row 159: after ninety days, and not before."""
    task_id = await create(client, owner)
    await delete(client, owner, task_id)
    age_tombstones(connection, days, owner)

    url, condition = f"/api/{owner}/tasks/{task_id}", {"If-None-Match": "*"}
    assert (await client.put(url, json={"title": "Again"}, headers=condition)).status_code == status


@pytest.fixture
def migrated_url(empty_url: str) -> str:
    """A database of the test's own."""
    migrate(read_database_url(empty_url))
    return empty_url


@contextmanager
def restored(url: str) -> Iterator[str]:
    """A database that was restored from a dump of that one as it is now."""
    programs = find_binaries(None)
    with make_empty_database(url) as copy:
        dump = subprocess.run([programs / "pg_dump", "--dbname", url], capture_output=True, check=True)
        # Without ON_ERROR_STOP: a dump sets what an older server does not know.
        restore = [str(programs / "psql"), "--quiet", "--dbname", copy]
        subprocess.run(restore, input=dump.stdout, stdout=subprocess.DEVNULL, check=True)
        yield copy


def void_positions(url: str) -> None:
    """Do what docs/operations.md asks of whoever restores a backup."""
    run_as_owner("docs/operations.md", "UPDATE task_feed_generation", url)


async def test_restored_database_goes_on_where_the_backup_was(migrated_url: str, owner: Owner) -> None:
    """Row 160: a position of before still leads to every change; one of later is 410 until the feed has passed it."""
    async with open_client(create_app(Settings(), read_database_url(migrated_url))) as client:
        await create(client, owner)
        before = (await read_changes(client, owner))["next"]
        await create(client, owner)
    with restored(migrated_url) as url:
        async with open_client(create_app(Settings(), read_database_url(migrated_url))) as client:
            await create(client, owner)
            later = (await read_changes(client, owner))["next"]
        async with open_client(create_app(Settings(), read_database_url(url))) as client:
            assert (await read_changes(client, owner, later))["type"] == EXPIRED
            added = await create(client, owner)
            changes = (await read_changes(client, owner, before))["changes"]

    assert len(changes) == 2
    assert changes[-1]["id"] == added
    times = [datetime.fromisoformat(change["task"]["updated_at"]) for change in changes]
    assert times == sorted(set(times))


async def test_operator_makes_every_position_void_at_once(migrated_url: str, owner: Owner) -> None:
    """Row 160: whoever has one begins again, and has one that is valid then."""
    async with open_client(create_app(Settings(), read_database_url(migrated_url))) as client:
        users = [owner, f"other-{owner}", f"idle-{owner}"]
        for user in users[:2]:
            await create(client, user)
        positions = [(await read_changes(client, user))["next"] for user in users]

        void_positions(migrated_url)

        for user, position in zip(users, positions, strict=True):
            assert (await read_changes(client, user, position))["type"] == EXPIRED
            again = (await read_changes(client, user))["next"]
            assert (await read_changes(client, user, again))["changes"] == []
