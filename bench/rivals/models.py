"""The table and the models of the rivals on SQLModel, written as its documentation writes them."""

from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, Dialect, SmallInteger, Text, TypeDecorator, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

Priority: TypeAlias = Literal["low", "medium", "high"]
PRIORITIES: tuple[Priority, ...] = ("low", "medium", "high")
PUBLIC_URL = "http://todo.example.com"
Timestamp = TIMESTAMP(timezone=True)


class PriorityRank(TypeDecorator[Priority]):
    """A priority, stored as its rank."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn the name into its rank."""
        return None if value is None else PRIORITIES.index(value) + 1

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn the rank into its name."""
        return None if value is None else PRIORITIES[value - 1]


class TaskBase(SQLModel):
    """What clients set."""

    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=8192)
    completed: bool = False
    due_at: datetime | None = None
    priority: Priority | None = None
    tags: list[str] = []
    order: int | None = None


class Task(TaskBase, table=True):
    """The table."""

    __tablename__ = "tasks"

    user_id: str = Field(sa_type=Text, primary_key=True)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    completed_at: datetime | None = Field(default=None, sa_type=Timestamp)
    due_at: datetime | None = Field(default=None, sa_type=Timestamp)
    priority: Priority | None = Field(default=None, sa_type=PriorityRank)
    tags: list[str] = Field(default=[], sa_type=ARRAY(Text))
    created_at: datetime | None = Field(
        default=None, sa_type=Timestamp, sa_column_kwargs={"server_default": func.now()}
    )
    updated_at: datetime | None = Field(
        default=None, sa_type=Timestamp, sa_column_kwargs={"server_default": func.now()}
    )
    version: int = Field(default=1, sa_type=BigInteger)

    @property
    def url(self) -> str:
        """The task's address."""
        return f"{PUBLIC_URL}/api/{self.user_id}/tasks/{self.id}"

    def note_change(self) -> None:
        """Set what a change sets besides."""
        self.version += 1
        self.updated_at = datetime.now(UTC)
        self.completed_at = (self.completed_at or self.updated_at) if self.completed else None


class TaskCreate(TaskBase):
    """A new task."""


class TaskUpdate(SQLModel):
    """A change to a task."""

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=8192)
    completed: bool | None = None
    due_at: datetime | None = None
    priority: Priority | None = None
    tags: list[str] | None = None
    order: int | None = None


class TaskPublic(SQLModel):
    """A task as responses carry it."""

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
