"""What can be done to one owner's tasks, each as one statement; only this file and the migrations say it in SQL.

Every statement is a constant with bound parameters and carries the owner. None reads before it writes, so there is
nothing between the two for a concurrent request to change.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Integer,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    inspect,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement, Executable
from uuid_utils.compat import uuid7

from todo.database.engine import Database
from todo.errors import TaskNotFound
from todo.models import Owner, Task, TaskCreate, TaskPublic, TaskUpdate

PAGE_LENGTH = 1000

_COLUMNS = inspect(Task).columns
# The writable and the public columns are read off the models, so that a new field is no change here.
_WRITABLE = tuple(name for name in TaskCreate.model_fields if name != "user_id")
_PUBLIC = tuple(_COLUMNS[name] for name in TaskPublic.model_fields if name != "url")
_MINE = _COLUMNS.user_id == bindparam("owner")
_THIS = and_(_MINE, _COLUMNS.id == bindparam("task_id"))

# Not now(): that is when the statement began, and one that waited for another's change would set the time back.
_CLOCK = func.clock_timestamp()


def _value(name: str) -> ColumnElement[Any]:
    return bindparam(f"new_{name}", type_=_COLUMNS[name].type)


def _change(values: Mapping[str, ColumnElement[Any]]) -> Executable:
    """Set `values` on one task; where that changes nothing, its time and version stay, and so does its completion."""
    is_changed = or_(*(_COLUMNS[name].is_distinct_from(value) for name, value in values.items()))
    is_flipped = _COLUMNS.completed.is_distinct_from(values["completed"])
    flipped_at = case((_COLUMNS.completed, null()), else_=_CLOCK)
    return (
        update(Task)
        .where(_THIS)
        .values(
            **values,
            completed_at=case((is_flipped, flipped_at), else_=_COLUMNS.completed_at),
            updated_at=case((is_changed, _CLOCK), else_=_COLUMNS.updated_at),
            version=_COLUMNS.version + cast(is_changed, Integer),
        )
        .returning(*_PUBLIC)
    )


_ADD = (
    insert(Task)
    .values(
        user_id=bindparam("owner"),
        id=bindparam("task_id"),
        completed_at=case((_value("completed"), func.now())),
        **{name: _value(name) for name in _WRITABLE},
    )
    .returning(*_PUBLIC)
)
_GET = select(*_PUBLIC).where(_THIS)
_PAGE = select(*_PUBLIC).where(_MINE).order_by(_COLUMNS.created_at.desc(), _COLUMNS.id.desc()).limit(bindparam("limit"))
_EDIT = _change(
    {name: case((bindparam(f"set_{name}", type_=Boolean), _value(name)), else_=_COLUMNS[name]) for name in _WRITABLE}
)
_SET_COMPLETED = _change({"completed": _value("completed")})
_TOGGLE = _change({"completed": not_(_COLUMNS.completed)})
_REMOVE = delete(Task).where(_THIS).returning(_COLUMNS.id)


class TaskStore:
    """The tasks of one owner. Methods that name a task raise TaskNotFound when the owner has none of that id."""

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self._owner = owner

    async def add(self, task: TaskCreate) -> TaskPublic:
        """Add a task."""
        return await self._one(_ADD, uuid7(), _new_values(task))

    async def get(self, task_id: UUID) -> TaskPublic:
        """Read one task."""
        return await self._one(_GET, task_id)

    async def page(self) -> list[TaskPublic]:
        """Read the newest tasks, newest first, at most PAGE_LENGTH of them."""
        rows = await self._database.run(_PAGE, {"owner": self._owner, "limit": PAGE_LENGTH})
        return [TaskPublic.model_validate(row._asdict()) for row in rows]

    async def edit(self, task_id: UUID, changes: TaskUpdate) -> TaskPublic:
        """Change the members that were given and leave the others."""
        given = {f"set_{name}": name in changes.model_fields_set for name in _WRITABLE}
        return await self._one(_EDIT, task_id, _new_values(changes) | given)

    async def toggle(self, task_id: UUID) -> TaskPublic:
        """Complete a pending task, reopen a completed one."""
        return await self._one(_TOGGLE, task_id)

    async def set_completed(self, task_id: UUID, *, completed: bool) -> TaskPublic:
        """Complete or reopen a task; once more changes nothing."""
        return await self._one(_SET_COMPLETED, task_id, {"new_completed": completed})

    async def remove(self, task_id: UUID) -> None:
        """Delete a task for good."""
        if not await self._database.run(_REMOVE, {"owner": self._owner, "task_id": task_id}):
            raise TaskNotFound

    async def _one(
        self, statement: Executable, task_id: UUID, parameters: Mapping[str, object] | None = None
    ) -> TaskPublic:
        rows = await self._database.run(statement, {"owner": self._owner, "task_id": task_id, **(parameters or {})})
        if not rows:
            raise TaskNotFound
        return TaskPublic.model_validate(rows[0]._asdict())


def _new_values(task: TaskCreate | TaskUpdate) -> dict[str, object]:
    return {f"new_{name}": getattr(task, name) for name in _WRITABLE}
