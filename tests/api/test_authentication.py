"""How authentication comes in front of the contract: the README's example as a file, and what else may stand there."""

import inspect
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
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
from tests.blocks import ROOT, find_block, find_script
from tests.service import running_command, running_service
from tests.support import find_port, open_client

from todo.api.authentication import load_identify_owner
from todo.api.dependencies import IdentifyOwner
from todo.app import create_app
from todo.database.urls import read_database_url
from todo.errors import BadSetting
from todo.models.fields import Owner
from todo.settings import Settings

KEY = "a key of this test and of nothing else"


@pytest.fixture(scope="module")
def client(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of `todo serve` in a folder with the README's example."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "tokens.py").write_text(find_block("README.md", "def identify_by_token"))
    environment = {"DATABASE_URL": database_url, "TODO_IDENTIFY_OWNER": "tokens:identify_by_token", "TOKEN_KEY": KEY}
    with running_service(folder=str(folder), **environment) as service:
        yield service.client


@asynccontextmanager
async def open_guarded(database_url: str, identify_owner: IdentifyOwner) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application in which this function identifies the owner."""
    async with open_client(create_app(Settings(), read_database_url(database_url), identify_owner)) as client:
        yield client


def make_token(user_id: str, *, key: str = KEY, seconds: int = 60) -> dict[str, str]:
    """Make the header of a caller who is that user."""
    token = jwt.encode({"sub": user_id, "exp": int(time.time()) + seconds}, key, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.slow
def test_commands_of_the_readme_put_it_in_front(database_url: str, tmp_path: Path) -> None:
    """In the folder of the example; without a token, nothing is said any more."""
    (tmp_path / "tokens.py").write_text(find_block("README.md", "def identify_by_token"))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    script, port = find_script("README.md", "install pyjwt").replace("…", KEY.replace(" ", "-")), find_port()
    environment = {"DATABASE_URL": database_url, "TODO_PORT": str(port)}

    with running_command(["bash", "-euc", script], port, folder=str(tmp_path), **environment) as service:
        assert service.client.get("/api/alice/tasks").status_code == 401


def test_user_with_a_token_has_the_same_contract(client: httpx2.Client, owner: str) -> None:
    """Nothing changes for those who are who they say."""
    created = client.post(f"/api/{owner}/tasks", json={"title": "Mine"}, headers=make_token(owner))
    listed = client.get(f"/api/{owner}/tasks", headers=make_token(owner))

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
def test_request_without_a_valid_token_is_401(client: httpx2.Client, headers: dict[str, str]) -> None:
    """It is a problem like any other, and says what would do (RFC 9110, section 11.6.1)."""
    response = client.get("/api/alice/tasks", headers=headers)

    assert_problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_path_must_be_the_token_s_user(client: httpx2.Client, owner: str) -> None:
    """A user who writes another's name into the path is refused before the store is asked."""
    response = client.get("/api/alice/tasks", headers=make_token(owner))

    assert_problem(response, 403, "forbidden")


def test_document_says_that_tokens_are_asked_for(client: httpx2.Client) -> None:
    """Every task route has the security scheme, 401 and 403, and no other route has."""
    document = client.get("/openapi.json").json()
    operations = {
        (path, method): operation for path, item in document["paths"].items() for method, operation in item.items()
    }

    assert client.get("/docs").status_code == 200
    assert document["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    for (path, _), operation in operations.items():
        is_about_tasks = path.startswith("/api/")
        assert operation.get("security", document["security"]) == ([{"HTTPBearer": []}] if is_about_tasks else [])
        for refusal in (operation["responses"].get(status) for status in ("401", "403")):
            assert bool(refusal) == is_about_tasks
            assert not refusal or "application/problem+json" in refusal["content"]


def test_every_task_route_refuses_who_has_no_token(client: httpx2.Client) -> None:
    """Whatever its method; nothing of the request is looked at before."""
    document = client.get("/openapi.json").json()
    asked = [(path, method) for path, item in document["paths"].items() for method in item if path.startswith("/api/")]

    assert asked
    for path, method in asked:
        response = client.request(method, path.format(user_id="alice", task_id=uuid4()))
        assert_problem(response, 401, "unauthorized")


async def test_authorization_is_ignored_where_nothing_asks_for_it(database_url: str, tasks_url: str) -> None:
    """Without that function, a header of any kind is no error."""
    async with open_client(create_app(Settings(), read_database_url(database_url))) as client:
        response = await client.get(tasks_url, headers={"Authorization": "nonsense"})

    assert response.status_code == 200


async def test_nothing_is_documented_that_nothing_asks_for(database_url: str) -> None:
    """Without that function, there is no security scheme, no 401 and no 403."""
    document = create_app(Settings(), read_database_url(database_url)).openapi()

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
        (413, "content-too-large", {}),
        (422, "unprocessable-content", {}),
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


@pytest.mark.parametrize("status", [99, 101, 200, 204, 302, 600, 1000])
async def test_http_exception_that_is_no_error_is_a_500(database_url: str, status: int) -> None:
    """Never a success that a client believes, nor a status that granian cannot send."""

    async def refuse() -> Owner:
        raise HTTPException(status, "Not today.")

    async with open_guarded(database_url, refuse) as client:
        assert_problem(await client.get("/api/alice/tasks"), 500, "internal-error")


@pytest.mark.parametrize("returned", [None, 5, uuid4(), b"alice", "", "..", "not a user id", "a\n", "a" * 256])
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"title": "Buy milk"}), ("DELETE", None)])
async def test_owner_that_is_no_user_id_is_a_500_that_names_the_function(
    database_url: str, caplog: pytest.LogCaptureFixture, returned: object, method: str, body: object
) -> None:
    """An empty list would look right, and the mistake would be found in somebody's data."""

    async def identify() -> Any:  # noqa: ANN401 - a function that is wrong may return anything
        return returned

    async with open_guarded(database_url, identify) as client:
        assert_problem(await client.request(method, "/api/alice/tasks", json=body), 500, "internal-error")

    kind = "a str" if isinstance(returned, str) else type(returned).__name__
    assert f"{identify.__module__}:{identify.__qualname__} returned {kind} that is not" in caplog.text


async def test_coroutine_that_was_not_awaited_is_a_500(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """As a function returns that calls an asynchronous one and forgets to await it."""

    async def find_user() -> Owner:
        return Owner("alice")

    forgotten = find_user()

    async def identify() -> Any:  # noqa: ANN401 - as above
        return forgotten

    async with open_guarded(database_url, identify) as client:
        assert_problem(await client.get("/api/alice/tasks"), 500, "internal-error")
    forgotten.close()

    assert "returned coroutine that is not a valid user id" in caplog.text


async def test_headers_of_an_http_exception_do_not_describe_the_problem(database_url: str) -> None:
    """As those passed on from another service would: the length and type are the document's."""

    async def refuse() -> Owner:
        others = {"Content-Length": "3", "Content-Type": "text/plain", "Transfer-Encoding": "chunked", "X-Reason": "x"}
        raise HTTPException(401, "Not today.", others)

    async with open_guarded(database_url, refuse) as client:
        response = await client.get("/api/alice/tasks")

    assert_problem(response, 401, "unauthorized")
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert "Transfer-Encoding" not in response.headers
    assert response.headers["X-Reason"] == "x"


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


MODULES = {
    "plain.py": "NUMBER = 5\ndef identify(): ...\ndef read_body(body: dict): ...\n",
    "broken.py": "import os\nKEY = os.environ['canary']\n",
    "ended.py": "raise SystemExit('canary')\n",
    "chatty.py": "print('canary')\ndef identify(): ...\n",
    "unreadable.py": "def (\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules, in which the test runs."""
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_function_is_found_in_the_working_folder(folder: Path) -> None:
    """Which is where uvicorn looks, too."""
    function = load_identify_owner("plain:identify")

    assert inspect.getsourcefile(function) == str(folder / "plain.py")


@pytest.mark.usefixtures("folder")
def test_what_a_module_prints_does_not_stand_in_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as the one that `todo openapi` prints."""
    load_identify_owner("chatty:identify")

    assert capsys.readouterr() == ("", "canary\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:identify", "No module named 'nowhere'"),
        ("plain:nobody", "module 'plain' has no attribute 'nobody'"),
        ("plain:NUMBER", "is not a FastAPI dependency"),
        ("plain:read_body", "the function must not declare a request body"),
        ("broken:identify", "KeyError at {folder}/broken.py, line 2"),
        ("ended:identify", "SystemExit at {folder}/ended.py, line 1"),
        ("unreadable:identify", "invalid syntax (unreadable.py, line 1)"),
    ],
)
def test_function_that_cannot_identify_anybody_is_a_bad_setting(folder: Path, name: str, said: str) -> None:
    """An error that a module raises is named by its place: its message may be secret."""
    with pytest.raises(BadSetting) as caught:
        load_identify_owner(name)

    assert str(caught.value) == f"TODO_IDENTIFY_OWNER: {said.format(folder=folder)}"
