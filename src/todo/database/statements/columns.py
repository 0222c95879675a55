"""What the statements are made of: columns and parameters, and what follows from new values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    inspect,
    literal_column,
    null,
    or_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ColumnElement

from todo.models.tables import Task
from todo.models.tasks import TaskCreate, TaskPublic

COLUMNS = inspect(Task).columns
# The writable and the public columns are read off the models, so that a new field is no change here.
WRITABLE = tuple(name for name in TaskCreate.model_fields if name != "user_id")
PUBLIC = tuple(name for name in TaskPublic.model_fields if name != "url")
PUBLIC_COLUMNS = tuple(COLUMNS[name] for name in PUBLIC)

# Constants are written into the statements, not bound.
ONE = literal_column("1", Integer)
OWNER = bindparam("owner", type_=Text)
TASK_ID = bindparam("task_id", type_=Uuid)
OWNED = COLUMNS.user_id == OWNER
ONE_TASK = and_(OWNED, COLUMNS.id == TASK_ID)
TASK_IDS = bindparam("ids", type_=ARRAY(Uuid))
SOME_TASKS = and_(OWNED, COLUMNS.id == any_(TASK_IDS))


def new_value(name: str) -> ColumnElement[Any]:
    """Return the parameter with the new value of a column."""
    type_ = COLUMNS[name].type
    value = bindparam(f"new_{name}", type_=type_)
    # The other types are written into the statement as it is; PostgreSQL takes what it has no type of for text.
    return cast(value, type_) if isinstance(type_, (Boolean, LargeBinary)) else value


def assign(values: Mapping[str, ColumnElement[Any]], now: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """Add to `values` what follows from them at the time `now`: if they change nothing, times and version stay."""
    is_changed = or_(*(COLUMNS[name].is_distinct_from(value) for name, value in values.items()))
    is_toggled = COLUMNS.completed.is_distinct_from(values["completed"])
    toggled_at = case((COLUMNS.completed, null()), else_=now)
    return {
        **values,
        "completed_at": case((is_toggled, toggled_at), else_=COLUMNS.completed_at),
        "updated_at": case((is_changed, now), else_=COLUMNS.updated_at),
        "version": COLUMNS.version + cast(is_changed, Integer),
    }


def create(
    values: Mapping[str, ColumnElement[Any]], task_id: ColumnElement[Any], now: ColumnElement[Any]
) -> dict[str, ColumnElement[Any]]:
    """Return all columns of a new task, the owner's first."""
    return {
        "user_id": OWNER,
        "id": task_id,
        **values,
        "completed_at": case((values["completed"], now)),
        "created_at": now,
        "updated_at": now,
    }


def contains(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a text has the parameter `q` in it, in any case."""
    # Not LIKE, in which `%`, `_` and `\` would have to be escaped.
    return func.strpos(func.lower(column), func.lower(bindparam("q", type_=Text))) > 0


FILTERS: Mapping[str, ColumnElement[bool]] = {
    "status": COLUMNS.completed == (bindparam("status", type_=Text) == "completed"),  # not `all`, which is no filter
    "q": or_(contains(COLUMNS.title), contains(COLUMNS.description)),
    "tag": COLUMNS.tags.contains(bindparam("tag")),
    "priority": COLUMNS.priority == any_(bindparam("priority", type_=ARRAY(COLUMNS.priority.type))),
    "due_before": COLUMNS.due_at < bindparam("due_before"),
    "due_after": COLUMNS.due_at >= bindparam("due_after"),
}


def match(filters: frozenset[str]) -> list[ColumnElement[bool]]:
    """Return the conditions of the owner's tasks that match these filters."""
    return [OWNED, *(FILTERS[name] for name in sorted(filters))]
