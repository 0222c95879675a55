"""The query parameters of a list of tasks, and positions in a list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast, get_args
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast
from pydantic import Field as Limits
from typing_extensions import TypeAliasType

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
# The texts of a task, and how many code points each may have.
TEXT_LENGTHS = {"title": TITLE_LENGTH, "description": DESCRIPTION_LENGTH, "tags": TAGS_COUNT * TAG_LENGTH}
# The same in UTF-8: the maximum of one task, and the bound of those on a page.
TASK_BYTES = 4 * sum(TEXT_LENGTHS.values())
PAGE_BYTES = 1024 * 1024

Status = TypeAliasType("Status", Literal["all", "pending", "completed"])
SortKey = Literal["created_at", "updated_at", "title", "due_at", "priority", "order"]
if TYPE_CHECKING:
    Sort = str  # a type checker cannot compute a Literal
else:
    Sort = TypeAliasType("Sort", Literal[*get_args(SortKey), *(f"-{key}" for key in get_args(SortKey))])


def read_digits(value: object) -> object:
    """Return a query parameter unchanged; raise ValueError if it is text other than digits."""
    # Pydantic also accepts " 1", "+1", "1_0" and "1.0".
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be written in digits")
    return value


def _sort_values(values: Sequence[str]) -> list[str]:
    return sorted(set(values))


class TaskSelection(BaseModel):
    """Which tasks a change of many is for: those of a list, whose order means nothing to it.

    The status is required, so that a client that has lost the id of one task cannot change them all.
    """

    model_config = ConfigDict(frozen=True)

    status: Status = Limits(description="Tasks of this status; `all` means any.")
    q: Annotated[StorableText, Limits(max_length=SEARCH_LENGTH), describe_text(SEARCH_LENGTH, is_trimmed=False)] = (
        Limits(
            default="",
            description="Part of the title or the description, case-insensitive; every character is literal.",
        )
    )
    tag: Annotated[list[Tag], Limits(max_length=TAGS_COUNT), AfterValidator(_sort_values)] = Limits(
        default=[], description="Tasks with this tag, exactly; repeated: with all of them."
    )
    priority: Annotated[list[Priority], FailFast(), AfterValidator(_sort_values)] = Limits(
        default=[], description="Tasks with this priority; repeated: with any of them."
    )
    due_before: DueAt | None = Limits(default=None, description="Due earlier than this.")
    due_after: DueAt | None = Limits(default=None, description="Due then or later.")
    sort: Sort = Limits(default="-created_at", description="Accepted, because lists have it, and makes no difference.")


class TaskQuery(TaskSelection):
    """Which tasks a list has, in which order, and where a page begins."""

    status: Status = Limits(default="all", description="Tasks of this status; `all` means any. Default: `all`.")
    sort: Sort = Limits(
        default="-created_at",
        description="The member to sort by; with a leading `-`, descending. Tasks without a value come last, in either "
        "direction. Default: `-created_at`.",
    )
    limit: Annotated[int, BeforeValidator(read_digits)] = Limits(
        default=PAGE_LENGTH,
        ge=1,
        le=PAGE_LENGTH,
        description=f"The number of tasks on a page; large texts may make it fewer. Default: {PAGE_LENGTH}.",
    )
    cursor: str | None = Limits(default=None, description="Opaque position from the previous page's `Link`.")

    @property
    def sort_key(self) -> SortKey:
        """The member that the tasks are sorted by, in either direction."""
        return cast("SortKey", self.sort.removeprefix("-"))  # Pydantic has validated it


class Position(NamedTuple):
    """A position in a list: the task's id, and its value of the member that the list is sorted by."""

    value: object
    id: UUID
