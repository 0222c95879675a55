"""What concurrent requests do to a task: each statement is whole, so none is lost and none is half done."""

import asyncio
from typing import get_args
from uuid import uuid4

import pytest

from todo.database.store import TaskStore
from todo.errors import TaskNotFound
from todo.models.queries import PAGE_LENGTH, Status, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskUpdate

TOGGLES = 200
BULK_ROUNDS = 60
BULK_TASKS = 100
EVERY, PENDING, COMPLETED = (TaskSelection(status=status) for status in get_args(Status.__value__))
SEARCHED = TaskSelection(status="all", q="task")  # the same tasks, by another plan


async def test_concurrent_toggles_end_where_parity_says(store: TaskStore) -> None:
    """Of 200 toggles at once, 100 answer true, each has a version of its own, and the task ends as it began."""
    task, _ = await store.add(TaskCreate(title="A task"))

    answers = await asyncio.gather(*(store.toggle(task.id) for _ in range(TOGGLES)))

    end = await store.get(task.id)
    assert sum(answer.completed for answer in answers) == TOGGLES / 2
    assert sorted(answer.version for answer in answers) == list(range(2, TOGGLES + 2))
    assert (end.completed, end.completed_at, end.version) == (False, None, TOGGLES + 1)


async def test_time_never_runs_backwards_under_contention(store: TaskStore) -> None:
    """A later version has a later `updated_at`, however long its statement waited for another's."""
    task, _ = await store.add(TaskCreate(title="A task"))

    answers = await asyncio.gather(
        *(store.edit(task.id, TaskUpdate(title=f"Title {number}")) for number in range(TOGGLES))
    )

    times = [answer.updated_at for answer in sorted(answers, key=lambda answer: answer.version)]
    assert times == sorted(times)
    assert len(set(times)) == TOGGLES


async def test_concurrent_edits_of_different_members_are_all_kept(store: TaskStore) -> None:
    """An edit writes what it was given and nothing that it may have read before."""
    task, _ = await store.add(TaskCreate(title="A task"))

    await asyncio.gather(
        store.edit(task.id, TaskUpdate(title="Renamed")),
        store.edit(task.id, TaskUpdate(description="Described")),
        store.edit(task.id, TaskUpdate(order=7)),
        store.toggle(task.id),
    )

    end = await store.get(task.id)
    assert (end.title, end.description, end.order, end.completed) == ("Renamed", "Described", 7, True)
    assert end.version == 5


async def test_edit_that_races_a_removal_never_brings_the_task_back(store: TaskStore) -> None:
    """The edit finds the task or does not; afterwards it is gone."""
    for _ in range(20):
        task, _ = await store.add(TaskCreate(title="A task"))

        edit, removal = await asyncio.gather(
            store.edit(task.id, TaskUpdate(title="Renamed")), store.remove(task.id), return_exceptions=True
        )

        assert removal is None
        assert not isinstance(edit, BaseException) or isinstance(edit, TaskNotFound)
        with pytest.raises(TaskNotFound):
            await store.get(task.id)


async def test_concurrent_bulk_changes_never_deadlock(store: TaskStore) -> None:
    """Sixty rounds of completing, reopening and deleting the same tasks at once; the counts add up."""
    for number in range(BULK_ROUNDS):
        # Toggles between the rounds see to it that the rows do not lie in the order of their ids.
        added = await asyncio.gather(*(store.add(TaskCreate(title="A task")) for _ in range(BULK_TASKS // 10)))
        tasks = [task for task, _ in added]
        await asyncio.gather(*(store.toggle(task.id) for task in tasks[:: number % 3 + 1]))

        await asyncio.gather(
            store.complete_all(EVERY, completed=True),
            store.complete_all(EVERY, completed=False),
            store.complete_all(PENDING, completed=True),
            store.complete_all(COMPLETED, completed=False),
            store.complete_all(SEARCHED, completed=True),
            *(store.toggle(task.id) for task in tasks),
        )
        if number % 10 == 9:
            counts = await asyncio.gather(
                store.remove_all(EVERY), store.remove_all(COMPLETED), store.complete_all(EVERY, completed=True),
                store.remove_all(PENDING), store.remove_all(SEARCHED),
            )  # fmt: skip
            assert sum(counts) - counts[2] == BULK_TASKS
            assert (await store.page(TaskQuery())).tasks == []


async def test_page_is_bounded(store: TaskStore) -> None:
    """A list has at most 1000 tasks, and they are the newest."""

    async def add_some(count: int) -> None:
        for _ in range(count):
            await store.add(TaskCreate(title="A task"))

    oldest, _ = await store.add(TaskCreate(title="The oldest"))
    await asyncio.gather(*(add_some(PAGE_LENGTH // 10) for _ in range(10)))

    page = await store.page(TaskQuery())

    assert len(page.tasks) == PAGE_LENGTH
    assert oldest.id not in {task.id for task in page.tasks}


async def test_absent_task_is_not_found_by_any_method(store: TaskStore) -> None:
    """Whatever is asked of a task that is not there, the error is the same."""
    calls = [
        store.get(uuid4()),
        store.edit(uuid4(), TaskUpdate()),
        store.toggle(uuid4()),
        store.set_completed(uuid4(), completed=True),
        store.remove(uuid4()),
    ]

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [TaskNotFound] * len(calls)
