"""Every statement on the tasks of one owner; there is no other SQL on tasks but the migrations.

Each is written with SQLAlchemy, compiled once, and has bound parameters, the owner among them. None reads before it
writes, so no concurrent request can change anything between the two.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from operator import gt, lt
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    Integer,
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

from todo.database.compiled import Statement
from todo.models.queries import Sort
from todo.models.tasks import Task, TaskCreate, TaskPublic

LIST_STATEMENTS = 256  # that are cached, of some two thousand that a client could ask for

_COLUMNS = inspect(Task).columns
# The writable and the public columns are read off the models, so that a new field is no change here.
WRITABLE = tuple(name for name in TaskCreate.model_fields if name != "user_id")
PUBLIC = tuple(name for name in TaskPublic.model_fields if name != "url")
_PUBLIC = tuple(_COLUMNS[name] for name in PUBLIC)
_OWNED = _COLUMNS.user_id == bindparam("owner")
_ONE_TASK = and_(_OWNED, _COLUMNS.id == bindparam("task_id"))

# Not now(), the time at which the statement began: after waiting for another's change it would set the time back.
_CLOCK = func.clock_timestamp()


def _value(name: str) -> ColumnElement[Any]:
    return bindparam(f"new_{name}", type_=_COLUMNS[name].type)


def _assign(values: Mapping[str, ColumnElement[Any]]) -> dict[str, ColumnElement[Any]]:
    """Add to `values` what follows from them: if they change nothing, times and version stay."""
    is_changed = or_(*(_COLUMNS[name].is_distinct_from(value) for name, value in values.items()))
    is_toggled = _COLUMNS.completed.is_distinct_from(values["completed"])
    toggled_at = case((_COLUMNS.completed, null()), else_=_CLOCK)
    return {
        **values,
        "completed_at": case((is_toggled, toggled_at), else_=_COLUMNS.completed_at),
        "updated_at": case((is_changed, _CLOCK), else_=_COLUMNS.updated_at),
        "version": _COLUMNS.version + cast(is_changed, Integer),
    }


def _change(values: Mapping[str, ColumnElement[Any]]) -> ReturningUpdate[Any]:
    return update(Task).where(_ONE_TASK).values(**_assign(values)).returning(*_PUBLIC)


_NEW_TASK: Mapping[str, ColumnElement[Any]] = {
    "user_id": bindparam("owner"),
    "id": bindparam("task_id"),
    "completed_at": case((_value("completed"), func.now())),
    **{name: _value(name) for name in WRITABLE},
}
ADD = Statement(insert(Task).values(_NEW_TASK).returning(*_PUBLIC))


def _add_once() -> Executable:
    """Add a task, or return the one that has this key if its fingerprint is the same.

    The update changes nothing, but makes PostgreSQL wait for a concurrent insert and return its row.
    """
    new = {**_NEW_TASK, "idempotency_key": _value("idempotency_key"), "fingerprint": _value("fingerprint")}
    statement = postgresql.insert(Task).values(new)
    return statement.on_conflict_do_update(
        index_elements=[_COLUMNS.user_id, _COLUMNS.idempotency_key],
        index_where=_COLUMNS.idempotency_key.is_not(None),
        set_={"idempotency_key": statement.excluded.idempotency_key},
        where=_COLUMNS.fingerprint == statement.excluded.fingerprint,
    ).returning(*_PUBLIC)


ADD_ONCE = Statement(_add_once())
GET = Statement(select(*_PUBLIC).where(_ONE_TASK))


def _guard(change: ReturningUpdate[Any] | ReturningDelete[Any]) -> Executable:
    """Make a change of one task only in certain versions; in another, the result is a row of nulls.

    The lock makes PostgreSQL read the task's latest version, not the one of the statement's snapshot: a task that was
    deleted meanwhile is not found, and one that was changed meanwhile has its new version.
    """
    current = select(_COLUMNS.id, _COLUMNS.version).where(_ONE_TASK).with_for_update().cte("current")
    versions = bindparam("versions", type_=ARRAY(BigInteger))
    changed = change.where(_COLUMNS.id == current.c.id, current.c.version == any_(versions)).cte("changed")
    return select(changed).select_from(current.outerjoin(changed, true()))


class Change(NamedTuple):
    """A change of one task: unconditional, and only if the task is in one of some versions."""

    always: Statement
    guarded: Statement


def _compile_change(change: ReturningUpdate[Any] | ReturningDelete[Any]) -> Change:
    return Change(Statement(change), Statement(_guard(change)))


EDIT = _compile_change(
    _change({name: case((bindparam(f"set_{name}"), _value(name)), else_=_COLUMNS[name]) for name in WRITABLE})
)
SET_COMPLETED = _compile_change(_change({"completed": _value("completed")}))
TOGGLE = _compile_change(_change({"completed": not_(_COLUMNS.completed)}))
REMOVE = _compile_change(delete(Task).where(_ONE_TASK).returning(_COLUMNS.id))


def _contains(column: ColumnElement[Any]) -> ColumnElement[bool]:
    # Not LIKE, in which `%`, `_` and `\` would have to be escaped.
    return func.strpos(func.lower(column), func.lower(bindparam("q", type_=Text))) > 0


FILTERS: Mapping[str, ColumnElement[bool]] = {
    "status": _COLUMNS.completed == (bindparam("status", type_=Text) == "completed"),  # not `all`, which is no filter
    "q": or_(_contains(_COLUMNS.title), _contains(_COLUMNS.description)),
    "tag": _COLUMNS.tags.contains(bindparam("tag")),
    "priority": _COLUMNS.priority == any_(bindparam("priority", type_=ARRAY(_COLUMNS.priority.type))),
    "due_before": _COLUMNS.due_at < bindparam("due_before"),
    "due_after": _COLUMNS.due_at >= bindparam("due_after"),
}


def _match(filters: frozenset[str]) -> list[ColumnElement[bool]]:
    return [_OWNED, *(FILTERS[name] for name in sorted(filters))]


def _count_changed(change: Update | Delete, condition: ColumnElement[bool]) -> Statement:
    """Change all tasks that meet a condition, and count them.

    They are locked first, in the order of their ids: in any other order, two such statements may deadlock. The change
    finds them again by the same condition, in the same snapshot, without a join: the plan of a join depends on how many
    tasks the statistics expect of this user, and is quadratic where they expect none.
    """
    locked = select(_COLUMNS.id).where(condition).order_by(_COLUMNS.id).with_for_update().cte("locked")
    is_any_locked = select(func.count()).select_from(locked).scalar_subquery() > 0
    changed = change.where(condition, is_any_locked).returning(_COLUMNS.id).cte("changed")
    return Statement(select(func.count()).select_from(changed))


@cache  # of 64 at most: one for each set of filters
def compile_complete_all(filters: frozenset[str]) -> Statement:
    """Complete or reopen all tasks that match the filters, and count those that were not so before."""
    completed = _value("completed")
    change = update(Task).values(**_assign({"completed": completed}))
    return _count_changed(change, and_(*_match(filters), _COLUMNS.completed != completed))


@cache  # of 64 at most: one for each set of filters
def compile_remove_all(filters: frozenset[str]) -> Statement:
    """Delete all tasks that match the filters, and count them."""
    return _count_changed(delete(Task), and_(*_match(filters)))


Start = Literal["first", "value", "null"]  # of a page: at the first task, after a value or after a null


def _sort_key(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the key that a column is sorted by: for titles, ignoring case and the server's locale."""
    return collate(func.lower(value), "C") if name == "title" else value


class ListShape(NamedTuple):
    """What distinguishes the statements of two lists; lists of one shape differ only in parameters."""

    sort: Sort
    filters: frozenset[str]
    start: Start
    is_cut: bool  # whether the texts of so many tasks may exceed PAGE_BYTES


_Ordering = Callable[[ColumnElement[Any], ColumnElement[Any]], list[ColumnElement[Any]]]  # by a key, then by the id


@lru_cache(LIST_STATEMENTS)
def compile_list(shape: ListShape) -> Statement:
    """Select a page that begins after a position; after an offset, it would shift with every insert and delete."""
    direction, is_past = (desc, lt) if shape.sort.startswith("-") else (asc, gt)
    name = shape.sort.removeprefix("-")
    column, id_ = _COLUMNS[name], _COLUMNS.id
    after_value, after_id = bindparam("after_value", type_=column.type), bindparam("after_id", type_=id_.type)
    key, after_key = _sort_key(name, column), _sort_key(name, after_value)
    conditions = _match(shape.filters)
    if shape.start == "value":
        # No comparison with null is true, so tasks without a value need a condition of their own. Over an index this
        # would have to be a UNION ALL: see docs/decisions.md, 10.
        is_after = is_past(tuple_(key, id_), tuple_(after_key, after_id))
        conditions.append(or_(is_after, key.is_(None)) if column.nullable else is_after)
    elif shape.start == "null":
        conditions.append(and_(key.is_(None), is_past(id_, after_id)))

    # NULLS LAST only where there can be any: the index of the default list does not have that order.
    def order(key: ColumnElement[Any], id_: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [direction(key).nulls_last() if column.nullable else direction(key), direction(id_)]

    page = select(*_PUBLIC).where(*conditions).order_by(*order(key, id_)).limit(bindparam("limit", type_=Integer))
    return Statement(_cut(page.add_columns(key.label("sort_key")), order) if shape.is_cut else page)


def _cut(page: Select[Any], order: _Ordering) -> Executable:
    """Leave out what follows the first task with which the texts of a page reach PAGE_BYTES.

    The lengths are summed over the rows within the limit, without reading a description.
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
        .where(measured.total - measured.length < bindparam("page_bytes"))
        .order_by(*order(measured.sort_key, measured.id))
    )
