"""What the log says, and what it never says."""

import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests.service import running_service
from tests.support import make_database, open_client

from todo.app import create_app
from todo.errors import DeadlineExceeded
from todo.logs import configure_logging
from todo.settings import Settings, read_settings

CANARY = "canary-7d1f"
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff\u00ad\U000e0041"
UNTRIMMED = text(
    "INSERT INTO tasks (user_id, id, title, completed, tags) VALUES ('u', gen_random_uuid(), :title, false, '{}')"
)


@pytest.fixture(autouse=True)
def _restore_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test configures ends with it."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)


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
    assert [line["request_id"] for line in logged] == [answer.headers["X-Request-ID"] for answer in answers]
    assert all(isinstance(line["duration_ms"], float) and line["level"] == "INFO" for line in logged)


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_line_cannot_be_forged(database_url: str, capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """Line breaks, terminal controls and what turns the direction of text, in a path, are escapes in its line."""
    configure_logging(Settings.model_validate({"log_format": log_format}))
    async with open_client(create_app(Settings(), database_url)) as client:
        await client.get(f"/api/a%0d%0aFORGED%1b%5b2J%c2%85%e2%80%a8{quote(TURNING)}/tasks")

    lines = [
        line for line in capsys.readouterr().err.splitlines() if "FORGED" in line and "HTTP Request" not in line
    ]  # the client logs, too
    assert len(lines) == 1
    assert "422" in lines[0]
    assert lines[0].isprintable()


def test_console_line_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads it on lines of its own."""
    configure_logging(Settings(log_format="console"))
    logging.getLogger("test").error("It failed", exc_info=ValueError(CANARY))

    assert f"ValueError: {CANARY}\n" in capsys.readouterr().err


def test_level_is_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """What lies below it is not said."""
    configure_logging(Settings(log_level="warning", log_format="json"))
    logging.getLogger("test").info("quiet")
    logging.getLogger("test").warning("loud")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


@pytest.fixture
def careless_app(database_url: str) -> FastAPI:
    """An application that sends a caller's text into a statement which the database refuses, and quotes."""

    async def fail() -> None:
        database = make_database(database_url, pool_size=1)
        try:
            await database.read(UNTRIMMED, {"title": f" {CANARY} "})
        finally:
            await database.close()

    app = create_app(Settings(), database_url)
    app.add_api_route("/fail", fail)
    return app


async def test_refused_row_is_not_quoted(careless_app: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    """PostgreSQL puts the whole row into its message; the log has the constraint's name, and no text of a user's."""
    configure_logging(Settings(log_format="console"))
    async with open_client(careless_app) as client:
        response = await client.get("/fail")

    logged = capsys.readouterr().err
    assert response.status_code == 500
    assert "Traceback" in logged
    assert "ck_tasks_title" in logged
    assert CANARY not in logged + response.text


async def test_neither_passwords_nor_bodies_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even at the level of debugging, and while nothing works."""
    configure_logging(Settings(log_level="debug", log_format="console"))
    url = f"postgresql://alice:{CANARY}@127.0.0.1:1/todo"
    async with open_client(create_app(read_settings(DATABASE_URL=url), url)) as client:
        unavailable = await client.post("/api/alice/tasks", json={"title": CANARY})
        invalid = await client.post("/api/alice/tasks", json={"title": CANARY, "priority": CANARY})

    logged = capsys.readouterr().err
    assert (unavailable.status_code, invalid.status_code) == (503, 422)
    assert "POST /api/{user_id}/tasks 503" in logged
    assert CANARY not in logged


async def test_unreachable_database_is_said_once_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Each request has its own line besides."""
    configure_logging(Settings(log_format="console"))
    url = "postgresql://alice@127.0.0.1:1/todo"
    async with open_client(create_app(read_settings(DATABASE_URL=url), url)) as client:
        for _ in range(3):
            assert (await client.get("/api/alice/tasks")).status_code == 503

    lines = [line for line in capsys.readouterr().err.splitlines() if "does not answer as it should" in line]
    assert len(lines) == 1
    assert "refused" in lines[0]


async def test_return_of_the_database_is_said_once(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """So that the log tells how long it was away."""
    database = make_database(database_url, pool_size=2, deadline_seconds=0.3)
    with caplog.at_level(logging.INFO, "todo"):
        with pytest.raises(DeadlineExceeded):
            await database.read(text("SELECT pg_sleep(1)"), {})
        for _ in range(3):
            await database.ping()
    await database.close()

    assert [record.message for record in caplog.records] == [
        "The database does not answer as it should: no answer within 0.3 s",
        "The database answers again",
    ]
