"""The six operations, as a client sees them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest

WHOLE_TASK = {
    "title": "Buy milk",
    "description": "Two litres",
    "completed": True,
    "due_at": "2030-01-31T09:30:00Z",
    "priority": "high",
    "tags": ["shop", "home"],
    "order": -3,
}
SPARSE_TASK: dict[str, object] = {
    "description": None,
    "completed": False,
    "completed_at": None,
    "due_at": None,
    "priority": None,
    "tags": [],
    "order": None,
    "version": 1,
}


async def add(client: httpx2.AsyncClient, tasks_url: str, **members: object) -> dict[str, object]:
    """Create a task and return it."""
    response = await client.post(tasks_url, json={"title": "A task", **members})
    assert response.status_code == 201, response.text
    task: dict[str, object] = response.json()
    return task


async def test_create_answers_201_with_the_task(client: httpx2.AsyncClient, tasks_url: str, owner: str) -> None:
    """Every member that was sent comes back, with what the service sets."""
    response = await client.post(tasks_url, json=WHOLE_TASK)

    task = response.json()
    assert response.status_code == 201
    assert WHOLE_TASK.items() <= task.items()
    assert task["user_id"] == owner
    assert UUID(task["id"]).version == 7
    assert task["version"] == 1
    assert task["created_at"] == task["updated_at"] == task["completed_at"]
    assert task["created_at"].endswith("Z")
    assert abs(datetime.fromisoformat(task["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_create_says_where_the_task_is(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """`Location` and `url` are the absolute address under which the task is found again."""
    response = await client.post(tasks_url, json={"title": "A task"})

    task = response.json()
    assert response.headers["Location"] == task["url"] == f"http://localhost{tasks_url}/{task['id']}"
    assert (await client.get(task["url"])).json() == task


async def test_create_needs_only_a_title(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Whatever is left out has its default."""
    task = await add(client, tasks_url)

    assert SPARSE_TASK.items() <= task.items()


async def test_read_one_answers_the_task(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """What was created is what is read."""
    task = await add(client, tasks_url, **WHOLE_TASK)

    response = await client.get(f"{tasks_url}/{task['id']}")

    assert response.status_code == 200
    assert response.json() == task


async def test_list_of_a_new_user_is_empty(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """A user without tasks has a list like any other."""
    response = await client.get(tasks_url)

    assert response.status_code == 200
    assert response.json() == []


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("member", WHOLE_TASK)
async def test_update_changes_the_member_given(
    client: httpx2.AsyncClient, tasks_url: str, method: str, member: str
) -> None:
    """With PUT as with PATCH, members left out keep their value."""
    before = await add(client, tasks_url)

    response = await client.request(method, f"{tasks_url}/{before['id']}", json={member: WHOLE_TASK[member]})

    after = response.json()
    assert response.status_code == 200
    assert after[member] == WHOLE_TASK[member]
    assert after["version"] == 2
    assert after["updated_at"] > before["updated_at"]
    changed = {member, "version", "updated_at"} | ({"completed_at"} if member == "completed" else set())
    assert {name for name in after if after[name] != before[name]} == changed


@pytest.mark.parametrize("member", ["description", "due_at", "priority", "order"])
async def test_update_with_null_clears(client: httpx2.AsyncClient, tasks_url: str, member: str) -> None:
    """Row 41: null is a value where the task may have none, and not the same as leaving the member out."""
    task = await add(client, tasks_url, **WHOLE_TASK)

    response = await client.patch(f"{tasks_url}/{task['id']}", json={member: None})

    assert response.json()[member] is None
    assert response.json()["version"] == 2


@pytest.mark.parametrize("changes", [{}, WHOLE_TASK, {"title": " Buy milk ", "tags": ["shop", "home", "shop"]}])
async def test_update_without_a_change_leaves_the_version(
    client: httpx2.AsyncClient, tasks_url: str, changes: dict[str, object]
) -> None:
    """Row 45: nothing given, or nothing new, changes neither `version` nor `updated_at`."""
    task = await add(client, tasks_url, **WHOLE_TASK)

    response = await client.patch(f"{tasks_url}/{task['id']}", json=changes)

    assert response.status_code == 200
    assert response.json() == task


async def test_update_takes_a_merge_patch(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """`application/merge-patch+json` (RFC 7396) says what this method does."""
    task = await add(client, tasks_url)

    response = await client.patch(
        f"{tasks_url}/{task['id']}",
        content=b'{"title": "Renamed"}',
        headers={"Content-Type": "application/merge-patch+json"},
    )

    assert response.json()["title"] == "Renamed"


async def test_completion_by_update_sets_its_time(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """`completed_at` comes with completion, stays with later edits, and goes with it."""
    task_url = f"{tasks_url}/{(await add(client, tasks_url))['id']}"

    completed = (await client.patch(task_url, json={"completed": True})).json()
    edited = (await client.patch(task_url, json={"completed": True, "title": "Renamed"})).json()
    reopened = (await client.patch(task_url, json={"completed": False})).json()

    assert completed["completed_at"] is not None
    assert edited["completed_at"] == completed["completed_at"]
    assert reopened["completed_at"] is None


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_complete_without_a_value_toggles(client: httpx2.AsyncClient, tasks_url: str, body: bytes) -> None:
    """No body and an empty object turn a pending task into a completed one, and back."""
    task_url = f"{tasks_url}/{(await add(client, tasks_url))['id']}/complete"
    headers = {"Content-Type": "application/json"}

    toggled = await client.patch(task_url, content=body, headers=headers)
    back = await client.patch(task_url, content=body, headers=headers)

    assert toggled.status_code == back.status_code == 200
    assert (toggled.json()["completed"], back.json()["completed"]) == (True, False)
    assert toggled.json()["completed_at"] is not None
    assert back.json()["completed_at"] is None
    assert back.json()["version"] == 3


@pytest.mark.parametrize("completed", [True, False])
async def test_complete_with_a_value_sets_it(client: httpx2.AsyncClient, tasks_url: str, *, completed: bool) -> None:
    """Saying the same twice changes nothing the second time."""
    task_url = f"{tasks_url}/{(await add(client, tasks_url, completed=not completed))['id']}/complete"

    first = await client.patch(task_url, json={"completed": completed})
    second = await client.patch(task_url, json={"completed": completed})

    assert first.json()["completed"] is completed
    assert first.json()["version"] == 2
    assert second.json() == first.json()


@pytest.mark.parametrize("completed", [True, False])
async def test_complete_takes_a_whole_task(client: httpx2.AsyncClient, tasks_url: str, *, completed: bool) -> None:
    """A client may send back what it read, edited or not: `completed` alone is looked at."""
    before = await add(client, tasks_url)
    sent = {**before, "completed": completed, "title": None, "tags": "none", "order": "last", "version": 9}

    response = await client.patch(f"{before['url']}/complete", json=sent)

    after = response.json()
    changed = {"completed", "completed_at", "updated_at", "version"} if completed else set()
    assert response.status_code == 200
    assert after["completed"] is completed
    assert {name for name in after if after[name] != before[name]} == changed


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"id": "x", "title": "A task"}, "/completed"),
        ({"user_id": "u"}, "/completed"),
        ({"completed": None}, "/completed"),
        ({"complete": True}, "/complete"),
        ({"completed": True, "user_id": "another"}, "/user_id"),
    ],
)
async def test_complete_never_guesses(
    client: httpx2.AsyncClient, tasks_url: str, body: dict[str, object], pointer: str
) -> None:
    """A body that does not say to what, though it is not empty, toggles nothing."""
    task = await add(client, tasks_url)

    response = await client.patch(f"{task['url']}/complete", json=body)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert (await client.get(str(task["url"]))).json() == task


async def test_delete_is_for_good(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """A deleted task is gone from everywhere, and cannot be deleted again."""
    task_url = f"{tasks_url}/{(await add(client, tasks_url))['id']}"

    response = await client.delete(task_url)

    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(task_url)).status_code == 404
    assert (await client.delete(task_url)).status_code == 404
    assert (await client.get(tasks_url)).json() == []


@pytest.mark.parametrize("user_id", ["auth0|5f7c8ec7", "a.b+c@example.com", "x:y=z~w", "u" * 255, "..."])
async def test_any_identity_provider_s_user_id_will_do(client: httpx2.AsyncClient, user_id: str) -> None:
    """The task's address works whatever its user id needs in a URL."""
    response = await client.post(f"/api/{user_id}/tasks", json={"title": "A task"})

    assert response.json()["user_id"] == user_id
    assert (await client.delete(response.json()["url"])).status_code == 204


async def test_user_ids_are_case_sensitive(client: httpx2.AsyncClient, owner: str) -> None:
    """Two spellings are two users."""
    task = await add(client, f"/api/{owner}/tasks")

    assert (await client.get(f"/api/{owner.upper()}/tasks/{task['id']}")).status_code == 404
