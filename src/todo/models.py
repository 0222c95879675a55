"""The task: its field types and limits, its table, and the models that go in and out.

Every limit is one constant that feeds a validator and a CHECK constraint alike. Nothing here knows of HTTP or
runs SQL.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NewType, Self, cast, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    ModelWrapValidatorHandler,
    Strict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
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

USER_ID_PATTERN = r"^[A-Za-z0-9._~@|:+=-]+$"
USER_ID_LENGTH = 255
TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 8192
TAGS_COUNT = 20
TAG_LENGTH = 50
ORDER_RANGE = (-(2**31), 2**31 - 1)
DUE_AT_RANGE = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
IDEMPOTENCY_KEY_LENGTH = 255
SEARCH_LENGTH = 255
PAGE_LENGTH = 1000
# Of the texts of a task (title, description, tags) in UTF-8: at most, of one, and less than that, of those on a page.
TASK_BYTES = 4 * (TITLE_LENGTH + DESCRIPTION_LENGTH + TAGS_COUNT * TAG_LENGTH)
PAGE_BYTES = 1024 * 1024

# What counts as blank at either end of a text: Unicode's White_Space, the four separators that Python adds to it
# (U+001C to U+001F) and the characters without width. Spelt out, because `\s` and `str.strip()` disagree.
BLANK = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u200c\u200d\u2060\ufeff"
)

Owner = NewType("Owner", str)
"""A user id that somebody has vouched for: only the dependency of that name in `api` makes one."""

Versions = frozenset[int]

IdempotencyKey = NewType("IdempotencyKey", str)
"""What a client calls one creation, so that sending it again creates nothing; only `api.headers` makes one."""

Priority = Literal["low", "medium", "high"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

Status = Literal["all", "pending", "completed"]
SortKey = Literal["created_at", "updated_at", "title", "due_at", "priority", "order"]
Sort = Literal[
    "created_at", "updated_at", "title", "due_at", "priority", "order",
    "-created_at", "-updated_at", "-title", "-due_at", "-priority", "-order",
]  # fmt: skip

# RFC 3339, section 5.6: `datetime.fromisoformat` reads much more than that, dates without a time included.
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)


def _trim(value: object) -> object:
    return value.strip(BLANK) if isinstance(value, str) else value


def _refuse_unstorable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain a lone surrogate") from error
    return value


def _read_timestamp(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 timestamp with an offset, such as 2030-01-31T09:30:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must lie in the years 1 to 9999 in UTC") from error


def _read_integer(value: object) -> object:
    # In JSON, 1.0 is an integer as much as 1 is; the schema that this API publishes says so, too.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_digits(value: object) -> object:
    # Pydantic reads " 1", "+1", "1_0" and "1.0" as well.
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be written in digits")
    return value


def _drop_repeats(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _sort_values(values: Sequence[str]) -> list[str]:
    return sorted(set(values))


def _publish(length: int, *, is_trimmed: bool) -> WithJsonSchema:
    """Describe a text to clients, with what its validators refuse as a pattern that ECMA 262 and Python both read."""
    blank = "".join(f"\\u{ord(character):04x}" for character in BLANK)
    pattern = rf"^[^\u0000]*[^\u0000{blank}][^\u0000]*$" if is_trimmed else r"^[^\u0000]*$"
    shortest = {"minLength": 1} if is_trimmed else {}
    return WithJsonSchema({"type": "string", **shortest, "maxLength": length, "pattern": pattern})


_storable = AfterValidator(_refuse_unstorable)
_trimmed = BeforeValidator(_trim)
StorableText = Annotated[str, Strict(), _storable]
Title = Annotated[
    str,
    Strict(),
    Limits(min_length=1, max_length=TITLE_LENGTH),
    _storable,
    _trimmed,
    _publish(TITLE_LENGTH, is_trimmed=True),
]
Description = Annotated[
    str, Strict(), Limits(max_length=DESCRIPTION_LENGTH), _storable, _publish(DESCRIPTION_LENGTH, is_trimmed=False)
]
Completed = Annotated[bool, Strict()]
DueAt = Annotated[datetime, BeforeValidator(_read_timestamp), WithJsonSchema({"type": "string", "format": "date-time"})]
Tag = Annotated[
    str,
    Strict(),
    Limits(min_length=1, max_length=TAG_LENGTH),
    _storable,
    _trimmed,
    _publish(TAG_LENGTH, is_trimmed=True),
]
Tags = Annotated[list[Tag], Limits(max_length=TAGS_COUNT), AfterValidator(_drop_repeats)]
Order = Annotated[int, Strict(), Limits(ge=ORDER_RANGE[0], le=ORDER_RANGE[1]), BeforeValidator(_read_integer)]


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


class TaskQuery(BaseModel):
    """Which tasks a list has, in what order, and from where on."""

    model_config = ConfigDict(frozen=True)

    status: Status = "all"
    q: Annotated[StorableText, Limits(max_length=SEARCH_LENGTH), _publish(SEARCH_LENGTH, is_trimmed=False)] = Limits(
        default="", description="Part of the title or the description, in any case."
    )
    tag: Annotated[list[Tag], Limits(max_length=TAGS_COUNT), AfterValidator(_sort_values)] = Limits(
        default=[], description="All of these tags."
    )
    priority: Annotated[list[Priority], FailFast(), AfterValidator(_sort_values)] = Limits(
        default=[], description="Any of these priorities."
    )
    due_before: DueAt | None = Limits(default=None, description="Due earlier than this.")
    due_after: DueAt | None = Limits(default=None, description="Due then or later.")
    sort: Sort = Limits(default="-created_at", description="Tasks without a value come last, in either direction.")
    limit: Annotated[int, BeforeValidator(_read_digits)] = Limits(default=PAGE_LENGTH, ge=1, le=PAGE_LENGTH)
    cursor: str | None = Limits(default=None, description="Where to go on, as the page before says.")

    @property
    def sort_key(self) -> SortKey:
        """What the tasks are sorted by, whatever the direction."""
        return cast("SortKey", self.sort.removeprefix("-"))  # the type knows every string, but not how they are related


class Position(NamedTuple):
    """A place in a list: that of the task with this id and this value of what the list is sorted by."""

    value: object
    id: UUID
