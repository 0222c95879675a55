"""The routes of a user's tasks. Each handler reads the request, calls one method of the store, and answers."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from todo.api.cursors import make_cursor, read_cursor
from todo.api.dependencies import TaskId, Tasks
from todo.api.headers import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    make_etag,
    read_idempotency_key,
    read_if_match,
    read_if_none_match,
)
from todo.api.parameters import describe_parameters, describe_query, read_query
from todo.api.problems import document
from todo.api.routes import StrictRoute
from todo.errors import Fault, InvalidInput
from todo.models import Status, TaskCompletion, TaskCreate, TaskPublic, TaskQuery, TaskRow, TasksCompletion, TaskUpdate

router = APIRouter(
    prefix="/api/{user_id}/tasks",
    tags=["tasks"],
    route_class=StrictRoute,
    responses=document(400, 404, 422, 500, 503, 504),
)

# FastAPI's type for what a route answers with.
Responses = dict[int | str, dict[str, Any]]


def _describe_headers(**headers: str) -> dict[str, Any]:
    described = {name.replace("_", "-"): text for name, text in headers.items()}
    return {"headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in described.items()}}


CREATED: Responses = {
    201: _describe_headers(Location="Where the task is.", Idempotent_Replayed="`true` if it was there already.")
}
LISTED: Responses = {200: _describe_headers(Link='The next page, with `rel="next"`, if there is one.')}
NOT_MODIFIED: Responses = {304: {"description": "The client has it as it is."}}
# What the operations have in common that change one task: for their routes.
CONDITIONAL_CHANGE: dict[str, Any] = {
    "response_model": TaskPublic,
    "responses": document(408, 412, 413, 415),
    "openapi_extra": describe_parameters(IF_MATCH),
}
FLIP = TaskCompletion()

# Required: a client that means one task, and has lost its id, must not reach them all.
StatusChoice = Annotated[Status, Query(description="Which tasks are meant.")]


class Updated(BaseModel):
    """How many tasks have changed."""

    updated: int


class Deleted(BaseModel):
    """How many tasks are gone."""

    deleted: int


@router.post(
    "",
    status_code=201,
    response_model=TaskPublic,
    responses=CREATED | document(408, 413, 415),
    openapi_extra=describe_parameters(IDEMPOTENCY_KEY),
)
async def create_task(request: Request, tasks: Tasks, task: TaskCreate) -> Response:
    """Create a task; under an `Idempotency-Key`, once, however often it is asked for."""
    key = read_idempotency_key(request)
    _refuse_other_user(request, task.user_id)
    created, is_replayed = (await tasks.add(task), False) if key is None else await tasks.add_once(task, key)
    response = _answer(request, created, status=201)
    response.headers["Location"] = created.url
    if is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@router.get(
    "",
    response_model=list[TaskPublic],
    responses=LISTED,
    openapi_extra=describe_parameters(*describe_query(TaskQuery)),
)
async def list_tasks(request: Request, tasks: Tasks) -> Response:
    """List the user's tasks, the newest first unless asked otherwise; `Link` leads to the next page."""
    query = read_query(request, TaskQuery)
    after = None if query.cursor is None else read_cursor(tasks.owner, query, query.cursor)
    page = await tasks.page(query, after)
    list_url = _make_list_url(request, tasks.owner)
    for task in page.tasks:
        task.url = f"{list_url}/{task.id}"
    response = Response(write_json(page.tasks), media_type="application/json")
    if page.end:
        response.headers["Link"] = _link_next(request, list_url, make_cursor(tasks.owner, query, page.end))
    return response


@router.patch("", responses=document(408, 413, 415))
async def complete_tasks(tasks: Tasks, status: StatusChoice, completion: TasksCompletion) -> Updated:
    """Complete or reopen every task of a status; those that are so already do not count as updated."""
    return Updated(updated=await tasks.complete_all(status, completed=completion.completed))


@router.delete("")
async def delete_tasks(tasks: Tasks, status: StatusChoice) -> Deleted:
    """Delete every task of a status for good."""
    return Deleted(deleted=await tasks.remove_all(status))


@router.get(
    "/{task_id}",
    response_model=TaskPublic,
    responses=NOT_MODIFIED,
    openapi_extra=describe_parameters(IF_NONE_MATCH),
)
async def get_task(request: Request, tasks: Tasks, task_id: TaskId) -> Response:
    """Read one task, unless the client has it as it is."""
    known = read_if_none_match(request)
    task = await tasks.get(task_id)
    if known is None or task.version in known:
        return Response(status_code=304, headers={"ETag": make_etag(task)})
    return _answer(request, task)


@router.put("/{task_id}", operation_id="put_task", **CONDITIONAL_CHANGE)
@router.patch("/{task_id}", **CONDITIONAL_CHANGE)
async def update_task(request: Request, tasks: Tasks, task_id: TaskId, changes: TaskUpdate) -> Response:
    """Change the members given; those left out keep their value, with PUT as well."""
    versions = read_if_match(request)
    _refuse_other_user(request, changes.user_id)
    return _answer(request, await tasks.edit(task_id, changes, versions))


@router.patch("/{task_id}/complete", **CONDITIONAL_CHANGE)
async def complete_task(request: Request, tasks: Tasks, task_id: TaskId, completion: TaskCompletion = FLIP) -> Response:
    """Flip `completed`, or set it where the body says to what."""
    versions = read_if_match(request)
    _refuse_other_user(request, completion.user_id)
    if "completed" not in completion.model_fields_set:
        return _answer(request, await tasks.toggle(task_id, versions))
    return _answer(request, await tasks.set_completed(task_id, versions, completed=completion.completed))


@router.delete("/{task_id}", status_code=204, responses=document(412), openapi_extra=describe_parameters(IF_MATCH))
async def delete_task(request: Request, tasks: Tasks, task_id: TaskId) -> Response:
    """Delete a task for good."""
    await tasks.remove(task_id, read_if_match(request))
    return Response(status_code=204)


def write_json(tasks: TaskRow | list[TaskRow]) -> bytes:
    """Write tasks as TaskPublic would be written, to the byte."""
    return orjson.dumps(tasks, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def _answer(request: Request, task: TaskRow, status: int = 200) -> Response:
    task.url = f"{_make_list_url(request, task.user_id)}/{task.id}"
    return Response(
        write_json(task),
        status_code=status,
        headers={"ETag": make_etag(task)},
        media_type="application/json",
    )


def _make_list_url(request: Request, user_id: str) -> str:
    # Written after the commit: a base that the middleware has made, and ids that cannot be refused any more.
    return f"{request.state.base_url}/api/{quote(user_id, safe='@:+=')}/tasks"


def _link_next(request: Request, list_url: str, cursor: str) -> str:
    # RFC 8288, with the parameters of this request
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{list_url}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def _refuse_other_user(request: Request, user_id: str | None) -> None:
    if user_id is not None and user_id != request.path_params["user_id"]:
        raise InvalidInput(faults=[Fault(place="pointer", name="/user_id", detail="must be the user id of the path")])
