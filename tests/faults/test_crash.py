"""What was acknowledged is there again, however the service ended; and what it started ends with it."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2
import psycopg
import pytest
from tests.operations import run_six_operations
from tests.service import Service, running_service
from tests.support import wait_until
from tests.wire import relayed

pytestmark = pytest.mark.slow

WRITES_BEFORE_KILL = 50
PATIENCE_SECONDS = 20


@pytest.fixture
def data_dir(shared_dir: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of an embedded database that is not there yet."""
    return shared_dir / f"crash-{request.node.name.replace('[', '-').rstrip(']')}"


def find_processes(data_dir: Path) -> Iterator[int]:
    """The PostgreSQL servers that run on the folder, whoever started them."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(data_dir / "postgres").encode() in command:
            yield int(folder.name)


def write_until_it_ends(service: Service, acknowledged: list[str], enough: threading.Event) -> None:
    """Create and complete tasks, and note each that was answered with success."""
    for number in count():
        try:
            created = service.client.post("/api/alice/tasks", json={"title": f"Task {number}"})
            created.raise_for_status()
            service.client.patch(f"{created.json()['url']}/complete").raise_for_status()
        except httpx2.HTTPError:
            return
        acknowledged.append(created.json()["id"])
        if number >= WRITES_BEFORE_KILL:
            enough.set()


def read_completed(service: Service) -> set[str]:
    """The ids of the completed tasks."""
    return {task["id"] for task in service.client.get("/api/alice/tasks").json() if task["completed"]}


def kill_service(service: Service, _: Path) -> None:
    """End the server's first process without a word."""
    service.process.kill()


def kill_both(service: Service, data_dir: Path) -> None:
    """End the server and its database without a word."""
    service.process.kill()
    for pid in find_processes(data_dir):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_service, kill_both])
def test_kill_loses_nothing_that_was_acknowledged(data_dir: Path, kill: Callable[[Service, Path], None]) -> None:
    """In the midst of writes the server is killed; the next start recovers by itself with every one of them."""
    acknowledged: list[str] = []
    enough = threading.Event()
    with running_service("--data-dir", str(data_dir)) as service:
        writer = threading.Thread(target=write_until_it_ends, args=[service, acknowledged, enough])
        writer.start()
        assert enough.wait(PATIENCE_SECONDS)
        kill(service, data_dir)
        service.process.wait(PATIENCE_SECONDS)
        writer.join(PATIENCE_SECONDS)

    with running_service("--data-dir", str(data_dir)) as service:
        assert set(acknowledged) <= read_completed(service)
        run_six_operations(service.client, "bob")
        assert service.stop() == 0

    assert list(find_processes(data_dir)) == []


def test_killed_database_is_back_by_itself_and_the_log_says_so(data_dir: Path) -> None:
    """The service goes on, with all that was acknowledged, and its first process has a line for either moment."""
    with running_service("--data-dir", str(data_dir)) as service:
        created = service.client.post("/api/alice/tasks", json={"title": "Kept"}).json()
        for pid in find_processes(data_dir):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "The embedded PostgreSQL has ended (signal 9)" in service.read_log())
        wait_until(lambda: "The embedded PostgreSQL runs again" in service.read_log())

        assert service.client.get("/api/alice/tasks").json() == [created]


def test_service_whose_folder_is_removed_says_so_at_its_end(data_dir: Path) -> None:
    """In its last line, with a status on which a supervisor starts it again."""
    with running_service("--data-dir", str(data_dir)) as service:
        servers = list(find_processes(data_dir))
        shutil.rmtree(data_dir, ignore_errors=True)
        for pid in servers:
            with suppress(ProcessLookupError):  # without its files, or its parent, one may have ended already
                os.kill(pid, signal.SIGKILL)

        assert service.process.wait(PATIENCE_SECONDS) == 1
        assert f"its folder {data_dir} was removed or replaced" in service.read_log().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_normal_stop_keeps_the_tasks_and_leaves_no_process(data_dir: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the database with the service, and the next start has what there was."""
    with running_service("--data-dir", str(data_dir)) as service:
        task = service.client.post("/api/alice/tasks", json={"title": "A task"}).json()
        assert list(find_processes(data_dir))

        assert service.stop(number) == 0
        assert "Traceback" not in service.read_log()

    assert list(find_processes(data_dir)) == []
    with running_service("--data-dir", str(data_dir)) as service:
        [kept] = service.client.get("/api/alice/tasks").json()
        assert {**kept, "url": ""} == {**task, "url": ""}


def test_start_says_what_it_does(data_dir: Path) -> None:
    """The first start makes the database and says so; every start says where the API and its docs are."""
    with running_service("--data-dir", str(data_dir)) as service:
        wait_until(lambda: "Docs " in service.read_log())
        first = service.read_log()
        service.stop()
    with running_service("--data-dir", str(data_dir)) as service:
        wait_until(lambda: "Docs " in service.read_log())
        second = service.read_log()

    assert f"Creating the embedded database in {data_dir}" in first
    assert "The schema has been migrated" in first
    assert "alembic" not in first, "what the service itself has said already"
    assert "Creating" not in second
    assert "/api/{user_id}/tasks" in second
    assert "/docs" in second


def test_second_service_on_the_same_folder_is_refused(data_dir: Path) -> None:
    """It says so in one line, and the first goes on."""
    with running_service("--data-dir", str(data_dir)) as service:
        with (
            pytest.raises(AssertionError, match="another server is running"),
            running_service("--data-dir", str(data_dir)),
        ):
            pass

        run_six_operations(service.client, "alice")


def test_six_operations_with_several_workers(data_dir: Path) -> None:
    """Workers share nothing but the database."""
    with running_service("--data-dir", str(data_dir), "--workers", "2") as service:
        run_six_operations(service.client, "alice")


def test_creation_whose_answer_was_lost_is_found_by_its_key(database_url: str, owner: str) -> None:
    """Row 66: the server is killed between the write and the answer; the retry gives the one task that there is."""
    tasks_url = f"/api/{owner}/tasks"

    def create(service: Service) -> httpx2.Response:
        return service.client.post(tasks_url, json={"title": "A task"}, headers={"Idempotency-Key": "key"})

    def is_written() -> bool:
        with psycopg.connect(database_url) as connection:
            return bool(connection.execute("SELECT FROM tasks WHERE user_id = %s", [owner]).rowcount)

    with (
        relayed(database_url) as relay,
        running_service(DATABASE_URL=relay.url) as service,
        ThreadPoolExecutor() as pool,
    ):
        relay.is_muted = True
        answer = pool.submit(create, service)
        wait_until(is_written)
        service.process.kill()
        with pytest.raises(httpx2.TransportError):
            answer.result(PATIENCE_SECONDS)

    with running_service(DATABASE_URL=database_url) as service:
        retry = create(service)
        assert (retry.status_code, retry.headers["Idempotent-Replayed"]) == (201, "true")
        assert service.client.get(tasks_url).json() == [retry.json()]
