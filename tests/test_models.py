"""The limits of a task, as the validators keep them and as the database does."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any, TypeAlias, get_type_hints
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pydantic import ValidationError
from sqlalchemy import ARRAY, Text

from tests.support import publish
from todo.api.tasks import write_json
from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.models.fields import (
    BLANK,
    DESCRIPTION_LENGTH,
    IDEMPOTENCY_KEY_LENGTH,
    ORDER_RANGE,
    PRIORITIES,
    TAG_LENGTH,
    TAGS_COUNT,
    TITLE_LENGTH,
    USER_ID_LENGTH,
    Owner,
)
from todo.models.queries import TEXT_LENGTHS, TaskQuery
from todo.models.tables import Task
from todo.models.tasks import SET_BY_SERVICE, TaskCompletion, TaskCreate, TaskPublic, TaskRow, TaskUpdate

ASTRAL = "\U0001f469"
Input: TypeAlias = type[TaskCreate | TaskUpdate]
WRITABLE = set(TaskCreate.model_fields) - {"user_id"}
WITHOUT_WIDTH = "\u180e\u200b\u200c\u200d\u2060\ufeff"

either_input = pytest.mark.parametrize("model", [TaskCreate, TaskUpdate])
blank = pytest.mark.parametrize("character", BLANK, ids=lambda character: f"U+{ord(character):04X}")


def read(model: Input, **members: object) -> Any:  # noqa: ANN401 - a model of either type
    """Read a request body; a new task's title is given where `members` has none."""
    return model.model_validate({"title": "A task"} | members)


def refuse(model: Input, **members: object) -> str:
    """See that a body is refused for its last member alone, and return what is said of it."""
    with pytest.raises(ValidationError) as caught:
        read(model, **members)
    (fault,) = caught.value.errors()
    assert fault["loc"][0] == list(members)[-1]
    return fault["msg"]


# What is blank


def test_blank_is_what_unicode_and_python_call_white_space_and_what_has_no_width() -> None:
    """Nothing that would be trimmed anywhere else is left at the end of a title."""
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}

    assert set(BLANK) == spaces | set(WITHOUT_WIDTH)
    assert len(set(BLANK)) == len(BLANK)


@either_input
@blank
def test_title_and_tags_are_trimmed(model: Input, character: str) -> None:
    """Each blank character goes from both ends, however often it is there, and stays in the middle."""
    text = f"a{character}b"

    task = read(model, title=f"{character}{text}{character * 3}", tags=[f"{character * 2}{text}{character}"])

    assert (task.title, task.tags) == (text, [text])


@either_input
@blank
def test_title_and_tags_are_never_blank(model: Input, character: str) -> None:
    """What is empty after trimming is refused."""
    refuse(model, title=character)
    refuse(model, tags=[f"{character} "])


@either_input
def test_title_and_tags_are_never_empty(model: Input) -> None:
    """Nothing at all is as blank as a space."""
    refuse(model, title="")
    refuse(model, title=BLANK)
    refuse(model, tags=["a", ""])


@either_input
def test_description_is_left_as_it_is(model: Input) -> None:
    """White space may be meant there, and an empty one is not the same as none."""
    assert read(model, description=BLANK).description == BLANK
    assert read(model, description="").description == ""
    assert read(model, description=None).description is None


# Limits


@either_input
@pytest.mark.parametrize(("member", "limit"), [("title", TITLE_LENGTH), ("description", DESCRIPTION_LENGTH)])
def test_length_is_counted_in_code_points(model: Input, member: str, limit: int) -> None:
    """A character outside the basic plane is one, not the two or four units of some encoding."""
    assert getattr(read(model, **{member: ASTRAL * limit}), member) == ASTRAL * limit
    refuse(model, **{member: ASTRAL * (limit + 1)})


@either_input
def test_length_is_counted_after_trimming(model: Input) -> None:
    """What is thrown away takes no room."""
    task = read(model, title=f"  {ASTRAL * TITLE_LENGTH}  ", tags=[f" {ASTRAL * TAG_LENGTH} "])

    assert (task.title, task.tags) == (ASTRAL * TITLE_LENGTH, [ASTRAL * TAG_LENGTH])


@either_input
def test_tags_are_bounded(model: Input) -> None:
    """In number and in length, counted in code points."""
    full = [f"{number:0>2}{ASTRAL * (TAG_LENGTH - 2)}" for number in range(TAGS_COUNT)]

    assert read(model, tags=full).tags == full
    refuse(model, tags=[*full, "one more"])
    refuse(model, tags=[ASTRAL * (TAG_LENGTH + 1)])


@either_input
def test_tags_keep_their_order_and_lose_their_repeats(model: Input) -> None:
    """Tags are compared as they are stored: trimmed, and with their case."""
    assert read(model, tags=["b", "a", " b ", "B", "a"]).tags == ["b", "a", "B"]


@either_input
def test_order_is_a_32_bit_integer(model: Input) -> None:
    """Both ends are in, and the next number is out."""
    lowest, highest = ORDER_RANGE
    assert (lowest, highest) == (-2_147_483_648, 2_147_483_647)

    assert [read(model, order=end).order for end in ORDER_RANGE] == [lowest, highest]
    refuse(model, order=lowest - 1)
    refuse(model, order=highest + 1)


@either_input
@pytest.mark.parametrize("text", ["a\x00b", "\x00", "a\ud800", "\udfff", "\udc00\ud800"])
def test_text_that_cannot_be_stored_is_refused(model: Input, text: str) -> None:
    """NUL and lone surrogates are refused wherever there is text, by a message that does not repeat them."""
    for message in (refuse(model, title=text), refuse(model, description=text), refuse(model, tags=["a", text])):
        assert message.isprintable()


@either_input
@pytest.mark.parametrize(
    "text", ["\U0010ffff", "\ufffe", "\x01\x7f", "\U0001f469\u200d\U0001f680", "e\u0301", "\u05e9"]
)
def test_any_other_text_is_taken_as_it_is(model: Input, text: str) -> None:
    """Nothing is normalised, escaped or dropped."""
    task = read(model, title=text, description=text, tags=[text])

    assert (task.title, task.description, task.tags) == (text, text, [text])


# Types


@either_input
@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("title", [0, 5, True, [], {}, b"bytes", None]),
        ("description", [0, 5, True, [], {}, b"bytes"]),
        ("completed", [0, 1, "yes", "true", 1.0, [], None]),
        ("due_at", [0, 5, 1.5, True, [], {}, datetime(2030, 1, 31, tzinfo=UTC)]),
        ("priority", [0, 1, True, [], "LOW", "", "urgent", " low"]),
        ("tags", [0, "tag", {}, {"a": "b"}, [5], [None], [["a"]], None]),
        ("order", [True, 1.5, "1", [], float("inf")]),
    ],
)
def test_no_other_type_is_coerced(model: Input, member: str, values: list[object]) -> None:
    """A value of the wrong type is an error of the client's that it wants to know of."""
    for value in values:
        refuse(model, **{member: value})


@either_input
@pytest.mark.parametrize("member", ["description", "due_at", "priority", "order"])
def test_null_is_a_value_where_there_may_be_none(model: Input, member: str) -> None:
    """It was given, and says that there is none."""
    task = read(model, **{member: None})

    assert getattr(task, member) is None
    assert member in task.model_fields_set


@either_input
@pytest.mark.parametrize("priority", ["low", "medium", "high"])
def test_priority_is_one_of_three(model: Input, priority: str) -> None:
    """They are known by name; their order is that of their ranks."""
    assert read(model, priority=priority).priority == priority
    assert PRIORITIES == ("low", "medium", "high")


def test_new_task_needs_only_a_title() -> None:
    """Everything else has a default, and two tasks do not share their tags."""
    first, second = read(TaskCreate), read(TaskCreate)
    first.tags.append("a")

    assert second.model_dump(include=WRITABLE) == {
        "title": "A task",
        "description": None,
        "completed": False,
        "due_at": None,
        "priority": None,
        "tags": [],
        "order": None,
    }
    with pytest.raises(ValidationError, match="title"):
        TaskCreate.model_validate({"description": "No title"})


def test_change_knows_what_it_was_given() -> None:
    """A member left out is not a member set to null, and none at all is a change too."""
    assert TaskUpdate.model_validate({}).model_fields_set == set()
    assert TaskUpdate.model_validate({"order": None, "id": "x"}).model_fields_set == {"order"}


@pytest.mark.parametrize("completed", [True, False])
def test_completion_takes_one_boolean_or_none(*, completed: bool) -> None:
    """It says what to set, or leaves it to be toggled."""
    assert TaskCompletion.model_validate({"completed": completed}).completed is completed
    assert TaskCompletion.model_validate({}).model_fields_set == set()


@pytest.mark.parametrize(
    "body", [{"completed": 1}, {"completed": None}, {"completed": "true"}, {"done": True}, [], "completed", None]
)
def test_completion_takes_nothing_else(body: object) -> None:
    """It is too short to be guessed at."""
    with pytest.raises(ValidationError):
        TaskCompletion.model_validate(body)


# Members


@either_input
@pytest.mark.parametrize("member", ["titel", "dueAt", "Title", "idempotency_key", "fingerprint", ""])
def test_unknown_member_is_refused_by_name(model: Input, member: str) -> None:
    """A misspelt member is not lost in silence, and no column is set that has no member."""
    refuse(model, **{member: "x"})


@either_input
def test_members_set_by_the_service_are_dropped(model: Input) -> None:
    """Whatever their value, they are neither read nor refused."""
    forged = dict.fromkeys(SET_BY_SERVICE, object())

    assert read(model, **forged) == read(model)
    assert set(SET_BY_SERVICE) == set(TaskPublic.model_fields) - WRITABLE - {"user_id"}


@either_input
@pytest.mark.parametrize("body", [None, [], "title", 5, [["title", "A task"]]])
def test_body_is_an_object(model: Input, body: object) -> None:
    """No other JSON is a task."""
    with pytest.raises(ValidationError):
        model.model_validate(body)


# Timestamps


@either_input
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31T09:30:00Z", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31t09:30:00z", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31T09:30:00-00:00", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31T00:30:00+05:45", datetime(2030, 1, 30, 18, 45, tzinfo=UTC)),
        ("2030-01-31T00:00:00-23:59", datetime(2030, 1, 31, 23, 59, tzinfo=UTC)),
        ("2030-01-31T00:00:00+23:59", datetime(2030, 1, 30, 0, 1, tzinfo=UTC)),
        ("2030-01-31T23:59:59.5Z", datetime(2030, 1, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        ("2030-01-31T09:30:00.123456Z", datetime(2030, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2030-01-31T09:30:00.123456789Z", datetime(2030, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2032-02-29T00:00:00Z", datetime(2032, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00-23:59", datetime(1, 1, 1, 23, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime.max.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59+00:01", datetime(9999, 12, 31, 23, 58, 59, tzinfo=UTC)),
    ],
)
def test_timestamp_is_read_as_rfc_3339_says(model: Input, text: str, moment: datetime) -> None:
    """Any offset is one moment in UTC; what is finer than a microsecond is cut off."""
    due_at = read(model, due_at=text).due_at

    assert due_at == moment
    assert due_at.tzinfo is UTC


@either_input
@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2031-01-31",
        "2031-01-31T09:30:00",
        "2031-01-31T09:30Z",
        "2031-01-31T09Z",
        "2031-01-31 09:30:00Z",
        " 2031-01-31T09:30:00Z",
        "2031-01-31T09:30:00Z\n",
        "20310131T093000Z",
        "2031-W05-4T09:30:00Z",
        "31-01-31T09:30:00Z",
        "12031-01-31T09:30:00Z",
        "2031-1-31T09:30:00Z",
        "2031-13-01T09:30:00Z",
        "2031-02-29T09:30:00Z",
        "2031-00-10T09:30:00Z",
        "2031-01-31T24:00:00Z",
        "2031-01-31T09:60:00Z",
        "2031-01-31T09:30:61Z",
        "2031-01-31T09:30:00,5Z",
        "2031-01-31T09:30:00.Z",
        "2031-01-31T09:30:00.1234567890Z",
        "2031-01-31T09:30:00+24:00",
        "2031-01-31T09:30:00+02:60",
        "2031-01-31T09:30:00+0200",
        "2031-01-31T09:30:00+02",
        "2031-01-31T09:30:00+02:00:30",
        "2031-01-31T09:30:00\u221202:00",
        "2031-01-31T09:30:00 UTC",
        "\u0662\u0660\u0663\u0660-01-31T09:30:00Z",
        "1893490200",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "infinity",
    ],
)
def test_anything_else_is_no_timestamp(model: Input, text: str) -> None:
    """Without a time or an offset, in another format, or out of range; the message does not repeat it."""
    message = refuse(model, due_at=text)

    assert not text or text not in message
    assert "isoformat" not in message


@given(
    moment=st.datetimes(),
    offset=st.integers(-(23 * 60 + 59), 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
@settings(deadline=None, max_examples=200)
def test_timestamp_is_taken_exactly_when_its_moment_is_in_range(moment: datetime, offset: timezone) -> None:
    """The bounds hold in UTC, whatever the offset it was written with."""
    written = moment.replace(tzinfo=offset)
    try:
        expected = written.astimezone(UTC)
    except OverflowError:
        refuse(TaskCreate, due_at=written.isoformat(timespec="microseconds"))
    else:
        assert read(TaskCreate, due_at=written.isoformat(timespec="microseconds")).due_at == expected


# The database


def insert(connection: psycopg.Connection, **columns: object) -> None:
    """Insert a row that is right but for `columns`, and take it back."""
    row = {"user_id": "u", "id": uuid4(), "title": "A task", "completed": False, "tags": []} | columns
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(sql.SQL("%s") for _ in row)
    with connection.transaction(force_rollback=True):
        statement = sql.SQL("INSERT INTO tasks ({}) VALUES ({})").format(names, values)
        connection.execute(statement, list(row.values()))


def each(column: str, *values: object) -> list[dict[str, object]]:
    """Make a row of each value of one column."""
    return [{column: value} for value in values]


VIOLATIONS: dict[str, list[dict[str, object]]] = {
    "user_id": each("user_id", "", "u" * (USER_ID_LENGTH + 1), "a/b", "a b", "a\n", "\u00e9", "%41"),
    "title": [
        *each("title", "", ASTRAL * (TITLE_LENGTH + 1), *BLANK),
        *each("title", *(f"{character}a" for character in BLANK)),
        *each("title", *(f"a{character}" for character in BLANK)),
    ],
    "description": each("description", ASTRAL * (DESCRIPTION_LENGTH + 1)),
    "completed_at": [{"completed": True}, {"completed_at": datetime.now(UTC)}],
    "due_at": each(
        "due_at",
        "infinity",
        "-infinity",
        "10000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-00:01",
        "0001-12-31T23:59:59.999999Z BC",
    ),
    "priority": each("priority", -1, 0, len(PRIORITIES) + 1),
    "tags": each("tags", ["a"] * (TAGS_COUNT + 1), ["a", None], ["a" * (TAGS_COUNT * TAG_LENGTH + 1)]),
    "version": each("version", -1, 0),
    "idempotency_key": [
        {"idempotency_key": "", "fingerprint": b"f"},
        {"idempotency_key": "k" * (IDEMPOTENCY_KEY_LENGTH + 1), "fingerprint": b"f"},
        {"idempotency_key": "k"},
    ],
}


@pytest.mark.parametrize(
    ("name", "columns"),
    [(name, columns) for name, violations in VIOLATIONS.items() for columns in violations],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_database_refuses_what_is_past_a_limit(
    connection: psycopg.Connection, name: str, columns: dict[str, object]
) -> None:
    """Whoever writes to the table, the constraint of that name keeps the limit."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        insert(connection, **columns)

    assert caught.value.diag.constraint_name == f"ck_tasks_{name}"


def test_every_constraint_is_seen_to_refuse(connection: psycopg.Connection) -> None:
    """A new CHECK needs a row above that violates it."""
    rows = connection.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'tasks'::regclass AND contype = 'c'")

    assert {name for (name,) in rows} == {f"ck_tasks_{name}" for name in VIOLATIONS}


@pytest.mark.parametrize("column", ["user_id", "id", "title", "completed", "tags"])
def test_database_refuses_a_row_without_what_every_task_has(connection: psycopg.Connection, column: str) -> None:
    """A CHECK lets null pass; the column does not."""
    with pytest.raises(psycopg.errors.NotNullViolation) as caught:
        insert(connection, **{column: None})

    assert caught.value.diag.column_name == column


@pytest.mark.parametrize(
    "columns",
    [
        {"user_id": "u" * USER_ID_LENGTH},
        {"user_id": "Az09._~@|:+=-"},
        {"title": ASTRAL * TITLE_LENGTH},
        {"title": f"a{BLANK}b"},
        {"description": ASTRAL * DESCRIPTION_LENGTH},
        {"description": BLANK},
        {"completed": True, "completed_at": datetime.now(UTC)},
        {"due_at": "0001-01-01T00:00:00Z"},
        {"due_at": "9999-12-31T23:59:59.999999Z"},
        {"priority": 1},
        {"priority": len(PRIORITIES)},
        {"tags": [ASTRAL * TAG_LENGTH] * TAGS_COUNT},
        {"order": ORDER_RANGE[0]},
        {"order": ORDER_RANGE[1]},
        {"version": 1},
        {"idempotency_key": "k" * IDEMPOTENCY_KEY_LENGTH, "fingerprint": b""},
        {"fingerprint": b"f"},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_database_takes_what_is_at_a_limit(connection: psycopg.Connection, columns: dict[str, object]) -> None:
    """No constraint is narrower than the validator that stands before it."""
    insert(connection, **columns)


def test_every_column_is_public_or_kept_for_replays() -> None:
    """A new column is a member too, or stands here."""
    assert set(Task.model_fields) - set(TaskPublic.model_fields) == {"idempotency_key", "fingerprint"}


def test_every_text_of_a_task_is_measured() -> None:
    """A page is bounded by its texts, so one that did not count would make a response of any size."""
    columns = [column for column in Task.metadata.tables["tasks"].columns if column.name in TaskPublic.model_fields]
    texts = {column.name for column in columns if isinstance(column.type, Text | ARRAY)}

    assert texts - {"user_id"} == set(TEXT_LENGTHS)


def test_row_is_a_public_task_member_for_member() -> None:
    """In the order of the response, since a row is built by position."""
    public = [(name, field.annotation) for name, field in TaskPublic.model_fields.items()]

    assert list(get_type_hints(TaskRow).items()) == public


def test_row_is_written_as_a_public_task_is() -> None:
    """To the byte, whatever is in it: fractions of seconds, years before 1000, quotes, separators of lines, emoji."""
    times = [datetime(1, 1, 1), datetime(2030, 1, 31, 9, 30, 0, 1200), datetime(9999, 12, 31, 23, 59, 59, 999999)]  # noqa: DTZ001 - a row's
    texts = ["", "\x01\x7f\b\f\n\r\t", '"\\/</script>', "\u2028\u2029\xa0é", "\U0001f600\ufeff"]
    for due_at, text in product([None, *times], texts):
        row = TaskRow(
            id=uuid4(),
            user_id="a@b",
            title=text,
            description=text,
            completed=True,
            completed_at=due_at,
            due_at=due_at,
            priority="low",
            tags=[text],
            order=-1,
            created_at=times[0],
            updated_at=times[1],
            version=2**62,
            url="http://x/y",
        )
        members: dict[str, Any] = {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in asdict(row).items()
        }

        assert write_json(row).decode() == TaskPublic(**members).model_dump_json()


storable = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")


def visible_text(limit: int) -> st.SearchStrategy[str]:
    """Text that is neither blank nor too long once trimmed, with blanks around and within."""
    blanks = st.text(st.sampled_from(BLANK), max_size=3)
    inner = st.text(storable | st.sampled_from(BLANK), min_size=1, max_size=limit).filter(
        lambda text: text.strip(BLANK)
    )
    return st.builds("{}{}{}".format, blanks, inner, blanks)


@given(
    members=st.fixed_dictionaries(
        {"title": visible_text(TITLE_LENGTH)},
        optional={
            "description": st.none() | st.text(storable),
            "completed": st.booleans(),
            "due_at": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
            "priority": st.none() | st.sampled_from(PRIORITIES),
            "tags": st.lists(visible_text(TAG_LENGTH), max_size=TAGS_COUNT),
            "order": st.none() | st.integers(*ORDER_RANGE),
        },
    )
)
@example(
    members={
        "title": ASTRAL * TITLE_LENGTH,
        "description": ASTRAL * DESCRIPTION_LENGTH,
        "completed": True,
        "due_at": "9999-12-31T23:59:59.999999Z",
        "priority": PRIORITIES[-1],
        "tags": [f"{number:0>2}{ASTRAL * (TAG_LENGTH - 2)}" for number in range(TAGS_COUNT)],
        "order": ORDER_RANGE[1],
    }
)
@example(members={"title": "a", "description": "", "due_at": "0001-01-01T00:00:00Z", "order": ORDER_RANGE[0]})
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
async def test_what_the_validators_take_is_stored_and_read_back(database: Database, members: dict[str, object]) -> None:
    """No constraint refuses what the validators took, and the database changes nothing of it."""
    store = TaskStore(database, Owner(f"user-{uuid4()}"))
    task = TaskCreate.model_validate(members)

    added, _ = await store.add(task)

    assert publish(added).model_dump(include=WRITABLE) == task.model_dump(include=WRITABLE)
    assert await store.get(added.id) == added
    assert (await store.page(TaskQuery())).tasks == [added]
