"""The feed of a user's changes: entries, positions, and the query parameters of its pages."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic import Field as Limits

from todo.models.queries import PAGE_LENGTH, read_digits
from todo.models.tasks import TaskPublic, TaskRow

# How long a position is valid: tombstones are kept for a day longer, and find_deleted_tasks() looks back as far.
POSITION_AGE = timedelta(days=90)
# By how much the database's clock may be set back without making a position void.
CLOCK_TOLERANCE = timedelta(days=1)
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class FeedPosition(NamedTuple):
    """A position in a user's feed, after which the next page begins.

    A chain of pages begins without a position, or after a page with `has_more` false, and ends with the next such page.
    """

    generation: str  # which history of the database it belongs to
    as_of: AwareDatetime  # the database's time at the first page of the chain
    began: AwareDatetime | None  # where the feed was at that page; None: the user had never written
    at: AwareDatetime | None  # the last entry; None: there was none
    after: UUID

    def is_void(self, feed: Self) -> bool:
        """Whether changes after this position may be unknown, by the position at which the feed is now."""
        is_of_age = feed.as_of - POSITION_AGE <= self.as_of <= feed.as_of + CLOCK_TOLERANCE
        is_ahead = self.began is not None and (feed.began is None or self.began > feed.began)
        return self.generation != feed.generation or not is_of_age or is_ahead


class ChangesQuery(BaseModel):
    """Which changes a client asks for."""

    model_config = ConfigDict(frozen=True)

    since: str | None = Limits(
        default=None, description="The `next` of the last page. Without it, everything there is."
    )
    limit: Annotated[int, BeforeValidator(read_digits)] = Limits(
        default=PAGE_LENGTH,
        ge=1,
        le=PAGE_LENGTH,
        description=f"The number of changes on a page; large texts may make it fewer. Default: {PAGE_LENGTH}.",
    )


@dataclass
class TaskStateRow:
    """A task as it is now, with the members of TaskState, and as cheap as TaskRow; None if it is gone."""

    id: UUID
    task: TaskRow | None


class FeedPage(NamedTuple):
    """A part of a feed, and the position after it."""

    changes: list[TaskStateRow]
    end: FeedPosition
    has_more: bool


class TaskState(BaseModel):
    """A task as it is now; null if it is gone."""

    id: UUID
    task: TaskPublic | None


# Not `Changes`, whose member has the same name: https://github.com/openapi-generators/openapi-python-client/issues/1117
class ChangesPage(BaseModel):
    """A page of changes, in the order in which a client applies them."""

    changes: list[TaskState]
    next: str = Limits(description="The position after this page, for `since`.")
    has_more: bool = Limits(description="Whether there are more changes already.")
