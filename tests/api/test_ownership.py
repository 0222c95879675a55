"""No user reaches another's task: the answer is that of a task that never was, and the task stays as it is."""

from uuid import uuid4

import httpx2
import pytest
from tests.api.test_tasks import add


def comparable(response: httpx2.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Everything that a caller can see but for the request id."""
    request_id = response.headers["X-Request-ID"].encode()
    headers = [(name, value) for name, value in response.headers.items() if name != "x-request-id"]
    return response.status_code, headers, response.content.replace(request_id, b"")


async def test_another_user_s_tasks_are_not_listed(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """A list holds its owner's tasks alone."""
    await add(client, tasks_url)
    stranger = f"/api/stranger-{uuid4()}/tasks"
    own = await add(client, stranger)

    assert (await client.get(stranger)).json() == [own]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_task_cannot_be_given_away(client: httpx2.AsyncClient, tasks_url: str, method: str) -> None:
    """A `user_id` in the body that is not the path's is refused by name, and nothing is written."""
    task = await add(client, tasks_url)
    url = tasks_url if method == "POST" else f"{tasks_url}/{task['id']}"

    response = await client.request(method, url, json={"title": "A gift", "user_id": "stranger"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/user_id"
    assert (await client.get(tasks_url)).json() == [task]
