"""The task: its table, the models of request bodies, and those of responses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails
from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Dialect,
    Index,
    SmallInteger,
    Text,
    TypeDecorator,
    func,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from todo.models.fields import (
    BLANK,
    DESCRIPTION_LENGTH,
    DUE_AT_RANGE,
    IDEMPOTENCY_KEY_LENGTH,
    PRIORITIES,
    TAG_LENGTH,
    TAGS_COUNT,
    TITLE_LENGTH,
    USER_ID_LENGTH,
    USER_ID_PATTERN,
    Completed,
    Description,
    DueAt,
    Order,
    Priority,
    Tags,
    Title,
)

_PRIORITY_NAMES: ColumnElement[Any] = literal_column(f"('{{{','.join(PRIORITIES)}}}'::text[])", ARRAY(Text))


class PriorityRank(TypeDecorator[Priority]):
    """A priority, stored as its rank so that the database can sort by it: 1 is low, 3 is high."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert the name to its rank."""
        return None if value is None else PRIORITIES.index(value) + 1

    def column_expression(self, column: ColumnElement[Priority]) -> ColumnElement[Priority]:
        """Select the name."""
        return type_coerce(_PRIORITY_NAMES[column], self)


class UtcTimestamp(TypeDecorator[datetime]):
    """A timestamp that is read in UTC, whatever the session's time zone.

    In another zone, the first and the last day of Python's calendar are outside of it, and the row cannot be read.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[datetime]) -> ColumnElement[datetime]:
        """Select the column in UTC."""
        return type_coerce(func.timezone(literal_column("'UTC'"), column), self)


def _sql_literal(characters: str) -> str:
    return "E'" + "".join(f"\\u{ord(character):04x}" for character in characters) + "'"


# Explicit names, so that a migration can name what it changes. To be set before the first table is declared.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Task(SQLModel, table=True):
    """The table. SQLModel does not validate it, so never build one from input."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(
            f"char_length(user_id) BETWEEN 1 AND {USER_ID_LENGTH} AND user_id ~ '{USER_ID_PATTERN}'",
            name="user_id",
        ),
        CheckConstraint(
            f"char_length(title) BETWEEN 1 AND {TITLE_LENGTH} AND title = btrim(title, {_sql_literal(BLANK)})",
            name="title",
        ),
        CheckConstraint(f"char_length(description) <= {DESCRIPTION_LENGTH}", name="description"),
        CheckConstraint("completed = (completed_at IS NOT NULL)", name="completed_at"),
        CheckConstraint(f"due_at BETWEEN '{DUE_AT_RANGE[0]}' AND '{DUE_AT_RANGE[1]}'", name="due_at"),
        CheckConstraint(f"priority BETWEEN 1 AND {len(PRIORITIES)}", name="priority"),
        # A CHECK cannot look at single elements, so the length of a tag is bounded by the sum of all.
        CheckConstraint(
            f"cardinality(tags) <= {TAGS_COUNT} AND array_position(tags, NULL) IS NULL "
            f"AND char_length(array_to_string(tags, '')) <= {TAGS_COUNT * TAG_LENGTH}",
            name="tags",
        ),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint(
            f"char_length(idempotency_key) BETWEEN 1 AND {IDEMPOTENCY_KEY_LENGTH} "
            "AND (idempotency_key IS NULL) = (fingerprint IS NULL)",
            name="idempotency_key",
        ),
        Index(None, "user_id", "created_at", "id"),
        Index(
            None,
            "user_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    user_id: str = Field(sa_type=Text, primary_key=True)
    id: UUID = Field(primary_key=True)
    title: Title = Field(sa_type=Text)
    description: Description | None = Field(sa_type=Text)
    completed: Completed
    completed_at: datetime | None = Field(sa_type=UtcTimestamp)
    due_at: DueAt | None = Field(sa_type=UtcTimestamp)
    priority: Priority | None = Field(sa_type=PriorityRank)
    tags: Tags = Field(sa_type=ARRAY(Text))
    order: Order | None
    created_at: datetime = Field(sa_type=UtcTimestamp, sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime = Field(sa_type=UtcTimestamp, sa_column_kwargs={"server_default": func.now()})
    version: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("1")})
    idempotency_key: str | None = Field(sa_type=Text)
    fingerprint: bytes | None


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
