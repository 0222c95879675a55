"""A batch happens once or not at all: sent again, sent many times at once, or overtaken while it waits for another."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from psycopg import IsolationLevel, sql
from tests.faults.writers import open_session
from tests.service import Service, running_service
from tests.support import connect, open_client, wait_until
from tests.wire import relayed

from todo.app import create_app
from todo.database.migration import migrate
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.models.batches import Batch
from todo.models.fields import Owner
from todo.settings import Settings

PATIENCE_SECONDS = 20
FIRST, SECOND = ({"title": "First"}, {"title": "Second"})


@asynccontextmanager
async def held(url: str, owner: Owner) -> AsyncIterator[tuple[TaskStore, int]]:
    """A store whose writes are committed at the end of the block, and the process of PostgreSQL that runs them."""
    async with open_session(url, IsolationLevel.READ_COMMITTED) as session, session.connection.transaction():
        yield TaskStore(session, owner), session.connection.info.backend_pid


async def wait_for_waiting(connection: psycopg.Connection, pid: int, count: int = 1) -> None:
    """Wait until so many others wait for that process of PostgreSQL, or for each other behind it."""
    question = """
    WITH RECURSIVE waiting(pid) AS (
        SELECT %s::int UNION
        SELECT each.pid FROM waiting JOIN pg_stat_activity AS each ON waiting.pid = ANY(pg_blocking_pids(each.pid))
    ) SELECT count(*) - 1 FROM waiting
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (connection.execute(question, [pid]).fetchone() or [0])[0] < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def create_two(client: httpx2.AsyncClient, tasks_url: str) -> tuple[str, str]:
    """Create two tasks and return their ids."""
    answers = [await client.post(tasks_url, json={"title": title}) for title in ("Kept", "Deleted")]
    return answers[0].json()["id"], answers[1].json()["id"]


def make_batch(kept: str, deleted: str) -> dict[str, object]:
    """Make a batch with every kind of operation."""
    return {
        "operations": [
            {"op": "create", "id": str(uuid4()), "task": {"title": "Created"}},
            {"op": "update", "id": kept, "task": {"title": "Changed", "completed": True}, "if_version": [1]},
            {"op": "delete", "id": deleted, "if_version": [1]},
        ]
    }


def read_faults(answer: httpx2.Response) -> list[str]:
    """What is wrong with the operations of a batch, by its own account."""
    return [] if answer.status_code == 200 else [fault["code"] for fault in answer.json()["errors"]]


async def test_batch_that_is_sent_again_is_done_once(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 154: the answer is the same, and the feed has nothing new."""
    batch = make_batch(*await create_two(client, tasks_url))
    first = await client.post(f"{tasks_url}/batch", json=batch)
    position = (await client.get(f"{tasks_url}/changes")).json()["next"]

    second = await client.post(f"{tasks_url}/batch", json=batch)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert [result["task"] and result["task"]["version"] for result in first.json()["results"]] == [1, 2, None]
    assert (await client.get(f"{tasks_url}/changes", params={"since": position})).json()["changes"] == []


async def test_batch_that_is_sent_many_times_at_once_is_done_once(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 154: whoever comes first does it, and all have the same answer."""
    batch = make_batch(*await create_two(client, tasks_url))

    answers = await asyncio.gather(*(client.post(f"{tasks_url}/batch", json=batch) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert [result["task"] and result["task"]["version"] for result in answers[0].json()["results"]] == [1, 2, None]


async def test_of_many_creations_under_one_id_one_wins(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 155: those that are the same have its answer, the others are told that the id is taken."""
    for _ in range(10):
        task_id = str(uuid4())
        batches = [{"operations": [{"op": "create", "id": task_id, "task": task}]} for task in (FIRST, SECOND) * 4]

        answers = await asyncio.gather(*(client.post(f"{tasks_url}/batch", json=batch) for batch in batches))

        taken = [answer.json()["results"] for answer in answers if answer.status_code == 200]
        assert taken == [taken[0]] * 4
        assert sorted(map(read_faults, answers)) == [[]] * 4 + [["id-taken"]] * 4


@pytest.mark.parametrize(
    ("meanwhile", "asked", "fault"),
    [
        ({"op": "delete"}, {"op": "update", "task": FIRST}, "task-not-found"),
        ({"op": "delete"}, {"op": "update", "task": FIRST, "if_version": [1]}, "task-not-found"),
        ({"op": "delete"}, {"op": "delete", "if_version": [1]}, None),
        ({"op": "delete"}, {"op": "create", "task": FIRST}, "task-deleted"),
        ({"op": "update", "task": SECOND}, {"op": "update", "task": FIRST}, None),
        ({"op": "update", "task": SECOND}, {"op": "update", "task": FIRST, "if_version": [1]}, "precondition-failed"),
        ({"op": "update", "task": SECOND}, {"op": "update", "task": SECOND, "if_version": [1]}, None),
        ({"op": "update", "task": SECOND}, {"op": "delete", "if_version": [1]}, "precondition-failed"),
    ],
)
async def test_batch_that_waits_sees_what_it_waited_for(
    client: httpx2.AsyncClient,
    connection: psycopg.Connection,
    database_url: str,
    owner: Owner,
    meanwhile: dict[str, object],
    asked: dict[str, object],
    fault: str | None,
) -> None:
    """Row 156: it is judged by the task as the other has left it, and not as it was when the batch came."""
    url = f"/api/{owner}/tasks/batch"
    task_id, other = str(uuid4()), str(uuid4())
    created = {"op": "create", "id": task_id, "task": FIRST}
    assert (await client.post(url, json={"operations": [created]})).status_code == 200
    operations = [{"id": task_id, **asked}, {"op": "create", "id": other, "task": FIRST}]

    async with held(database_url, owner) as (store, pid):
        await store.apply(Batch.model_validate({"operations": [{"id": task_id, **meanwhile}]}))
        waiting = asyncio.create_task(client.post(url, json={"operations": operations}))
        await wait_for_waiting(connection, pid)
    answer = await waiting

    assert read_faults(answer) == ([] if fault is None else [fault])
    assert (await client.get(f"/api/{owner}/tasks/{other}")).status_code == (200 if fault is None else 404)


async def test_batch_is_overtaken_by_creation_after_creation(
    client: httpx2.AsyncClient, connection: psycopg.Connection, database_url: str, owner: Owner
) -> None:
    """Row 155: each time that another has created one of its tasks first, it begins again, as often as it takes."""
    ids = [uuid4() for _ in range(4)]
    operations = [{"op": "create", "id": str(task_id), "task": FIRST} for task_id in ids]

    async def create(task_id: UUID) -> None:
        async with held(database_url, owner) as (store, _):
            await store.apply(Batch.model_validate({"operations": [{"op": "create", "id": task_id, "task": FIRST}]}))
            await asyncio.sleep(0.05)

    async with held(database_url, owner) as (store, pid):
        await store.apply(Batch.model_validate({"operations": operations[:1]}))
        waiting = asyncio.create_task(client.post(f"/api/{owner}/tasks/batch", json={"operations": operations}))
        await wait_for_waiting(connection, pid)
        others = [asyncio.create_task(create(task_id)) for task_id in ids[1:]]
        await wait_for_waiting(connection, pid, 1 + len(others))
    await asyncio.gather(*others)

    assert (await waiting).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(("volatility", "statuses"), [("VOLATILE", (409, 410)), ("STABLE", (200, 201))])
async def test_deleted_id_is_not_used_again_by_a_creation_that_waited(
    empty_url: str, owner: Owner, volatility: LiteralString, statuses: tuple[int, int]
) -> None:
    """Row 156: this is what the function has a snapshot of its own for; with its caller's, the task would come back."""
    migrate(read_database_url(empty_url))
    with connect(empty_url) as connection:
        connection.execute(sql.SQL("ALTER FUNCTION find_deleted_tasks {}").format(sql.SQL(volatility)))

        async def create_while_deleted(task_id: UUID, send: Callable[[UUID], Awaitable[httpx2.Response]]) -> int:
            assert (await send(task_id)).is_success
            async with held(empty_url, owner) as (store, pid):
                await store.remove(task_id)
                waiting = asyncio.ensure_future(send(task_id))
                await wait_for_waiting(connection, pid)
            return (await waiting).status_code

        async with open_client(create_app(Settings(), read_database_url(empty_url))) as client:
            tasks_url = f"/api/{owner}/tasks"

            def send_batch(task_id: UUID) -> Awaitable[httpx2.Response]:
                operation = {"op": "create", "id": str(task_id), "task": FIRST}
                return client.post(f"{tasks_url}/batch", json={"operations": [operation]})

            def put(task_id: UUID) -> Awaitable[httpx2.Response]:
                return client.put(f"{tasks_url}/{task_id}", json=FIRST, headers={"If-None-Match": "*"})

            found = [await create_while_deleted(uuid4(), send) for send in (send_batch, put)]

    assert tuple(found) == statuses


def kill_with_workers(service: Service) -> None:
    """End the server and its workers without a word: without their parent, they would finish what they do."""
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGKILL)


@pytest.mark.slow
def test_batch_whose_answer_was_lost_is_done_once(database_url: str, owner: Owner) -> None:
    """Row 157: the server is killed between the commit and its answer; sent again, the batch has the answer it had."""
    tasks_url = f"/api/{owner}/tasks"

    def send(service: Service) -> httpx2.Response:
        return service.client.post(f"{tasks_url}/batch", json=batch)

    def is_written() -> bool:
        with connect(database_url) as connection:
            question = "SELECT FROM tasks WHERE user_id = %s AND title = 'Changed'"
            return bool(connection.execute(question, [owner]).rowcount)

    with (
        relayed(database_url) as relay,
        running_service(DATABASE_URL=relay.url) as service,
        ThreadPoolExecutor() as pool,
    ):
        ids = [service.client.post(tasks_url, json={"title": title}).json()["id"] for title in ("Kept", "Deleted")]
        batch = make_batch(*ids)
        relay.is_muted = True
        answer = pool.submit(send, service)
        wait_until(is_written)
        with connect(database_url) as connection:
            question = "SELECT id, version, updated_at FROM tasks WHERE user_id = %s ORDER BY id"
            written = connection.execute(question, [owner]).fetchall()
        kill_with_workers(service)
        with pytest.raises(httpx2.TransportError):
            answer.result(PATIENCE_SECONDS)

    with running_service(DATABASE_URL=database_url) as service:
        again, once_more = send(service), send(service)
        assert (again.status_code, again.json()) == (200, once_more.json())
        assert [result["task"] and result["task"]["version"] for result in again.json()["results"]] == [1, 2, None]
        with connect(database_url) as connection:
            assert connection.execute(question, [owner]).fetchall() == written
