"""Errors are problem documents (RFC 9457), whoever raises them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2
import pytest
from fastapi import APIRouter
from tests.support import open_client

from todo.api.routes import StrictRoute
from todo.app import create_app
from todo.database.urls import read_database_url
from todo.settings import Settings, read_settings

Json: TypeAlias = dict[str, Any]  # whatever JSON holds
MEMBERS = {"type", "title", "status", "detail", "request_id"}
# Each operation that takes a body, and what a body of it has at least.
BODIES = [
    ("POST", "", {"title": "A task"}),
    ("PATCH", "/01890a5d-ac96-774b-bcce-b302099a8057", {}),
    ("PATCH", "/01890a5d-ac96-774b-bcce-b302099a8057/complete", {"completed": True}),
    ("PATCH", "?status=all", {"completed": True}),
]
TASK_ID = "0194a3c1-0000-7000-8000-000000000000"  # of no task


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:  # whatever JSON holds
    """Check what all problems share, and return the document."""
    problem: dict[str, Any] = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"urn:todo:problem:{code}"
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert isinstance(problem["detail"], str)
    assert problem.keys() - {"errors"} == MEMBERS
    return problem


@pytest.mark.parametrize("path", ["/nothing", "/api/u/tasks/", "/api/u/tasks/x/y", "/api//tasks"])
async def test_unknown_path_is_404(client: httpx2.AsyncClient, path: str) -> None:
    """A path that no route has, a trailing slash included, is a problem and never a redirect."""
    assert_problem(await client.get(path), 404, "not-found")


async def test_absent_task_is_404(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """The problem's type tells a missing task from a missing page."""
    assert_problem(await client.get(f"{tasks_url}/{uuid4()}"), 404, "task-not-found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/u/tasks", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("POST", f"/api/u/tasks/{TASK_ID}", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("GET", f"/api/u/tasks/{TASK_ID}/complete", "OPTIONS, PATCH"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("TRACE", "/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_method_is_405_with_every_method_that_is_right(
    client: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    """`Allow` is complete, and OPTIONS says the same."""
    response = await client.request(method, path)
    options = await client.options(path)

    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == options.headers["Allow"] == allow
    assert (options.status_code, options.content) == (204, b"")


@pytest.mark.parametrize(("method", "suffix", "body"), BODIES)
@pytest.mark.parametrize(("count", "rest"), [(20, ""), (21, ", and 1 more"), (6000, ", and 5980 more")])
async def test_first_twenty_mistakes_are_told_and_how_many_more(
    client: httpx2.AsyncClient, tasks_url: str, method: str, suffix: str, body: Json, count: int, rest: str
) -> None:
    """Thousands of unknown members do not come back as thousands of errors."""
    unknown = {f"_{number:x}": 1 for number in range(count)}

    response = await client.request(method, tasks_url + suffix, json={**body, **unknown})

    problem = assert_problem(response, 422, "invalid-input")
    assert [error["pointer"] for error in problem["errors"]] == [f"/_{number:x}" for number in range(20)]
    assert problem["detail"] == f"The request breaks the rules of this API; `errors` says where{rest}."
    assert len(response.content) < 2000


async def test_parameter_that_is_wrong_each_time_is_told_once(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """One that may be repeated does not come back for each repetition."""
    response = await client.get(tasks_url, params={"priority": ["urgent"] * 3000})

    problem = assert_problem(response, 422, "invalid-input")
    assert [error["parameter"] for error in problem["errors"]] == ["priority"]


@pytest.mark.parametrize(("method", "suffix", "body"), BODIES)
@pytest.mark.parametrize("member", ["cls", "self", "__pydantic_self__", "model_fields", "__class__"])
async def test_member_with_a_name_of_python_s_is_unknown(
    client: httpx2.AsyncClient, tasks_url: str, method: str, suffix: str, body: Json, member: str
) -> None:
    """A member is a name in a document, and no argument of a call."""
    response = await client.request(method, tasks_url + suffix, json={**body, member: 1})

    problem = assert_problem(response, 422, "invalid-input")
    assert [error["pointer"] for error in problem["errors"]] == [f"/{member}"]


@pytest.mark.parametrize("count", [1, 100])
async def test_lone_surrogate_does_not_come_back(client: httpx2.AsyncClient, tasks_url: str, count: int) -> None:
    """Nor as the name of a member: the answer is text to any reader of JSON."""
    members = "".join(f', "\\ud83d{number}\\udc00": 1' for number in range(count))
    headers = {"Content-Type": "application/json"}

    response = await client.post(tasks_url, content=f'{{"title": "A task"{members}}}', headers=headers)

    problem = assert_problem(response, 422, "invalid-input")
    assert problem["errors"][0]["pointer"] == "/\ufffd0\ufffd"


async def test_body_that_drips_is_408(database_url: str) -> None:
    """A client that never ends its body does not hold a request for longer than the deadline."""

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async with open_client(create_app(Settings(deadline_seconds=0.3), read_database_url(database_url))) as client:
        response = await client.post("/api/u/tasks", content=drip(), headers={"Content-Type": "application/json"})

    assert_problem(response, 408, "body-timeout")


async def test_body_limit_is_a_setting(database_url: str, tasks_url: str) -> None:
    """A body of just that length is taken."""
    body = b'{"title": "A task"}'
    async with open_client(create_app(Settings(max_body_bytes=len(body)), read_database_url(database_url))) as client:
        headers = {"Content-Type": "application/json"}
        taken = await client.post(tasks_url, content=body, headers=headers)
        refused = await client.post(tasks_url, content=body + b" ", headers=headers)

    assert taken.status_code == 201
    assert_problem(refused, 413, "body-too-large")


async def test_host_that_is_not_allowed_is_400(database_url: str) -> None:
    """With TODO_ALLOWED_HOSTS set, it is that list alone that counts; without, any well-formed name will do."""
    listed = create_app(Settings(allowed_hosts=("todo.example.com",)), read_database_url(database_url))
    async with open_client(listed) as client:
        assert_problem(await client.get("/api/u/tasks"), 400, "malformed-request")
        assert (await client.get("/health/live")).status_code == 200
        for host in ("Todo.Example.com:8000", "todo.example.com.", "todo.example.com:"):
            assert (await client.get("/api/u/tasks", headers={"Host": host})).status_code == 200
    async with open_client(
        create_app(read_settings(DATABASE_URL=database_url), read_database_url(database_url))
    ) as client:
        assert (await client.get("/api/u/tasks", headers={"Host": "any.example"})).status_code == 200


async def test_repeated_parameter_is_422_naming_it(database_url: str) -> None:
    """Row 44: of two values, neither is taken in silence."""
    router = APIRouter(route_class=StrictRoute)

    @router.get("/limited")
    async def read_limited(limit: int) -> int:
        return limit

    app = create_app(Settings(), read_database_url(database_url))
    app.include_router(router)
    async with open_client(app) as client:
        assert (await client.get("/limited?limit=1")).json() == 1
        problem = assert_problem(await client.get("/limited?limit=1&limit=2"), 422, "invalid-input")

    assert problem["errors"] == [{"parameter": "limit", "detail": "must not be repeated"}]
