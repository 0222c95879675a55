"""The task in request bodies and responses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails
from sqlmodel import SQLModel

from todo.models.fields import Completed, Description, DueAt, Order, Priority, Tags, Title


class TaskPublic(SQLModel):
    """A task in a response."""

    id: UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    completed_at: datetime | None
    due_at: datetime | None
    priority: Priority | None
    tags: list[str]
    order: int | None
    created_at: datetime
    updated_at: datetime
    version: int
    url: str


@dataclass
class TaskRow:
    """A task as read from the database, with the members of TaskPublic, and cheap: a response may have a thousand.

    Rows are not validated: they may be older than today's limits. Times are naive and in UTC.
    """

    id: UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    completed_at: datetime | None
    due_at: datetime | None
    priority: Priority | None
    tags: list[str]
    order: int | None
    created_at: datetime
    updated_at: datetime
    version: int
    url: str = ""  # set by the API, which knows the address of the request


SET_BY_SERVICE = ("id", "completed_at", "created_at", "updated_at", "version", "url")


# Not SQLModel, which passes the members as keyword arguments, so that one named `cls` breaks it.
class _TaskInput(BaseModel):
    """The base of request bodies about one task: members of a task that cannot be set are ignored, others are refused.

    So a client may send back what it has read, and a misspelt member is never lost.
    """

    model_config = ConfigDict(extra="forbid")
    ignored: ClassVar[Sequence[str]] = SET_BY_SERVICE

    user_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_ignored_members(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: member for name, member in value.items() if name not in cls.ignored}


class TaskCreate(_TaskInput):
    """The body of a creation."""

    title: Title
    description: Description | None = None
    completed: Completed = False
    due_at: DueAt | None = None
    priority: Priority | None = None
    tags: Tags = []
    order: Order | None = None


def make_fingerprint(task: TaskCreate) -> bytes:
    """Return a digest of the members that were sent: requests for the same task have the same fingerprint.

    Members that later versions add do not change the fingerprint of requests without them.
    """
    sent = task.model_dump(mode="json", exclude_unset=True, exclude={"user_id"})
    return sha256(json.dumps(sent, sort_keys=True).encode()).digest()


# The default of a member that may be left out but not be null; `model_fields_set` tells whether it was given.
_OMITTED: Any = None


class TaskUpdate(_TaskInput):
    """The body of an update: members left out keep their values."""

    title: Title = _OMITTED
    description: Description | None = _OMITTED
    completed: Completed = _OMITTED
    due_at: DueAt | None = _OMITTED
    priority: Priority | None = _OMITTED
    tags: Tags = _OMITTED
    order: Order | None = _OMITTED


class TaskCompletion(_TaskInput):
    """The body of a completion: without members, it toggles the task; any other must have `completed`."""

    # A client that has lost `completed` on the way must not toggle, since a repetition would toggle it back.
    ignored: ClassVar[Sequence[str]] = tuple(
        name for name in TaskPublic.model_fields if name not in ("user_id", "completed")
    )

    completed: Completed = _OMITTED

    @model_validator(mode="wrap")
    @classmethod
    def _require_completed_beside_others(cls, value: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        completion = validate(value)
        if isinstance(value, dict) and value and "completed" not in value:
            missing = InitErrorDetails(type="missing", loc=("completed",), input=value)
            raise ValidationError.from_exception_data(cls.__name__, [missing])
        return completion


class TasksCompletion(BaseModel):
    """The body of a completion of many tasks, which sets `completed` and never toggles it."""

    model_config = ConfigDict(extra="forbid")

    completed: Completed
