"""How authentication comes in front of the contract: the README's example, run as it is printed there."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from tests.api.test_problems import assert_problem
from tests.support import open_client

from todo.app import create_app
from todo.errors import TodoError
from todo.settings import Settings

README = Path(__file__).parents[2] / "README.md"
KEY = "a key of this test and of nothing else"


@pytest.fixture
async def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that asks for tokens."""
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    printed: dict[str, Any] = {"TodoError": TodoError}  # whatever the example defines
    monkeypatch.setenv("TOKEN_KEY", KEY)
    exec(example, printed)  # noqa: S102 - the README is ours
    app = create_app(Settings(), database_url, printed["identify_by_token"])
    async with open_client(app) as client:
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
    """Every task route has the security scheme, and no other route has."""
    document = (await client.get("/openapi.json")).json()
    operations = {
        (path, method): operation for path, item in document["paths"].items() for method, operation in item.items()
    }

    assert document["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    for (path, _), operation in operations.items():
        assert operation.get("security", []) == ([{"HTTPBearer": []}] if path.startswith("/api/") else [])


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
