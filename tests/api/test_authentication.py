"""How authentication comes in front of the contract: the README's example, run as it is printed there."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from fastapi import Depends, HTTPException, Query
from fastapi.security import APIKeyQuery
from pydantic import BaseModel
from tests.api.test_problems import assert_problem
from tests.support import open_client

from todo.api.dependencies import IdentifyOwner
from todo.app import create_app
from todo.models.fields import Owner
from todo.settings import Settings

README = Path(__file__).parents[2] / "README.md"
KEY = "a key of this test and of nothing else"


@pytest.fixture
async def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that asks for tokens."""
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    printed: dict[str, Any] = {}  # whatever the example defines
    monkeypatch.setenv("TOKEN_KEY", KEY)
    exec(example, printed)  # noqa: S102 - the README is ours
    app = create_app(Settings(), database_url, printed["identify_by_token"])
    async with open_client(app) as client:
        yield client


@asynccontextmanager
async def open_guarded(database_url: str, identify_owner: IdentifyOwner) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application in which this function identifies the owner."""
    async with open_client(create_app(Settings(), database_url, identify_owner)) as client:
        yield client


def make_token(user_id: str, *, key: str = KEY, seconds: int = 60) -> dict[str, str]:
    """Make the header of a caller who is that user."""
    token = jwt.encode({"sub": user_id, "exp": int(time.time()) + seconds}, key, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


async def test_user_with_a_token_has_the_same_contract(client: httpx2.AsyncClient, owner: str) -> None:
    """Nothing changes for those who are who they say."""
    created = await client.post(f"/api/{owner}/tasks", json={"title": "Mine"}, headers=make_token(owner))
    listed = await client.get(f"/api/{owner}/tasks", headers=make_token(owner))

    assert created.status_code == 201
    assert listed.json() == [created.json()]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        make_token("alice", key="a key of somebody else, who is not asked"),
        make_token("alice", seconds=-60),
    ],
    ids=["none", "nonsense", "forged", "expired"],
)
async def test_request_without_a_valid_token_is_401(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    """It is a problem like any other, and says what would do (RFC 9110, section 11.6.1)."""
    response = await client.get("/api/alice/tasks", headers=headers)

    assert_problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_path_must_be_the_token_s_user(client: httpx2.AsyncClient, owner: str) -> None:
    """A user who writes another's name into the path is refused before the store is asked."""
    response = await client.get("/api/alice/tasks", headers=make_token(owner))

    assert_problem(response, 403, "forbidden")


async def test_document_says_that_tokens_are_asked_for(client: httpx2.AsyncClient) -> None:
    """Every task route has the security scheme, 401 and 403, and no other route has."""
    document = (await client.get("/openapi.json")).json()
    operations = {
        (path, method): operation for path, item in document["paths"].items() for method, operation in item.items()
    }

    assert document["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    for (path, _), operation in operations.items():
        is_about_tasks = path.startswith("/api/")
        refusals = {status: operation["responses"].get(status) for status in ("401", "403")}
        assert operation.get("security", []) == ([{"HTTPBearer": []}] if is_about_tasks else [])
        for refusal in refusals.values():
            assert refusal == (refusal and {**operation["responses"]["500"], "description": refusal["description"]})
            assert bool(refusal) == is_about_tasks


async def test_every_task_route_refuses_who_has_no_token(client: httpx2.AsyncClient) -> None:
    """Whatever its method; nothing of the request is looked at before."""
    document = (await client.get("/openapi.json")).json()
    asked = [(path, method) for path, item in document["paths"].items() for method in item if path.startswith("/api/")]

    assert asked
    for path, method in asked:
        response = await client.request(method, path.format(user_id="alice", task_id=uuid4()))
        assert_problem(response, 401, "unauthorized")


async def test_authorization_is_ignored_where_nothing_asks_for_it(database_url: str, tasks_url: str) -> None:
    """Without that function, a header of any kind is no error."""
    async with open_client(create_app(Settings(), database_url)) as client:
        response = await client.get(tasks_url, headers={"Authorization": "nonsense"})

    assert response.status_code == 200


async def test_nothing_is_documented_that_nothing_asks_for(database_url: str) -> None:
    """Without that function, there is no security scheme, no 401 and no 403."""
    document = create_app(Settings(), database_url).openapi()

    assert "securitySchemes" not in document["components"]
    for item in document["paths"].values():
        assert not [operation for operation in item.values() if {"401", "403"} & operation["responses"].keys()]


@pytest.mark.parametrize(
    ("status", "code", "headers"),
    [
        (401, "unauthorized", {"WWW-Authenticate": "Bearer"}),
        (403, "forbidden", {}),
        (404, "not-found", {}),
        (405, "method-not-allowed", {"Allow": "GET"}),
        (429, "too-many-requests", {"Retry-After": "5"}),
        (499, "error", {}),
    ],
)
async def test_http_exception_is_a_problem_with_its_status(
    database_url: str, status: int, code: str, headers: Mapping[str, str]
) -> None:
    """It keeps its detail and its headers."""

    async def refuse() -> Owner:
        raise HTTPException(status, "Not today.", headers)

    async with open_guarded(database_url, refuse) as client:
        response = await client.get("/api/alice/tasks")

    assert assert_problem(response, status, code)["detail"] == "Not today."
    assert headers.items() <= {name.title().replace("Www", "WWW"): v for name, v in response.headers.items()}.items()


class Device(BaseModel):
    """What else a request may say of its sender."""

    device: str = ""


async def test_query_of_the_function_is_known(database_url: str, owner: Owner) -> None:
    """Its own parameters, those of what it depends on, and those of its security scheme stand beside the route's."""

    async def read_device(device: Annotated[Device, Query()]) -> str:
        return device.device

    async def identify(
        device: Annotated[str, Depends(read_device)],
        key: Annotated[str, Depends(APIKeyQuery(name="api_key"))],
        scope: Annotated[list[str] | None, Query()] = None,
    ) -> Owner:
        assert (device, key, scope) == ("phone", "secret", ["read", "write"])
        return owner

    known = "api_key=secret&device=phone&scope=read&scope=write"
    async with open_guarded(database_url, identify) as client:
        created = await client.post(f"/api/{owner}/tasks?{known}", json={"title": "A task"})
        await client.post(f"/api/{owner}/tasks?{known}", json={"title": "Another"})
        page = await client.get(f"/api/{owner}/tasks?{known}&limit=1&status=pending")
        rest = await client.get(page.links["next"]["url"])
        unknown = await client.get(f"/api/{owner}/tasks?{known}&devise=phone")
        repeated = await client.get(f"/api/{owner}/tasks?{known}&device=laptop")

    assert (page.status_code, rest.json()) == (200, [created.json()])
    assert assert_problem(unknown, 422, "invalid-input")["errors"][0]["parameter"] == "devise"
    assert assert_problem(repeated, 422, "invalid-input")["errors"][0]["parameter"] == "device"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_user_id_of_a_body_is_compared_with_the_owner(database_url: str, owner: Owner, method: str) -> None:
    """And not with the path, which need not say who that is."""

    async def identify() -> Owner:
        return owner

    async with open_guarded(database_url, identify) as client:
        task = (await client.post("/api/me/tasks", json={"title": "Mine", "user_id": owner})).json()
        url = "/api/me/tasks" if method == "POST" else f"/api/me/tasks/{task['id']}"
        own = await client.request(method, url, json={**task, "user_id": owner})
        other = await client.request(method, url, json={**task, "user_id": "me"})

    assert own.status_code in {200, 201}
    assert assert_problem(other, 422, "invalid-input")["errors"][0]["pointer"] == "/user_id"
