"""What the log says, and what it never says."""

import fcntl
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from tests.service import START_SECONDS, TODO, running_service
from tests.support import find_port, open_client, open_database, wait_until
from todo.app import create_app
from todo.database.compiled import Statement
from todo.database.urls import read_database_url
from todo.errors import DeadlineExceeded
from todo.logs import configure_logging
from todo.server import GRACE_SECONDS
from todo.settings import Settings, read_settings

NOWHERE = "postgresql://alice@127.0.0.1:1/todo"
# Logs far more than waits for a reader, and says so before its reader comes; then ends as it likes.
PROGRAM = """
import logging, sys, time
from todo.logs import configure_logging
from todo.settings import Settings
configure_logging(Settings(log_format="console"))
for number in range(20_000):
    logging.getLogger("test").info("%0100d", number)
print("logged", flush=True)
if sys.argv[1] == "wait":
    input()
"""
# As granian does in the parent.
LAST_LINES = """
import logging.config
from todo.logs import configure_logging, print_line
from todo.settings import Settings
configure_logging(Settings(log_format="console"))
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
for number in range(5_000):
    print_line(f"line {number}")
"""
CANARY = "canary-7d1f"
# What Python writes to standard error by itself: a warning, and an error in a thread.
CARELESS = f"""
import threading, warnings
def fail():
    raise ValueError("{CANARY}")
def identify():
    warnings.warn("{CANARY}")
    threading.Thread(target=fail).start()
"""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff\u00ad\U000e0041"
UNTRIMMED = Statement(
    text("INSERT INTO tasks (user_id, id, title, completed, tags) VALUES ('u', gen_random_uuid(), :title, false, '{}')")
)


@pytest.fixture(autouse=True)
def _restore_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test configures ends with it."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)


def read_log(capfd: pytest.CaptureFixture[str]) -> str:
    """What this process has logged so far; another thread writes it."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capfd.readouterr().err


def read_requests(log: str) -> list[dict[str, object]]:
    """The lines of a JSON log that are about requests."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if "route" in line]


def test_each_request_is_one_line_of_json(shared_dir: Path) -> None:
    """With the method, the route, the status, the duration, the request id and the user id."""
    with running_service("--data-dir", str(shared_dir / "logs"), TODO_LOG_FORMAT="json") as service:
        answers = [
            service.client.head("/api/alice/tasks"),
            service.client.get("/api/bob/tasks/not-a-uuid"),
            service.client.get("/nothing"),
        ]
        service.stop()
        logged = read_requests(service.read_log())[-len(answers) :]

    assert [(line["method"], line["route"], line["status"], line["user_id"]) for line in logged] == [
        ("HEAD", "/api/{user_id}/tasks", 200, "alice"),
        ("GET", "/api/{user_id}/tasks/{task_id}", 422, "bob"),
        ("GET", "-", 404, "-"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["time"])) for line in logged)
    assert [line["request_id"] for line in logged] == [answer.headers["X-Request-ID"] for answer in answers]
    assert all(isinstance(line["duration_ms"], float) and line["level"] == "INFO" for line in logged)


@pytest.mark.parametrize(
    ("traceparent", "is_valid"),
    [
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01", True),
        (f"00-{TRACE_ID}-00f067aa0ba902b7-00", True),
        (f"01-{TRACE_ID}-00f067aa0ba902b7-01-of-a-later-version", True),
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01-more", False),
        (f"ff-{TRACE_ID}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE_ID}-{'0' * 16}-01", False),
        (f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01", False),
        (TRACE_ID, False),
        ("", False),
        (None, False),
    ],
)
async def test_line_of_a_request_has_its_trace_id(
    database_url: str, capfd: pytest.CaptureFixture[str], traceparent: str | None, *, is_valid: bool
) -> None:
    """Where the request has a valid `traceparent`, as W3C Trace Context defines it."""
    configure_logging(Settings(log_format="json"))
    headers = {} if traceparent is None else {"traceparent": traceparent}
    async with open_client(create_app(Settings(), read_database_url(database_url))) as client:
        await client.get("/health/live", headers=headers)

    [line] = read_requests(read_log(capfd))
    assert line.get("trace_id") == (TRACE_ID if is_valid else None)


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_line_cannot_be_forged(database_url: str, capfd: pytest.CaptureFixture[str], log_format: str) -> None:
    """Line breaks, terminal controls and what turns the direction of text, in a path, are escapes in its line."""
    configure_logging(Settings.model_validate({"log_format": log_format}))
    async with open_client(create_app(Settings(), read_database_url(database_url))) as client:
        await client.get(f"/api/a%0d%0aFORGED%1b%5b2J%c2%85%e2%80%a8{quote(TURNING)}/tasks")

    lines = [
        line for line in read_log(capfd).splitlines() if "FORGED" in line and "HTTP Request" not in line
    ]  # the client logs, too
    assert len(lines) == 1
    assert "422" in lines[0]
    assert lines[0].isprintable()


def test_all_that_the_service_prints_is_json(tmp_path: Path, shared_dir: Path) -> None:
    """From its start, with a new database, to its end; what a terminal shows as plain lines is lines of JSON here."""
    (tmp_path / "careless.py").write_text(CARELESS)
    environment = {
        "TODO_IDENTIFY_OWNER": "careless:identify",
        "TODO_POOL_SISE": "1",
        "TODO_PUBLIC_URL": "https://a.example/b",
    }
    with running_service("--data-dir", str(shared_dir / "json"), folder=str(tmp_path), **environment) as service:
        assert service.client.get("/api/alice/tasks").status_code == 500
        wait_until(lambda: "Docs " in service.read_log())
        service.stop()
        lines = [json.loads(line) for line in service.read_log().splitlines()]

    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    messages = [line["message"] for line in lines]
    assert "TODO_POOL_SISE is not a setting; is TODO_POOL_SIZE meant?" in messages
    assert [message for message in messages if message.startswith("Creating the embedded database in ")]
    assert "The schema has been migrated." in messages
    assert "API   https://a.example/b/api/{user_id}/tasks" in messages
    assert "Docs  https://a.example/b/docs" in messages
    assert [line for line in lines if line["logger"] == "py.warnings" and CANARY in line["message"]]
    assert [line for line in lines if CANARY in line.get("traceback", "") and line["message"] == "An unexpected error"]


@pytest.mark.slow
def test_worker_that_cannot_load_the_application_says_why_in_json(tmp_path: Path) -> None:
    """No address is printed, since nothing listens there."""
    (tmp_path / "sometimes.py").write_text(
        "import multiprocessing\nif multiprocessing.parent_process(): raise SystemError\ndef identify(): ...\n"
    )
    environment = {"DATABASE_URL": NOWHERE, "TODO_IDENTIFY_OWNER": "sometimes:identify"}
    with running(str(TODO), "serve", "--port", str(find_port()), folder=tmp_path, **environment) as service:
        _, log = service.communicate(timeout=60)

    lines = [json.loads(line) for line in log.splitlines()]
    assert service.returncode == 1
    assert "SystemError at" in lines[0]["message"]
    assert lines[-1]["message"] == "the application could not be started; the lines above say why"
    assert not [line for line in lines if line["message"].startswith("API ")]


def test_console_line_keeps_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """A person reads it on lines of its own."""
    configure_logging(Settings(log_format="console"))
    logging.getLogger("test").error("It failed", exc_info=ValueError(CANARY))

    assert f"ValueError: {CANARY}\n" in read_log(capfd)


@pytest.mark.parametrize(
    "argument",
    ["\udcff", {404: 2}, {("a", "b"): 1}, {"count": 2**70}, {"nested": {1: 2}}, {"message": 1, "time": 2}],
    ids=["lone surrogate", "number as a name", "tuple as a name", "long number", "nested", "members of every line"],
)
def test_line_is_written_whatever_its_argument_is(capfd: pytest.CaptureFixture[str], argument: object) -> None:
    """What JSON does not know is written as text, and nothing takes the place of what every line has."""
    configure_logging(Settings(log_format="json"))
    logging.getLogger("test").warning("It is %s", argument)

    [line] = read_log(capfd).splitlines()
    members = json.loads(line)
    assert members["message"] == f"It is {argument}"
    assert members["time"] != 2


def test_level_is_a_setting(capfd: pytest.CaptureFixture[str]) -> None:
    """What lies below it is not said."""
    configure_logging(Settings(log_level="warning", log_format="json"))
    logging.getLogger("test").info("quiet")
    logging.getLogger("test").warning("loud")

    assert [json.loads(line)["message"] for line in read_log(capfd).splitlines()] == ["loud"]


@pytest.fixture
def careless_app(database_url: str) -> FastAPI:
    """An application that sends a caller's text into a statement which the database refuses, and quotes."""

    async def fail() -> None:
        async with open_database(database_url, pool_size=1) as database:
            await database.read(UNTRIMMED, {"title": f" {CANARY} "})

    app = create_app(Settings(), read_database_url(database_url))
    app.add_api_route("/fail", fail)
    return app


async def test_refused_row_is_not_quoted(careless_app: FastAPI, capfd: pytest.CaptureFixture[str]) -> None:
    """PostgreSQL puts the whole row into its message; the log has the constraint's name, and no text of a user's."""
    configure_logging(Settings(log_format="console"))
    async with open_client(careless_app) as client:
        response = await client.get("/fail")

    logged = read_log(capfd)
    assert response.status_code == 500
    assert "Traceback" in logged
    assert "ck_tasks_title" in logged
    assert CANARY not in logged + response.text


async def test_neither_passwords_nor_bodies_are_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """Not even at the level of debugging, and while nothing works."""
    configure_logging(Settings(log_level="debug", log_format="console"))
    url = f"postgresql://alice:{CANARY}@127.0.0.1:1/todo"
    async with open_client(create_app(read_settings(DATABASE_URL=url), read_database_url(url))) as client:
        unavailable = await client.post("/api/alice/tasks", json={"title": CANARY})
        invalid = await client.post("/api/alice/tasks", json={"title": CANARY, "priority": CANARY})

    logged = read_log(capfd)
    assert (unavailable.status_code, invalid.status_code) == (503, 422)
    assert "POST /api/{user_id}/tasks 503" in logged
    assert CANARY not in logged


async def test_unreachable_database_is_said_once_with_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    """Each request has its own line besides."""
    configure_logging(Settings(log_format="console"))
    url = "postgresql://alice@127.0.0.1:1/todo"
    async with open_client(create_app(read_settings(DATABASE_URL=url), read_database_url(url))) as client:
        for _ in range(3):
            assert (await client.get("/api/alice/tasks")).status_code == 503

    lines = [line for line in read_log(capfd).splitlines() if "unavailable: " in line]
    assert len(lines) == 1
    assert "refused" in lines[0]


async def test_return_of_the_database_is_said_once(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """So that the log tells how long it was away."""
    async with open_database(database_url, pool_size=2, deadline_seconds=0.3) as database:
        with caplog.at_level(logging.INFO, "todo"):
            with pytest.raises(DeadlineExceeded):
                await database.read(Statement(text("SELECT pg_sleep(1)")), {})
            for _ in range(3):
                await database.ping()

    assert [record.message for record in caplog.records] == [
        "Database unavailable: no answer within 0.3 s",
        "Database available again",
    ]


@contextmanager
def running(*command: str, folder: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command whose standard error nobody reads, unless the test does."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_lines_that_nobody_reads_are_dropped_and_counted() -> None:
    """Whoever logs is not held up, and a reader that comes back is told how many lines it has missed."""
    with running(sys.executable, "-c", PROGRAM, "wait") as program:
        assert program.stdout
        assert program.stdout.readline() == "logged\n"
        _, log = program.communicate("\n")

    lines = log.splitlines()
    kept = [line for line in lines if re.search(r" INFO +\d{100}$", line)]
    lost = [int(found[1]) for line in lines if (found := re.search(r" (\d+) log lines were lost", line))]
    assert len(lost) >= 1
    assert len(kept) + sum(lost) == 20_000


def test_last_lines_are_written_before_the_end() -> None:
    """What ends a process is said last."""
    ended = subprocess.run([sys.executable, "-c", LAST_LINES], capture_output=True, text=True, check=True)

    assert ended.stderr.splitlines() == [f"line {number}" for number in range(5_000)]


def test_process_ends_though_nobody_reads_its_log() -> None:
    """It waits for a moment, and not for a reader that may never come."""
    with running(sys.executable, "-c", PROGRAM, "end") as program:
        assert program.wait(20) == 0


@pytest.mark.slow
def test_service_whose_log_is_stuck_serves_and_ends_on_its_signal() -> None:
    """The pipe is full, of which the parent and the worker each have an end: requests are answered all the same."""
    port = find_port()
    with running(str(TODO), "serve", "--port", str(port), DATABASE_URL=NOWHERE) as service:
        assert service.stderr
        size = fcntl.fcntl(service.stderr, fcntl.F_SETPIPE_SZ, 4096)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_until(lambda: is_live(client), START_SECONDS)
            for _ in range(size // 100):
                assert client.get("/health/live").status_code == 200
            with socket.create_connection(("127.0.0.1", port)) as stuck:
                stuck.sendall(b"POST /api/u/tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
                stuck.sendall(b"Content-Length: 9\r\n\r\n")
                service.terminate()
                assert service.wait(GRACE_SECONDS + 4) == 0


def test_service_without_standard_error_serves() -> None:
    """Its lines go nowhere, and into no other file that has got the number of the one that is missing."""
    port = find_port()
    command = f'exec "{TODO}" serve --port {port} 2>&-'
    with running("/bin/sh", "-c", command, DATABASE_URL=NOWHERE) as service:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_until(lambda: is_live(client), START_SECONDS)
            assert client.get("/api/u/tasks").status_code == 503
        service.terminate()
        assert service.wait(GRACE_SECONDS) == 0


def is_live(client: httpx2.Client) -> bool:
    """Tell whether the service answers."""
    try:
        return client.get("/health/live").status_code == 200
    except httpx2.TransportError:
        return False
