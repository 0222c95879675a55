"""Runs every operation with httpx and the models that datamodel-code-generator makes, and prints what came of it."""

import json
import sys
from collections.abc import Mapping
from uuid import uuid4

import httpx
from generated import (
    Batch,
    BatchCreate,
    BatchDelete,
    BatchOperation,
    BatchResults,
    BatchUpdate,
    ChangesPage,
    Deleted,
    Health,
    IfVersionItem,
    Problem,
    TaskCompletion,
    TaskCreate,
    TaskPublic,
    TasksCompletion,
    TaskUpdate,
    Updated,
)
from pydantic import BaseModel, RootModel, ValidationError

UNKNOWN = "00000000-0000-7000-8000-000000000000"
JSON = {"Content-Type": "application/json"}
STALE, MALFORMED = {"If-Match": '"99"'}, {"If-Match": "unquoted"}

command, base_url, user_id = sys.argv[1:]
api = httpx.Client(base_url=base_url)
tasks_url, foreign_url = f"/api/{user_id}/tasks", "/api/not a user/tasks"
outcomes: list[tuple[str, int]] = []
TaskList = RootModel[list[TaskPublic]]


def call(
    operation: str,
    method: str,
    url: str,
    model: type[BaseModel] | None,
    body: BaseModel | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Send a request, keep the status, and read the body, which is returned, as what the document says."""
    content = body.model_dump_json(exclude_unset=True) if body else None
    response = api.request(method, url, content=content, headers={**(JSON if body else {}), **(headers or {})})
    outcomes.append((operation, response.status_code))
    if response.status_code >= 400:
        problem = Problem.model_validate_json(response.content)
        assert problem.type.startswith("urn:todo:problem:")
        assert problem.status == response.status_code
        for fault in problem.errors or []:
            assert fault.pointer or fault.parameter or fault.header
            assert fault.detail
    elif model and response.content:
        model.model_validate_json(response.content)
    return response.content


def create() -> TaskPublic:
    """Create a task."""
    response = api.post(
        tasks_url, content=TaskCreate(title="Buy milk").model_dump_json(exclude_unset=True), headers=JSON
    )
    return TaskPublic.model_validate_json(response.content)


def is_refused(title: str) -> bool:
    """Whether the model refuses what the service would refuse."""
    try:
        TaskCreate(title=title)
    except ValidationError:
        return True
    return False


def call_lists() -> None:
    """The operations on all of a user's tasks."""
    task, done = TaskCreate(title="Buy milk"), TasksCompletion(completed=True)
    call("create_task", "POST", tasks_url, TaskPublic, task, {"Idempotency-Key": "one-creation"})
    call("create_task", "POST", tasks_url, TaskPublic, task, {"Idempotency-Key": "a key with spaces"})
    call("create_task", "POST", tasks_url, TaskPublic, TaskCreate.model_construct({"title"}, title="x" * 70_000))
    call("create_task", "POST", tasks_url, TaskPublic, TaskCreate.model_construct({"title"}, title=" "))
    assert is_refused(" ")
    assert is_refused("\ufeff\n")
    assert is_refused("x" * 256)
    call("list_tasks", "GET", f"{tasks_url}?priority=low&priority=high&sort=-due_at", TaskList)
    call("list_tasks", "GET", f"{tasks_url}?cursor=damaged", TaskList)
    call("list_tasks", "GET", f"{tasks_url}?limit=0", TaskList)
    call("complete_tasks", "PATCH", f"{tasks_url}?status=pending", Updated, done)
    call("complete_tasks", "PATCH", f"{foreign_url}?status=pending", Updated, done)
    call("delete_tasks", "DELETE", f"{tasks_url}?status=completed", Deleted)
    call("delete_tasks", "DELETE", f"{foreign_url}?status=all", Deleted)


def call_task() -> None:
    """The operations on one task."""
    known, unknown, foreign = f"{tasks_url}/{create().id}", f"{tasks_url}/{UNKNOWN}", f"{foreign_url}/{UNKNOWN}"
    changes, done = TaskUpdate(title="Buy oat milk"), TaskCompletion(completed=True)
    long = TaskUpdate.model_construct({"title"}, title="x" * 70_000)

    call("get_task", "GET", known, TaskPublic)
    call("get_task", "GET", known, None, headers={"If-None-Match": '"1"'})
    call("get_task", "GET", known, None, headers={"If-None-Match": "unquoted"})
    call("get_task", "GET", unknown, TaskPublic)
    call("get_task", "GET", foreign, TaskPublic)
    for operation, method in [("update_task", "PATCH"), ("put_task", "PUT")]:
        call(operation, method, known, TaskPublic, changes)
        call(operation, method, known, TaskPublic, changes, MALFORMED)
        call(operation, method, unknown, TaskPublic, changes)
        call(operation, method, known, TaskPublic, changes, STALE)
        call(operation, method, known, TaskPublic, long)
        call(operation, method, foreign, TaskPublic, changes)
    call("complete_task", "PATCH", f"{known}/complete", TaskPublic)
    call("complete_task", "PATCH", f"{known}/complete", TaskPublic, done)
    call("complete_task", "PATCH", f"{known}/complete", TaskPublic, done, MALFORMED)
    call("complete_task", "PATCH", f"{unknown}/complete", TaskPublic, done)
    call("complete_task", "PATCH", f"{known}/complete", TaskPublic, done, STALE)
    call("complete_task", "PATCH", f"{foreign}/complete", TaskPublic, done)
    call("delete_task", "DELETE", known, None, headers=MALFORMED)
    call("delete_task", "DELETE", known, None, headers=STALE)
    call("delete_task", "DELETE", foreign, None)
    call("delete_task", "DELETE", known, None)
    call("delete_task", "DELETE", known, None)


def call_sync() -> None:
    """The operations for a client that keeps a copy, and the creation under its own id."""
    changes_url, batch_url = f"{tasks_url}/changes", f"{tasks_url}/batch"
    task_id, task = uuid4(), TaskCreate(title="Buy milk")
    creation = BatchOperation(BatchCreate(op="create", id=task_id, task=task))
    applied = call("apply_batch", "POST", batch_url, BatchResults, Batch(operations=[creation]))
    [state] = BatchResults.model_validate_json(applied).results
    assert state.task
    assert state.task.title == task.title
    stale = BatchUpdate(op="update", id=task_id, task=TaskUpdate(completed=True), if_version=[IfVersionItem(99)])
    refused = call("apply_batch", "POST", batch_url, None, Batch(operations=[BatchOperation(stale)]))
    assert [fault.code for fault in Problem.model_validate_json(refused).errors or []] == ["precondition-failed"]
    too_long = TaskCreate.model_construct({"title"}, title="x" * 70_000)
    long = BatchOperation(BatchCreate.model_construct(op="create", id=uuid4(), task=too_long))
    call("apply_batch", "POST", batch_url, None, Batch(operations=[long]))
    call("apply_batch", "POST", batch_url, None, Batch.model_construct({"operations"}, operations=[]))

    listed = ChangesPage.model_validate_json(call("list_changes", "GET", f"{changes_url}?limit=1000", ChangesPage))
    assert listed.changes[-1].task
    assert listed.changes[-1].id == task_id
    deletion = BatchOperation(BatchDelete(op="delete", id=task_id, if_version=[IfVersionItem(1)]))
    call("apply_batch", "POST", batch_url, BatchResults, Batch(operations=[deletion]))
    later = ChangesPage.model_validate_json(
        call("list_changes", "GET", f"{changes_url}?since={listed.next}", ChangesPage)
    )
    assert [(state.id, state.task) for state in later.changes] == [(task_id, None)]
    call("list_changes", "GET", f"{changes_url}?since=damaged", None)
    call("list_changes", "GET", f"{changes_url}?limit=0", None)

    changes, new_id = TaskUpdate(title="Buy milk"), uuid4()
    for created_id in (new_id, new_id, task_id):
        call("put_task", "PUT", f"{tasks_url}/{created_id}", TaskPublic, changes, {"If-None-Match": "*"})


def call_health() -> None:
    """The operations of probes."""
    call("check_liveness", "GET", "/health/live", Health)
    call("check_readiness", "GET", "/health/ready", Health)


def put_back() -> None:
    """Read every task, and send it back as it was."""
    for task in TaskList.model_validate_json(api.get(tasks_url).content).root:
        unchanged = TaskUpdate.model_validate_json(task.model_dump_json())
        answer = api.put(f"{tasks_url}/{task.id}", content=unchanged.model_dump_json(exclude_unset=True), headers=JSON)
        assert TaskPublic.model_validate_json(answer.content) == task


if command == "put_back":
    put_back()
else:
    call_lists()
    call_task()
    call_sync()
    call_health()
print(json.dumps(outcomes))
