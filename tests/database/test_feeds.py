"""What a user's feed of changes has, and what a batch does: with the store, on a real PostgreSQL."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.database.test_operations import MEMBERS, OTHERS, add, change, read_members

from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.errors import BatchRefused, ChangesExpired, PreconditionFailed, TaskDeleted, TaskNotFound
from todo.models.batches import Batch
from todo.models.feeds import ChangesQuery, FeedPage, FeedPosition, TaskStateRow
from todo.models.fields import IdempotencyKey, Owner
from todo.models.queries import TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskRow, TaskUpdate

ALL = TaskSelection(status="all")
DAY = timedelta(days=1)


@pytest.fixture
def stranger(database: Database) -> TaskStore:
    """The tasks of somebody else."""
    return TaskStore(database, Owner(f"stranger-{uuid4()}"))


async def read_feed(store: TaskStore, since: FeedPosition | None = None, limit: int = 1000) -> FeedPage:
    """Read one page."""
    return await store.changes(ChangesQuery(limit=limit), since)


async def read_all(
    store: TaskStore, since: FeedPosition | None = None, limit: int = 1000
) -> tuple[list[TaskStateRow], FeedPosition]:
    """Read pages until there are no more."""
    changes: list[TaskStateRow] = []
    has_more = True
    while has_more:
        page = await read_feed(store, since, limit)
        changes += page.changes
        since, has_more = page.end, page.has_more
    assert since
    return changes, since


def put(*tasks: TaskRow) -> list[TaskStateRow]:
    """What a feed says of tasks that are there."""
    return [TaskStateRow(task.id, task) for task in tasks]


def gone(*tasks: TaskRow) -> list[TaskStateRow]:
    """What a feed says of tasks that were deleted."""
    return [TaskStateRow(task.id, None) for task in tasks]


def make_batch(*operations: dict[str, object]) -> Batch:
    """A batch as the API reads it."""
    return Batch.model_validate({"operations": operations})


def sort_by_id(tasks: list[TaskRow]) -> list[TaskRow]:
    """The order in which a feed has tasks that changed together."""
    return sorted(tasks, key=lambda task: task.id)


async def test_feed_of_a_new_user_is_empty(store: TaskStore) -> None:
    """And the first task comes after the position that it gave."""
    page = await read_feed(store)
    task = await add(store)

    assert (page.changes, page.has_more) == ([], False)
    assert (await read_feed(store, page.end)).changes == put(task)


async def test_feed_begins_with_everything_there_is(store: TaskStore, stranger: TaskStore) -> None:
    """In the order of the changes, and the user's alone; what was deleted before is not mentioned."""
    first, second, third = [await add(store) for _ in range(3)]
    await add(stranger)
    await store.remove(second.id)
    first = await change(store, first, title="Changed")

    page = await read_feed(store)

    assert (page.changes, page.has_more) == (put(third, first), False)


WRITES: list[tuple[str, Any]] = [
    ("edit", lambda store, task: store.edit(task.id, TaskUpdate(title="Changed"))),
    ("edit, guarded", lambda store, task: store.edit(task.id, TaskUpdate(title="Changed"), frozenset({1}))),
    ("toggle", lambda store, task: store.toggle(task.id)),
    ("set_completed", lambda store, task: store.set_completed(task.id, completed=True)),
    ("complete_all", lambda store, _: store.complete_all(ALL, completed=True)),
    ("apply", lambda store, task: store.apply(make_batch(update(task, completed=True)))),
]


def update(task: TaskRow, **members: object) -> dict[str, object]:
    """An operation of a batch that changes a task."""
    return {"op": "update", "id": task.id, "task": members}


@pytest.mark.parametrize("write", [write for _, write in WRITES], ids=[name for name, _ in WRITES])
async def test_each_change_comes_once(store: TaskStore, write: Any) -> None:  # noqa: ANN401 - calls with arguments of their own
    """As the task is now, and nothing else does."""
    task, _ = await add(store), await change(store, await add(store), completed=True)
    before = (await read_feed(store)).end

    await write(store, task)

    page = await read_feed(store, before)
    assert page.changes == put(await store.get(task.id))
    assert (await read_feed(store, page.end)).changes == []


@pytest.mark.parametrize(
    "remove",
    [
        lambda store, task: store.remove(task.id),
        lambda store, task: store.remove(task.id, frozenset({1})),
        lambda store, task: store.remove_all(TaskSelection(status="all", q=task.title)),
        lambda store, task: store.apply(make_batch({"op": "delete", "id": task.id})),
        lambda store, task: store.apply(make_batch({"op": "delete", "id": task.id, "if_version": [1]})),
    ],
    ids=["remove", "remove, guarded", "remove_all", "apply", "apply, guarded"],
)
async def test_deletion_comes_as_a_task_that_is_gone(store: TaskStore, remove: Any) -> None:  # noqa: ANN401 - as above
    """To whoever may have known the task."""
    task, _ = await add(store, title="To be deleted"), await add(store)
    before = (await read_feed(store)).end

    await remove(store, task)

    page = await read_feed(store, before)
    assert page.changes == gone(task)
    assert (await read_feed(store, page.end)).changes == []


async def test_what_was_added_comes_however_it_was(store: TaskStore) -> None:
    """A replay brings nothing new."""
    before = (await read_feed(store)).end
    key, task_id, other_id = IdempotencyKey("key"), uuid4(), uuid4()
    batch = make_batch({"op": "create", "id": other_id, "task": MEMBERS})
    added = [
        (await store.add(TaskCreate(title="A task"))).task,
        (await store.add(TaskCreate(title="Once"), key)).task,
        await store.add_under_id(task_id, TaskCreate(title="Under its id")),
        (await store.apply(batch))[0].task,
    ]
    page = await read_feed(store, before)

    await store.add(TaskCreate(title="Once"), key)
    await store.apply(batch)

    assert page.changes == [TaskStateRow(task.id, task) for task in added if task]
    assert (await read_feed(store, page.end)).changes == []


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_pages_have_every_change_once(store: TaskStore, limit: int) -> None:
    """Also those that happened together, which have one time."""
    tasks = [await add(store, completed=number % 2 == 0) for number in range(6)]
    before = (await read_feed(store)).end
    await store.complete_all(ALL, completed=True)
    await store.remove_all(TaskSelection(status="all"))
    last = await add(store)

    changes, end = await read_all(store, before, limit)

    assert changes == gone(*sort_by_id(tasks)) + put(last)
    assert (await read_feed(store, end)).changes == []


async def test_task_that_changes_while_a_client_pages_comes_again(store: TaskStore) -> None:
    """And one that is deleted meanwhile comes as gone, although the client began without any task."""
    tasks = [await add(store) for _ in range(4)]
    first = await read_feed(store, limit=2)
    changed = await change(store, tasks[0], title="Changed")
    await store.remove(tasks[1].id)
    await store.remove(tasks[3].id)

    rest, _ = await read_all(store, first.end, limit=2)

    assert first.changes == put(*tasks[:2])
    assert rest == put(tasks[2], changed) + gone(tasks[1], tasks[3])


async def test_page_is_cut_where_its_texts_are_large(store: TaskStore) -> None:
    """As a page of a list is."""
    for _ in range(33):
        await store.add(TaskCreate(title="A task", description="\U0001f600" * 8192))

    page = await read_feed(store)
    changes, _ = await read_all(store)

    assert 27 < len(page.changes) < 33
    assert page.has_more
    assert len(changes) == 33


WRITES_OF_NOTHING: list[Any] = [
    lambda store: store.edit(uuid4(), TaskUpdate(title="Changed")),
    lambda store: store.edit(uuid4(), TaskUpdate(title="Changed"), frozenset({1})),
    lambda store: store.remove(uuid4()),
    lambda store: store.remove(uuid4(), frozenset({1})),
    lambda store: store.complete_all(ALL, completed=True),
    lambda store: store.remove_all(ALL),
    lambda store: store.apply(make_batch({"op": "delete", "id": uuid4()})),
]


@pytest.mark.parametrize("write", WRITES_OF_NOTHING)
async def test_write_that_finds_nothing_leaves_nothing(
    store: TaskStore,
    connection: psycopg.Connection,
    write: Any,  # noqa: ANN401 - as above
) -> None:
    """Not even a row for a user of whom nobody has heard."""
    with suppress(TaskNotFound):
        await write(store)

    rows = connection.execute("SELECT FROM task_feeds WHERE user_id = %s", [store.owner]).fetchall()
    assert rows == []


async def test_times_go_on_where_the_clock_goes_back(store: TaskStore, connection: psycopg.Connection) -> None:
    """By a microsecond for each write, so that none hides behind an earlier one."""
    task = await add(store)
    before = (await read_feed(store)).end
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    connection.execute("UPDATE task_feeds SET changed_at = %s WHERE user_id = %s", [ahead, store.owner])

    times = [(await store.toggle(task.id)).updated_at.replace(tzinfo=UTC) for _ in range(3)]

    assert times == [ahead + number * timedelta(microseconds=1) for number in (1, 2, 3)]
    assert (await read_feed(store, before)).changes == put(await store.get(task.id))


async def test_tasks_of_a_user_without_a_feed_come_each_time(store: TaskStore, connection: psycopg.Connection) -> None:
    """Such as those that a process of an older version has written, until this one has."""
    task = await add(store)
    connection.execute("DELETE FROM task_feeds WHERE user_id = %s", [store.owner])

    changes, end = await read_all(store, limit=1)
    later = await add(store)

    assert changes == put(task)
    assert (await read_feed(store, end)).changes == put(later)


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_have_tasks_that_are_newer_than_the_feed(
    store: TaskStore, connection: psycopg.Connection, limit: int
) -> None:
    """Such as those that a process of an older version has written since this one has: again, until this one writes."""
    tasks = [await add(store) for _ in range(4)]
    told = tasks[0].updated_at.replace(tzinfo=UTC)
    connection.execute("UPDATE task_feeds SET changed_at = %s WHERE user_id = %s", [told, store.owner])

    changes, end = await read_all(store, limit=limit)
    again = await read_feed(store, end)
    later = await add(store)
    last = await read_feed(store, again.end)

    assert changes == put(*tasks)
    assert again.changes == put(*tasks[1:])
    assert last.changes == put(*tasks[1:], later)
    assert (await read_feed(store, last.end)).changes == []


async def test_position_is_void_where_changes_may_be_unknown(store: TaskStore, connection: psycopg.Connection) -> None:
    """It is too old, of another history of the database, or ahead of the feed."""
    await add(store)
    end = (await read_feed(store)).end
    assert end.began
    others = [
        end._replace(as_of=end.as_of - 91 * DAY),
        end._replace(as_of=end.as_of + 2 * DAY),
        end._replace(generation="another"),
        end._replace(began=end.began + timedelta(microseconds=1)),
    ]

    for position in others:
        with pytest.raises(ChangesExpired):
            await read_feed(store, position)
    for position in (end, end._replace(as_of=end.as_of - 89 * DAY)):
        assert (await read_feed(store, position)).changes == []
    connection.execute("DELETE FROM task_feeds WHERE user_id = %s", [store.owner])
    with pytest.raises(ChangesExpired):
        await read_feed(store, end)


async def test_age_of_a_position_is_that_of_its_chain(store: TaskStore) -> None:
    """A client that stops in the middle may have missed deletions since it began, and not since that page."""
    tasks = [await add(store) for _ in range(3)]
    first = await read_feed(store, limit=1)
    old = first.end._replace(as_of=first.end.as_of - 89 * DAY)

    second = await read_feed(store, old, limit=1)
    last = await read_feed(store, second.end, limit=1)

    assert second.end.as_of == old.as_of
    assert last.end.as_of >= first.end.as_of
    assert [*first.changes, *second.changes, *last.changes] == put(*tasks)


async def test_old_tombstones_go_with_the_users_next_deletion(
    store: TaskStore, stranger: TaskStore, connection: psycopg.Connection
) -> None:
    """After 91 days, which is a day longer than any position is valid; and with no other user's."""
    old, kept, new = [await add(store) for _ in range(3)]
    await store.remove(old.id)
    await store.remove(kept.id)
    for task, days in ((old, 92), (kept, 90)):
        connection.execute(
            "UPDATE task_tombstones SET deleted_at = now() - %s WHERE user_id = %s AND id = %s",
            [days * DAY, store.owner, task.id],
        )

    await stranger.remove((await add(stranger)).id)
    assert list_tombstones(connection, store.owner) == {old.id, kept.id}
    await store.remove(new.id)

    assert list_tombstones(connection, store.owner) == {kept.id, new.id}


def list_tombstones(connection: psycopg.Connection, owner: str) -> set[UUID]:
    """The tasks that are known to have been deleted."""
    rows = connection.execute("SELECT id FROM task_tombstones WHERE user_id = %s", [owner])
    return {task_id for (task_id,) in rows}


# Ids of the client's own


async def test_task_is_added_under_the_clients_id(store: TaskStore, stranger: TaskStore) -> None:
    """With every member, once for each user, and no more after its deletion."""
    task_id = uuid4()
    new = TaskCreate.model_validate(MEMBERS)

    task = await store.add_under_id(task_id, new)
    others = await stranger.add_under_id(task_id, TaskCreate(title="Another's"))

    assert (task.id, task.version, read_members(task)) == (task_id, 1, MEMBERS)
    assert await store.get(task_id) == task
    assert await stranger.get(task_id) == others
    with pytest.raises(PreconditionFailed):
        await store.add_under_id(task_id, new)
    await store.remove(task_id)
    with pytest.raises(TaskDeleted):
        await store.add_under_id(task_id, new)
    assert await stranger.get(task_id) == others


async def test_id_may_be_used_again_once_nobody_remembers(store: TaskStore, connection: psycopg.Connection) -> None:
    """After 90 days, when every replica has begun again."""
    task = await add(store)
    await store.remove(task.id)
    change_age = "UPDATE task_tombstones SET deleted_at = now() - %s WHERE user_id = %s"
    connection.execute(change_age, [89 * DAY, store.owner])
    with pytest.raises(TaskDeleted):
        await store.add_under_id(task.id, TaskCreate(title="Again"))

    connection.execute(change_age, [91 * DAY, store.owner])

    assert (await store.add_under_id(task.id, TaskCreate(title="Again"))).version == 1


# Batches


async def test_batch_does_all_in_one(store: TaskStore) -> None:
    """The tasks come back in the order that was asked, and have one time."""
    changed, deleted = await add(store, **OTHERS), await add(store)
    new = uuid4()

    results = await store.apply(
        make_batch(
            {"op": "delete", "id": deleted.id, "if_version": [1]},
            {"op": "create", "id": new, "task": MEMBERS},
            {"op": "update", "id": changed.id, "task": MEMBERS, "if_version": [7, 1]},
            {"op": "delete", "id": uuid4()},
        )
    )

    first, created, updated, absent = results
    assert (first, absent.task) == (TaskStateRow(deleted.id, None), None)
    assert created.task
    assert updated.task
    assert read_members(created.task) == read_members(updated.task) == MEMBERS
    assert (created.id, created.task.version, updated.task.version) == (new, 1, 2)
    assert created.task.created_at == created.task.completed_at == updated.task.completed_at == updated.task.updated_at
    assert await store.get(new) == created.task
    assert await store.get(changed.id) == updated.task
    assert len((await store.page(TaskQuery())).tasks) == 2


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("before", "after"), [(MEMBERS, OTHERS), (OTHERS, MEMBERS)])
async def test_batch_changes_the_members_given(
    store: TaskStore, name: str, before: dict[str, object], after: dict[str, object]
) -> None:
    """And no other, as an edit does."""
    task = await add(store, **before)

    [result] = await store.apply(make_batch(update(task, **{name: after[name]})))

    assert result.task
    assert read_members(result.task) == {**before, name: after[name]}
    assert result.task.version == 2


async def test_batch_that_is_sent_again_changes_nothing(store: TaskStore) -> None:
    """It is carried out once, and answered alike."""
    changed, deleted = await add(store), await add(store)
    batch = make_batch(
        {"op": "create", "id": uuid4(), "task": MEMBERS},
        {"op": "update", "id": changed.id, "task": {"title": "Changed", "tags": ["a"]}, "if_version": [1]},
        {"op": "delete", "id": deleted.id, "if_version": [1]},
    )

    first, again = await store.apply(batch), await store.apply(batch)

    assert first == again


async def test_batch_with_a_fault_changes_nothing(store: TaskStore, stranger: TaskStore) -> None:
    """And every operation at fault is named, by its place and the reason."""
    kept, stale = await add(store), await change(store, await add(store), title="Changed")
    deleted, others = await add(store), await add(stranger)
    await store.remove(deleted.id)
    before = (await store.page(TaskQuery())).tasks
    end = (await read_feed(store)).end

    with pytest.raises(BatchRefused) as caught:
        await store.apply(
            make_batch(
                {"op": "create", "id": uuid4(), "task": {"title": "New"}},
                {"op": "create", "id": kept.id, "task": {"title": "New"}},
                {"op": "create", "id": deleted.id, "task": {"title": "New"}},
                {"op": "update", "id": others.id, "task": {"title": "New"}},
                {"op": "update", "id": stale.id, "task": {"title": "New"}, "if_version": [1]},
                {"op": "update", "id": uuid4(), "task": {}},
            )
        )
    with pytest.raises(BatchRefused) as caught_later:
        await store.apply(make_batch({"op": "delete", "id": stale.id, "if_version": [1, 3]}, update(kept, title="New")))

    assert [(fault["name"], fault.get("code")) for fault in caught.value.faults] == [
        ("/operations/1", "id-taken"),
        ("/operations/2", "task-deleted"),
        ("/operations/3", "task-not-found"),
        ("/operations/4", "precondition-failed"),
        ("/operations/5", "task-not-found"),
    ]
    assert [(fault["name"], fault.get("code")) for fault in caught_later.value.faults] == [
        ("/operations/0", "precondition-failed")
    ]
    assert (await store.page(TaskQuery())).tasks == before
    assert (await read_feed(store, end)).changes == []
    assert await stranger.get(others.id) == others


async def test_change_that_is_in_place_already_is_right(store: TaskStore) -> None:
    """Whatever the version, and member by member: RFC 9110, section 13.1.1."""
    task = await change(store, await add(store, **MEMBERS), order=8)

    [result] = await store.apply(
        make_batch({"op": "update", "id": task.id, "task": {**MEMBERS, "order": 8}, "if_version": [1]})
    )

    assert result.task == task
    for name, value in OTHERS.items():
        with pytest.raises(BatchRefused):
            await store.apply(
                make_batch({"op": "update", "id": task.id, "task": {"order": 8, name: value}, "if_version": [1]})
            )


async def test_creation_is_the_same_only_with_the_same_members(store: TaskStore) -> None:
    """Also after the task has changed; a task that the service gave its id was never created so."""
    task_id = uuid4()
    create = {"op": "create", "id": task_id, "task": {"title": "New"}}
    task = (await store.apply(make_batch(create)))[0].task
    assert task
    changed = await change(store, task, title="Changed")
    others = await add(store, title="New")

    assert await store.apply(make_batch(create)) == put(changed)
    for refused in ({**create, "task": {"title": "Changed"}}, {**create, "id": others.id}):
        with pytest.raises(BatchRefused):
            await store.apply(make_batch(refused))
