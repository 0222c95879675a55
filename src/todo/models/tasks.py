"""The task: its table, what goes in and what comes out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic import Field as Limits
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
    """A priority, stored as its rank so that the database sorts by it: 1 is low, 3 is high."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn the name into its rank."""
        return None if value is None else PRIORITIES.index(value) + 1

    def column_expression(self, column: ColumnElement[Priority]) -> ColumnElement[Priority]:
        """Select the name."""
        return type_coerce(_PRIORITY_NAMES[column], self)


class UtcTimestamp(TypeDecorator[datetime]):
    """A timestamp that is read in UTC, whatever the session's time zone.

    In another zone the first and the last day of the calendar fall off it, and Python cannot read the row.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[datetime]) -> ColumnElement[datetime]:
        """Select the column as it reads in UTC."""
        return type_coerce(func.timezone(literal_column("'UTC'"), column), self)


def _sql_literal(characters: str) -> str:
    return "E'" + "".join(f"\\u{ord(character):04x}" for character in characters) + "'"


# PostgreSQL's own names, so that a migration can name what it changes. Set before the first table is made.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Task(SQLModel, table=True):
    """The table. SQLModel does not validate it: never build one from input."""

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
        # A CHECK sees no single element, so a tag's own length is bounded through the sum of them all.
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
    """A task as every response carries it."""

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
    url: str = ""


@dataclass
class TaskRow:
    """A task as the database gives it, member for member a TaskPublic: a thousand of them are built for one answer.

    Rows are trusted: today's limits may be narrower than yesterday's. Times are in UTC, and do not say so.
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
    url: str = ""  # filled in by the API, which alone knows the address it was called at


SET_BY_SERVICE = ("id", "completed_at", "created_at", "updated_at", "version", "url")


def _declare_read_only(schema: dict[str, Any], model: type["_TaskInput"]) -> None:
    schema["properties"] |= {name: {"readOnly": True} for name in model.ignored}


# Not SQLModel: its models are made by a call with the members as names, which a member called `cls` breaks.
class _TaskInput(BaseModel):
    """What request bodies about one task share: clients send back what they read, and a misspelt member is never lost.

    Members of a task that the service sets, or that the operation leaves alone, change nothing.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra=_declare_read_only)
    ignored: ClassVar[Sequence[str]] = SET_BY_SERVICE

    user_id: str | None = Limits(
        default=None, description="If given, the same as in the path.", json_schema_extra={"readOnly": True}
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_ignored_members(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: member for name, member in value.items() if name not in cls.ignored}


class TaskCreate(_TaskInput):
    """A new task as a client sends it."""

    title: Title
    description: Description | None = None
    completed: Completed = False
    due_at: DueAt | None = None
    priority: Priority | None = None
    tags: Tags = []
    order: Order | None = None


def make_fingerprint(task: TaskCreate) -> bytes:
    """Digest the members that were sent: two requests with one fingerprint ask for the same task.

    A member that is added to the model one day changes nothing for requests without it.
    """
    sent = task.model_dump(mode="json", exclude_unset=True, exclude={"user_id"})
    return sha256(json.dumps(sent, sort_keys=True).encode()).digest()


def _drop_default(schema: dict[str, Any]) -> None:
    del schema["default"]


# The default of a member that may be left out but may not be null; `model_fields_set` tells whether it was given.
_OMITTED: Any = Limits(default=None, json_schema_extra=_drop_default)


class TaskUpdate(_TaskInput):
    """A change to a task as a client sends it: a member left out keeps its value."""

    title: Title = _OMITTED
    description: Description | None = _OMITTED
    completed: Completed = _OMITTED
    due_at: DueAt | None = _OMITTED
    priority: Priority | None = _OMITTED
    tags: Tags = _OMITTED
    order: Order | None = _OMITTED


class TaskCompletion(_TaskInput):
    """The body of a completion: an empty one flips the task, and any other says to what.

    A client that has lost `completed` on the way must not flip, since sending that again would flip back.
    """

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
    """The body of a completion of many tasks: there is nothing to flip, so it says to what."""

    model_config = ConfigDict(extra="forbid")

    completed: Completed
