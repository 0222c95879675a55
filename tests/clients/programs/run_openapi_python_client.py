"""Runs every operation with the client that openapi-python-client makes, and prints what came of it."""

import json
import sys
from typing import TypeVar
from uuid import UUID, uuid4

from generated import Client
from generated.api.health import check_liveness, check_readiness
from generated.api.sync import apply_batch, list_changes
from generated.api.tasks import (
    complete_task,
    complete_tasks,
    create_task,
    delete_task,
    delete_tasks,
    get_task,
    list_tasks,
    put_task,
    update_task,
)
from generated.models import (
    Batch,
    BatchCreate,
    BatchDelete,
    BatchResults,
    BatchUpdate,
    ChangesPage,
    Priority,
    Problem,
    Sort,
    Status,
    TaskCompletion,
    TaskCreate,
    TaskPublic,
    TasksCompletion,
    TaskUpdate,
)
from generated.types import Response

UNKNOWN = UUID("00000000-0000-7000-8000-000000000000")
LONG = "x" * 70_000
FOREIGN = "not a user"

command, base_url, user_id = sys.argv[1:]
api = Client(base_url=base_url)
outcomes: list[tuple[str, int]] = []

Answer = TypeVar("Answer")


def note(operation: str, response: Response[Answer]) -> None:
    """Keep the status, and read the problem document of an error."""
    outcomes.append((operation, response.status_code.value))
    if response.status_code.value >= 400:
        problem = response.parsed
        assert isinstance(problem, Problem), operation
        assert problem.type_.startswith("urn:todo:problem:")
        assert problem.status == response.status_code
        for fault in problem.errors or []:
            assert fault.pointer or fault.parameter or fault.header
            assert fault.detail


def call_lists() -> None:
    """The operations on all of a user's tasks."""
    task = TaskCreate(title="Buy milk")
    note("create_task", create_task.sync_detailed(user_id, client=api, body=task))
    note("create_task", create_task.sync_detailed(user_id, client=api, body=task, idempotency_key="a key with spaces"))
    long = TaskCreate(title="Buy milk", description=LONG)
    note("create_task", create_task.sync_detailed(user_id, client=api, body=long))
    note("create_task", create_task.sync_detailed(user_id, client=api, body=TaskCreate(title=" ")))
    chosen = [Priority.LOW, Priority.HIGH]
    note("list_tasks", list_tasks.sync_detailed(user_id, client=api, priority=chosen, sort=Sort.DUE_AT_DESC))
    note("list_tasks", list_tasks.sync_detailed(user_id, client=api, cursor="damaged"))
    note("list_tasks", list_tasks.sync_detailed(user_id, client=api, limit=0))
    done = TasksCompletion(completed=True)
    note("complete_tasks", complete_tasks.sync_detailed(user_id, client=api, body=done, status=Status.PENDING))
    note("complete_tasks", complete_tasks.sync_detailed(FOREIGN, client=api, body=done, status=Status.PENDING))
    note("delete_tasks", delete_tasks.sync_detailed(user_id, client=api, status=Status.COMPLETED))
    note("delete_tasks", delete_tasks.sync_detailed(FOREIGN, client=api, status=Status.ALL))


def call_task() -> None:
    """The operations on one task."""
    task = create_task.sync(user_id, client=api, body=TaskCreate(title="Buy milk"))
    assert isinstance(task, TaskPublic)
    changes, long = TaskUpdate(title="Buy oat milk"), TaskUpdate(description=LONG)
    done = TaskCompletion(completed=True)
    stale, malformed = '"99"', "unquoted"

    note("get_task", get_task.sync_detailed(user_id, task.id, client=api))
    note("get_task", get_task.sync_detailed(user_id, task.id, client=api, if_none_match='"1"'))
    note("get_task", get_task.sync_detailed(user_id, task.id, client=api, if_none_match=malformed))
    note("get_task", get_task.sync_detailed(user_id, UNKNOWN, client=api))
    note("get_task", get_task.sync_detailed(FOREIGN, UNKNOWN, client=api))

    note("update_task", update_task.sync_detailed(user_id, task.id, client=api, body=changes))
    note("update_task", update_task.sync_detailed(user_id, task.id, client=api, body=changes, if_match=malformed))
    note("update_task", update_task.sync_detailed(user_id, UNKNOWN, client=api, body=changes))
    note("update_task", update_task.sync_detailed(user_id, task.id, client=api, body=changes, if_match=stale))
    note("update_task", update_task.sync_detailed(user_id, task.id, client=api, body=long))
    note("update_task", update_task.sync_detailed(FOREIGN, UNKNOWN, client=api, body=changes))

    note("put_task", put_task.sync_detailed(user_id, task.id, client=api, body=changes))
    note("put_task", put_task.sync_detailed(user_id, task.id, client=api, body=changes, if_match=malformed))
    note("put_task", put_task.sync_detailed(user_id, UNKNOWN, client=api, body=changes))
    note("put_task", put_task.sync_detailed(user_id, task.id, client=api, body=changes, if_match=stale))
    note("put_task", put_task.sync_detailed(user_id, task.id, client=api, body=long))
    note("put_task", put_task.sync_detailed(FOREIGN, UNKNOWN, client=api, body=changes))

    note("complete_task", complete_task.sync_detailed(user_id, task.id, client=api, body=TaskCompletion()))
    note("complete_task", complete_task.sync_detailed(user_id, task.id, client=api, body=done))
    note("complete_task", complete_task.sync_detailed(user_id, task.id, client=api, body=done, if_match=malformed))
    note("complete_task", complete_task.sync_detailed(user_id, UNKNOWN, client=api, body=done))
    note("complete_task", complete_task.sync_detailed(user_id, task.id, client=api, body=done, if_match=stale))
    note("complete_task", complete_task.sync_detailed(FOREIGN, UNKNOWN, client=api, body=done))

    note("delete_task", delete_task.sync_detailed(user_id, task.id, client=api, if_match=malformed))
    note("delete_task", delete_task.sync_detailed(user_id, task.id, client=api, if_match=stale))
    note("delete_task", delete_task.sync_detailed(FOREIGN, UNKNOWN, client=api))
    note("delete_task", delete_task.sync_detailed(user_id, task.id, client=api))
    note("delete_task", delete_task.sync_detailed(user_id, task.id, client=api))


def call_sync() -> None:
    """The operations for a client that keeps a copy, and the creation under its own id."""
    task_id, task = uuid4(), TaskCreate(title="Buy milk")
    creation = BatchCreate(op="create", id=task_id, task=task)
    applied = apply_batch.sync_detailed(user_id, client=api, body=Batch([creation]))
    note("apply_batch", applied)
    assert isinstance(applied.parsed, BatchResults)
    assert applied.parsed.results[0].task
    assert applied.parsed.results[0].task.title == task.title
    stale = BatchUpdate(op="update", id=task_id, task=TaskUpdate(completed=True), if_version=[99])
    refused = apply_batch.sync_detailed(user_id, client=api, body=Batch([stale]))
    note("apply_batch", refused)
    assert isinstance(refused.parsed, Problem)
    assert [fault.code for fault in refused.parsed.errors or []] == ["precondition-failed"]
    long = BatchCreate(op="create", id=uuid4(), task=TaskCreate(title="Buy milk", description=LONG))
    note("apply_batch", apply_batch.sync_detailed(user_id, client=api, body=Batch([long])))
    note("apply_batch", apply_batch.sync_detailed(user_id, client=api, body=Batch([])))

    listed = list_changes.sync_detailed(user_id, client=api, limit=1000)
    note("list_changes", listed)
    assert isinstance(listed.parsed, ChangesPage)
    assert listed.parsed.changes[-1].task
    assert listed.parsed.changes[-1].id == task_id
    deletion = BatchDelete(op="delete", id=task_id, if_version=[1])
    note("apply_batch", apply_batch.sync_detailed(user_id, client=api, body=Batch([deletion])))
    later = list_changes.sync_detailed(user_id, client=api, since=listed.parsed.next_)
    note("list_changes", later)
    assert isinstance(later.parsed, ChangesPage)
    assert [(state.id, state.task) for state in later.parsed.changes] == [(task_id, None)]
    note("list_changes", list_changes.sync_detailed(user_id, client=api, since="damaged"))
    note("list_changes", list_changes.sync_detailed(user_id, client=api, limit=0))

    new_id, changes = uuid4(), TaskUpdate(title="Buy milk")
    for created_id in (new_id, new_id, task_id):
        note("put_task", put_task.sync_detailed(user_id, created_id, client=api, body=changes, if_none_match="*"))


def call_health() -> None:
    """The operations of probes."""
    note("check_liveness", check_liveness.sync_detailed(client=api))
    note("check_readiness", check_readiness.sync_detailed(client=api))


def put_back() -> None:
    """Read every task, and send it back as it was."""
    listed = list_tasks.sync(user_id, client=api)
    assert isinstance(listed, list)
    for task in listed:
        unchanged = TaskUpdate.from_dict(task.to_dict())
        assert put_task.sync(user_id, task.id, client=api, body=unchanged) == task


if command == "put_back":
    put_back()
else:
    call_lists()
    call_task()
    call_sync()
    call_health()
print(json.dumps(outcomes))
