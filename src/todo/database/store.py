"""What can be done to one owner's tasks, each as one statement; only this file and the migrations say it in SQL.

Every statement is made once, has bound parameters and carries the owner. None reads before it writes, so there is
nothing between the two for a concurrent request to change.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from operator import gt, lt
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Row,
    Select,
    Text,
    and_,
    any_,
    asc,
    bindparam,
    case,
    cast,
    collate,
    delete,
    desc,
    func,
    insert,
    inspect,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ColumnElement, Executable
from sqlalchemy.sql.dml import Delete, ReturningDelete, ReturningUpdate, Update
from uuid_utils.compat import uuid7

from todo.database.engine import Database, Rows
from todo.errors import IdempotencyKeyReused, PreconditionFailed, TaskNotFound
from todo.models import (
    PAGE_BYTES,
    TASK_BYTES,
    IdempotencyKey,
    Owner,
    Position,
    Sort,
    Status,
    Task,
    TaskCreate,
    TaskPublic,
    TaskQuery,
    TaskUpdate,
    Versions,
    make_fingerprint,
)

LIST_STATEMENTS = 256  # that are kept; a client can ask for some two thousand shapes, and asks for few

NOTHING: Mapping[str, object] = {}

_COLUMNS = inspect(Task).columns
# The writable and the public columns are read off the models, so that a new field is no change here.
_WRITABLE = tuple(name for name in TaskCreate.model_fields if name != "user_id")
_PUBLIC = tuple(_COLUMNS[name] for name in TaskPublic.model_fields if name != "url")
_STATUS = bindparam("status", type_=Text)
_IS_OF_STATUS = _COLUMNS.completed == (_STATUS == "completed")  # of the two that a task can have
_MINE = _COLUMNS.user_id == bindparam("owner")
_THIS = and_(_MINE, _COLUMNS.id == bindparam("task_id"))

# Not now(): that is when the statement began, and one that waited for another's change would set the time back.
_CLOCK = func.clock_timestamp()


def _value(name: str) -> ColumnElement[Any]:
    return bindparam(f"new_{name}", type_=_COLUMNS[name].type)


def _assign(values: Mapping[str, ColumnElement[Any]]) -> dict[str, ColumnElement[Any]]:
    """Add to `values` what follows from them; where they change nothing, time, version and completion stay."""
    is_changed = or_(*(_COLUMNS[name].is_distinct_from(value) for name, value in values.items()))
    is_flipped = _COLUMNS.completed.is_distinct_from(values["completed"])
    flipped_at = case((_COLUMNS.completed, null()), else_=_CLOCK)
    return {
        **values,
        "completed_at": case((is_flipped, flipped_at), else_=_COLUMNS.completed_at),
        "updated_at": case((is_changed, _CLOCK), else_=_COLUMNS.updated_at),
        "version": _COLUMNS.version + cast(is_changed, Integer),
    }


def _change(values: Mapping[str, ColumnElement[Any]]) -> ReturningUpdate[Any]:
    return update(Task).where(_THIS).values(**_assign(values)).returning(*_PUBLIC)


_NEW_TASK: Mapping[str, ColumnElement[Any]] = {
    "user_id": bindparam("owner"),
    "id": bindparam("task_id"),
    "completed_at": case((_value("completed"), func.now())),
    **{name: _value(name) for name in _WRITABLE},
}
_ADD = insert(Task).values(_NEW_TASK).returning(*_PUBLIC)


def _add_once() -> Executable:
    """Add a task unless there is one of this key: then return that, provided that it was asked for in the same words.

    The update, which changes nothing, is what makes PostgreSQL wait for an insert in flight and return its row.
    """
    new = {**_NEW_TASK, "idempotency_key": _value("idempotency_key"), "fingerprint": _value("fingerprint")}
    statement = postgresql.insert(Task).values(new)
    return statement.on_conflict_do_update(
        index_elements=[_COLUMNS.user_id, _COLUMNS.idempotency_key],
        index_where=_COLUMNS.idempotency_key.is_not(None),
        set_={"idempotency_key": statement.excluded.idempotency_key},
        where=_COLUMNS.fingerprint == statement.excluded.fingerprint,
    ).returning(*_PUBLIC)


_ADD_ONCE = _add_once()
_GET = select(*_PUBLIC).where(_THIS)
_EDIT = _change(
    {name: case((bindparam(f"set_{name}", type_=Boolean), _value(name)), else_=_COLUMNS[name]) for name in _WRITABLE}
)
_SET_COMPLETED = _change({"completed": _value("completed")})
_TOGGLE = _change({"completed": not_(_COLUMNS.completed)})
_REMOVE = delete(Task).where(_THIS).returning(_COLUMNS.id)


def _guard(change: ReturningUpdate[Any] | ReturningDelete[Any]) -> Executable:
    """Let a change of one task happen only in certain versions; a row of nulls says that there is another.

    The task is locked and read as it is then, not as it was when the statement began: one that is deleted meanwhile is
    not found, and one that is changed meanwhile is in its new version.
    """
    current = select(_COLUMNS.id, _COLUMNS.version).where(_THIS).with_for_update().cte("current")
    versions = bindparam("versions", type_=ARRAY(BigInteger))
    changed = change.where(_COLUMNS.id == current.c.id, current.c.version == any_(versions)).cte("changed")
    return select(changed).select_from(current.outerjoin(changed, true()))


_GUARDED = {statement: _guard(statement) for statement in (_EDIT, _SET_COMPLETED, _TOGGLE, _REMOVE)}

_HAS_STATUS = or_(_STATUS == "all", _IS_OF_STATUS)


def _count_changed(change: Update | Delete, condition: ColumnElement[bool]) -> Executable:
    """Change all tasks of a condition, and count them.

    They are locked first, in the order of their ids: in any other, two such statements may deadlock. The change finds
    them again by the same condition, in the same snapshot, and joins nothing: the plan of a join hangs on how many
    tasks the statistics give this user, and is quadratic where these know nothing of them.
    """
    locked = select(_COLUMNS.id).where(condition).order_by(_COLUMNS.id).with_for_update().cte("locked")
    is_any_locked = select(func.count()).select_from(locked).scalar_subquery() > 0
    changed = change.where(condition, is_any_locked).returning(_COLUMNS.id).cte("changed")
    return select(func.count()).select_from(changed)


_COMPLETE_ALL = _count_changed(
    update(Task).values(**_assign({"completed": _value("completed")})),
    and_(_MINE, _HAS_STATUS, _COLUMNS.completed != _value("completed")),
)
_REMOVE_ALL = _count_changed(delete(Task), and_(_MINE, _HAS_STATUS))


_Start = Literal["first", "value", "null"]  # of a page: the first task, or that after a value or after a null


def _contains(column: ColumnElement[Any]) -> ColumnElement[bool]:
    # Not LIKE, in which `%`, `_` and `\` would have to be escaped.
    return func.strpos(func.lower(column), func.lower(bindparam("q", type_=Text))) > 0


_FILTERS: Mapping[str, ColumnElement[bool]] = {
    "status": _IS_OF_STATUS,
    "q": or_(_contains(_COLUMNS.title), _contains(_COLUMNS.description)),
    "tag": _COLUMNS.tags.contains(bindparam("tag", type_=_COLUMNS.tags.type)),
    "priority": _COLUMNS.priority == any_(bindparam("priority", type_=ARRAY(_COLUMNS.priority.type))),
    "due_before": _COLUMNS.due_at < bindparam("due_before", type_=_COLUMNS.due_at.type),
    "due_after": _COLUMNS.due_at >= bindparam("due_after", type_=_COLUMNS.due_at.type),
}


def _sort_key(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what a column is sorted by: titles without regard to case, and not by the locale of a server."""
    return collate(func.lower(value), "C") if name == "title" else value


class _ListShape(NamedTuple):
    """What one list's statement says and another's does not; two of one shape differ in parameters alone."""

    sort: Sort
    filters: frozenset[str]
    start: _Start
    is_cut: bool  # where the texts of so many tasks may have more than PAGE_BYTES


_Ordering = Callable[[ColumnElement[Any], ColumnElement[Any]], list[ColumnElement[Any]]]  # by a key, then by the id


@lru_cache(LIST_STATEMENTS)
def _list(shape: _ListShape) -> Executable:
    """Select a page that begins after a position: one that begins after a count shifts with every insert and delete."""
    turn, is_past = (desc, lt) if shape.sort.startswith("-") else (asc, gt)
    name = shape.sort.removeprefix("-")
    column, id_ = _COLUMNS[name], _COLUMNS.id
    after_value, after_id = bindparam("after_value", type_=column.type), bindparam("after_id", type_=id_.type)
    key, after_key = _sort_key(name, column), _sort_key(name, after_value)
    conditions = [_MINE, *(_FILTERS[name] for name in sorted(shape.filters))]
    if shape.start == "value":
        # A comparison with null is never true, so the tasks without a value have to be asked for. Over an index this
        # would have to be a UNION ALL: see docs/decisions.md, 10.
        is_after = is_past(tuple_(key, id_), tuple_(after_key, after_id))
        conditions.append(or_(is_after, key.is_(None)) if column.nullable else is_after)
    elif shape.start == "null":
        conditions.append(and_(key.is_(None), is_past(id_, after_id)))

    # Nulls are said to be last only where there are any: the index of the default list is not sorted in that way.
    def order(key: ColumnElement[Any], id_: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [turn(key).nulls_last() if column.nullable else turn(key), turn(id_)]

    page = select(*_PUBLIC).where(*conditions).order_by(*order(key, id_)).limit(bindparam("limit", type_=Integer))
    return _cut(page.add_columns(key.label("sort_key")), order) if shape.is_cut else page


def _cut(page: Select[Any], order: _Ordering) -> Executable:
    """Leave out what comes after the first task with which the texts of a page have PAGE_BYTES.

    The lengths are added up over the rows that the limit has chosen, without reading a description.
    """
    row = page.subquery("limited").c
    length = (
        func.octet_length(row.title)
        + func.coalesce(func.octet_length(row.description), 0)
        + func.octet_length(func.array_to_string(row.tags, ""))
    )
    total = func.sum(length).over(order_by=order(row.sort_key, row.id), rows=(None, 0))
    measured = select(*row, length.label("length"), total.label("total")).subquery("measured").c
    return (
        select(*(measured[column.name] for column in _PUBLIC), measured.total)
        .where(measured.total - measured.length < bindparam("page_bytes", type_=Integer))
        .order_by(*order(measured.sort_key, measured.id))
    )


_Run = Callable[[Executable, Mapping[str, object]], Awaitable[Rows]]


class Page(NamedTuple):
    """A part of a list, and the place after which it goes on, if it does."""

    tasks: list[TaskPublic]
    end: Position | None


class Addition(NamedTuple):
    """A task that was to be added, and whether it had been before."""

    task: TaskPublic
    is_replayed: bool


class TaskStore:
    """The tasks of one owner.

    Methods that name a task raise TaskNotFound when the owner has none of that id, and PreconditionFailed when
    `versions` are given and the task is in none of them.
    """

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self.owner = owner

    async def add(self, task: TaskCreate) -> TaskPublic:
        """Add a task."""
        return _read(await self._one(self._database.write, _ADD, uuid7(), _new_values(task)))

    async def add_once(self, task: TaskCreate, key: IdempotencyKey) -> Addition:
        """Add a task, or return the one that was added under this key, as it is now.

        Raises IdempotencyKeyReused when that one was added in other words.
        """
        task_id = uuid7()
        values = {"new_idempotency_key": key, "new_fingerprint": make_fingerprint(task), **_new_values(task)}
        rows = await self._database.write(_ADD_ONCE, {"owner": self.owner, "task_id": task_id, **values})
        if not rows:
            raise IdempotencyKeyReused
        return Addition(_read(rows[0]), is_replayed=rows[0].id != task_id)

    async def get(self, task_id: UUID) -> TaskPublic:
        """Read one task."""
        return _read(await self._one(self._database.read, _GET, task_id))

    async def page(self, query: TaskQuery, after: Position | None = None) -> Page:
        """Read the tasks that a query asks for, after a position.

        They are at most its limit, and where their texts would have PAGE_BYTES, fewer.
        """
        filters = query.model_dump(include=set(_FILTERS), exclude_defaults=True)
        parameters = {"owner": self.owner, "limit": query.limit + 1, **filters}  # one more: is there a next page?
        if after:
            parameters |= {"after_value": after.value, "after_id": after.id}
        start: _Start = "first" if not after else "null" if after.value is None else "value"
        is_cut = (query.limit + 1) * TASK_BYTES >= PAGE_BYTES
        if is_cut:
            parameters |= {"page_bytes": PAGE_BYTES}
        rows = await self._database.read(_list(_ListShape(query.sort, frozenset(filters), start, is_cut)), parameters)
        # The last row only says that there is more where it is one too many, or the one that would be too long.
        has_next = len(rows) > query.limit or (is_cut and bool(rows) and rows[-1].total >= PAGE_BYTES)
        tasks = [_read(row) for row in (rows[:-1] if has_next else rows)]
        return Page(tasks, Position(getattr(tasks[-1], query.sort_key), tasks[-1].id) if has_next else None)

    async def edit(self, task_id: UUID, changes: TaskUpdate, versions: Versions | None = None) -> TaskPublic:
        """Change the members that were given and leave the others."""
        given = {f"set_{name}": name in changes.model_fields_set for name in _WRITABLE}
        return _read(await self._change(_EDIT, task_id, versions, _new_values(changes) | given))

    async def toggle(self, task_id: UUID, versions: Versions | None = None) -> TaskPublic:
        """Complete a pending task, reopen a completed one."""
        return _read(await self._change(_TOGGLE, task_id, versions))

    async def set_completed(self, task_id: UUID, versions: Versions | None = None, *, completed: bool) -> TaskPublic:
        """Complete or reopen a task; once more changes nothing."""
        return _read(await self._change(_SET_COMPLETED, task_id, versions, {"new_completed": completed}))

    async def remove(self, task_id: UUID, versions: Versions | None = None) -> None:
        """Delete a task for good."""
        await self._change(_REMOVE, task_id, versions)

    async def complete_all(self, status: Status, *, completed: bool) -> int:
        """Complete or reopen every task of a status, and return how many have changed."""
        return await self._count(_COMPLETE_ALL, {"status": status, "new_completed": completed})

    async def remove_all(self, status: Status) -> int:
        """Delete every task of a status for good, and return how many there were."""
        return await self._count(_REMOVE_ALL, {"status": status})

    async def _count(self, statement: Executable, parameters: Mapping[str, object]) -> int:
        [(count,)] = await self._database.write(statement, {"owner": self.owner, **parameters})
        return int(count)

    async def _change(
        self,
        statement: ReturningUpdate[Any] | ReturningDelete[Any],
        task_id: UUID,
        versions: Versions | None,
        values: Mapping[str, object] = NOTHING,
    ) -> Row[Any]:
        if versions is None:
            return await self._one(self._database.write, statement, task_id, values)
        values = {"versions": list(versions), **values}
        row = await self._one(self._database.write, _GUARDED[statement], task_id, values)
        if row.id is None:
            raise PreconditionFailed
        return row

    async def _one(
        self, run: _Run, statement: Executable, task_id: UUID, values: Mapping[str, object] = NOTHING
    ) -> Row[Any]:
        rows = await run(statement, {"owner": self.owner, "task_id": task_id, **values})
        if not rows:
            raise TaskNotFound
        return rows[0]


def _read(row: Row[Any]) -> TaskPublic:
    return TaskPublic.model_validate(row._asdict())


def _new_values(task: TaskCreate | TaskUpdate) -> dict[str, object]:
    return {f"new_{name}": getattr(task, name) for name in _WRITABLE}
