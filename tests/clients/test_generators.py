"""Clients that generators make from the document: they compile strictly, and do all that the API does."""

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from tests.clients.generators import CLIENTS, NODE_MODULES, Python, TypeScript, lay_out
from tests.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("client_tools")]

CHANGE = {200, 400, 404, 412, 413, 422}
# What the programs are to see of each operation: every status but those of a service in trouble.
OUTCOMES = {
    "create_task": {201, 400, 413, 422},
    "list_tasks": {200, 400, 422},
    "complete_tasks": {200, 422},
    "delete_tasks": {200, 422},
    "get_task": {200, 304, 400, 404, 422},
    "update_task": CHANGE,
    "put_task": CHANGE | {201, 410},
    "complete_task": CHANGE - {413},
    "delete_task": {204, 400, 404, 412, 422},
    "list_changes": {200, 400, 422},
    "apply_batch": {200, 409, 413, 422},
    "check_liveness": {200},
    "check_readiness": {200},
}


@dataclass
class Build:
    """A client that has been generated and compiled."""

    client: TypeScript | Python
    folder: Path

    def start(self, command: str, service: Service, user: str) -> str:
        """Run its program against a service, and return what that prints."""
        return self.client.start(self.folder, command, str(service.client.base_url), user)


@pytest.fixture(scope="module", params=CLIENTS)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, document: Path) -> Build:
    """Each client, generated without a warning and compiled strictly."""
    client = CLIENTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    lay_out(folder, document, client)
    client.build(folder)
    return Build(client, folder)


def test_client_runs_every_operation_with_its_errors(build: Build, service: Service, document: Path) -> None:
    """Its types are those of the responses, and every error is a problem document that it can read."""
    outcomes: dict[str, set[int]] = {}
    for operation, status in json.loads(build.start("operations", service, f"user-{uuid4()}")):
        outcomes.setdefault(operation, set()).add(status)

    paths = json.loads(document.read_text())["paths"].values()
    operations = {
        operation["operationId"] for path in paths for operation in path.values() if "operationId" in operation
    }
    assert outcomes.keys() == operations
    assert outcomes == OUTCOMES


def test_task_that_is_put_back_unchanged_keeps_its_version(build: Build, service: Service) -> None:
    """Nothing is lost on the way through the client's types, no microsecond either."""
    url = f"/api/user-{uuid4()}/tasks"
    full = {
        "title": "Buy milk",
        "description": "Two litres",
        "completed": True,
        "due_at": "2030-01-31T09:30:00.123456Z",
        "priority": "high",
        "tags": ["shop"],
        "order": -5,
    }
    for task in (full, {"title": "Call the bank"}):
        assert service.client.post(url, json=task).status_code == 201
    before = service.client.get(url).json()

    build.start("put_back", service, url.split("/")[2])

    assert service.client.get(url).json() == before
    assert [task["version"] for task in before] == [1, 1]


def test_lock_file_has_no_download_addresses() -> None:
    """Whoever installs from it asks the registry of their own configuration."""
    assert '"resolved"' not in (NODE_MODULES.parent / "package-lock.json").read_text()
