"""The health routes, and the OpenAPI document."""

import json
import re

import httpx2
import pytest
from tests.support import open_client

from todo.app import create_app
from todo.database.urls import read_database_url
from todo.settings import Settings

NOWHERE = "postgresql://todo@127.0.0.1:1/todo"


async def test_service_with_its_database_is_live_and_ready(client: httpx2.AsyncClient) -> None:
    """Both probes answer 200."""
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


async def test_service_without_its_database_is_live_and_not_ready() -> None:
    """It starts all the same, and answers 503 with the time to try again."""
    async with open_client(create_app(Settings(), read_database_url(NOWHERE))) as client:
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
        tasks = await client.get("/api/u/tasks")

    assert live.status_code == 200
    assert ready.status_code == tasks.status_code == 503
    assert tasks.headers["Retry-After"] == "2"
    assert tasks.json()["type"] == "urn:todo:problem:database-unavailable"


@pytest.mark.parametrize(
    ("path", "method", "operation"),
    [
        ("/api/{user_id}/tasks", "get", "list_tasks"),
        ("/api/{user_id}/tasks", "post", "create_task"),
        ("/api/{user_id}/tasks/{task_id}", "get", "get_task"),
        ("/api/{user_id}/tasks/{task_id}", "patch", "update_task"),
        ("/api/{user_id}/tasks/{task_id}", "put", "put_task"),
        ("/api/{user_id}/tasks/{task_id}", "delete", "delete_task"),
        ("/api/{user_id}/tasks/{task_id}/complete", "patch", "complete_task"),
    ],
)
async def test_schema_names_every_operation(client: httpx2.AsyncClient, path: str, method: str, operation: str) -> None:
    """A generated client gets the names that the code has, and the problems that may come."""
    described = (await client.get("/openapi.json")).json()["paths"][path][method]

    assert described["operationId"] == operation
    assert "application/problem+json" in described["responses"]["422"]["content"]


async def test_schema_has_all_that_it_refers_to(client: httpx2.AsyncClient) -> None:
    """A generator of clients finds every reference."""
    schema = (await client.get("/openapi.json")).json()
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))

    assert "Problem" in referred
    assert referred <= schema["components"]["schemas"].keys()
