"""What the store's methods are called with where a test calls all of them: examples by the type that is asked for."""

import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from todo.database.store import TaskStore
from todo.models.batches import Batch
from todo.models.feeds import ChangesQuery, FeedPosition
from todo.models.fields import IdempotencyKey, Versions
from todo.models.queries import Position, SortKey, TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskUpdate

METHODS = [name for name, _ in inspect.getmembers(TaskStore, inspect.iscoroutinefunction) if not name.startswith("_")]

SORT_VALUES: dict[SortKey, list[object]] = {
    "created_at": [datetime.now(UTC)],
    "updated_at": [datetime.now(UTC)],
    "title": ["A title"],
    "due_at": [datetime.now(UTC), None],
    "priority": ["medium", None],
    "order": [0, None],
}
FILTERS: list[dict[str, object]] = [
    {},
    {"status": "pending"},
    {"q": "a"},
    {"tag": ["shop", "home"]},
    {"priority": ["low", "high"]},
    {"due_before": "2030-01-01T00:00:00Z", "due_after": "2020-01-01T00:00:00Z"},
    {"limit": 20},
]
EVERY_FILTER = {name: value for filters in FILTERS for name, value in filters.items() if name != "limit"}
SELECTIONS: list[dict[str, object]] = [*FILTERS, EVERY_FILTER, {"status": "completed"}]
# Every kind of first page and of later page that there is, each with every filter.
LISTS = [
    (TaskQuery.model_validate({**filters, "sort": direction + key}), position)
    for filters in FILTERS
    for key, values in SORT_VALUES.items()
    for direction in ("", "-")
    for position in (None, *(Position(value, UUID(int=0)) for value in values))
]

# Of another generation, so that the page is read and then refused; and one that never wrote.
POSITIONS = [
    FeedPosition("another", datetime.now(UTC), datetime.now(UTC), datetime.now(UTC), UUID(int=0)),
    FeedPosition("another", datetime.now(UTC), None, None, UUID(int=0)),
]


def make_batches(task_id: UUID) -> list[Batch]:
    """Batches that do each thing to a task, beside a creation."""
    create: dict[str, object] = {"op": "create", "id": uuid4(), "task": {"title": "A client's", "tags": ["a"]}}
    return [
        Batch.model_validate({"operations": [create, {"id": task_id, **operation}]})
        for operation in (
            {"op": "update", "task": {"title": "Taken"}},
            {"op": "update", "task": {"title": "Taken"}, "if_version": [1]},
            {"op": "create", "task": {"title": "Taken"}},
            {"op": "delete"},
        )
    ]


# A type of a new method's is one line here. The examples of one position belong together: a call takes from each type
# the one of its own number, and the last where there are fewer.
EXAMPLES: dict[Any, Sequence[object]] = {
    TaskQuery: [query for query, _ in LISTS],
    Position | None: [position for _, position in LISTS],
    TaskCreate: [TaskCreate(title="A stranger's")],
    TaskUpdate: [TaskUpdate(title="Taken", completed=True)],
    bool: [True],
    IdempotencyKey | None: [None, IdempotencyKey("key")],
    Versions | None: [None, frozenset(), frozenset({1, 2})],
    ChangesQuery: [ChangesQuery(), ChangesQuery(limit=2), ChangesQuery(limit=2)],
    FeedPosition | None: [None, None, *POSITIONS],
    TaskSelection: [TaskSelection.model_validate({"status": "all", **filters}) for filters in SELECTIONS],
}

Call = Callable[[TaskStore], Coroutine[Any, Any, object]]


def takes_id(method: str) -> bool:
    """Whether a method names a task."""
    return UUID in [each.annotation for each in _read_parameters(method)]


def make_calls(method: str, task_id: UUID) -> Iterator[Call]:
    """Every way in which a method is called, its arguments made from its signature."""
    found = {**EXAMPLES, UUID: [task_id], Batch: make_batches(task_id)}
    for each in _read_parameters(method):
        assert each.annotation in found, f"{method} takes a type without an example: {each.annotation}"
    examples = {each.name: found[each.annotation] for each in _read_parameters(method)}
    for number in range(max(map(len, examples.values()), default=1)):
        given = {name: values[min(number, len(values) - 1)] for name, values in examples.items()}
        yield lambda store, given=given: getattr(store, method)(**given)  # type: ignore[misc]  # bound now, not later


def _read_parameters(method: str) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(TaskStore, method)).parameters.values())[1:]
