"""Many tasks in one request: those that a list with the same filters has, and a status has to be said."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.test_lists import FILTERS, ORDERS, TASKS, Json, thoroughly
from tests.api.test_problems import assert_problem
from tests.api.test_tasks import add

SAMPLE = {"open": False, "also open": False, "done": True}


async def fill(client: httpx2.AsyncClient, tasks_url: str) -> dict[str, Any]:
    """Create two pending tasks and a completed one, and return them by title."""
    return {title: await add(client, tasks_url, title=title, completed=done) for title, done in SAMPLE.items()}


async def read(client: httpx2.AsyncClient, tasks_url: str) -> dict[str, Any]:
    """The tasks as they are now, by title."""
    return {task["title"]: task for task in (await client.get(tasks_url)).json()}


@pytest.mark.parametrize(
    ("status", "completed", "changed"),
    [
        ("all", True, {"open", "also open"}),
        ("all", False, {"done"}),
        ("pending", True, {"open", "also open"}),
        ("pending", False, set()),
        ("completed", True, set()),
        ("completed", False, {"done"}),
    ],
)
async def test_completion_of_many_changes_those_that_differ(
    client: httpx2.AsyncClient, tasks_url: str, status: str, changed: set[str], *, completed: bool
) -> None:
    """Each as if it were the only one, and no other; the answer counts those that have changed."""
    before = await fill(client, tasks_url)

    response = await client.patch(f"{tasks_url}?status={status}", json={"completed": completed})

    after = await read(client, tasks_url)
    assert (response.status_code, response.json()) == (200, {"updated": len(changed)})
    for title, task in after.items():
        if title not in changed:
            assert task == before[title]
            continue
        assert (task["completed"], task["version"]) == (completed, 2)
        assert (task["completed_at"] is not None) is completed
        assert task["updated_at"] > before[title]["updated_at"]


@pytest.mark.parametrize(
    ("status", "left"), [("all", set()), ("pending", {"done"}), ("completed", {"open", "also open"})]
)
async def test_deletion_of_many_leaves_the_others(
    client: httpx2.AsyncClient, tasks_url: str, status: str, left: set[str]
) -> None:
    """Those of the status are gone, and counted."""
    before = await fill(client, tasks_url)

    response = await client.delete(f"{tasks_url}?status={status}")

    assert (response.status_code, response.json()) == (200, {"deleted": len(SAMPLE) - len(left)})
    assert await read(client, tasks_url) == {title: before[title] for title in left}


async def test_where_there_is_none_the_count_is_zero(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """An empty list is no error, and doing it again changes nothing."""
    assert (await client.delete(f"{tasks_url}?status=all")).json() == {"deleted": 0}
    assert (await client.patch(f"{tasks_url}?status=all", json={"completed": True})).json() == {"updated": 0}


async def test_other_users_keep_their_tasks(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """All means all of one user's."""
    before = await fill(client, tasks_url)
    stranger = f"/api/{uuid4()}/tasks"

    assert (await client.patch(f"{stranger}?status=all", json={"completed": True})).json() == {"updated": 0}
    assert (await client.delete(f"{stranger}?status=all")).json() == {"deleted": 0}

    assert await read(client, tasks_url) == before


@pytest.mark.parametrize(
    "query", ["", "?status=", "?status=done", "?status=ALL", "?status=all&status=all", "?q=a&sort=title"]
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_without_a_status_nothing_is_touched(
    client: httpx2.AsyncClient, tasks_url: str, method: str, query: str
) -> None:
    """A client that has lost the id of a task cannot wipe the list."""
    before = await fill(client, tasks_url)

    response = await client.request(method, tasks_url + query, json={"completed": True} if method == "PATCH" else None)

    assert_problem(response, 422, "invalid-input")
    assert await read(client, tasks_url) == before


SELECTIONS = st.fixed_dictionaries(
    {"status": FILTERS["status"]},
    optional={**{name: values for name, values in FILTERS.items() if name != "status"}, "sort": ORDERS["sort"]},
)


@given(tasks=TASKS, query=SELECTIONS, completed=st.booleans())
@thoroughly
async def test_completion_changes_what_a_list_with_its_filters_has(
    client: httpx2.AsyncClient, tasks: list[Json], query: Json, *, completed: bool
) -> None:
    """Whatever the filters: those of the list that differ are changed and counted, and no other is touched."""
    tasks_url = f"/api/{uuid4()}/tasks"
    before = {task["id"]: task for task in [await add(client, tasks_url, **members) for members in tasks]}
    listed = (await client.get(tasks_url, params=query)).json()
    expected = {task["id"] for task in listed if task["completed"] != completed}

    response = await client.patch(tasks_url, params=query, json={"completed": completed})

    after = {task["id"]: task for task in (await client.get(tasks_url)).json()}
    assert (response.status_code, response.json()) == (200, {"updated": len(expected)})
    assert after.keys() == before.keys()
    assert {task_id for task_id in after if after[task_id] != before[task_id]} == expected
    assert all(after[task_id]["completed"] is completed for task_id in expected)


@given(tasks=TASKS, query=SELECTIONS)
@thoroughly
async def test_deletion_deletes_what_a_list_with_its_filters_has(
    client: httpx2.AsyncClient, tasks: list[Json], query: Json
) -> None:
    """Whatever the filters: that list is empty afterwards, and every other task is as it was."""
    tasks_url = f"/api/{uuid4()}/tasks"
    before = [await add(client, tasks_url, **members) for members in tasks]
    listed = (await client.get(tasks_url, params=query)).json()

    response = await client.delete(tasks_url, params=query)

    assert (response.status_code, response.json()) == (200, {"deleted": len(listed)})
    assert (await client.get(tasks_url)).json() == [task for task in before[::-1] if task not in listed]


@pytest.mark.parametrize(
    ("parameter", "detail"),
    [
        ("limit=1", "unknown parameter"),
        ("cursor=abc", "unknown parameter"),
        ("colour=red", "unknown parameter"),
        ("sort=id", None),
        ("priority=urgent", None),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_page_of_a_list_is_no_selection(
    client: httpx2.AsyncClient, tasks_url: str, method: str, parameter: str, detail: str | None
) -> None:
    """Whoever sends `limit` or `cursor` would expect a page to change, and not the list; nothing is touched."""
    before = await fill(client, tasks_url)
    body = {"completed": True} if method == "PATCH" else None

    response = await client.request(method, f"{tasks_url}?status=all&{parameter}", json=body)

    [error] = assert_problem(response, 422, "invalid-input")["errors"]
    assert error["parameter"] == parameter.partition("=")[0]
    assert detail in {None, error["detail"]}
    assert await read(client, tasks_url) == before


async def test_task_is_created_at_the_address_of_any_list(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Whatever its parameters say: a client that knows one address for its list sends them with everything."""
    query = (
        "?status=completed&q=x&tag=a&tag=b&priority=low&due_after=soon&due_before=&sort=id&limit=0&limit=1&cursor=abc"
    )

    created = await client.post(tasks_url + query, json={"title": "A task"})

    assert created.status_code == 201
    assert created.json()["url"].endswith(f"{tasks_url}/{created.json()['id']}")
    assert (await client.get(tasks_url)).json() == [created.json()]


async def test_no_other_parameter_is_ignored(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """What no list takes is refused, and nothing is created."""
    response = await client.post(f"{tasks_url}?q=a&colour=red", json={"title": "A task"})

    problem = assert_problem(response, 422, "invalid-input")
    assert problem["errors"] == [{"parameter": "colour", "detail": "unknown parameter"}]
    assert await read(client, tasks_url) == {}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/completed"),
        ({"completed": None}, "/completed"),
        ({"completed": "true"}, "/completed"),
        ({"completed": True, "title": "The same for all"}, "/title"),
    ],
)
async def test_completion_of_many_takes_nothing_else(
    client: httpx2.AsyncClient, tasks_url: str, body: dict[str, object], pointer: str
) -> None:
    """There is nothing to toggle, and no other member to set."""
    before = await fill(client, tasks_url)

    problem = assert_problem(await client.patch(f"{tasks_url}?status=all", json=body), 422, "invalid-input")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert await read(client, tasks_url) == before


async def test_completion_of_many_needs_a_body(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 30."""
    assert_problem(await client.patch(f"{tasks_url}?status=all"), 422, "invalid-input")
