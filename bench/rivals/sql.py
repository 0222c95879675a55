"""The statements of the rivals that write SQL: each does what this service's own does, in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "id", "user_id", "title", "description", "completed", "completed_at", "due_at", "priority", "tags", "order",
    "created_at", "updated_at", "version",
)  # fmt: skip
WRITABLE = {
    "title": "text",
    "description": "text",
    "completed": "boolean",
    "due_at": "timestamptz",
    "priority": "smallint",
    "tags": "text[]",
    "order": "integer",
}
PRIORITIES = (None, "low", "medium", "high")
DEFAULTS: Mapping[str, Any] = dict.fromkeys(WRITABLE) | {"completed": False, "tags": []}
PAGE_LENGTH = 1000

_PUBLIC = ", ".join(f'"{name}"' for name in COLUMNS)
_THIS = "user_id = %(user_id)s AND id = %(task_id)s"


def _change(values: Mapping[str, str]) -> str:
    changed = " OR ".join(f'"{name}" IS DISTINCT FROM {value}' for name, value in values.items())
    assigned = ", ".join(f'"{name}" = {value}' for name, value in values.items())
    return f"""
        UPDATE tasks SET {assigned},
            completed_at = CASE WHEN completed IS DISTINCT FROM {values["completed"]}
                THEN CASE WHEN completed THEN NULL ELSE clock_timestamp() END ELSE completed_at END,
            updated_at = CASE WHEN {changed} THEN clock_timestamp() ELSE updated_at END,
            version = version + ({changed})::integer
        WHERE {_THIS} RETURNING {_PUBLIC}
    """


READ = f"SELECT {_PUBLIC} FROM tasks WHERE {_THIS}"
LIST = f"SELECT {_PUBLIC} FROM tasks WHERE user_id = %(user_id)s ORDER BY created_at DESC, id DESC LIMIT {PAGE_LENGTH}"
CREATE = f"""
    INSERT INTO tasks (user_id, id, completed_at, {", ".join(f'"{name}"' for name in WRITABLE)})
    VALUES (%(user_id)s, %(task_id)s, CASE WHEN %(completed)s THEN now() END,
        {", ".join(f"%({name})s::{type_}" for name, type_ in WRITABLE.items())})
    RETURNING {_PUBLIC}
"""
UPDATE = _change(
    {name: f'CASE WHEN %(set_{name})s THEN %({name})s::{type_} ELSE "{name}" END' for name, type_ in WRITABLE.items()}
)
TOGGLE = _change({"completed": "NOT completed"})
DELETE = f"DELETE FROM tasks WHERE {_THIS} RETURNING id"


def make_parameters(members: Mapping[str, Any]) -> dict[str, Any]:
    """Make the parameters of the values that a client sent, and those that say which it sent."""
    values = {**DEFAULTS, **members}
    values["priority"] = values["priority"] and PRIORITIES.index(values["priority"])
    return values | {f"set_{name}": name in members for name in WRITABLE}


def make_task(row: Sequence[Any], base_url: str) -> dict[str, Any]:
    """Make the task of a row."""
    task = dict(zip(COLUMNS, row, strict=True))
    task["priority"] = PRIORITIES[task["priority"] or 0]
    task["url"] = f"{base_url}/api/{task['user_id']}/tasks/{task['id']}"
    return task
