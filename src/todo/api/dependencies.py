"""Who the owner of a request is, and the way to that owner's tasks."""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any, TypeAlias, TypedDict
from uuid import UUID

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, BeforeValidator

from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.models.fields import USER_ID_LENGTH, USER_ID_PATTERN, Owner

# Pydantic reads a UUID in braces, without hyphens and as a URN: one task, many addresses. Here it has one.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class State(TypedDict):
    """What the application's lifespan hands to every request."""

    database: Database
    max_body_bytes: int
    deadline_seconds: float


def _refuse_dots(user_id: str) -> str:
    if user_id in (".", ".."):
        raise ValueError("must not be a relative path")
    return user_id


def _check_uuid(value: str) -> str:
    if not _UUID.fullmatch(value):
        raise ValueError("must be a UUID")
    return value


UserId = Annotated[
    str,
    Path(max_length=USER_ID_LENGTH, pattern=USER_ID_PATTERN, description="The user whose tasks these are."),
    AfterValidator(_refuse_dots),
]
TaskId = Annotated[UUID, Path(description="The task's id, a UUID."), BeforeValidator(_check_uuid)]


Handler: TypeAlias = Callable[..., Awaitable[Any]]  # it answers with what its route declares
IdentifyOwner: TypeAlias = Callable[..., Owner | Awaitable[Owner]]  # any dependency of FastAPI's that returns one


async def trust_path(user_id: UserId) -> Owner:
    """Take the path's word for whose tasks the request is about: authentication brings a function of its own."""
    return Owner(user_id)


def give_owner(handler: Handler, identify_owner: IdentifyOwner) -> Handler:
    """Have FastAPI give a handler its `owner` from the dependency `identify_owner`.

    FastAPI reads dependencies off a signature, and this one differs between applications. One that is declared for the
    whole router could not hand over what it returns, and a second one that keeps it costs each request 25 µs.
    """

    @wraps(handler)
    async def handle(**arguments: object) -> object:
        return await handler(**arguments)

    declared = signature(handler)
    dependency = Annotated[Owner, Depends(identify_owner)]
    parameters = [
        parameter.replace(annotation=dependency) if parameter.name == "owner" else parameter
        for parameter in declared.parameters.values()
    ]
    handle.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    return handle


def open_store(request: Request, owner: Owner) -> TaskStore:
    """Give access to the owner's tasks, and to nobody else's."""
    return TaskStore(request.state.database, owner)
