"""What a caller, and the log, are told when something fails that the caller cannot help."""

import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from tests.service import TODO, running_service

pytestmark = pytest.mark.slow

ORIGIN = "https://app.example.com"
CANARY = "canary-93ab"
NOWHERE = f"postgresql://alice:{CANARY}@127.0.0.1:1/todo"


@pytest.fixture
def spoilt_url(database_url: str) -> Iterator[str]:
    """A database that refuses a row which the service thinks is right."""
    name = f"spoilt_{uuid4().hex}"
    url = make_url(database_url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        subprocess.run([TODO, "migrate"], env={**os.environ, "DATABASE_URL": url}, check=True, capture_output=True)
        with psycopg.connect(url) as spoilt:
            spoilt.execute(f"ALTER TABLE tasks ADD CONSTRAINT no_canary CHECK (title <> '{CANARY}')")
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_unexpected_error_is_a_500_that_tells_nothing(spoilt_url: str) -> None:
    """Rows 72, 76 and 77: a page may read it; the traceback is in the log, and no text of the user's."""
    with running_service(DATABASE_URL=spoilt_url, TODO_CORS_ORIGINS=ORIGIN, TODO_LOG_FORMAT="console") as service:
        response = service.client.post("/api/alice/tasks", json={"title": CANARY}, headers={"Origin": ORIGIN})
        service.stop()
        log = service.read_log()

    problem = response.json()
    assert (response.status_code, problem["type"]) == (500, "urn:todo:problem:internal-error")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert f"Request {problem['request_id']} failed" in log
    assert "Traceback" in log
    assert "no_canary" in log
    assert CANARY not in log + response.text


# Raises a SQLSTATE for the first so many writes, as PostgreSQL would where it has no room or gives up on a row.
TRIGGER = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') <= {failures} THEN
            RAISE EXCEPTION 'failed on purpose: {canary}' USING ERRCODE = '{sqlstate}';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fail()
"""


@pytest.mark.parametrize(
    ("sqlstate", "failures", "statuses"),
    [
        pytest.param("40P01", 1, {201}, id="row 13, one deadlock"),
        pytest.param("40001", 1, {201}, id="row 13, one serialization failure"),
        pytest.param("40001", 10, {201}, id="row 13, ten serialization failures"),
        # 504 where the deadline passes in the midst of the last try
        pytest.param("40P01", 999, {503, 504}, id="row 13, deadlocks without end"),
        pytest.param("53100", 1, {503}, id="row 12, disk full"),
        pytest.param("57014", 1, {504}, id="row 8, statement timeout"),
    ],
)
def test_write_that_is_rolled_back_is_tried_again_where_that_helps(
    spoilt_url: str, sqlstate: str, failures: int, statuses: set[int]
) -> None:
    """Until the deadline, since it has not happened; and no answer or log has what the database said of the row."""
    with psycopg.connect(spoilt_url) as connection:
        connection.execute(TRIGGER.format(failures=failures, canary=CANARY, sqlstate=sqlstate).encode())
    with running_service(DATABASE_URL=spoilt_url, TODO_LOG_LEVEL="debug", TODO_DEADLINE_SECONDS="3") as service:
        response = service.client.post("/api/alice/tasks", json={"title": "A task"})
        listed = service.client.get("/api/alice/tasks").json()
        log = service.read_log()

    assert response.status_code in statuses
    assert len(listed) == (response.status_code == 201)
    assert ("Retry-After" in response.headers) is (response.status_code == 503)
    assert CANARY not in response.text
    assert "Traceback" not in log


def test_database_that_is_away_is_a_503_that_tells_no_secret() -> None:
    """Rows 72 and 77: a page may read it and when to come back; the log has the reason, and no password."""
    with running_service(
        probe="/health/live", DATABASE_URL=NOWHERE, TODO_CORS_ORIGINS=ORIGIN, TODO_LOG_LEVEL="debug"
    ) as service:
        response = service.client.post("/api/alice/tasks", json={"title": CANARY}, headers={"Origin": ORIGIN})
        invalid = service.client.post("/api/alice/tasks", json={"title": CANARY, "x": CANARY})
        service.stop()
        log = service.read_log()

    assert (response.status_code, invalid.status_code) == (503, 422)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Retry-After"] == "2"
    assert "refused" in log
    assert "Traceback" not in log
    assert CANARY not in log + response.text + invalid.text


def test_public_url_is_what_is_reflected(database_url: str, owner: str) -> None:
    """Row 73: with TODO_PUBLIC_URL set, neither Host nor a forwarding header is."""
    with running_service(DATABASE_URL=database_url, TODO_PUBLIC_URL="https://todo.example.com") as service:
        forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        response = service.client.post(f"/api/{owner}/tasks", json={"title": "A task"}, headers=forged)

    assert response.headers["Location"].startswith(f"https://todo.example.com/api/{owner}/tasks/")
    assert "evil" not in response.text
