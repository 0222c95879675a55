"""The statements on one task, and those that change many."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    CTE,
    BigInteger,
    FromClause,
    Select,
    and_,
    any_,
    bindparam,
    case,
    delete,
    exists,
    func,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ColumnElement, Executable
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from todo.database.compiled import Statement
from todo.database.statements.columns import (
    COLUMNS,
    ONE,
    ONE_TASK,
    PUBLIC_COLUMNS,
    TASK_ID,
    WRITABLE,
    assign,
    create,
    match,
    new_value,
)
from todo.database.statements.feed import bury, find_deleted, make_tick, read_tick, tick_for
from todo.models.tables import Task

_TICK = make_tick(true())
_NEW_TASK = create({name: new_value(name) for name in WRITABLE}, TASK_ID, _TICK.c.changed_at)
_KEYED = {name: new_value(name) for name in ("idempotency_key", "fingerprint")}


def _insert(values: Mapping[str, ColumnElement[Any]], *conditions: ColumnElement[bool]) -> postgresql.Insert:
    rows = select(*values.values()).select_from(_TICK).where(*conditions)
    return postgresql.insert(Task).from_select(list(values), rows, include_defaults=False)


def _add_once() -> Executable:
    """Add a task, or return the one that has this key if its fingerprint is the same.

    The update changes nothing, but makes PostgreSQL return the row of an earlier insert, seen by the snapshot or not.
    """
    statement = _insert({**_NEW_TASK, **_KEYED})
    return statement.on_conflict_do_update(
        index_elements=[COLUMNS.user_id, COLUMNS.idempotency_key],
        index_where=COLUMNS.idempotency_key.is_not(None),
        set_={"idempotency_key": statement.excluded.idempotency_key},
        where=COLUMNS.fingerprint == statement.excluded.fingerprint,
    ).returning(*PUBLIC_COLUMNS)


def _add_under_id() -> Executable:
    """Add a task under an id of the client's; where there is or was one, tell whether it was deleted, beside nulls."""
    deleted = find_deleted(_TICK, postgresql.array([TASK_ID]))
    is_deleted = exists(select(ONE).select_from(deleted))
    added = (
        _insert({**_NEW_TASK, "fingerprint": _KEYED["fingerprint"]}, not_(is_deleted))
        .on_conflict_do_nothing(index_elements=[COLUMNS.user_id, COLUMNS.id])
        .returning(*PUBLIC_COLUMNS)
        .cte("added")
    )
    return select(*added.c, is_deleted.label("is_deleted")).select_from(_TICK.outerjoin(added, true()))


ADD = Statement(_insert(_NEW_TASK).returning(*PUBLIC_COLUMNS))
ADD_ONCE = Statement(_add_once())
ADD_UNDER_ID = Statement(_add_under_id())
GET = Statement(select(*PUBLIC_COLUMNS).where(ONE_TASK))


class Change(NamedTuple):
    """A change of one task: unconditional, and only if the task is in one of some versions."""

    always: Statement
    guarded: Statement


_ONE_TICK = tick_for(ONE_TASK)
_NOW = read_tick(_ONE_TICK)
_IS_TICKED = _NOW.is_not(None)


_Changing: TypeAlias = ReturningUpdate[Any] | ReturningDelete[Any]


def _guard(change: _Changing) -> tuple[CTE, FromClause]:
    """Make a change of one task only in certain versions; return the change, and the task beside it if it is there.

    The lock makes PostgreSQL read the task's latest version, not the one of the statement's snapshot: a task that was
    deleted meanwhile is not found, and one that was changed meanwhile has its new version.
    """
    current = select(COLUMNS.id, COLUMNS.version).where(ONE_TASK, _IS_TICKED).with_for_update().cte("current")
    versions = bindparam("versions", type_=ARRAY(BigInteger))
    changed = change.where(COLUMNS.id == current.c.id, current.c.version == any_(versions)).cte("changed")
    return changed, current.outerjoin(changed, true())


def _compile_change(values: Mapping[str, ColumnElement[Any]]) -> Change:
    change = update(Task).where(ONE_TASK, _IS_TICKED).values(**assign(values, _NOW)).returning(*PUBLIC_COLUMNS)
    guarded, beside = _guard(change)
    return Change(Statement(change), Statement(select(guarded).select_from(beside)))


def _compile_removal() -> Change:
    removal = delete(Task).where(ONE_TASK, _IS_TICKED).returning(COLUMNS.id)
    removed = removal.cte("removed")
    guarded, beside = _guard(removal)
    return Change(
        Statement(select(removed).add_cte(*bury(removed, _ONE_TICK))),
        Statement(select(guarded).select_from(beside).add_cte(*bury(guarded, _ONE_TICK))),
    )


EDIT = _compile_change(
    {name: case((bindparam(f"set_{name}"), new_value(name)), else_=COLUMNS[name]) for name in WRITABLE}
)
SET_COMPLETED = _compile_change({"completed": new_value("completed")})
TOGGLE = _compile_change({"completed": not_(COLUMNS.completed)})
REMOVE = _compile_removal()


@cache  # of 64 at most: one for each set of filters
def compile_complete_all(filters: frozenset[str]) -> Statement:
    """Complete or reopen all tasks that match the filters, and count those that were not so before.

    They are changed without a join: the plan of a join depends on how many tasks the statistics expect of this user,
    and is quadratic where they expect none.
    """
    completed = new_value("completed")
    condition = and_(*match(filters), COLUMNS.completed != completed)
    now = read_tick(tick_for(condition))
    change = update(Task).where(condition, now.is_not(None)).values(**assign({"completed": completed}, now))
    return Statement(_count(change.returning(COLUMNS.id).cte("changed")))


@cache  # of 64 at most: one for each set of filters
def compile_remove_all(filters: frozenset[str]) -> Statement:
    """Delete all tasks that match the filters, and count them."""
    condition = and_(*match(filters))
    tick = tick_for(condition)
    removed = delete(Task).where(condition, read_tick(tick).is_not(None)).returning(COLUMNS.id).cte("removed")
    return Statement(_count(removed).add_cte(*bury(removed, tick)))


def _count(changed: CTE) -> Select[Any]:
    return select(func.count()).select_from(changed)
