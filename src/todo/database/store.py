"""The operations on one owner's tasks, each of them one statement."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple, TypeAlias
from uuid import UUID

from uuid_utils.compat import uuid7

from todo.database.compiled import Statement
from todo.database.engine import Database, Row, Rows
from todo.database.statements import tasks as statements
from todo.database.statements.batch import BATCH, bind_operations
from todo.database.statements.columns import FILTERS, PUBLIC, WRITABLE
from todo.database.statements.feed import compile_changes
from todo.database.statements.lists import ListShape, Start, compile_list
from todo.database.statements.tasks import Change, compile_complete_all, compile_remove_all
from todo.errors import (
    BatchRefused,
    ChangesExpired,
    Fault,
    IdempotencyKeyReused,
    PreconditionFailed,
    TaskDeleted,
    TaskNotFound,
)
from todo.models.batches import Batch
from todo.models.feeds import FIRST_ID, LAST_ID, ChangesQuery, FeedPage, FeedPosition, TaskStateRow
from todo.models.fields import IdempotencyKey, Owner, Versions
from todo.models.queries import PAGE_BYTES, TASK_BYTES, Position, SortKey, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskRow, TaskUpdate, make_fingerprint

_Run: TypeAlias = Callable[[Statement, Mapping[str, object]], Awaitable[Rows]]

NOTHING: Mapping[str, object] = {}
_MEMBERS = len(PUBLIC)  # of a row; those of a page may have one more
_UPDATED_AT, _VERSION = PUBLIC.index("updated_at"), PUBLIC.index("version")
NEVER = datetime.max.replace(tzinfo=UTC)  # later than any deletion
FEED_MEMBERS = 3  # of a row of changes, before those of the task
# What may be wrong with an operation of a batch, by the code in the statement's result.
BATCH_FAULTS = {
    "id-taken": "another task has this id",
    "task-deleted": "the task with this id was deleted; create another under a new id",
    "task-not-found": "the user has no such task",
    "precondition-failed": "the task is in another version",
}


class Page(NamedTuple):
    """A part of a list, and the position after which the next page begins, if there is one."""

    tasks: list[TaskRow]
    end: Position | None


class Addition(NamedTuple):
    """A task that was added, or the one that had been added before under the same key."""

    task: TaskRow
    is_replayed: bool


class TaskStore:
    """The tasks of one owner.

    Methods that take a task's id raise TaskNotFound when the owner has no such task, and PreconditionFailed when
    `versions` are given and the task is in none of them.
    """

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self.owner = owner

    async def add(self, task: TaskCreate, key: IdempotencyKey | None = None) -> Addition:
        """Add a task; where one has been added under this key already, return that one, as it is now.

        Raises IdempotencyKeyReused when the key was used with a different body.
        """
        statement = statements.ADD
        task_id = uuid7()
        parameters = {"owner": self.owner, "task_id": task_id, **_new_values(task)}
        if key is not None:
            statement = statements.ADD_ONCE
            parameters |= {"new_idempotency_key": key, "new_fingerprint": make_fingerprint(task)}
        rows = await self._database.write(statement, parameters)
        if not rows:
            raise IdempotencyKeyReused
        added = _read(rows[0])
        return Addition(added, is_replayed=added.id != task_id)

    async def add_under_id(self, task_id: UUID, task: TaskCreate) -> TaskRow:
        """Add a task under an id of the client's own; another user may have a task with the same one.

        Raises PreconditionFailed when there is such a task, and TaskDeleted when there was one not long ago.
        """
        parameters = {"task_id": task_id, "new_fingerprint": make_fingerprint(task), **_new_values(task)}
        [row] = await self._database.write(statements.ADD_UNDER_ID, {"owner": self.owner, **parameters})
        if row[-1]:
            raise TaskDeleted
        if row[0] is None:
            raise PreconditionFailed("There is a task with this id already.")
        return _read(row)

    async def get(self, task_id: UUID) -> TaskRow:
        """Read one task."""
        return _read(await self._one(self._database.read, statements.GET, task_id))

    async def page(self, query: TaskQuery, after: Position | None = None) -> Page:
        """Read the tasks that match a query, after a position.

        At most its limit, and fewer where their texts would reach PAGE_BYTES.
        """
        filters = _read_filters(query)
        parameters = {"owner": self.owner, "limit": query.limit + 1, **filters}  # one more: is there a next page?
        if after:
            parameters |= {"after_value": after.value, "after_id": after.id}
        start: Start = "first" if not after else "null" if after.value is None else "value"
        is_cut = (query.limit + 1) * TASK_BYTES >= PAGE_BYTES
        if is_cut:
            parameters |= {"page_bytes": PAGE_BYTES}
        rows = await self._database.read(
            compile_list(ListShape(query.sort, frozenset(filters), start, is_cut)), parameters
        )
        has_next = _has_more(rows, query.limit, is_cut=is_cut)
        tasks = [_read(row) for row in (rows[:-1] if has_next else rows)]
        return Page(tasks, _find_position(tasks[-1], query.sort_key) if has_next else None)

    async def edit(self, task_id: UUID, changes: TaskUpdate, versions: Versions | None = None) -> TaskRow:
        """Change the members that were given, and leave the others."""
        given = {f"set_{name}": name in changes.model_fields_set for name in WRITABLE}
        return _read(await self._change(statements.EDIT, task_id, versions, _new_values(changes) | given))

    async def toggle(self, task_id: UUID, versions: Versions | None = None) -> TaskRow:
        """Complete a pending task, reopen a completed one."""
        return _read(await self._change(statements.TOGGLE, task_id, versions))

    async def set_completed(self, task_id: UUID, versions: Versions | None = None, *, completed: bool) -> TaskRow:
        """Complete or reopen a task; repeating it changes nothing."""
        return _read(await self._change(statements.SET_COMPLETED, task_id, versions, {"new_completed": completed}))

    async def remove(self, task_id: UUID, versions: Versions | None = None) -> None:
        """Delete a task permanently."""
        await self._change(statements.REMOVE, task_id, versions)

    async def complete_all(self, selection: TaskSelection, *, completed: bool) -> int:
        """Complete or reopen every task of a selection, and return how many changed."""
        return await self._change_all(compile_complete_all, selection, {"new_completed": completed})

    async def remove_all(self, selection: TaskSelection) -> int:
        """Permanently delete every task of a selection, and return how many there were."""
        return await self._change_all(compile_remove_all, selection)

    async def changes(self, query: ChangesQuery, since: FeedPosition | None = None) -> FeedPage:
        """Read what has changed after a position, or everything there is: each task as it is now.

        Raises ChangesExpired.
        """
        # Whoever begins without a task need not be told of deleted ones.
        parameters = {"owner": self.owner, "limit": query.limit + 1, "after": FIRST_ID, "began": NEVER}
        if since:
            parameters |= {"began": since.began, "at": since.at, "after": since.after}
        is_cut = (query.limit + 1) * TASK_BYTES >= PAGE_BYTES
        if is_cut:
            parameters |= {"page_bytes": PAGE_BYTES}
        rows = await self._database.read(compile_changes(is_cut=is_cut), parameters)
        feed = _read_feed(rows[0])
        if since and since.is_void(feed):
            raise ChangesExpired
        entries = [row[FEED_MEMBERS:] for row in rows if row[FEED_MEMBERS] is not None]
        has_more = _has_more(entries, query.limit, is_cut=is_cut)
        entries = entries[:-1] if has_more else entries
        changes = [TaskStateRow(row[0], None if row[_VERSION] is None else _read(row)) for row in entries]
        start = since or feed
        end = start if has_more else feed  # a position's age is that of its chain
        if has_more or not feed.began:  # a user without a feed has written nothing since there are feeds
            last = entries[-1] if entries else None
            at, after = (_make_aware(last[_UPDATED_AT]), last[0]) if last else (start.at, start.after)
            end = end._replace(at=at, after=after)
        return FeedPage(changes, end, has_more)

    async def apply(self, batch: Batch) -> list[TaskStateRow]:
        """Carry out all operations of a batch, and return their tasks in the same order.

        Raises BatchRefused, if any operation cannot be carried out, and then has changed nothing.
        """
        rows = await self._database.write(BATCH, {"owner": self.owner, **bind_operations(batch.operations)})
        if faults := [_describe_fault(index, row[-1]) for index, row in enumerate(rows) if row[-1]]:
            raise BatchRefused(faults=faults)
        asked = zip(batch.operations, rows, strict=True)
        return [TaskStateRow(operation.id, None if row[0] is None else _read(row)) for operation, row in asked]

    async def _change_all(
        self,
        compile_change: Callable[[frozenset[str]], Statement],
        selection: TaskSelection,
        values: Mapping[str, object] = NOTHING,
    ) -> int:
        filters = _read_filters(selection)
        parameters = {"owner": self.owner, **filters, **values}
        [(count,)] = await self._database.write(compile_change(frozenset(filters)), parameters)
        return int(count)

    async def _change(
        self,
        change: Change,
        task_id: UUID,
        versions: Versions | None,
        values: Mapping[str, object] = NOTHING,
    ) -> Row:
        if versions is None:
            return await self._one(self._database.write, change.always, task_id, values)
        values = {"versions": list(versions), **values}
        row = await self._one(self._database.write, change.guarded, task_id, values)
        if row[0] is None:
            raise PreconditionFailed
        return row

    async def _one(self, run: _Run, statement: Statement, task_id: UUID, values: Mapping[str, object] = NOTHING) -> Row:
        rows = await run(statement, {"owner": self.owner, "task_id": task_id, **values})
        if not rows:
            raise TaskNotFound
        return rows[0]


def _read(row: Row) -> TaskRow:
    return TaskRow(*row[:_MEMBERS])


def _has_more(rows: Rows, limit: int, *, is_cut: bool) -> bool:
    """Whether the last row only shows that there is more: it exceeds the limit, or reaches PAGE_BYTES."""
    return len(rows) > limit or (is_cut and bool(rows) and rows[-1][-1] >= PAGE_BYTES)


def _read_feed(row: Row) -> FeedPosition:
    as_of, generation, changed_at = row[:FEED_MEMBERS]
    began = changed_at and _make_aware(changed_at)
    # Clients need not know what it is made of.
    generation = blake2b(generation.encode(), digest_size=8).hexdigest()
    return FeedPosition(generation, _make_aware(as_of), began, began, LAST_ID if began else FIRST_ID)


def _make_aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _describe_fault(index: int, code: str) -> Fault:
    return Fault(source="pointer", name=f"/operations/{index}", detail=BATCH_FAULTS[code], code=code)


def _read_filters(selection: TaskSelection) -> dict[str, object]:
    """Return the values of the filters that leave out any task."""
    filters = selection.model_dump(include=set(FILTERS), exclude_defaults=True)
    if selection.status == "all":
        filters.pop("status", None)
    return filters


def _find_position(task: TaskRow, key: SortKey) -> Position:
    value = getattr(task, key)
    return Position(_make_aware(value) if isinstance(value, datetime) else value, task.id)


def _new_values(task: TaskCreate | TaskUpdate) -> dict[str, object]:
    return {f"new_{name}": getattr(task, name) for name in WRITABLE}
