"""Lists: whatever is asked for, following `Link` gives what a plain model gives, in its order, each task once."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.test_problems import assert_problem
from tests.api.test_tasks import add
from tests.support import forge_cursor

from todo.api.cursors import make_cursor
from todo.models.fields import Owner
from todo.models.queries import PAGE_BYTES, TASK_BYTES, Position, TaskQuery

Json = dict[str, Any]

KEYS = ["created_at", "updated_at", "title", "due_at", "priority", "order"]
SORTS = [sign + key for key in KEYS for sign in ("", "-")]
FIRST, SECOND = "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000001Z"
TIMES = ["0001-01-01T00:00:00Z", FIRST, SECOND, "9999-12-31T23:59:59.999999Z"]
# In these letters Python and PostgreSQL agree on what is lower case.
TEXTS = st.text("aAbB\u00e9\u00c9\u0434\u0414%_\\ ", max_size=3)
MEMBERS = {
    "title": st.one_of(st.sampled_from(["a", "A", "b", "\u00c9"]), TEXTS.map(lambda text: f"x{text}x")),
    "description": st.none() | TEXTS,
    "completed": st.booleans(),
    "due_at": st.none() | st.sampled_from(TIMES),
    "priority": st.sampled_from([None, "low", "medium", "high"]),
    "tags": st.lists(st.sampled_from(["a", "A", "b"]), max_size=3, unique=True),
    "order": st.none() | st.integers(-1, 1),
}
TASKS = st.lists(st.fixed_dictionaries(MEMBERS), min_size=4, max_size=9)
CLOCKS = st.lists(st.sampled_from(TIMES[1:]), min_size=9, max_size=9)
ORDERS = {"sort": st.sampled_from(SORTS), "limit": st.integers(1, 4)}
FILTERS = {
    "status": st.sampled_from(["all", "pending", "completed"]),
    "q": TEXTS,
    "tag": st.lists(st.sampled_from(["a", "A", "b"]), max_size=2),
    "priority": st.lists(st.sampled_from(["low", "medium", "high"]), max_size=2),
    "due_before": st.sampled_from(TIMES),
    "due_after": st.sampled_from(TIMES),
}
QUERIES = st.fixed_dictionaries(ORDERS) | st.fixed_dictionaries(ORDERS, optional=FILTERS)
INTERLUDES = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "edit"]), st.integers(0, 8), st.fixed_dictionaries(MEMBERS)),
    max_size=6,
)
LONGEST = 24  # bytes that the texts of a task of these have at most
thoroughly = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def filter_tasks(tasks: Sequence[Json], query: Json) -> Iterator[Json]:
    """The tasks that a query asks for."""
    wanted = query.get("q", "").lower()
    for task in tasks:
        texts = [task["title"], task["description"] or ""]
        if (
            query.get("status", "all") in {"all", "completed" if task["completed"] else "pending"}
            and any(wanted in text.lower() for text in texts)
            and set(query.get("tag", [])) <= set(task["tags"])
            and (not query.get("priority") or task["priority"] in query["priority"])
            and ("due_before" not in query or (task["due_at"] and read(task["due_at"]) < read(query["due_before"])))
            and ("due_after" not in query or (task["due_at"] and read(task["due_at"]) >= read(query["due_after"])))
        ):
            yield task


def sort_tasks(tasks: Sequence[Json], sort: str) -> list[Json]:
    """The tasks in order, those without a value at the end, ties in the order of their ids."""
    key, is_descending = sort.removeprefix("-"), sort.startswith("-")

    def rank(task: Json) -> tuple[Any, UUID]:
        value = task[key]
        if key.endswith("_at"):
            value = read(value)
        elif key == "title":
            value = value.lower()
        elif key == "priority":
            value = ["low", "medium", "high"].index(value)
        return value, UUID(task["id"])

    valued = sorted((task for task in tasks if task[key] is not None), key=rank, reverse=is_descending)
    others = sorted((task for task in tasks if task[key] is None), key=lambda task: task["id"], reverse=is_descending)
    return valued + others


def read(timestamp: str) -> datetime:
    """A timestamp as the API writes it."""
    return datetime.fromisoformat(timestamp)


async def fill(
    client: httpx2.AsyncClient, tasks_url: str, database_url: str, tasks: list[Json], clocks: list[str]
) -> list[Json]:
    """Create tasks, set their clocks by hand so that some are equal, and return them as they are read."""
    urls = [str((await add(client, tasks_url, **task))["url"]) for task in tasks]
    with psycopg.connect(database_url) as connection:
        for url, created_at, updated_at in zip(urls, clocks, clocks[::-1], strict=False):
            connection.execute(
                "UPDATE tasks SET created_at = %s, updated_at = %s WHERE id = %s", (created_at, updated_at, url[-36:])
            )
    return [(await client.get(url)).json() for url in urls]


def find_next(response: httpx2.Response) -> str | None:
    """The address of the next page."""
    match = re.fullmatch(r'<(http://[^<>"\s]+)>; rel="next"', response.headers.get("Link", ""))
    assert match or "Link" not in response.headers
    return match and match[1]


def count_bytes(task: Json) -> int:
    """The bytes of a task's texts."""
    return len("".join([task["title"], task["description"] or "", *task["tags"]]).encode())


def is_full(page: list[Json], limit: int, page_bytes: int) -> bool:
    """Whether a page has as many tasks as were asked for, or may have not one more for the length of their texts."""
    return len(page) == limit or (len(page) > 0 and sum(map(count_bytes, page)) >= page_bytes - LONGEST)


async def walk(
    client: httpx2.AsyncClient,
    tasks_url: str,
    query: Json,
    interlude: Callable[[], Awaitable[None]] | None = None,
    page_bytes: int = PAGE_BYTES,
) -> list[Json]:
    """Follow `Link` to the end."""
    found: list[Json] = []
    response = await client.get(tasks_url, params=query)
    for pages in count():
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page) <= query.get("limit", 1000)
        found += page
        if (url := find_next(response)) is None:
            return found
        assert is_full(page, query["limit"], page_bytes), "a page that is not the last is full"
        assert pages < 50
        if interlude:
            await interlude()
        response = await client.get(url)
    raise AssertionError


# Two of everything that can tie or be missing.
SAMPLE: list[Json] = [
    {"title": title, "due_at": due_at, "priority": priority, "order": order}
    for title, due_at, priority, order in [
        ("b", None, "high", 1),
        ("B", FIRST, None, None),
        ("A", SECOND, "low", 0),
        ("a", FIRST, "medium", -1),
        ("\u00e9", None, None, 0),
        ("\u00c9", TIMES[0], "high", None),
        ("Z", TIMES[3], "low", -1),
    ]
]


@pytest.mark.parametrize("sort", SORTS)
async def test_every_order_is_total(client: httpx2.AsyncClient, database_url: str, tasks_url: str, sort: str) -> None:
    """Row 57: ties and tasks without a value have their place, on pages of any length."""
    stored = await fill(client, tasks_url, database_url, SAMPLE, [FIRST, SECOND, FIRST, FIRST, SECOND, FIRST, SECOND])

    for limit in range(1, len(SAMPLE) + 2):
        assert await walk(client, tasks_url, {"sort": sort, "limit": limit}) == sort_tasks(stored, sort)


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({"due_before": FIRST}, {"past"}),
        ({"due_after": FIRST}, {"now", "later"}),
        ({"due_after": FIRST, "due_before": SECOND}, {"now"}),
        ({"due_after": "2030-01-01T01:00:00+01:00", "due_before": "2029-12-31T23:00:01-01:00"}, {"now", "later"}),
        ({"status": "pending"}, {"now", "later", "never"}),
        ({"status": "completed"}, {"past"}),
        ({"tag": "a"}, {"now", "later"}),
        ({"tag": ["a", "b"]}, {"now"}),
        ({"tag": " a "}, {"now", "later"}),
        ({"tag": "A"}, set()),
        ({"priority": "low"}, {"past"}),
        ({"priority": ["low", "high"]}, {"past", "now"}),
    ],
)
async def test_filter_finds_what_it_says(
    client: httpx2.AsyncClient, tasks_url: str, query: dict[str, str], titles: set[str]
) -> None:
    """`due_after` is inclusive and `due_before` is not; all tags must match, and any priority."""
    await add(client, tasks_url, title="past", due_at="2029-12-31T23:59:59Z", completed=True, priority="low")
    await add(client, tasks_url, title="now", due_at=FIRST, tags=["a", "b"], priority="high")
    await add(client, tasks_url, title="later", due_at=SECOND, tags=["a"])
    await add(client, tasks_url, title="never")

    response = await client.get(tasks_url, params=query)

    assert {task["title"] for task in response.json()} == titles


@given(tasks=TASKS, clocks=CLOCKS, query=QUERIES)
@thoroughly
async def test_any_list_is_what_a_plain_model_says(
    client: httpx2.AsyncClient, database_url: str, tasks: list[Json], clocks: list[str], query: Json
) -> None:
    """For any tasks, filters, sort and limit; rows 53, 56 and 57."""
    tasks_url = f"/api/{uuid4()}/tasks"
    stored = await fill(client, tasks_url, database_url, tasks, clocks)

    found = await walk(client, tasks_url, query)

    assert found == sort_tasks(list(filter_tasks(stored, query)), query["sort"])


@given(tasks=TASKS, clocks=CLOCKS, query=QUERIES, page_bytes=st.integers(LONGEST + 1, 3 * LONGEST))
@thoroughly
async def test_any_list_whose_pages_are_cut_is_what_a_plain_model_says(
    client: httpx2.AsyncClient,
    database_url: str,
    tasks: list[Json],
    clocks: list[str],
    query: Json,
    page_bytes: int,
) -> None:
    """Where the texts of a page would be too long, it has fewer tasks, at least one, and `Link` leads to the rest."""
    tasks_url = f"/api/{uuid4()}/tasks"
    stored = await fill(client, tasks_url, database_url, tasks, clocks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("todo.database.store.PAGE_BYTES", page_bytes)
        found = await walk(client, tasks_url, query, page_bytes=page_bytes)

    assert found == sort_tasks(list(filter_tasks(stored, query)), query["sort"])


LARGE = """
    INSERT INTO tasks (user_id, id, title, description, completed, tags)
    SELECT %s, gen_random_uuid(), repeat(%s, 255), repeat(%s, 8192), false, array_fill(repeat(%s, 50), ARRAY[20])
    FROM generate_series(1, %s)
"""


# What takes the most bytes in the database, and the most in JSON for each of them.
@pytest.mark.parametrize("character", ["\U0001f600", "\x7f", "\x02"])
async def test_page_of_the_largest_tasks_is_bounded(
    client: httpx2.AsyncClient, database_url: str, tasks_url: str, owner: Owner, character: str
) -> None:
    """Its texts have less than PAGE_BYTES, its JSON is as docs/api.md says, and following `Link` finds every task."""
    with psycopg.connect(database_url) as connection:
        connection.execute(LARGE, (owner, *[character] * 3, 150))
    found: set[str] = set()
    url: str | None = tasks_url

    while url:
        response = await client.get(url)
        page = response.json()
        assert 0 < sum(map(count_bytes, page)) < PAGE_BYTES
        assert len(response.content) < 8 * 1024 * 1024
        assert found.isdisjoint(task["id"] for task in page)
        found |= {task["id"] for task in page}
        url = find_next(response)

    assert len(found) == 150


@pytest.mark.parametrize(("limit", "is_bounded"), [(26, True), (27, False)])
def test_page_that_cannot_be_too_long_is_not_measured(limit: int, *, is_bounded: bool) -> None:
    """So many of the largest tasks, and the one that says that there is more, have less than PAGE_BYTES."""
    assert ((limit + 1) * TASK_BYTES < PAGE_BYTES) is is_bounded


@given(tasks=TASKS, clocks=CLOCKS, query=QUERIES, interludes=INTERLUDES)
@thoroughly
async def test_changes_between_the_pages_move_no_other_task(
    client: httpx2.AsyncClient,
    database_url: str,
    tasks: list[Json],
    clocks: list[str],
    query: Json,
    interludes: list[tuple[str, int, Json]],
) -> None:
    """Row 56: what is there and unchanged throughout is found once, in its order, whatever happens beside it."""
    tasks_url = f"/api/{uuid4()}/tasks"
    stored = await fill(client, tasks_url, database_url, tasks, clocks)
    changed: set[str] = set()
    steps = iter(interludes)

    async def interfere() -> None:
        match next(steps, None):
            case "insert", _, members:
                await add(client, tasks_url, **members)
            case "delete", index, _ if index < len(stored):
                changed.add(stored[index]["id"])
                await client.delete(stored[index]["url"])
            case "edit", index, members if index < len(stored):
                changed.add(stored[index]["id"])
                await client.patch(stored[index]["url"], json=members)

    found = await walk(client, tasks_url, query, interfere)

    known = {task["id"] for task in stored} - changed
    stable = [task for task in stored if task["id"] in known]
    assert [task for task in found if task["id"] in known] == sort_tasks(
        list(filter_tasks(stable, query)), query["sort"]
    )


@pytest.mark.parametrize(
    ("text", "q", "is_found"),
    [
        ("Buy Milk", "mILK", True),
        ("Buy Milk", "y m", True),
        ("Buy Milk", "milky", False),
        ("\u00c9t\u00e9", "\u00e9T\u00c9", True),
        ("\u00c9t\u00e9", "ete", False),
        ("\u0417\u0430\u0434\u0430\u0447\u0430", "\u0437\u0410\u0414", True),
        ("100 %", "%", True),
        ("100", "%", False),
        ("a_b", "A_B", True),
        ("a-b", "a_b", False),
        ("a\\b", "\\B", True),
        ("ab", "\\", False),
        ("\U0001f468\u200d\U0001f469", "\U0001f469", True),
        ("a + b&c", "+ b&", True),
    ],
)
@pytest.mark.parametrize("member", ["title", "description"])
async def test_search_is_literal_and_knows_no_case(
    client: httpx2.AsyncClient, tasks_url: str, member: str, text: str, q: str, *, is_found: bool
) -> None:
    """Part of the title or of the description, accents kept apart, and no character means more than itself."""
    task = await add(client, tasks_url, **{member: text})

    found = (await client.get(tasks_url, params={"q": q})).json()

    assert found == ([task] if is_found else [])


async def test_without_parameters_the_newest_come_first(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """All of them, and no `Link`."""
    tasks = [await add(client, tasks_url, title=f"Task {number}") for number in range(3)]

    response = await client.get(tasks_url)

    assert response.json() == tasks[::-1]
    assert "Link" not in response.headers


async def test_link_keeps_what_was_asked_for(client: httpx2.AsyncClient, owner: str) -> None:
    """It is absolute, and differs from the request in its cursor alone."""
    tasks_url = f"/api/{owner}%7C@x/tasks"
    for _ in range(3):
        await add(client, tasks_url, tags=["a b", "\u00e9&"], priority="low")
    query = {"tag": ["a b", "\u00e9&"], "priority": ["low", "high"], "sort": "title", "limit": "1", "q": "task"}

    first = find_next(await client.get(tasks_url, params=query))
    assert first
    second = find_next(await client.get(first))
    assert second

    for url in (first, second):
        assert url.startswith(f"http://localhost{tasks_url}?")
        asked = parse_qs(urlsplit(url).query)
        [cursor] = asked.pop("cursor")
        assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
        assert asked == {name: value if isinstance(value, list) else [value] for name, value in query.items()}


async def test_limit_may_change_between_the_pages(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """A cursor is a place, and any number of tasks follow it."""
    tasks = [await add(client, tasks_url) for _ in range(5)][::-1]
    url = find_next(await client.get(tasks_url, params={"limit": 2}))
    assert url

    response = await client.get(url.replace("limit=2", "limit=1000"))

    assert response.json() == tasks[2:]
    assert "Link" not in response.headers


@pytest.fixture
async def cursor(client: httpx2.AsyncClient, tasks_url: str) -> str:
    """A cursor of the owner's list."""
    for _ in range(3):
        await add(client, tasks_url, tags=["a"], priority="low", due_at=FIRST)
    url = find_next(await client.get(tasks_url, params={"limit": 1}))
    assert url
    return parse_qs(urlsplit(url).query)["cursor"][0]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "canary", id="another word"),
        pytest.param(lambda _: "\u00e9", id="not ASCII"),
        pytest.param(lambda cursor: cursor + "=", id="padded"),
        pytest.param(lambda cursor: cursor + "A", id="longer"),
        pytest.param(lambda cursor: " " + cursor, id="with a space"),
        pytest.param(lambda cursor: cursor + cursor, id="twice"),
        pytest.param(lambda _: "A" * 20_000, id="long"),
    ],
)
async def test_odd_cursor_is_400(
    client: httpx2.AsyncClient, tasks_url: str, cursor: str, damage: Callable[[str], str]
) -> None:
    """Row 55."""
    assert_problem(await client.get(tasks_url, params={"cursor": damage(cursor)}), 400, "invalid-cursor")


async def test_cursor_that_is_cut_or_altered_anywhere_is_400(
    client: httpx2.AsyncClient, tasks_url: str, cursor: str
) -> None:
    """Row 55: no letter of it can be spared, and none can be another."""
    cut = [cursor[:length] for length in range(len(cursor))]
    altered = [cursor[:at] + ("B" if letter == "A" else "A") + cursor[at + 1 :] for at, letter in enumerate(cursor)]
    for damaged in cut + altered:
        assert_problem(await client.get(tasks_url, params={"cursor": damaged}), 400, "invalid-cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "created_at"},
        {"sort": "-updated_at"},
        {"status": "pending"},
        {"q": "a"},
        {"tag": "a"},
        {"priority": "low"},
        {"due_before": SECOND},
        {"due_after": FIRST},
    ],
)
async def test_cursor_of_another_list_is_400(
    client: httpx2.AsyncClient, tasks_url: str, cursor: str, query: dict[str, str]
) -> None:
    """Row 55: of the same user, with another sort or other filters."""
    assert_problem(await client.get(tasks_url, params={**query, "cursor": cursor}), 400, "invalid-cursor")


async def test_cursor_of_another_user_is_400(client: httpx2.AsyncClient, cursor: str) -> None:
    """Row 55: it tells nobody else anything."""
    assert_problem(await client.get(f"/api/{uuid4()}/tasks", params={"cursor": cursor}), 400, "invalid-cursor")


FORGED = [
    ("created_at", datetime(1, 1, 1, tzinfo=UTC)),
    ("title", ""),
    ("title", "\U0010ffff"),
    ("due_at", datetime.max.replace(tzinfo=UTC)),
    ("due_at", None),
    ("priority", "low"),
    ("order", -(2**31)),
    ("order", None),
]


@pytest.mark.parametrize(("sort", "value"), [(sign + key, value) for key, value in FORGED for sign in ("", "-")])
@pytest.mark.parametrize("number", [0, 2**128 - 1])
async def test_forged_cursor_reaches_its_own_list_alone(
    client: httpx2.AsyncClient, owner: Owner, tasks_url: str, cursor: str, sort: str, value: object, number: int
) -> None:
    """Row 55: with the right checksum it is a place in the caller's own list, at worst an odd one."""
    assert cursor
    await add(client, f"/api/{uuid4()}/tasks")
    query = TaskQuery.model_validate({"sort": sort})
    forged = make_cursor(owner, query, Position(value, UUID(int=number)))

    response = await client.get(tasks_url, params={"sort": sort, "cursor": forged})

    assert response.status_code == 200
    assert {task["user_id"] for task in response.json()} <= {owner}


@pytest.mark.parametrize(
    ("sort", "place"),
    [
        ("title", '["\\u0000","{id}"]'),
        ("title", '["\\ud800","{id}"]'),
        ("title", '[null,"{id}"]'),
        ("created_at", '[null,"{id}"]'),
        ("created_at", '["soon","{id}"]'),
        ("created_at", '[1e400,"{id}"]'),
        ("due_at", '["9999-12-31T23:59:59","{id}"]'),
        ("order", '[2147483648,"{id}"]'),
        ("priority", '["urgent","{id}"]'),
        ("order", '[1,"x"]'),
        ("order", "[1]"),
        ("order", "{{}}"),
    ],
)
async def test_forged_place_that_cannot_be_is_400(
    client: httpx2.AsyncClient, owner: Owner, tasks_url: str, sort: str, place: str
) -> None:
    """Row 55: a value that no task can have reaches no statement."""
    forged = forge_cursor(owner, TaskQuery.model_validate({"sort": sort}), place.format(id=UUID(int=0)))

    response = await client.get(tasks_url, params={"sort": sort, "cursor": forged})

    assert_problem(response, 400, "invalid-cursor")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "-1", "1001", "9" * 5000, "1.0", "+1", " 1", "1_0", "\u0661", "x", "")),
        ("status", "done"),
        ("status", ""),
        ("q", "a\x00"),
        ("q", "a" * 256),
        ("tag", ""),
        ("tag", "a" * 51),
        ("priority", "urgent"),
        ("priority", "HIGH"),
        ("due_before", "2030-01-01"),
        ("due_before", "2030-01-01T00:00:00"),
        ("due_after", "2030-01-01T00:00:00 02:00"),
        ("due_after", "tomorrow"),
        ("sort", "id"),
        ("sort", "+title"),
        ("sort", "--title"),
        ("sort", "title,due_at"),
    ],
)
async def test_bad_value_of_a_parameter_is_422_naming_it(
    client: httpx2.AsyncClient, tasks_url: str, name: str, value: str
) -> None:
    """Row 54, and what else a list may be asked in vain."""
    problem = assert_problem(await client.get(tasks_url, params={name: value}), 422, "invalid-input")

    assert [error["parameter"] for error in problem["errors"]] == [name]


@pytest.mark.parametrize("name", ["status", "q", "due_before", "due_after", "sort", "limit", "cursor"])
async def test_parameter_with_one_meaning_is_not_repeated(
    client: httpx2.AsyncClient, tasks_url: str, name: str
) -> None:
    """Row 44: only `tag` and `priority` may be."""
    problem = assert_problem(await client.get(f"{tasks_url}?{name}=1&{name}=1"), 422, "invalid-input")

    assert problem["errors"] == [{"parameter": name, "detail": "must not be repeated"}]


async def test_query_that_is_no_text_is_400(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """It is not searched for with something else in its place."""
    assert_problem(await client.get(f"{tasks_url}?q=%FF"), 400, "malformed-request")


async def test_forgotten_empty_search_is_no_search(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """As an empty search box sends it."""
    task = await add(client, tasks_url)

    assert (await client.get(tasks_url, params={"q": ""})).json() == [task]
