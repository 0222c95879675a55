"""The operations on one owner's tasks, each of them one statement."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from uuid_utils.compat import uuid7

from todo.database import statements
from todo.database.compiled import Statement
from todo.database.engine import Database, Row, Rows
from todo.database.statements import (
    FILTERS,
    PUBLIC,
    WRITABLE,
    Change,
    ListShape,
    Start,
    compile_complete_all,
    compile_list,
    compile_remove_all,
)
from todo.errors import IdempotencyKeyReused, PreconditionFailed, TaskNotFound
from todo.models.fields import IdempotencyKey, Owner, Versions
from todo.models.queries import PAGE_BYTES, TASK_BYTES, Position, SortKey, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskRow, TaskUpdate, make_fingerprint

_Run: TypeAlias = Callable[[Statement, Mapping[str, object]], Awaitable[Rows]]

NOTHING: Mapping[str, object] = {}
_MEMBERS = len(PUBLIC)  # of a row; those of a page may have one more


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
        # A last row that exceeds the limit, or reaches PAGE_BYTES, only shows that there is more.
        has_next = len(rows) > query.limit or (is_cut and bool(rows) and rows[-1][-1] >= PAGE_BYTES)
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


def _read_filters(selection: TaskSelection) -> dict[str, object]:
    """Return the values of the filters that leave out any task."""
    filters = selection.model_dump(include=set(FILTERS), exclude_defaults=True)
    if selection.status == "all":
        filters.pop("status", None)
    return filters


def _find_position(task: TaskRow, key: SortKey) -> Position:
    value = getattr(task, key)
    return Position(value.replace(tzinfo=UTC) if isinstance(value, datetime) else value, task.id)


def _new_values(task: TaskCreate | TaskUpdate) -> dict[str, object]:
    return {f"new_{name}": getattr(task, name) for name in WRITABLE}
