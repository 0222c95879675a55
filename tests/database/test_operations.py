"""What each operation of the store does to a task, and to which one, with nothing going on beside it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.support import RecordingDatabase, publish

from todo.database.engine import Database
from todo.database.store import Page, TaskStore
from todo.errors import IdempotencyKeyReused, PreconditionFailed, TaskNotFound
from todo.models.fields import IdempotencyKey, Owner
from todo.models.queries import PAGE_BYTES, Position, Status, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskRow, TaskUpdate

LATER = datetime(2030, 1, 31, 9, 30, tzinfo=UTC)
MEMBERS: dict[str, object] = {
    "title": "Buy milk",
    "description": "Two bottles",
    "completed": True,
    "due_at": LATER.isoformat(),
    "priority": "high",
    "tags": ["shop", "home"],
    "order": 7,
}
OTHERS: dict[str, object] = {
    "title": "Buy oat milk",
    "description": None,
    "completed": False,
    "due_at": None,
    "priority": None,
    "tags": [],
    "order": None,
}
KEY = IdempotencyKey("key")
STALE, RIGHT = frozenset({1, 99}), frozenset({1, 2})


@pytest.fixture
def stranger(database: Database) -> TaskStore:
    """The tasks of somebody else."""
    return TaskStore(database, Owner(f"stranger-{uuid4()}"))


def full() -> TaskCreate:
    """A task with a value for every member."""
    return TaskCreate.model_validate(MEMBERS)


def read_members(task: TaskRow) -> dict[str, object]:
    """The members that a client writes."""
    members = {name: getattr(task, name) for name in MEMBERS}
    return {**members, "due_at": task.due_at and task.due_at.replace(tzinfo=UTC).isoformat()}


def is_recent(time: datetime | None) -> bool:
    """Whether something has just happened."""
    return time is not None and abs(datetime.now(UTC) - time.replace(tzinfo=UTC)) < timedelta(minutes=1)


async def add(store: TaskStore, **members: object) -> TaskRow:
    """Add a task."""
    task, _ = await store.add(TaskCreate.model_validate({"title": "A task", **members}))
    return task


async def change(store: TaskStore, task: TaskRow, **members: object) -> TaskRow:
    """Change the members that are given."""
    return await store.edit(task.id, TaskUpdate.model_validate(members))


async def test_new_task_has_what_was_asked_for(store: TaskStore) -> None:
    """Every member, its owner, an id of its own, and the time."""
    first, second = await store.add(full()), await store.add(full(), KEY)

    for task in (first.task, second.task):
        assert read_members(task) == MEMBERS
        assert (task.user_id, task.version, task.updated_at) == (store.owner, 1, task.created_at)
        assert is_recent(task.created_at)
        assert task.completed_at == task.created_at
        assert await store.get(task.id) == task
    assert first.task.id != second.task.id
    assert (first.is_replayed, second.is_replayed) == (False, False)


async def test_replay_is_told_by_the_id_whatever_made_it(store: TaskStore, database_url: str) -> None:
    """A worker whose clock is ahead has made an id that comes after those of this one."""
    await store.add(full(), KEY)
    last = UUID(int=2**128 - 1)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE tasks SET id = %s WHERE user_id = %s", (last, store.owner))

    again = await store.add(full(), KEY)

    assert (again.task.id, again.is_replayed) == (last, True)


async def test_new_task_that_is_pending_was_never_completed(store: TaskStore) -> None:
    """There is no time at which it was."""
    added, once = await add(store), await store.add(TaskCreate(title="A task"), KEY)

    assert (added.completed, added.completed_at) == (False, None)
    assert (once.task.completed, once.task.completed_at) == (False, None)


async def test_same_key_adds_one_task(store: TaskStore, stranger: TaskStore) -> None:
    """And returns it as it is now; another body is refused, another user's key is another, and a deletion frees it."""
    first = await store.add(full(), KEY)
    changed = await change(store, first.task, title="Changed")
    await stranger.add(full(), KEY)

    again = await store.add(full(), KEY)

    assert (again.is_replayed, again.task) == (True, changed)
    with pytest.raises(IdempotencyKeyReused):
        await store.add(TaskCreate(title="Another body"), KEY)
    assert not (await store.add(full(), IdempotencyKey("another"))).is_replayed
    await store.remove(first.task.id)
    assert not (await store.add(TaskCreate(title="Another body"), KEY)).is_replayed


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("before", "after"), [(MEMBERS, OTHERS), (OTHERS, MEMBERS)])
async def test_edit_changes_the_members_given(
    store: TaskStore, name: str, before: dict[str, object], after: dict[str, object]
) -> None:
    """And no other; the version and the time of the change say so."""
    task = await add(store, **before)

    changed = await change(store, task, **{name: after[name]})

    assert read_members(changed) == {**before, name: after[name]}
    assert (changed.version, changed.created_at) == (2, task.created_at)
    assert changed.updated_at > task.updated_at
    assert await store.get(task.id) == changed


@pytest.mark.parametrize("members", [{}, MEMBERS])
async def test_edit_that_changes_nothing_leaves_no_trace(store: TaskStore, members: dict[str, object]) -> None:
    """Neither the version nor a time moves."""
    task, _ = await store.add(full())

    assert await change(store, task, **members) == task
    assert await store.get(task.id) == task


async def test_toggle_goes_there_and_back(store: TaskStore) -> None:
    """And the time of completion comes and goes."""
    task = await add(store)

    completed, reopened = await store.toggle(task.id), await store.toggle(task.id)

    assert (completed.completed, completed.version, reopened.completed, reopened.version) == (True, 2, False, 3)
    assert completed.completed_at
    assert task.updated_at < completed.completed_at <= completed.updated_at < reopened.updated_at
    assert reopened.completed_at is None


@pytest.mark.parametrize("completed", [True, False])
async def test_completion_that_is_set_twice_changes_once(store: TaskStore, *, completed: bool) -> None:
    """The second time there is nothing to do, and the time of completion stays."""
    task = await add(store, completed=not completed)

    first = await store.set_completed(task.id, completed=completed)
    second = await store.set_completed(task.id, completed=completed)

    assert (first.completed, first.version, (first.completed_at is not None)) == (completed, 2, completed)
    assert first.updated_at > task.updated_at
    assert second == first


async def test_other_changes_leave_the_time_of_completion(store: TaskStore) -> None:
    """It says when the task was completed."""
    task = await add(store, completed=True)

    assert (await change(store, task, title="Renamed", completed=True)).completed_at == task.completed_at


async def test_removed_task_is_gone_alone(store: TaskStore) -> None:
    """The second time as well."""
    task, other = await add(store), await add(store)

    await store.remove(task.id)

    with pytest.raises(TaskNotFound):
        await store.remove(task.id)
    assert (await store.page(TaskQuery())).tasks == [other]


CHANGES: list[Callable[[TaskStore, UUID, frozenset[int] | None], Any]] = [
    lambda store, task_id, versions: store.edit(task_id, TaskUpdate(title="Renamed"), versions),
    lambda store, task_id, versions: store.toggle(task_id, versions),
    lambda store, task_id, versions: store.set_completed(task_id, versions, completed=True),
    lambda store, task_id, versions: store.remove(task_id, versions),
]


@pytest.mark.parametrize("call", CHANGES)
async def test_change_with_a_condition_is_made_in_that_version_alone(
    store: TaskStore, call: Callable[[TaskStore, UUID, frozenset[int] | None], Any]
) -> None:
    """In any of several; otherwise nothing happens, and the other task is no concern of it."""
    other = await add(store)
    task = await change(store, await add(store), title="Changed")

    for versions in (STALE, frozenset[int]()):
        with pytest.raises(PreconditionFailed):
            await call(store, task.id, versions)
        assert await store.get(task.id) == task
    changed = await call(store, task.id, RIGHT)

    assert await store.get(other.id) == other
    if changed is None:
        with pytest.raises(TaskNotFound):
            await store.get(task.id)
    else:
        assert (changed.version, await store.get(task.id)) == (3, changed)


@pytest.mark.parametrize("call", [lambda store, task_id, _: store.get(task_id), *CHANGES])
@pytest.mark.parametrize("versions", [None, STALE, RIGHT])
async def test_task_of_another_user_is_not_found(
    store: TaskStore,
    stranger: TaskStore,
    call: Callable[[TaskStore, UUID, frozenset[int] | None], Any],
    versions: frozenset[int] | None,
) -> None:
    """As one that never was, whatever its version; and it stays as it is."""
    task = await add(store)
    await add(stranger)

    for task_id in (task.id, uuid4()):
        with pytest.raises(TaskNotFound):
            await call(stranger, task_id, versions)
    assert await store.get(task.id) == task


@pytest.mark.parametrize("status", ["all", "pending", "completed"])
@pytest.mark.parametrize("completed", [True, False])
async def test_bulk_completion_changes_those_that_differ(
    store: TaskStore, stranger: TaskStore, status: Status, *, completed: bool
) -> None:
    """Of the status and of the user; the others keep their version, and times."""
    tasks = [await add(store, completed=done) for done in (True, False, True)]
    others = [await add(stranger, completed=done) for done in (True, False)]

    count = await store.complete_all(TaskSelection(status=status), completed=completed)

    for task in tasks:
        now = await store.get(task.id)
        if status in {"all", "completed" if task.completed else "pending"} and task.completed != completed:
            count -= 1
            assert (now.completed, now.version, now.completed_at is not None) == (completed, 2, completed)
            assert now.updated_at > task.updated_at
        else:
            assert now == task
    assert count == 0
    assert [await stranger.get(task.id) for task in others] == others


@pytest.mark.parametrize("status", ["all", "pending", "completed"])
async def test_bulk_removal_removes_those_of_the_status(store: TaskStore, stranger: TaskStore, status: Status) -> None:
    """Of one user, and counts them."""
    tasks = [await add(store, completed=done) for done in (True, False, True)]
    other = await add(stranger, completed=True)
    left = [task for task in tasks if status not in {"all", "completed" if task.completed else "pending"}]

    assert await store.remove_all(TaskSelection(status=status)) == len(tasks) - len(left)
    assert (await store.page(TaskQuery())).tasks == left[::-1]
    assert (await stranger.page(TaskQuery())).tasks == [other]


async def test_bulk_operation_on_nothing_counts_nothing(store: TaskStore) -> None:
    """It is no error."""
    every = TaskSelection(status="all")

    assert (await store.complete_all(every, completed=True), await store.remove_all(every)) == (0, 0)


FILTERED: list[dict[str, object]] = [
    {"title": "Buy MILK", "description": None, "completed": True, "tags": ["a"], "priority": "low"},
    {"title": "Sell", "description": "the mIlK", "tags": ["a", "b"], "priority": "high", "due_at": LATER.isoformat()},
    {"title": "100 %", "tags": [], "due_at": (LATER + timedelta(microseconds=1)).isoformat()},
]


FOUND: list[tuple[dict[str, object], list[int]]] = [
    ({}, [0, 1, 2]),
    ({"status": "pending"}, [1, 2]),
    ({"status": "completed"}, [0]),
    ({"q": "Milk"}, [0, 1]),
    ({"q": "the"}, [1]),
    ({"q": "buy"}, [0]),
    ({"q": "%"}, [2]),
    ({"q": "_"}, []),
    ({"tag": ["a"]}, [0, 1]),
    ({"tag": ["a", "b"]}, [1]),
    ({"priority": ["low"]}, [0]),
    ({"priority": ["low", "high"]}, [0, 1]),
    ({"due_before": LATER.isoformat()}, []),
    ({"due_before": (LATER + timedelta(microseconds=1)).isoformat()}, [1]),
    ({"due_after": LATER.isoformat()}, [1, 2]),
    ({"due_after": (LATER + timedelta(microseconds=1)).isoformat()}, [2]),
    ({"q": "milk", "status": "pending", "tag": ["a"]}, [1]),
]


@pytest.mark.parametrize(("query", "found"), FOUND)
async def test_page_has_what_the_filters_leave(
    store: TaskStore, stranger: TaskStore, query: dict[str, object], found: list[int]
) -> None:
    """All of them hold for each task; and it is the owner's."""
    tasks = [await add(store, **members) for members in FILTERED]
    for members in FILTERED:
        await add(stranger, **members)

    for limit in (20, 1000):
        page = await store.page(TaskQuery.model_validate({**query, "sort": "created_at", "limit": limit}))
        assert page == Page([tasks[number] for number in found], None)


@pytest.mark.parametrize(("query", "found"), FOUND)
@pytest.mark.parametrize("completed", [True, False])
async def test_bulk_operation_takes_the_filters_of_a_page(
    store: TaskStore, stranger: TaskStore, query: dict[str, object], found: list[int], *, completed: bool
) -> None:
    """What it changes and counts is what the page with them has; and it is the owner's."""
    tasks = [await add(store, **members) for members in FILTERED]
    others = [await add(stranger, **members) for members in FILTERED]
    selection = TaskSelection.model_validate({"status": "all", **query})
    differing = [tasks[number].id for number in found if tasks[number].completed != completed]

    assert await store.complete_all(selection, completed=completed) == len(differing)
    assert [task.id for task in tasks if (await store.get(task.id)).version == 2] == differing
    for task_id in differing:
        await store.toggle(task_id)

    assert await store.remove_all(selection) == len(found)
    left = [task.id for number, task in enumerate(tasks) if number not in found]
    assert [task.id for task in (await store.page(TaskQuery(sort="created_at"))).tasks] == left
    assert [await stranger.get(task.id) for task in others] == others


# Two tasks for each value, whose ids say in which order they were added; values in order, those without one at the end.
SORTED: dict[str, list[object]] = {
    "created_at": [LATER, LATER + timedelta(microseconds=1), LATER + timedelta(days=1)],
    "updated_at": [LATER, LATER + timedelta(microseconds=1), LATER + timedelta(days=1)],
    "title": ["a", "B", "c", "\u00c9"],
    "due_at": [LATER.isoformat(), (LATER + timedelta(microseconds=1)).isoformat(), None],
    "priority": ["low", "medium", "high", None],
    "order": [-1, 0, 7, None],
}


async def fill(store: TaskStore, database_url: str, key: str) -> list[UUID]:
    """Add two tasks for each value, in another order than theirs, and return their ids in order."""
    values = SORTED[key]
    ids: dict[int, list[UUID]] = {number: [] for number in range(len(values))}
    for number in [*reversed(ids), *ids]:
        members = {} if key.endswith("ated_at") else {key: values[number]}
        ids[number].append((await add(store, **members)).id)
    if key.endswith("ated_at"):
        statement = {
            "created_at": "UPDATE tasks SET created_at = %s, updated_at = now() WHERE id = ANY (%s)",
            "updated_at": "UPDATE tasks SET updated_at = %s, created_at = now() WHERE id = ANY (%s)",
        }[key]
        with psycopg.connect(database_url) as connection:
            for number, value in enumerate(values):
                connection.execute(statement, (value, ids[number]))
    return [task_id for number in ids for task_id in ids[number]]


def reverse(ids: Sequence[UUID], key: str) -> list[UUID]:
    """The same in descending order, in which those without a value are at the end as well."""
    without = ids[-2:] if SORTED[key][-1] is None else []
    return [*reversed(ids[: len(ids) - len(without)]), *reversed(without)]


@pytest.mark.parametrize("key", SORTED)
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 200])
async def test_pages_follow_each_other_in_order(store: TaskStore, database_url: str, key: str, limit: int) -> None:
    """In both directions; each is full but the last, and ends at its last task."""
    ascending = await fill(store, database_url, key)

    for sign, expected in (("", ascending), ("-", reverse(ascending, key))):
        query = TaskQuery.model_validate({"sort": sign + key, "limit": limit})
        found: list[UUID] = []
        after: Position | None = None
        while True:
            page = await store.page(query, after)
            found += [task.id for task in page.tasks]
            if page.end is None:
                break
            assert len(page.tasks) == limit
            value = getattr(publish(page.tasks[-1]), key)
            assert page.end == Position(value, page.tasks[-1].id)
            after = page.end
        assert found == expected
        assert len(page.tasks) == (len(expected) - 1) % limit + 1


async def test_page_ends_where_its_texts_would_be_too_long(store: TaskStore) -> None:
    """Before the task with which they would have PAGE_BYTES of UTF-8; and the next page goes on there."""
    title, tag = "\u00e9" * 12, "\u00e9" * 4  # of 32 bytes together
    long = 8192
    tasks = [
        await add(store, title=title, description="x" * long, tags=[tag]) for _ in range(PAGE_BYTES // (long + 32) + 1)
    ]
    used = len(tasks) * (long + 32)
    assert used - (long + 32) < PAGE_BYTES <= used

    page = await store.page(TaskQuery(sort="created_at"))
    assert page.end
    rest = await store.page(TaskQuery(sort="created_at"), page.end)

    assert (page.tasks, rest) == (tasks[:-1], Page(tasks[-1:], None))


@pytest.mark.parametrize(("limit", "is_measured"), [(1, False), (26, False), (27, True), (1000, True)])
async def test_page_is_measured_only_where_its_texts_may_be_too_long(
    database_url: str, owner: Owner, limit: int, *, is_measured: bool
) -> None:
    """Adding lengths up costs the database half a millisecond for a thousand tasks; 27 of the longest have room."""
    database = RecordingDatabase(database_url)
    await TaskStore(database, owner).page(TaskQuery(limit=limit))
    await database.close()

    [(statement, _)] = database.sent
    assert ("octet_length" in statement) == is_measured


async def test_texts_of_a_page_have_less_than_their_limit(store: TaskStore, database_url: str) -> None:
    """The task that would just fill it is on the next page."""
    lengths = [*[PAGE_BYTES // 128] * 127, PAGE_BYTES - 127 * (PAGE_BYTES // 128)]
    assert sum(lengths) == PAGE_BYTES
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tasks (user_id, id, title, description, completed, tags)"
            " VALUES (%s, gen_random_uuid(), 'T', repeat('x', %s), false, '{}')",
            [(store.owner, length - 1) for length in lengths],
        )

    page = await store.page(TaskQuery())

    assert len(page.tasks) == 127
    assert page.end
    assert len((await store.page(TaskQuery(), page.end)).tasks) == 1
