"""Many tasks in one request: those of a status, which has to be said."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
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


@pytest.mark.parametrize("query", ["", "?status=", "?status=done", "?status=ALL", "?status=all&status=all", "?q=a"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_without_a_status_nothing_is_touched(
    client: httpx2.AsyncClient, tasks_url: str, method: str, query: str
) -> None:
    """A client that has lost the id of a task cannot wipe the list."""
    before = await fill(client, tasks_url)

    response = await client.request(method, tasks_url + query, json={"completed": True} if method == "PATCH" else None)

    assert_problem(response, 422, "invalid-input")
    assert await read(client, tasks_url) == before


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
