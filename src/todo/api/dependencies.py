"""The dependencies of routes: the owner of a request, path parameters, and the store of the owner's tasks."""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any, TypeAlias, TypedDict

from fastapi import Depends, Path, Request
from pydantic import AfterValidator

from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.models import fields
from todo.models.fields import USER_ID_LENGTH, USER_ID_PATTERN, Owner

_USER_ID = re.compile(USER_ID_PATTERN)
_DOTS = (".", "..")  # clients resolve them in a path


class State(TypedDict):
    """What the lifespan of the application gives to every request."""

    database: Database
    max_body_bytes: int
    deadline_seconds: float


def _refuse_dots(user_id: str) -> str:
    if user_id in _DOTS:
        raise ValueError("must not be `.` or `..`")
    return user_id


UserId = Annotated[
    str,
    Path(max_length=USER_ID_LENGTH, pattern=USER_ID_PATTERN, description="The user id of the owner."),
    AfterValidator(_refuse_dots),
]
TaskId = Annotated[fields.TaskId, Path(description="The id of the task, a UUID.")]


Handler: TypeAlias = Callable[..., Awaitable[Any]]  # returns what its route declares
IdentifyOwner: TypeAlias = Callable[..., Owner | Awaitable[Owner]]  # any FastAPI dependency that returns an Owner


async def trust_path(user_id: UserId) -> Owner:
    """Return the user of the path as the owner, without authentication."""
    return Owner(user_id)


def give_owner(handler: Handler, identify_owner: IdentifyOwner) -> Handler:
    """Make the dependency `identify_owner` provide the `owner` of a handler.

    FastAPI reads dependencies from the signature, and this one differs between applications. A dependency of the router
    cannot pass on what it returns, and a second one that does would cost each request 25 µs.
    """
    is_checked = identify_owner is trust_path  # whose parameter is declared as a user id

    @wraps(handler)
    async def handle(**arguments: object) -> object:
        if not is_checked:
            _check_owner(arguments["owner"], identify_owner)
        return await handler(**arguments)

    declared = signature(handler)
    dependency = Annotated[Owner, Depends(identify_owner)]
    parameters = [
        parameter.replace(annotation=dependency) if parameter.name == "owner" else parameter
        for parameter in declared.parameters.values()
    ]
    handle.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    return handle


def _check_owner(owner: object, identify_owner: IdentifyOwner) -> None:
    """Raise TypeError unless a function has returned a user id: of None, a list would be empty and seem right."""
    if isinstance(owner, str) and len(owner) <= USER_ID_LENGTH and _USER_ID.fullmatch(owner) and owner not in _DOTS:
        return
    name = getattr(identify_owner, "__qualname__", type(identify_owner).__qualname__)
    returned = "a str" if isinstance(owner, str) else type(owner).__name__  # the value may be a secret
    raise TypeError(f"{identify_owner.__module__}:{name} returned {returned} that is not a valid user id")


def open_store(request: Request, owner: Owner) -> TaskStore:
    """Return the store of the owner's tasks."""
    return TaskStore(request.state.database, owner)
