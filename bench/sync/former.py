"""The writes as they were before there was a feed: the same statements without the tick, to compare with."""

from collections.abc import Mapping

from sqlalchemy import (
    BigInteger,
    Integer,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ColumnElement, Executable
from sqlalchemy.sql.dml import ReturningUpdate

from todo.database.compiled import Statement
from todo.database.engine import Database, Rows
from todo.database.statements import tasks as statements
from todo.database.statements.columns import (
    COLUMNS,
    ONE_TASK,
    OWNER,
    PUBLIC_COLUMNS,
    TASK_ID,
    WRITABLE,
    assign,
    match,
    new_value,
)
from todo.models.tables import Task

_CLOCK = func.clock_timestamp()
_NONE = frozenset[str]()
_NEW_TASK = {
    "user_id": OWNER,
    "id": TASK_ID,
    "completed_at": case((new_value("completed"), func.now())),
    **{name: new_value(name) for name in WRITABLE},
}


def _add_once() -> Executable:
    keyed = {name: new_value(name) for name in ("idempotency_key", "fingerprint")}
    statement = postgresql.insert(Task).values({**_NEW_TASK, **keyed})
    return statement.on_conflict_do_update(
        index_elements=[COLUMNS.user_id, COLUMNS.idempotency_key],
        index_where=COLUMNS.idempotency_key.is_not(None),
        set_={"idempotency_key": statement.excluded.idempotency_key},
        where=COLUMNS.fingerprint == statement.excluded.fingerprint,
    ).returning(*PUBLIC_COLUMNS)


def _change(values: Mapping[str, ColumnElement[object]]) -> ReturningUpdate[object]:
    return update(Task).where(ONE_TASK).values(**assign(values, _CLOCK)).returning(*PUBLIC_COLUMNS)


def _guard(change: ReturningUpdate[object]) -> Executable:
    current = select(COLUMNS.id, COLUMNS.version).where(ONE_TASK).with_for_update().cte("current")
    versions = bindparam("versions", type_=ARRAY(BigInteger))
    changed = change.where(COLUMNS.id == current.c.id, current.c.version == any_(versions)).cte("changed")
    return select(changed).select_from(current.outerjoin(changed, true()))


def _complete_all() -> Executable:
    completed = new_value("completed")
    condition = and_(*match(_NONE), COLUMNS.completed != completed)
    locked = select(COLUMNS.id).where(condition).order_by(COLUMNS.id).with_for_update().cte("locked")
    is_any_locked = select(func.count()).select_from(locked).scalar_subquery() > literal_column("0", Integer)
    change = update(Task).values(**assign({"completed": completed}, _CLOCK))
    changed = change.where(condition, is_any_locked).returning(COLUMNS.id).cte("changed")
    return select(func.count()).select_from(changed)


_EDIT = _change({name: case((bindparam(f"set_{name}"), new_value(name)), else_=COLUMNS[name]) for name in WRITABLE})
FORMER: Mapping[Statement, Statement] = {
    statements.ADD: Statement(insert(Task).values(_NEW_TASK).returning(*PUBLIC_COLUMNS)),
    statements.ADD_ONCE: Statement(_add_once()),
    statements.EDIT.always: Statement(_EDIT),
    statements.EDIT.guarded: Statement(_guard(_EDIT)),
    statements.TOGGLE.always: Statement(_change({"completed": not_(COLUMNS.completed)})),
    statements.REMOVE.always: Statement(delete(Task).where(ONE_TASK).returning(COLUMNS.id)),
    statements.compile_complete_all(_NONE): Statement(_complete_all()),
}


class FormerDatabase(Database):
    """A database that is written to without the tick."""

    async def write(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run the former statement in place of one."""
        return await super().write(FORMER[statement], parameters)
