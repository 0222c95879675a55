"""The statement that carries out a batch: all of its operations, or none."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnClause,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from todo.database.compiled import DIALECT, Statement
from todo.database.statements.columns import (
    COLUMNS,
    ONE,
    PUBLIC_COLUMNS,
    SOME_TASKS,
    TASK_IDS,
    WRITABLE,
    assign,
    create,
)
from todo.database.statements.feed import bury, find_deleted, make_tick, read_tick
from todo.models.batches import BatchCreate, BatchDelete, BatchOperation
from todo.models.tables import Task
from todo.models.tasks import make_fingerprint

_CREATE, _UPDATE, _DELETE = (literal_column(op, Text) for op in ("'create'", "'update'", "'delete'"))
_HEX = literal_column("'hex'", Text)
# The codes of what may be wrong with an operation; `store` knows what they mean.
_ID_TAKEN, _TASK_DELETED = literal_column("'id-taken'", Text), literal_column("'task-deleted'", Text)
_TASK_NOT_FOUND = literal_column("'task-not-found'", Text)
_PRECONDITION_FAILED = literal_column("'precondition-failed'", Text)

_ASKED: list[ColumnClause[Any]] = [
    column("position", Integer()),
    column("op", Text()),
    column("id", Uuid()),
    column("versions", ARRAY(BigInteger)),
    column("fingerprint", Text()),  # in hexadecimal digits: JSON has no bytes
    *(column(f"set_{name}", Boolean()) for name in WRITABLE),
    *(column(f"new_{name}", COLUMNS[name].type) for name in WRITABLE),
]


def _find_preparation(type_: TypeEngine[Any]) -> Callable[[Any], object]:
    """Return what turns a value of a column's type into what JSON can have."""
    prepare = type_.dialect_impl(DIALECT).bind_processor(DIALECT)
    return prepare or (lambda value: value)


_PREPARE = {name: _find_preparation(COLUMNS[name].type) for name in WRITABLE}


def bind_operations(operations: Sequence[BatchOperation]) -> dict[str, object]:
    """Return the parameters of BATCH, but for the owner."""
    rows = [{"position": index, **_describe(operation)} for index, operation in enumerate(operations)]
    return {"operations": orjson.dumps(rows).decode(), "ids": [operation.id for operation in operations]}


def _describe(operation: BatchOperation) -> dict[str, object]:
    row: dict[str, object] = {"op": operation.op, "id": operation.id}
    if not isinstance(operation, BatchCreate):
        row["versions"] = operation.if_version
    else:
        row["fingerprint"] = make_fingerprint(operation.task).hex()
    if not isinstance(operation, BatchDelete):
        given = operation.task.model_fields_set
        row |= {f"set_{name}": name in given for name in WRITABLE}
        row |= {f"new_{name}": prepare(getattr(operation.task, name)) for name, prepare in _PREPARE.items()}
    return row


def _read_operations() -> CTE:
    operations = cast(bindparam("operations", type_=Text), JSONB)
    asked = func.jsonb_to_recordset(operations).table_valued(*_ASKED, name="operation")
    return select(*asked.render_derived(with_types=True).c).cte("asked")


def _judge(asked: CTE, current: CTE, deleted: CTE) -> Select[Any]:
    """Say of each operation what is to be done, and what is wrong with it, if anything is.

    An operation that is in place already, as when a batch is sent again, is right, and nothing is done
    (RFC 9110, section 13.1.1).
    """
    op, is_found = asked.c.op, current.c.id.is_not(None)
    is_same = current.c.fingerprint.is_not_distinct_from(func.decode(asked.c.fingerprint, _HEX))
    is_in_version = or_(asked.c.versions.is_(None), current.c.version == any_(asked.c.versions))
    is_done = and_(
        *(
            or_(not_(asked.c[f"set_{name}"]), current.c[name].is_not_distinct_from(asked.c[f"new_{name}"]))
            for name in WRITABLE
        )
    )
    was_deleted = asked.c.id.in_(select(deleted.c.id))
    fault = case(
        (and_(op == _CREATE, is_found, not_(is_same)), _ID_TAKEN),
        (and_(op == _CREATE, not_(is_found), was_deleted), _TASK_DELETED),
        (and_(op == _UPDATE, not_(is_found)), _TASK_NOT_FOUND),
        (and_(op == _UPDATE, not_(is_in_version), not_(is_done)), _PRECONDITION_FAILED),
        (and_(op == _DELETE, is_found, not_(is_in_version)), _PRECONDITION_FAILED),
    )
    is_kept = and_(is_found, or_(op == _CREATE, and_(op == _UPDATE, not_(is_in_version))))
    return select(*asked.c, is_found.label("is_found"), is_kept.label("is_kept"), fault.label("fault")).select_from(
        asked.outerjoin(current, current.c.id == asked.c.id)
    )


def _compile_batch() -> Statement:
    asked = _read_operations()
    creates = exists(select(ONE).where(asked.c.op == _CREATE))
    tick = make_tick(or_(creates, exists(select(ONE).where(SOME_TASKS))))
    now = read_tick(tick)
    current = (
        select(*PUBLIC_COLUMNS, COLUMNS.fingerprint)
        .where(SOME_TASKS, now.is_not(None))
        .with_for_update()
        .cte("current")
    )
    judged = _judge(asked, current, find_deleted(tick, TASK_IDS)).cte("judged")
    row = judged.c
    is_right = select(func.count(row.fault)).scalar_subquery() == literal_column("0", Integer)

    new = create({name: row[f"new_{name}"] for name in WRITABLE}, row.id, tick.c.changed_at)
    new["fingerprint"] = func.decode(row.fingerprint, _HEX)
    rows = select(*new.values()).select_from(judged.join(tick, true()))
    rows = rows.where(row.op == _CREATE, not_(row.is_found), is_right)
    created = postgresql.insert(Task).from_select(list(new), rows, include_defaults=False)
    values = {name: case((row[f"set_{name}"], row[f"new_{name}"]), else_=COLUMNS[name]) for name in WRITABLE}
    updated = update(Task).where(SOME_TASKS, COLUMNS.id == row.id, row.op == _UPDATE, not_(row.is_kept), is_right)
    updated = updated.values(**assign(values, now))
    removed = delete(Task).where(SOME_TASKS, COLUMNS.id == row.id, row.op == _DELETE, is_right)

    changed = [each.returning(*PUBLIC_COLUMNS).cte(name) for name, each in (("created", created), ("updated", updated))]
    kept = select(*(current.c[each.name] for each in PUBLIC_COLUMNS)).where(current.c.id == row.id, row.is_kept)
    gone = removed.returning(COLUMNS.id).cte("removed")
    tasks = union_all(*(select(*each.c) for each in changed), kept).subquery("task")
    return Statement(
        select(*tasks.c, row.fault)
        .select_from(judged.outerjoin(tasks, tasks.c.id == row.id))
        .order_by(row.position)
        .add_cte(*bury(gone, tick))
    )


BATCH = _compile_batch()
