"""Every way in which people start the service, each asked over a socket."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from tests.blocks import ROOT, find_block, find_script
from tests.service import TODO, Service, running_command
from tests.support import find_port, wait_until
from todo.api.large_responses import CHUNK_BYTES
from todo.models.fields import DESCRIPTION_LENGTH, Owner

pytestmark = pytest.mark.slow

BIN = TODO.parent
UVX = (f"{BIN}/uvx", "--python", sys.executable)
UVICORN = (f"{BIN}/uvicorn", "todo.asgi:app")
WAYS = {
    "todo serve": (f"{TODO}", "serve"),
    "python -m todo serve": (sys.executable, "-m", "todo", "serve"),
    "fastapi run": (f"{BIN}/fastapi", "run"),
    "fastapi run --workers": (f"{BIN}/fastapi", "run", "--workers", "2"),
    "fastapi dev": (f"{BIN}/fastapi", "dev", "--reload-dir", "src"),
    "uvicorn": UVICORN,
    "uvicorn with h11": (*UVICORN, "--http", "h11"),
    "uvx": (*UVX, "--from", ".", "todo", "serve"),
}
NO_DATABASE = "todo: DATABASE_URL: is not set, and only `todo serve` starts an embedded database"


def serving(command: Sequence[str], url: str) -> AbstractContextManager[Service]:
    """Run a command in the repository on a free port, on the database at `url`."""
    port = find_port()
    return running_command([*command, "--port", str(port)], port, folder=str(ROOT), DATABASE_URL=url)


@pytest.fixture(scope="module", params=["httptools", "h11"])
def uvicorn(request: pytest.FixtureRequest, database_url: str) -> Iterator[Service]:
    """The service behind uvicorn, with each of its parsers."""
    with serving([*UVICORN, "--http", request.param], database_url) as service:
        yield service


@pytest.mark.parametrize("way", WAYS)
def test_way_serves(way: str, database_url: str, tasks_url: str) -> None:
    """What is created is read back at its address."""
    with serving(WAYS[way], database_url) as service:
        created = service.client.post(tasks_url, json={"title": "Buy milk"})
        assert created.status_code == 201
        assert service.client.get(created.headers["Location"]).json() == created.json()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_uvx_with_the_extra_starts_an_embedded_database(shared_dir: Path) -> None:
    """With nothing installed, by the commands of the page on a package index, but from a checkout."""
    script = find_script("docs/package.md", "uvx").replace("todo-backend[", f"{ROOT}[").replace("uvx", " ".join(UVX))
    port = find_port()
    environment = {"TODO_PORT": str(port), "TODO_DATA_DIR": f"{shared_dir}/uvx"}
    with running_command(["bash", "-euc", script], port, folder=str(shared_dir), **environment) as service:
        requests = find_block("docs/package.md", "curl").replace("http://127.0.0.1:8000", str(service.client.base_url))
        done = subprocess.run(["bash", "-euc", requests], check=True, capture_output=True, text=True)

    created, [listed] = map(json.loads, done.stdout.replace("}[", "}\n[").splitlines())
    assert created == listed


def test_uv_installs_the_command(tmp_path: Path) -> None:
    """`uv tool install .` puts `todo` where the shell finds it."""
    environment = {**os.environ, "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    command = [f"{BIN}/uv", "tool", "install", "--quiet", "--python", sys.executable, "."]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)

    document = subprocess.run([tmp_path / "bin/todo", "openapi"], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(document.stdout)["openapi"]


@pytest.mark.parametrize("way", ["fastapi run", "uvicorn"])
def test_without_a_database_it_is_one_line(way: str) -> None:
    """Only `todo serve` starts an embedded database; the others end with what is missing, without a traceback."""
    command = [*WAYS[way], "--port", str(find_port())]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 2
    assert result.stderr.splitlines() == [NO_DATABASE]


def test_bad_setting_is_one_line_of_uvicorn() -> None:
    """As it is of `todo serve`."""
    environment = {**os.environ, "DATABASE_URL": "postgresql://host/db", "TODO_POOL_SIZE": "0"}
    command = [*UVICORN, "--port", str(find_port())]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 2
    assert re.fullmatch(r"todo: TODO_POOL_SIZE: .*\n", result.stderr)


def test_head_is_answered_behind_uvicorn(uvicorn: Service, tasks_url: str) -> None:
    """With the headers of GET and no body, and without an error of the server's."""
    head, get = uvicorn.client.head(tasks_url), uvicorn.client.get(tasks_url)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert "Traceback" not in uvicorn.read_log()


def test_large_list_is_complete_behind_uvicorn(uvicorn: Service, tasks_url: str) -> None:
    """It is sent in chunks."""
    for number in range(20):
        task = {"title": f"Task {number}", "description": "x" * DESCRIPTION_LENGTH}
        assert uvicorn.client.post(tasks_url, json=task).status_code == 201
    response = uvicorn.client.get(tasks_url)

    assert len(response.content) > 2 * CHUNK_BYTES
    assert len(response.json()) == 20


def test_problem_is_a_document_behind_uvicorn(uvicorn: Service, tasks_url: str) -> None:
    """A body that is too large is refused as by `todo serve`, and the connection closed with it."""
    response = uvicorn.client.post(tasks_url, json={"title": "x" * 100_000})

    assert (response.status_code, response.headers["Connection"]) == (413, "close")
    assert response.json()["type"] == "urn:todo:problem:body-too-large"


def test_client_that_leaves_is_no_error_behind_uvicorn(uvicorn: Service, owner: Owner) -> None:
    """Neither in its body nor before its answer."""
    host, port = uvicorn.client.base_url.host, uvicorn.client.base_url.port
    assert port is not None
    head = f"Host: {host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nX-Request-ID: left\r\n\r\n"
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(f"POST /api/{owner}/tasks HTTP/1.1\r\n{head}{{".encode())
    wait_until(lambda: "left" in uvicorn.read_log())

    assert uvicorn.client.get(f"/api/{owner}/tasks").json() == []
    assert "Traceback" not in uvicorn.read_log()


@pytest.fixture(scope="module")
def mounted(database_url: str) -> Iterator[httpx2.Client]:
    """A client of the example of an application that mounts this one, behind uvicorn."""
    port = find_port()
    command = [f"{BIN}/uvicorn", "--app-dir", "examples", "mounted:app", "--port", str(port)]
    environment = {"DATABASE_URL": database_url, "TODO_CORS_ORIGINS": "https://app.example.com"}
    with running_command(command, port, probe="/todo/health/ready", folder=str(ROOT), **environment) as service:
        yield service.client


def test_application_that_mounts_it_has_its_own_routes(mounted: httpx2.Client) -> None:
    """Beside those of tasks."""
    assert mounted.get("/hello").json() == "Hello"


def test_addresses_have_the_path_of_the_mount(mounted: httpx2.Client, tasks_url: str) -> None:
    """`Location`, `url` and `Link` lead to the tasks."""
    created = [mounted.post(f"/todo{tasks_url}", json={"title": title}) for title in "ab"]
    page = mounted.get(f"/todo{tasks_url}?limit=1")

    location = created[1].headers["Location"]
    assert location == created[1].json()["url"] == page.json()[0]["url"]
    assert mounted.get(location).json() == created[1].json()
    assert mounted.get(page.links["next"]["url"]).json() == [created[0].json()]


def test_cache_may_keep_what_a_mount_answers(mounted: httpx2.Client, tasks_url: str) -> None:
    """As where nothing is mounted; but not the state of health."""
    assert mounted.get(f"/todo{tasks_url}").headers["Cache-Control"] == "private, no-cache"
    assert mounted.get("/todo/health/live").headers["Cache-Control"] == "no-store"


def test_health_of_a_mount_is_told_under_any_host(mounted: httpx2.Client) -> None:
    """Even under one that is malformed."""
    assert mounted.get("/todo/health/ready", headers={"Host": "a b"}).status_code == 200


def test_errors_of_a_mount_are_problem_documents(mounted: httpx2.Client, tasks_url: str) -> None:
    """Within the mount; outside of it they are FastAPI's own."""
    for response in (mounted.get("/todo/nowhere"), mounted.post(f"/todo{tasks_url}", json={})):
        assert response.headers["Content-Type"] == "application/problem+json"
    assert mounted.get("/nowhere").headers["Content-Type"] == "application/json"


def test_page_of_a_mount_shows_its_document(mounted: httpx2.Client, tasks_url: str) -> None:
    """The root leads to it, and what it sends goes to the path of the mount."""
    page = mounted.get("/todo", follow_redirects=True)
    document = mounted.get("/todo/openapi.json").json()

    assert page.url.path == "/todo/docs"
    assert document["servers"] == [{"url": "/todo"}]
    assert mounted.get(f"{document['servers'][0]['url']}{tasks_url}").json() == []


def test_page_elsewhere_may_call_a_mount(mounted: httpx2.Client, tasks_url: str) -> None:
    """Which TODO_CORS_ORIGINS says."""
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    response = mounted.options(f"/todo{tasks_url}", headers=headers)

    assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]
