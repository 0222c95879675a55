"""Every operation is one database round trip, counted at the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.arguments import POSITIONS
from tests.support import open_client, open_database
from tests.wire import Relay, count_round_trips

from todo.api.cursors import make_feed_cursor
from todo.app import create_app
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.errors import BatchRefused, ChangesExpired, PreconditionFailed, TaskNotFound
from todo.models.batches import Batch
from todo.models.feeds import ChangesQuery
from todo.models.fields import IdempotencyKey, Owner
from todo.models.queries import Position, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskUpdate
from todo.settings import Settings

# psycopg prepares a statement the sixth time that a connection runs it, which is one more exchange, once.
EXECUTIONS = 12
EXPECTED_TRIPS = [1] * 5 + [2] + [1] * 6

# What a connection costs: the startup.
CONNECTION_TRIPS = 1
SCHEMA_TRIPS = 1  # once in the life of a pool

FIXED_ID = uuid4()


def make_operations(new_id: object, task_id: object) -> dict[str, object]:
    """Make a batch that creates a task and changes another, which is refused where that is absent."""
    create = {"op": "create", "id": str(new_id), "task": {"title": "A client's"}}
    return {"operations": [create, {"op": "update", "id": str(task_id), "task": {"title": "Renamed"}}]}


def make_batch(new_id: object, task_id: object) -> Batch:
    """Make the same as a request has it."""
    return Batch.model_validate(make_operations(new_id, task_id))


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Relay]:
    """A relay in front of the database."""
    async with count_round_trips(database_url) as relay:
        yield relay


@pytest.fixture
async def counted_store(relay: Relay, owner: Owner) -> AsyncIterator[TaskStore]:
    """The owner's tasks, behind the relay and over one warm connection."""
    async with open_database(relay.url, pool_size=1) as database:
        await database.ping()
        relay.reset()
        yield TaskStore(database, owner)


@pytest.mark.parametrize(
    "call",
    [
        lambda store, _: store.add(TaskCreate(title="A task")),
        lambda store, _: store.add(TaskCreate(title="A task"), IdempotencyKey("key")),
        lambda store, task_id: store.get(task_id),
        lambda store, _: store.page(TaskQuery()),
        lambda store, task_id: store.page(TaskQuery(sort="due_at", q="a"), Position(None, task_id)),
        lambda store, task_id: store.edit(task_id, TaskUpdate(title="Renamed")),
        lambda store, task_id: store.edit(task_id, TaskUpdate()),
        lambda store, task_id: store.toggle(task_id),
        lambda store, task_id: store.set_completed(task_id, completed=True),
        lambda store, task_id: store.remove(task_id),
        lambda store, task_id: store.edit(task_id, TaskUpdate(title="Renamed"), frozenset({1})),
        lambda store, task_id: store.edit(task_id, TaskUpdate(title="Renamed"), frozenset({2})),
        lambda store, task_id: store.remove(task_id, frozenset({2})),
        lambda store, _: store.complete_all(TaskSelection(status="pending"), completed=True),
        lambda store, _: store.remove_all(TaskSelection(status="all")),
        lambda store, _: store.remove_all(TaskSelection(status="pending", q="a", priority=["low"])),
        lambda store, _: store.changes(ChangesQuery()),
        lambda store, _: store.changes(ChangesQuery(limit=1), POSITIONS[0]),
        lambda store, _: store.add_under_id(uuid4(), TaskCreate(title="A task")),
        lambda store, task_id: store.add_under_id(task_id, TaskCreate(title="A task")),
        lambda store, task_id: store.apply(make_batch(uuid4(), task_id)),
        lambda store, task_id: store.apply(make_batch(FIXED_ID, task_id)),
    ],
    ids=[
        *(
            "add",
            "add once",
            "get",
            "page",
            "later page",
            "edit",
            "edit of nothing",
            "toggle",
            "set_completed",
            "remove",
        ),
        *("edit if it matches", "edit if it does not", "remove if it does not"),
        *("complete_all", "remove_all", "remove_all with filters"),
        *("changes", "changes after what is void", "add_under_id", "add_under_id that may be taken"),
        *("apply", "apply what was created before"),
    ],
)
@pytest.mark.parametrize("is_found", [True, False], ids=["found", "absent"])
async def test_every_operation_is_one_round_trip(
    relay: Relay,
    store: TaskStore,
    counted_store: TaskStore,
    call: Callable[[TaskStore, object], Coroutine[Any, Any, object]],
    *,
    is_found: bool,
) -> None:
    """Found or not, it is one exchange; the execution at which psycopg prepares is the one exception."""
    trips = []
    for _ in range(EXECUTIONS):
        task_id = (await store.add(TaskCreate(title="A task"))).task.id if is_found else uuid4()
        relay.reset()
        with suppress(TaskNotFound, PreconditionFailed, ChangesExpired, BatchRefused):
            await call(counted_store, task_id)
        trips.append(relay.trips)

    assert trips == EXPECTED_TRIPS


@pytest.fixture
async def counted_client(relay: Relay) -> AsyncIterator[httpx2.AsyncClient]:
    """The application behind the relay, warm."""
    async with open_client(create_app(Settings(pool_size=1), read_database_url(relay.url))) as client:
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "first contact"))
        assert (await client.get("/health/ready")).status_code == 200
        yield client


async def test_every_route_is_one_round_trip(relay: Relay, counted_client: httpx2.AsyncClient, tasks_url: str) -> None:
    """From request to response, whatever the outcome."""
    await counted_client.post(tasks_url, json={"title": "One task"})
    task_url = (await counted_client.post(tasks_url, json={"title": "A task"})).json()["url"]
    absent_url = f"{tasks_url}/{uuid4()}"
    first_page = await counted_client.get(tasks_url, params={"limit": 1, "status": "pending"})
    second_page = first_page.headers["Link"].partition(">")[0].removeprefix("<")
    calls = [
        ("POST", tasks_url, {"title": "Another"}),
        ("GET", tasks_url, None),
        ("GET", second_page, None),
        ("PATCH", f"{tasks_url}?status=completed", {"completed": False}),
        ("PATCH", f"{tasks_url}?status=pending&q=one&tag=shop&priority=low&sort=title", {"completed": True}),
        ("DELETE", f"{tasks_url}?status=completed", None),
        ("DELETE", f"{tasks_url}?status=all&q=one&due_after=2030-01-01T00:00:00Z", None),
    ] + [
        (method, url + suffix, body)
        for url in (task_url, absent_url)
        for method, suffix, body in [
            ("GET", "", None),
            ("HEAD", "", None),
            ("PUT", "", {"title": "Renamed"}),
            ("PATCH", "", {}),
            ("PATCH", "/complete", None),
            ("PATCH", "/complete", {"completed": True}),
            ("DELETE", "", None),
        ]
    ]
    for title in ("Once", "Once", "Another body"):
        relay.reset()
        response = await counted_client.post(tasks_url, json={"title": title}, headers={"Idempotency-Key": "key"})
        assert relay.trips == 1, (title, response.status_code)
    relay.reset()
    assert (await counted_client.get(task_url, headers={"If-None-Match": "*"})).status_code == 304
    assert relay.trips == 1
    for method, url, body in calls:
        conditions = [{}] if method in {"GET", "HEAD"} else [{"If-Match": '"0"'}, {}]
        for headers in conditions:
            relay.reset()
            response = await counted_client.request(method, url, json=body, headers=headers)
            assert relay.trips == 1, (method, url, headers, response.status_code)


async def test_every_outcome_of_keeping_a_copy_is_one_round_trip(
    relay: Relay, counted_client: httpx2.AsyncClient, tasks_url: str
) -> None:
    """Pages of the feed, batches, and creations under a client's id, whatever comes of them."""
    task_url, changes_url = f"{tasks_url}/{uuid4()}", f"{tasks_url}/changes"
    trips: list[tuple[int, int]] = []

    async def send(method: str, url: str, body: object = None, **headers: str) -> httpx2.Response:
        relay.reset()
        response = await counted_client.request(method, url, json=body, headers=headers)
        trips.append((response.status_code, relay.trips))
        return response

    never_written = (await send("GET", changes_url)).json()["next"]
    for _ in range(2):
        await send("PUT", task_url, {"title": "A client's"}, **{"If-None-Match": "*"})
    first_page = await send("GET", f"{changes_url}?since={never_written}&limit=1")
    created = make_operations(uuid4(), task_url[-36:])
    for body in (created, created, make_operations(uuid4(), uuid4())):
        await send("POST", f"{tasks_url}/batch", body)
    next_page = await send("GET", f"{changes_url}?since={first_page.json()['next']}&limit=1")
    last_page = await send("GET", f"{changes_url}?since={next_page.json()['next']}")
    await send("GET", f"{changes_url}?since={last_page.json()['next']}")
    await send("DELETE", task_url)
    await send("PUT", task_url, {"title": "A client's"}, **{"If-None-Match": "*"})

    statuses = [200, 201, 412, 200, 200, 200, 409, 200, 200, 200, 204, 410]
    assert trips == [(status, 1) for status in statuses]


async def test_position_that_is_void_is_found_in_one_round_trip(
    relay: Relay, counted_client: httpx2.AsyncClient, owner: Owner, tasks_url: str
) -> None:
    """The page is read together with what tells that it is of no use."""
    since = make_feed_cursor(owner, POSITIONS[0])
    relay.reset()

    response = await counted_client.get(f"{tasks_url}/changes", params={"since": since})

    assert (response.status_code, relay.trips) == (410, 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing"),
        ("POST", "/api/u/tasks"),
        ("DELETE", "/api/u/tasks"),
        ("OPTIONS", "/api/u/tasks"),
        ("GET", "/api/u/tasks?sort=id"),
        ("GET", "/api/u/tasks?cursor=abc"),
        ("GET", "/api/u/tasks/abc"),
        ("GET", "/api/u/tasks/changes?since=abc"),
        ("POST", "/api/u/tasks/batch"),
        ("GET", "/api/%2e%2e/tasks"),
    ],
)
async def test_what_needs_no_task_asks_no_database(
    relay: Relay, counted_client: httpx2.AsyncClient, method: str, path: str
) -> None:
    """Health, pages and requests that are refused leave the database asleep."""
    relay.reset()

    await counted_client.request(method, path)

    assert (relay.trips, relay.statements) == (0, [])


async def test_fresh_connection_costs_little(relay: Relay, owner: Owner) -> None:
    """The first of a pool asks about the schema; the others only connect."""
    async with open_database(relay.url, pool_size=2) as database:
        store = TaskStore(database, owner)

        await store.page(TaskQuery())
        assert relay.trips == CONNECTION_TRIPS + SCHEMA_TRIPS + 1
        await database.close()
        relay.reset()
        await store.page(TaskQuery())
        assert (relay.trips, relay.connections) == (CONNECTION_TRIPS + 1, 1)


async def test_looking_whether_it_can_serve_is_one_round_trip(relay: Relay) -> None:
    """The revision, the columns and the grants are one question, which a probe asks only where something was wrong."""
    async with open_database(relay.url, pool_size=1) as database:
        await database.ping()
        relay.reset()

        await database.ping()

        assert relay.trips == 1
