"""The tables: tasks, and what the feeds of their changes need. SQLModel validates no table class."""

from datetime import datetime
from typing import Any
from uuid import UUID

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
    true,
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
            "AND (idempotency_key IS NULL OR fingerprint IS NOT NULL)",
            name="idempotency_key",
        ),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "user_id", "updated_at", "id"),
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


class TaskFeed(SQLModel, table=True):
    """The table of feeds: of each user, the time of the last write. Every write advances it first, in its statement.

    A user's writes queue at this row until they are committed, so their times have the order of their commits.
    """

    __tablename__ = "task_feeds"
    __table_args__ = {"postgresql_with": {"fillfactor": 50}}

    user_id: str = Field(sa_type=Text, primary_key=True)
    changed_at: datetime = Field(sa_type=UtcTimestamp)


class TaskTombstone(SQLModel, table=True):
    """The table of tombstones: which tasks were deleted, and when. None of their content is kept."""

    __tablename__ = "task_tombstones"
    __table_args__ = (Index(None, "user_id", "id", "deleted_at"),)

    user_id: str = Field(sa_type=Text, primary_key=True)
    deleted_at: datetime = Field(sa_type=UtcTimestamp, primary_key=True)
    id: UUID = Field(primary_key=True)


class FeedGeneration(SQLModel, table=True):
    """The table, of one row, that makes every position in a feed void once `begins_at` has come, or is changed."""

    __tablename__ = "task_feed_generation"
    __table_args__ = (CheckConstraint("is_only", name="is_only"),)

    is_only: bool = Field(primary_key=True, sa_column_kwargs={"server_default": true()})
    begins_at: datetime = Field(sa_type=UtcTimestamp)
