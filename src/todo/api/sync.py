"""The routes for clients that keep a copy of a user's tasks: what has changed, and many changes at once."""

import orjson
from fastapi import APIRouter, Request, Response

from todo.api import operations
from todo.api.cursors import make_feed_cursor, read_feed_cursor
from todo.api.dependencies import IdentifyOwner, give_owner, open_store
from todo.api.parameters import read_query
from todo.api.routes import StrictRoute, name_operation
from todo.api.tasks import JSON_OPTIONS, make_list_url, refuse_other_user
from todo.models.batches import Batch, BatchDelete, BatchResults
from todo.models.feeds import ChangesPage, ChangesQuery, TaskStateRow
from todo.models.fields import Owner


async def list_changes(request: Request, owner: Owner) -> Response:
    """List what has changed since a position, each task as it is now, in the order in which to apply it."""
    tasks = open_store(request, owner)
    query = read_query(request, ChangesQuery)
    since = None if query.since is None else read_feed_cursor(owner, query.since)
    page = await tasks.changes(query, since)
    _set_urls(request, owner, page.changes)
    body = {"changes": page.changes, "next": make_feed_cursor(owner, page.end), "has_more": page.has_more}
    return Response(orjson.dumps(body, option=JSON_OPTIONS), media_type="application/json")


async def apply_batch(request: Request, owner: Owner, batch: Batch) -> Response:
    """Carry out all operations, or none if any cannot be; the same batch can be sent again."""
    tasks = open_store(request, owner)
    for index, operation in enumerate(batch.operations):
        if not isinstance(operation, BatchDelete):
            refuse_other_user(owner, operation.task.user_id, f"/operations/{index}/task")
    results = await tasks.apply(batch)
    _set_urls(request, owner, results)
    return Response(orjson.dumps({"results": results}, option=JSON_OPTIONS), media_type="application/json")


def _set_urls(request: Request, owner: Owner, states: list[TaskStateRow]) -> None:
    list_url = make_list_url(request, owner)
    for state in states:
        if state.task:
            state.task.url = f"{list_url}/{state.id}"


def make_router(identify_owner: IdentifyOwner) -> APIRouter:
    """Make the routes, in which `identify_owner` is the dependency that identifies the owner of a request."""
    router = APIRouter(
        prefix="/api/{user_id}/tasks",
        tags=["sync"],
        route_class=StrictRoute,
        generate_unique_id_function=name_operation,
        responses=operations.describe_refusals(identify_owner),
    )
    router.get("/changes", response_model=ChangesPage, **operations.LIST_CHANGES)(
        give_owner(list_changes, identify_owner)
    )
    router.post("/batch", response_model=BatchResults, **operations.APPLY_BATCH)(
        give_owner(apply_batch, identify_owner)
    )
    return router
