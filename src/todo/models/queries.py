"""What may be asked of a list of tasks, and the places in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast, get_args
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast
from pydantic import Field as Limits

from todo.models.fields import (
    DESCRIPTION_LENGTH,
    TAG_LENGTH,
    TAGS_COUNT,
    TITLE_LENGTH,
    DueAt,
    Priority,
    StorableText,
    Tag,
    describe_text,
)

SEARCH_LENGTH = 255
PAGE_LENGTH = 1000
# Of the texts of a task (title, description, tags) in UTF-8: at most, of one, and less than that, of those on a page.
TASK_BYTES = 4 * (TITLE_LENGTH + DESCRIPTION_LENGTH + TAGS_COUNT * TAG_LENGTH)
PAGE_BYTES = 1024 * 1024

Status = Literal["all", "pending", "completed"]
SortKey = Literal["created_at", "updated_at", "title", "due_at", "priority", "order"]
if TYPE_CHECKING:
    Sort = str  # a type checker cannot compute a Literal
else:
    Sort = Literal[*get_args(SortKey), *(f"-{key}" for key in get_args(SortKey))]


def _read_digits(value: object) -> object:
    # Pydantic reads " 1", "+1", "1_0" and "1.0" as well.
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be written in digits")
    return value


def _sort_values(values: Sequence[str]) -> list[str]:
    return sorted(set(values))


class TaskQuery(BaseModel):
    """Which tasks a list has, in what order, and from where on."""

    model_config = ConfigDict(frozen=True)

    status: Status = "all"
    q: Annotated[StorableText, Limits(max_length=SEARCH_LENGTH), describe_text(SEARCH_LENGTH, is_trimmed=False)] = (
        Limits(default="", description="Part of the title or the description, in any case.")
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
    cursor: str | None = Limits(default=None, description="Opaque position from the previous page's `Link`.")

    @property
    def sort_key(self) -> SortKey:
        """What the tasks are sorted by, whatever the direction."""
        return cast("SortKey", self.sort.removeprefix("-"))  # Pydantic has seen that it is one


class Position(NamedTuple):
    """A place in a list: that of the task with this id and this value of what the list is sorted by."""

    value: object
    id: UUID
