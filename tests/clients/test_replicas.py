"""The replicas of the examples end up with what the service has, whatever happens to the network."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from tests.clients.generators import PROGRAMS, PYTHON_TOOLS, ROOT, run, run_npm_tool
from tests.service import Service, running_service

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("client_tools")]

EXAMPLES = ROOT / "examples"
LANGUAGES = ["typescript", "python"]
Answer = dict[str, Any]  # of JSON


class Network(ThreadingHTTPServer):
    """What is between a device and the service: it may be down, and it may lose answers."""

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), Gateway)
        self.service = service.client
        self.is_down = False
        self.losses = 0  # so many requests arrive, without their answers coming back


class Gateway(BaseHTTPRequestHandler):
    """Passes on a request and its answer, or hangs up."""

    server: Network

    def pass_on(self) -> None:
        """Send the request to the service, and its answer to the device."""
        if self.server.is_down:
            return
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        headers = {"Content-Type": self.headers["Content-Type"]} if body else {}
        answer = self.server.service.request(self.command, self.path, content=body, headers=headers)
        if self.command == "POST" and self.server.losses:
            self.server.losses -= 1
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = pass_on  # noqa: N815 - names of the standard library

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name in the standard library
        """Print nothing."""


class Device:
    """A replica in a process of its own, and its network."""

    def __init__(self, process: subprocess.Popen[str], network: Network) -> None:
        self.process = process
        self.network = network

    def create(self, title: str, **members: object) -> str:
        """Create a task, and return its id."""
        task_id = str(uuid4())
        self._ask(change={"op": "create", "id": task_id, "task": {"title": title, **members}})
        return task_id

    def update(self, task_id: str, **members: object) -> None:
        """Change members of a task."""
        self._ask(change={"op": "update", "id": task_id, "task": members})

    def delete(self, task_id: str) -> None:
        """Delete a task."""
        self._ask(change={"op": "delete", "id": task_id})

    def sync(self) -> Answer:
        """Synchronize, and return what the device then has."""
        return self._ask(sync=True)

    def _ask(self, **command: object) -> Answer:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the replica has failed: its message is in the captured output"
        answer: Answer = json.loads(line)
        return answer


class Writer:
    """Somebody who uses the API without a copy."""

    def __init__(self, service: Service, user: str) -> None:
        self.user, self._client, self._url = user, service.client, f"/api/{user}/tasks"

    def create(self, title: str) -> str:
        """Create a task, and return its id."""
        return str(self._client.post(self._url, json={"title": title}).raise_for_status().json()["id"])

    def update(self, task_id: str, **members: object) -> None:
        """Change members of a task."""
        self._client.patch(f"{self._url}/{task_id}", json=members).raise_for_status()

    def delete(self, task_id: str) -> None:
        """Delete a task."""
        self._client.delete(f"{self._url}/{task_id}").raise_for_status()

    def list(self) -> Sequence[Answer]:
        """Every task."""
        response: httpx2.Response = self._client.get(self._url).raise_for_status()
        return normalize(response.json())


def normalize(tasks: Sequence[Answer]) -> list[Answer]:
    """Tasks in the order of their ids, with times that are equal however they are written."""
    times = ("created_at", "updated_at", "completed_at", "due_at")
    return sorted(
        [{**task, **{name: task[name] and datetime.fromisoformat(task[name]) for name in times}} for task in tasks],
        key=lambda task: str(task["id"]),
    )


@pytest.fixture(scope="module")
def service(database_url: str) -> Iterator[Service]:
    """A service on a database that the tests may change."""
    with running_service(DATABASE_URL=database_url) as service:
        yield service


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, document: Path) -> dict[str, list[str | Path]]:
    """What runs the replica of each language."""
    folders = {language: tmp_path_factory.mktemp(language) for language in LANGUAGES}
    for language, folder in folders.items():
        for path in (document, *(path for path in (EXAMPLES / language).iterdir() if path.is_file())):
            shutil.copy(path, folder)
    shutil.copy(PROGRAMS / "drive_replica.ts", folders["typescript"])
    shutil.copy(PROGRAMS / "drive_replica.py", folders["python"])
    run_npm_tool(folders["typescript"], "openapi-typescript", "openapi.json", "--output", "schema.ts")
    run_npm_tool(folders["typescript"], "tsc")
    run(
        folders["python"],
        *(PYTHON_TOOLS / "openapi-python-client", "generate", "--path", "openapi.json", "--fail-on-warning"),
        *("--config", PROGRAMS / "openapi-python-client.json", "--meta", "none", "--output-path", "todo_client"),
    )
    return {
        "typescript": ["node", folders["typescript"] / "build/drive_replica.js"],
        "python": [PYTHON_TOOLS / "python", folders["python"] / "drive_replica.py"],
    }


@contextmanager
def running_device(command: list[str | Path], service: Service, user: str) -> Iterator[Device]:
    """Run a replica behind a network of its own."""
    with Network(service) as network:
        thread = Thread(target=network.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{network.server_port}"
        with subprocess.Popen(
            [*command, address, user], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield Device(process, network)
        network.shutdown()
        thread.join()


@pytest.fixture
def writer(service: Service) -> Writer:
    """A user without a task, who writes to the service directly."""
    return Writer(service, f"user-{uuid4()}")


@pytest.fixture
def start(commands: dict[str, list[str | Path]], service: Service, writer: Writer) -> Iterator[Callable[[str], Device]]:
    """Starts a device of the user, with the replica of a language."""
    with ExitStack() as stack:
        yield lambda language: stack.enter_context(running_device(commands[language], service, writer.user))


def void_positions(connection: psycopg.Connection) -> None:
    """Make every position void, as an operator does after a restore."""
    connection.execute("UPDATE task_feed_generation SET begins_at = now()")


@pytest.mark.parametrize("languages", [("typescript", "python"), ("python", "typescript")])
def test_replicas_that_were_offline_end_up_with_what_the_service_has(
    languages: tuple[str, str], start: Callable[[str], Device], writer: Writer, connection: psycopg.Connection
) -> None:
    """With changes on both sides and by a third, a deletion, a conflict, and positions that have become void."""
    phone, laptop = map(start, languages)
    shared, doomed = writer.create("Buy milk"), writer.create("Call the bank")
    for device in (phone, laptop):
        device.sync()
        device.network.is_down = True
    phone.update(shared, title="Buy oat milk")
    bread = phone.create("Buy bread")
    phone.update(bread, completed=True)
    laptop.update(shared, completed=True)
    laptop.create("Water the plants", tags=["home"])
    laptop.delete(doomed)
    writer.create("Book a table")
    void_positions(connection)
    offline = [device.sync() for device in (phone, laptop)]

    for device in (phone, laptop):
        device.network.is_down = False
    synced = [device.sync() for device in (phone, laptop, phone, laptop)]

    assert [(each["isOnline"], each["waiting"]) for each in offline] == [(False, 2), (False, 3)]
    assert [(each["asked"], each["waiting"]) for each in synced[:2]] == [([], 0), (["precondition-failed"], 0)]
    tasks = writer.list()
    assert [normalize(each["tasks"]) for each in synced[2:]] == [tasks, tasks]
    assert sorted((task["title"], task["completed"]) for task in tasks) == [
        ("Book a table", False),
        ("Buy bread", True),
        ("Buy oat milk", True),
        ("Water the plants", False),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_batch_whose_answer_was_lost_takes_effect_once(
    language: str, start: Callable[[str], Device], writer: Writer
) -> None:
    """Also if its tasks have changed here since: that is sent after it, and is no conflict."""
    phone = start(language)
    milk = writer.create("Buy milk")
    phone.sync()
    phone.update(milk, completed=True)
    bread = phone.create("Buy bread")
    phone.network.losses = 1
    assert not phone.sync()["isOnline"]
    phone.update(milk, title="Buy oat milk")
    phone.update(bread, title="Buy rye bread")

    synced = phone.sync()

    assert sorted((task["title"], task["version"]) for task in writer.list()) == [
        ("Buy oat milk", 3),
        ("Buy rye bread", 2),
    ]
    assert (normalize(synced["tasks"]), synced["asked"]) == (writer.list(), [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_lost_batch_that_others_have_written_over_is_not_repeated(
    language: str, start: Callable[[str], Device], writer: Writer
) -> None:
    """What it created is there and can be changed, and only the change that is at fault is asked about."""
    phone = start(language)
    shared = writer.create("Buy milk")
    phone.sync()
    phone.update(shared, title="Buy oat milk")
    bread = phone.create("Buy bread")
    phone.network.losses = 1
    assert not phone.sync()["isOnline"]
    writer.update(shared, title="Buy soy milk")
    phone.update(bread, completed=True)

    synced = phone.sync()

    assert synced["asked"] == ["precondition-failed"]
    assert normalize(synced["tasks"]) == writer.list()
    titles = [(task["title"], task["completed"]) for task in writer.list()]
    assert sorted(titles) == [("Buy bread", True), ("Buy oat milk", False)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_replica_that_begins_again_keeps_what_it_has_not_sent(
    language: str, start: Callable[[str], Device], writer: Writer, connection: psycopg.Connection
) -> None:
    """And drops the tasks of which it is told no more."""
    phone = start(language)
    kept, lost = writer.create("Buy milk"), writer.create("Call the bank")
    phone.sync()
    with connection.transaction():  # as a restore does, which leaves no tombstone
        connection.execute("DELETE FROM tasks WHERE user_id = %s AND id = %s", (writer.user, lost))
        void_positions(connection)
    phone.update(kept, completed=True)
    phone.update(lost, completed=True)
    phone.create("Buy bread")

    synced = phone.sync()

    assert (synced["asked"], synced["waiting"]) == (["task-not-found"], 0)
    assert normalize(synced["tasks"]) == writer.list()
    titles = [(task["title"], task["completed"]) for task in writer.list()]
    assert sorted(titles) == [("Buy bread", False), ("Buy milk", True)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_changes_that_do_not_fit_into_one_batch_are_sent_in_several(
    language: str, start: Callable[[str], Device], writer: Writer
) -> None:
    """Neither by their number nor by their length."""
    phone = start(language)
    for number in range(120):
        phone.create(f"Task {number}", description="x" * 1000)

    synced = phone.sync()

    assert (len(synced["tasks"]), synced["waiting"], synced["asked"]) == (120, 0, [])
    assert normalize(synced["tasks"]) == writer.list()
