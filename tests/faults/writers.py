"""Clients that do everything there is to the tasks of the same few users at once, some of them slow to commit."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID, uuid4

import httpx2
import psycopg
from psycopg import IsolationLevel
from psycopg.errors import UniqueViolation

from todo.database.compiled import Statement
from todo.database.connections import Connection, Connections
from todo.database.engine import Database, Rows
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.errors import TodoError
from todo.models.batches import Batch
from todo.models.fields import Owner
from todo.models.queries import TaskSelection
from todo.models.tasks import TaskCreate, TaskRow, TaskUpdate

IDS_AT_WORK = 24  # of a user: few, so that they are hit again and again
HELD_SECONDS = 0.04
TAGS = ("a", "b", "c", "d", "e", "f")
KEPT = 500  # of what copies looked like

State: TypeAlias = tuple[int, str, bool, datetime]
Copy: TypeAlias = dict[UUID, State]


class User:
    """One user: which ids clients are busy with, what they know for certain, and what copies looked like."""

    def __init__(self) -> None:
        self.owner = Owner(f"user-{uuid4()}")
        self.url = f"/api/{self.owner}/tasks"
        self.ids = deque([uuid4() for _ in range(IDS_AT_WORK)], maxlen=IDS_AT_WORK)
        self.versions: dict[UUID, int] = {}
        self.gone: dict[UUID, float] = {}
        self.seen: dict[datetime | None, Copy] = {}

    def choose(self, random: Random) -> UUID:
        """Choose an id, mostly of a task that may be there."""
        there = [task_id for task_id in self.ids if task_id in self.versions and task_id not in self.gone]
        return random.choice(there if there and random.random() < 0.8 else self.ids)

    def replace(self, task_id: UUID) -> None:
        """Let a new id take the place of one that is gone, unless somebody else has seen to that."""
        if task_id in self.ids:
            self.ids[self.ids.index(task_id)] = uuid4()


class Findings:
    """What has happened how often, and what must not have happened; the first of that ends the run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def note(self, user: User, task_id: UUID, version: int | None, asked: float) -> None:
        """Keep what an answer says of a task, None if it is gone: once gone, it must not come back."""
        if version is None:
            user.gone.setdefault(task_id, time.monotonic())
        elif user.gone.get(task_id, math.inf) < asked:
            self.wrong.append(f"{task_id} came back in version {version}")
        else:
            user.versions[task_id] = max(version, user.versions.get(task_id, 0))

    def compare(self, user: User, at: datetime | None, copy: Copy, source: str) -> None:
        """Compare a copy with what others have seen when the feed was there."""
        seen = user.seen.setdefault(at, copy)
        if len(user.seen) > KEPT:
            del user.seen[next(iter(user.seen))]
        if seen is not copy:
            self.counts[f"compared: {source}"] += 1
        if seen != copy:
            differ = [(key, seen.get(key), copy.get(key)) for key in seen | copy if seen.get(key) != copy.get(key)]
            self.wrong.append(f"{source} at {at}: {differ[:3]} and {max(len(differ) - 3, 0)} more")


class Plan(NamedTuple):
    """What takes part in a run."""

    client: httpx2.AsyncClient
    url: str
    users: Sequence[User]
    findings: Findings
    deadline: float

    @property
    def is_over(self) -> bool:
        """Whether its time has passed, or something is wrong."""
        return time.monotonic() > self.deadline or bool(self.findings.wrong)


class Writer:
    """A client that does everything there is, with ids that others are busy with."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan = plan
        self._random = Random(seed)  # noqa: S311 - no secret
        self._kinds: dict[Callable[[User], Awaitable[None]], int] = {
            self._create: 4,
            self._create_by_key: 4,
            self._create_under_id: 8,
            self._edit: 10,
            self._complete: 10,
            self._delete: 4,
            self._complete_all: 2,
            self._delete_all: 1,
            self._send_batch: 8,
        }

    async def work(self) -> None:
        """Write until it is over."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        while not self._plan.is_over:
            [write] = self._random.choices(kinds, weights)
            await write(self._random.choice(self._plan.users))

    async def _ask(self, user: User, kind: str, *expected: int, **request: Any) -> httpx2.Response:  # noqa: ANN401 - httpx2's
        """Send a request, count it, and keep what is known from its answer."""
        asked = time.monotonic()
        task_id = request.pop("task_id", None)
        is_known = task_id in user.versions
        path = f"/{task_id}" if task_id else ""
        request["url"] = user.url + path + request.pop("path", "")
        response = await self._plan.client.request(**request)
        findings = self._plan.findings
        findings.counts[kind] += 1
        findings.counts[f"{kind}: {response.status_code}"] += 1
        if response.status_code not in expected:
            findings.wrong.append(f"{kind}: {response.status_code} {response.text}")
        elif response.is_success and response.content and "version" in response.json():
            task = response.json()
            findings.note(user, UUID(task["id"]), task["version"], asked)
        is_gone = response.status_code in {204, 410} or (response.status_code == httpx2.codes.NOT_FOUND and is_known)
        if task_id and is_gone:
            findings.note(user, task_id, None, asked)
            user.replace(task_id)
        return response

    def _make_task(self) -> dict[str, object]:
        random = self._random
        task: dict[str, object] = {"title": f"Task {random.randrange(1000)}", "tags": [random.choice(TAGS)]}
        return task | ({"completed": True} if random.random() < 0.3 else {})

    def _make_condition(self, user: User, task_id: UUID) -> dict[str, str]:
        """Make a condition, if any: the version that was seen last, or one that is long gone."""
        version = self._random.choice([None, user.versions.get(task_id, 1), 1])
        return {"If-Match": f'"{version}"'} if version else {}

    async def _create(self, user: User) -> None:
        created = await self._ask(user, "create", 201, method="POST", json=self._make_task())
        self._adopt(user, created)

    async def _create_by_key(self, user: User) -> None:
        request = {"method": "POST", "json": self._make_task(), "headers": {"Idempotency-Key": uuid4().hex}}
        answers = await self._ask_twice(user, "create by key", 201, **request)
        self._adopt(user, answers[0])

    async def _ask_twice(self, user: User, kind: str, *expected: int, **request: Any) -> list[httpx2.Response]:  # noqa: ANN401 - httpx2's
        """Send the same request twice, at once or one after the other."""
        if self._random.random() < 0.5:
            return await asyncio.gather(*(self._ask(user, kind, *expected, **request) for _ in range(2)))
        return [await self._ask(user, kind, *expected, **request) for _ in range(2)]

    def _adopt(self, user: User, created: httpx2.Response) -> None:
        if created.status_code == httpx2.codes.CREATED and self._random.random() < 0.5:
            user.ids.append(UUID(created.json()["id"]))

    async def _create_under_id(self, user: User) -> None:
        task_id = self._random.choice(user.ids)
        request = {"json": self._make_task(), "headers": {"If-None-Match": "*"}}
        await self._ask(user, "create under id", 201, 410, 412, method="PUT", task_id=task_id, **request)

    async def _edit(self, user: User) -> None:
        task_id = user.choose(self._random)
        request = {"json": self._make_task(), "headers": self._make_condition(user, task_id)}
        method = self._random.choice(["PATCH", "PUT"])
        await self._ask(user, "edit", 200, 404, 412, method=method, task_id=task_id, **request)

    async def _complete(self, user: User) -> None:
        task_id = user.choose(self._random)
        body = self._random.choice([{}, {"completed": True}, {"completed": False}])
        request = {"json": body, "headers": self._make_condition(user, task_id)}
        await self._ask(user, "complete", 200, 404, 412, method="PATCH", task_id=task_id, path="/complete", **request)

    async def _delete(self, user: User) -> None:
        task_id = user.choose(self._random)
        condition = self._make_condition(user, task_id)
        await self._ask(user, "delete", 204, 404, 412, method="DELETE", task_id=task_id, headers=condition)

    async def _complete_all(self, user: User) -> None:
        selection = {"status": self._random.choice(["all", "pending"]), "tag": self._random.choice(TAGS)}
        body = {"completed": self._random.random() < 0.5}
        await self._ask(user, "complete all", 200, method="PATCH", params=selection, json=body)

    async def _delete_all(self, user: User) -> None:
        selection = {"status": self._random.choice(["all", "completed"]), "tag": self._random.choice(TAGS)}
        await self._ask(user, "delete all", 200, method="DELETE", params=selection)

    async def _send_batch(self, user: User) -> None:
        batch = {"operations": make_operations(user, self._random, self._make_task)}
        known = set(user.versions)
        asked = time.monotonic()
        request = {"method": "POST", "path": "/batch", "json": batch}
        for answer in await self._ask_twice(user, "batch", 200, 409, **request):
            if answer.status_code == httpx2.codes.OK:
                for result in answer.json()["results"]:
                    task_id, task = UUID(result["id"]), result["task"]
                    if task or task_id in known:  # what has never been is not gone for good
                        self._plan.findings.note(user, task_id, task["version"] if task else None, asked)
            elif answer.status_code == httpx2.codes.CONFLICT and "was deleted" in answer.text:
                for operation in batch["operations"]:
                    user.replace(UUID(str(operation["id"])))


def make_operations(user: User, random: Random, make_task: Callable[[], object]) -> list[dict[str, object]]:
    """Make the operations of a batch: what may succeed for each id, by what is known of it, and sometimes not."""
    operations: list[dict[str, object]] = []
    for task_id in random.sample(list(dict.fromkeys(user.ids)), random.randint(1, 5)):
        is_known = task_id in user.versions and task_id not in user.gone
        op = random.choice(["update", "update", "delete"] if is_known else ["create", "create", "delete"])
        operation: dict[str, object] = {"op": op, "id": str(task_id)}
        if op != "delete":
            operation["task"] = make_task()
        if op != "create" and random.random() < 0.2:
            operation["if_version"] = [user.versions.get(task_id, 1)]
        operations.append(operation)
    return operations


class Session(Database):
    """One connection, on which several statements can be one transaction."""

    def __init__(self, url: str, connection: Connection) -> None:
        super().__init__(
            read_database_url(url), pool_size=1, pool_timeout_seconds=1, deadline_seconds=1, prepared_statements=True
        )
        self.connection = connection

    async def read(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement."""
        return await self.connection.run(statement, parameters)

    write = read


@asynccontextmanager
async def open_session(url: str, level: IsolationLevel) -> AsyncIterator[Session]:
    """Connect, for transactions of one isolation level."""
    connections = Connections(read_database_url(url), prepared_statements=True)
    connection = await connections.take()
    await connection.set_isolation_level(level)
    try:
        yield Session(url, connection)
    finally:
        await connection.close()


async def hold(plan: Plan, seed: int) -> None:
    """Write as the service does, and be slow to commit; or hold a lock for a while."""
    random = Random(seed)  # noqa: S311 - no secret
    async with open_session(plan.url, IsolationLevel.READ_COMMITTED) as session:
        while not plan.is_over:
            user = random.choice(plan.users)
            known, task_id, asked = set(user.versions), user.choose(random), time.monotonic()
            states: list[tuple[UUID, int | None]] = []
            try:
                async with session.connection.transaction():
                    states = await write_slowly(session, user, task_id, random)
                    await asyncio.sleep(random.random() * HELD_SECONDS)
            except TodoError:
                plan.findings.counts["held: refused"] += 1
            except UniqueViolation:  # the service would run the statement again
                plan.findings.counts["held: collided"] += 1
            except psycopg.Error as error:
                plan.findings.wrong.append(f"held: {error}")
            else:
                plan.findings.counts["held"] += 1
                for each, version in states:
                    if version or each in known:
                        plan.findings.note(user, each, version, asked)
            await asyncio.sleep(random.random() * HELD_SECONDS)


async def write_slowly(session: Session, user: User, task_id: UUID, random: Random) -> list[tuple[UUID, int | None]]:
    """Begin a transaction with a write or a lock of any kind; return the versions in which it leaves which tasks."""
    store = TaskStore(session, user.owner)
    connection = session.connection
    selection = TaskSelection(status="all", tag=[random.choice(TAGS)])
    task = {"title": f"Held {random.randrange(1000)}", "tags": [random.choice(TAGS)]}
    changed: TaskRow | None = None
    match random.randrange(9):
        case 0:
            await connection.execute("SELECT FROM task_feeds WHERE user_id = $1 FOR UPDATE", [user.owner])
        case 1:
            lock = "SELECT FROM tasks WHERE user_id = $1 AND id = $2 FOR UPDATE"
            await connection.execute(lock, [user.owner, task_id])
        case 2:
            changed = (await store.add(TaskCreate.model_validate(task))).task
        case 3:
            changed = await store.add_under_id(task_id, TaskCreate.model_validate(task))
        case 4:
            changed = await store.edit(task_id, TaskUpdate.model_validate(task))
        case 5:
            changed = await store.toggle(task_id)
        case 6:
            await store.remove(task_id)
            return [(task_id, None)]
        case 7:
            await (
                store.remove_all(selection) if random.random() < 0.5 else store.complete_all(selection, completed=True)
            )
        case 8:
            operations = make_operations(user, random, lambda: task)
            results = await store.apply(Batch.model_validate({"operations": operations}))
            return [(result.id, result.task.version if result.task else None) for result in results]
    return [(changed.id, changed.version)] if changed else []
