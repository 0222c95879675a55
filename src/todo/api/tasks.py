"""The routes of tasks. Each handler reads the request, calls one method of the store, and responds."""

from typing import Annotated
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor

from todo.api import operations
from todo.api.cursors import make_cursor, read_cursor
from todo.api.dependencies import Handler, IdentifyOwner, TaskId, give_owner, open_store
from todo.api.headers import (
    hash_etag,
    make_etag,
    read_idempotency_key,
    read_if_match,
    read_if_none_match,
    wants_creation,
)
from todo.api.parameters import read_query
from todo.api.routes import StrictRoute, name_operation
from todo.errors import Fault, InvalidInput
from todo.models.fields import Owner
from todo.models.queries import TaskQuery, TaskSelection
from todo.models.tasks import TaskCompletion, TaskCreate, TaskPublic, TaskRow, TasksCompletion, TaskUpdate

# A factory, because the document would have a default value.
Completion = Annotated[TaskCompletion, Body(default_factory=TaskCompletion)]


JSON_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


class Updated(BaseModel):
    """The number of tasks that were changed."""

    updated: int


class Deleted(BaseModel):
    """The number of tasks that were deleted."""

    deleted: int


async def create_task(request: Request, owner: Owner, task: TaskCreate) -> Response:
    """Create a task; with an `Idempotency-Key`, a repeated request creates no second one."""
    tasks = open_store(request, owner)
    key = read_idempotency_key(request)
    refuse_other_user(owner, task.user_id)
    created, is_replayed = await tasks.add(task, key)
    response = _answer(request, created, status=201)
    response.headers["Location"] = created.url
    if is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


async def list_tasks(request: Request, owner: Owner) -> Response:
    """List the user's tasks, by default the newest first; `Link` has the address of the next page."""
    tasks = open_store(request, owner)
    known = read_if_none_match(request)
    query = read_query(request, TaskQuery)
    after = None if query.cursor is None else read_cursor(owner, query, query.cursor)
    page = await tasks.page(query, after)
    list_url = make_list_url(request, owner)
    for task in page.tasks:
        task.url = f"{list_url}/{task.id}"
    body = write_json(page.tasks)
    link = _link_next(request, list_url, make_cursor(owner, query, page.end)) if page.end else ""
    tag = hash_etag(body, link.encode())
    # Weak, as it is no version that a change could be conditional on.
    headers = {"ETag": f"W/{tag}"} | ({"Link": link} if link else {})
    if known is None or tag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def complete_tasks(request: Request, owner: Owner, completion: TasksCompletion) -> Updated:
    """Complete or reopen every task that matches the filters; `updated` counts those that changed."""
    tasks = open_store(request, owner)
    selection = read_query(request, TaskSelection)
    return Updated(updated=await tasks.complete_all(selection, completed=completion.completed))


async def delete_tasks(request: Request, owner: Owner) -> Deleted:
    """Permanently delete every task that matches the filters."""
    tasks = open_store(request, owner)
    return Deleted(deleted=await tasks.remove_all(read_query(request, TaskSelection)))


async def get_task(request: Request, owner: Owner, task_id: TaskId) -> Response:
    """Read one task, or answer 304 if the client's copy is current."""
    tasks = open_store(request, owner)
    known = read_if_none_match(request)
    task = await tasks.get(task_id)
    if known is None or make_etag(task) in known:
        return Response(status_code=304, headers={"ETag": make_etag(task)})
    return _answer(request, task)


async def update_task(request: Request, owner: Owner, task_id: TaskId, changes: TaskUpdate) -> Response:
    """Change the members in the body; those that are left out keep their values."""
    tasks = open_store(request, owner)
    versions = read_if_match(request)
    refuse_other_user(owner, changes.user_id)
    return _answer(request, await tasks.edit(task_id, changes, versions))


async def put_task(request: Request, owner: Owner, task_id: TaskId, changes: TaskUpdate) -> Response:
    """Change the members in the body; with `If-None-Match: *`, create the task under this id."""
    if not wants_creation(request):
        return await update_task(request, owner, task_id, changes)
    tasks = open_store(request, owner)
    refuse_other_user(owner, changes.user_id)
    created = await tasks.add_under_id(task_id, _complete(changes))
    response = _answer(request, created, status=201)
    response.headers["Location"] = created.url
    return response


async def complete_task(request: Request, owner: Owner, task_id: TaskId, completion: Completion) -> Response:
    """Toggle `completed`, or set it to the value in the body."""
    tasks = open_store(request, owner)
    versions = read_if_match(request)
    refuse_other_user(owner, completion.user_id)
    if "completed" not in completion.model_fields_set:
        return _answer(request, await tasks.toggle(task_id, versions))
    return _answer(request, await tasks.set_completed(task_id, versions, completed=completion.completed))


async def delete_task(request: Request, owner: Owner, task_id: TaskId) -> Response:
    """Permanently delete one task."""
    tasks = open_store(request, owner)
    await tasks.remove(task_id, read_if_match(request))
    return Response(status_code=204)


def write_json(tasks: TaskRow | list[TaskRow]) -> bytes:
    """Write tasks as JSON, to the byte as Pydantic writes TaskPublic."""
    return orjson.dumps(tasks, option=JSON_OPTIONS)


def _answer(request: Request, task: TaskRow, status: int = 200) -> Response:
    task.url = f"{make_list_url(request, task.user_id)}/{task.id}"
    return Response(
        write_json(task),
        status_code=status,
        headers={"ETag": make_etag(task)},
        media_type="application/json",
    )


def _complete(changes: TaskUpdate) -> TaskCreate:
    """Return the creation that has these members."""
    if "title" not in changes.model_fields_set:
        raise InvalidInput(faults=[Fault(source="pointer", name="/title", detail="Field required")])
    given = {name: getattr(changes, name) for name in changes.model_fields_set}
    return TaskCreate.model_construct(changes.model_fields_set, **given)  # both have the same members and validators


def make_list_url(request: Request, user_id: str) -> str:
    """Return the absolute address of a user's list."""
    # Runs after the commit, where nothing may fail: the middleware has made the base, and the ids are valid.
    return f"{request.state.base_url}/api/{quote(user_id, safe='@:+=')}/tasks"


def _link_next(request: Request, list_url: str, cursor: str) -> str:
    # RFC 8288, with the other parameters of this request
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{list_url}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def refuse_other_user(owner: Owner, user_id: str | None, parent: str = "") -> None:
    """Raise InvalidInput if a body names another user than the owner."""
    if user_id is not None and user_id != owner:
        fault = Fault(source="pointer", name=f"{parent}/user_id", detail="must be the owner's user id")
        raise InvalidInput(faults=[fault])


class TaskIdConvertor(StringConvertor):
    """What may stand for a task's id in a path: not the names of other resources of the collection."""

    regex = r"(?!(?:batch|changes)(?:/|$))[^/]+"


register_url_convertor("task_id", TaskIdConvertor())


class CreationRoute(StrictRoute):
    """The route that creates a task: the address of a list, with all its parameters, is one of the collection."""

    ignored = frozenset(TaskQuery.model_fields)


def make_router(identify_owner: IdentifyOwner) -> APIRouter:
    """Make the routes, in which `identify_owner` is the dependency that identifies the owner of a request."""
    router = APIRouter(
        prefix="/api/{user_id}/tasks",
        tags=["tasks"],
        route_class=StrictRoute,
        generate_unique_id_function=name_operation,
        responses=operations.describe_refusals(identify_owner),
    )

    def own(handler: Handler) -> Handler:
        return give_owner(handler, identify_owner)

    router.add_api_route(
        "",
        own(create_task),
        methods=["POST"],
        status_code=201,
        response_model=TaskPublic,
        route_class_override=CreationRoute,
        **operations.CREATE_TASK,
    )
    router.get("", response_model=list[TaskPublic], **operations.LIST_TASKS)(own(list_tasks))
    router.patch("", **operations.COMPLETE_TASKS)(own(complete_tasks))
    router.delete("", **operations.DELETE_TASKS)(own(delete_tasks))
    router.get("/{task_id:task_id}", response_model=TaskPublic, **operations.GET_TASK)(own(get_task))
    router.patch("/{task_id:task_id}", response_model=TaskPublic, **operations.UPDATE_TASK)(own(update_task))
    router.put("/{task_id:task_id}", response_model=TaskPublic, **operations.PUT_TASK)(own(put_task))
    router.patch("/{task_id:task_id}/complete", response_model=TaskPublic, **operations.COMPLETE_TASK)(
        own(complete_task)
    )
    router.delete("/{task_id:task_id}", status_code=204, **operations.DELETE_TASK)(own(delete_task))
    return router
