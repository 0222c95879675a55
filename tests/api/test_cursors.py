"""Cursors: text for a place in one list, which nothing else is taken for."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import pytest
from tests.support import forge_cursor

from todo.api.cursors import make_cursor, make_feed_cursor, read_cursor, read_feed_cursor
from todo.errors import InvalidCursor
from todo.models.feeds import FeedPosition
from todo.models.fields import Owner
from todo.models.queries import Position, TaskQuery

OWNER = Owner("alice")
TASK = UUID("0190f5fe-7c00-7a3e-8000-000000000001")
TIME_TEXT = "2030-01-31T09:30:00.000001Z"
TIME = datetime(2030, 1, 31, 9, 30, 0, 1, tzinfo=UTC)
CURSOR = (
    "ze2Jo0dy_XQNYsg3WyIyMDMwLTAxLTMxVDA5OjMwOjAwLjAwMDAwMVoiLCIwMTkwZjVmZS03YzAwLTdhM2UtODAwMC0wMDAwMDAwMDAwMDEiXQ"
)


def query(sort: str, **filters: object) -> TaskQuery:
    """A query in that order."""
    return TaskQuery.model_validate({"sort": sort, **filters})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("created_at", [TIME]),
        ("updated_at", [TIME]),
        ("title", ["Buy milk", "", '"\\\u00e9\n']),
        ("due_at", [TIME, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), None]),
        ("priority", ["low", "high", None]),
        ("order", [0, -(2**31), 2**31 - 1, None]),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_cursor_is_read_as_it_was_written(key: str, values: list[object], sign: str) -> None:
    """Whatever a list is sorted by, and where a task has no value."""
    for value in values:
        position = Position(value, TASK)

        assert read_cursor(OWNER, query(sign + key), make_cursor(OWNER, query(sign + key), position)) == position


def test_cursor_of_an_earlier_version_is_still_read() -> None:
    """A client goes through its pages while the service is replaced."""
    assert read_cursor(OWNER, query("-due_at", tag=["a"], q="milk"), CURSOR) == Position(TIME, TASK)


def test_filter_that_is_added_leaves_the_cursors_of_other_lists_valid() -> None:
    """A later version may have more filters."""

    class LaterQuery(TaskQuery):
        created_after: datetime | None = None

    later = LaterQuery.model_validate({"sort": "-due_at", "tag": ["a"], "q": "milk"})

    assert read_cursor(OWNER, later, CURSOR) == Position(TIME, TASK)
    with pytest.raises(InvalidCursor):
        read_cursor(OWNER, later.model_copy(update={"created_after": TIME}), CURSOR)


def test_limit_and_cursor_are_no_part_of_the_list() -> None:
    """The next page may be of another length, and follows from a page that had a cursor itself."""
    cursor = make_cursor(OWNER, query("title"), Position("A task", TASK))

    assert read_cursor(OWNER, query("title", limit=7, cursor=cursor), cursor) == Position("A task", TASK)


@pytest.mark.parametrize(
    ("owner", "other"),
    [
        (Owner("bob"), {}),
        (OWNER, {"sort": "-title"}),
        (OWNER, {"sort": "created_at"}),
        (OWNER, {"status": "pending"}),
        (OWNER, {"q": "a"}),
        (OWNER, {"tag": ["a"]}),
        (OWNER, {"priority": ["low"]}),
        (OWNER, {"due_before": "2030-01-01T00:00:00Z"}),
        (OWNER, {"due_after": "2030-01-01T00:00:00Z"}),
    ],
)
def test_cursor_of_another_list_is_refused(owner: Owner, other: dict[str, Any]) -> None:
    """Another user's, or with another sort or other filters."""
    cursor = make_cursor(OWNER, query("title"), Position("A task", TASK))

    with pytest.raises(InvalidCursor):
        read_cursor(owner, query(**{"sort": "title", **other}), cursor)


def test_cursor_that_is_cut_or_altered_anywhere_is_refused() -> None:
    """No letter of it can be spared, none can be another, and none can be added."""
    cursor = make_cursor(OWNER, query("title"), Position("A task", TASK))
    cut = [cursor[:at] + cursor[at + count :] for at in range(len(cursor)) for count in (1, 4, len(cursor))]
    altered = [cursor[:at] + ("B" if letter == "A" else "A") + cursor[at + 1 :] for at, letter in enumerate(cursor)]
    longer = [cursor + more for more in ("=", "==", "A", "AAAA", " ", "\u00e9")]

    for damaged in cut + altered + longer:
        with pytest.raises(InvalidCursor):
            read_cursor(OWNER, query("title"), damaged)


def test_forged_place_that_can_be_is_read() -> None:
    """It is a place in the caller's own list; and this is how one is forged."""
    assert read_cursor(OWNER, query("title"), forge_cursor(OWNER, query("title"), f'["A task","{TASK}"]')) == Position(
        "A task", TASK
    )


@pytest.mark.parametrize(
    "place",
    [
        "",
        "null",
        '["A task"]',
        f'["A task","{TASK}",1]',
        f'[null,"{TASK}"]',
        f'["\\u0000","{TASK}"]',
        f'["\\ud800","{TASK}"]',
        '["A task","x"]',
        f'["A task", "{TASK}"]',
        f'["A\\u0020task","{TASK}"]',
        f'["A task","{str(TASK).upper()}"]',
    ],
)
def test_forged_place_that_cannot_be_is_refused(place: str) -> None:
    """A value that no task can have, and one that is spelt in another way than here."""
    with pytest.raises(InvalidCursor):
        read_cursor(OWNER, query("title"), forge_cursor(OWNER, query("title"), place))


# Positions in a feed of changes

POSITION = FeedPosition("0123456789abcdef", TIME, TIME, TIME, TASK)
FEED_CURSOR = (
    "39n1rHvJL5RboJZhWyIwMTIzNDU2Nzg5YWJjZGVmIiwiMjAzMC0wMS0zMVQwOTozMDowMC4wMDAwMDFaIiwiMjAzMC0wMS0zMVQwOTozMDo"
    "wMC4wMDAwMDFaIiwiMjAzMC0wMS0zMVQwOTozMDowMC4wMDAwMDFaIiwiMDE5MGY1ZmUtN2MwMC03YTNlLTgwMDAtMDAwMDAwMDAwMDAxIl0"
)


@pytest.mark.parametrize("position", [POSITION, POSITION._replace(began=None), POSITION._replace(at=None)])
def test_feed_cursor_is_read_as_it_was_written(position: FeedPosition) -> None:
    """Also of a user who has never written."""
    assert read_feed_cursor(OWNER, make_feed_cursor(OWNER, position)) == position


def test_feed_cursor_of_an_earlier_version_is_still_read() -> None:
    """A client keeps it for months."""
    assert read_feed_cursor(OWNER, FEED_CURSOR) == POSITION


def test_feed_cursor_of_another_is_refused() -> None:
    """Another user's, and the cursor of a list."""
    for cursor in (make_feed_cursor(Owner("bob"), POSITION), make_cursor(OWNER, query("title"), Position("A", TASK))):
        with pytest.raises(InvalidCursor):
            read_feed_cursor(OWNER, cursor)


def test_feed_cursor_that_is_cut_or_altered_anywhere_is_refused() -> None:
    """As that of a list is."""
    cursor = make_feed_cursor(OWNER, POSITION)
    cut = [cursor[:at] + cursor[at + count :] for at in range(len(cursor)) for count in (1, 4, len(cursor))]
    altered = [cursor[:at] + ("B" if letter == "A" else "A") + cursor[at + 1 :] for at, letter in enumerate(cursor)]
    longer = [cursor + more for more in ("=", "==", "A", "AAAA", " ", "\u00e9")]

    for damaged in cut + altered + longer:
        with pytest.raises(InvalidCursor):
            read_feed_cursor(OWNER, damaged)


def forge_feed_cursor(place: str) -> str:
    """A cursor with the right checksum for the owner's feed, of a place in the forger's own JSON."""
    checksum = blake2b(f"{OWNER}\nchanges\n{place}".encode(), digest_size=12).digest()
    return urlsafe_b64encode(checksum + place.encode()).rstrip(b"=").decode()


def test_forged_place_of_a_feed_that_can_be_is_read() -> None:
    """It is a place in the caller's own feed; and this is how one is forged."""
    place = f'["g","{TIME_TEXT}",null,null,"{TASK}"]'

    assert read_feed_cursor(OWNER, forge_feed_cursor(place)) == FeedPosition("g", TIME, None, None, TASK)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "null",
        "{}",
        f'["g","{TIME_TEXT}",null,null]',
        f'["g","{TIME_TEXT}",null,null,"{TASK}",1]',
        f'["g",null,null,null,"{TASK}"]',
        f'[1,"{TIME_TEXT}",null,null,"{TASK}"]',
        f'["g","2030-01-31T09:30:00",null,null,"{TASK}"]',
        f'["g",1,null,null,"{TASK}"]',
        f'["g","{TIME_TEXT}",null,null,"x"]',
        f'["g", "{TIME_TEXT}",null,null,"{TASK}"]',
        f'["g","{TIME_TEXT}",null,null,"{str(TASK).upper()}"]',
    ],
)
def test_forged_place_of_a_feed_that_cannot_be_is_refused(place: str) -> None:
    """A value that no position has, and one that is spelt in another way than here."""
    with pytest.raises(InvalidCursor):
        read_feed_cursor(OWNER, forge_feed_cursor(place))
