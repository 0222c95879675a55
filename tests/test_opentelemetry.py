"""The service under OpenTelemetry, which instruments it without a line of code."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blocks import find_script
from tests.service import Service, running_command
from tests.support import connect, find_port, make_empty_database, wait_until
from todo.database.migration import migrate
from todo.database.urls import read_database_url
from todo.models.fields import Owner

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent.parent / "opentelemetry/bin"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "canary-hunter2"
EXPORT = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "TODO_LOG_LEVEL": "error",  # nothing is written between the spans
}

Span = dict[str, Any]  # as the exporter writes it


@pytest.fixture(scope="module")
def url(database_url: str) -> Iterator[str]:
    """The URL of a migrated database of its own."""
    with make_empty_database(database_url) as url:
        migrate(read_database_url(url))
        yield url


@pytest.fixture(scope="module")
def service(url: str) -> Iterator[Service]:
    """A service that prints its spans."""
    if not (BIN / "opentelemetry-instrument").exists():
        pytest.skip("OpenTelemetry is missing: `make .venv/opentelemetry/installed` installs it")
    port = find_port()
    script = find_script("docs/opentelemetry.md", "opentelemetry-instrument").replace("/opt/todo", str(BIN.parent))
    command = ["bash", "-euc", script]
    with running_command(command, port, DATABASE_URL=url, TODO_PORT=str(port), **EXPORT) as service:
        yield service


def read_spans(service: Service) -> list[Span]:
    """The spans that it has printed."""
    decoder, text = json.JSONDecoder(), service.read_log()
    spans, place = [], text.find("{\n")
    while place >= 0:
        try:
            span, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError:  # half of it is printed
            break
        spans.append(span)
        place = text.find("{\n", place)
    return spans


def find_spans(service: Service, trace: str) -> list[Span]:
    """The spans of a trace, once that of its request, the last, is there."""
    found: list[Span] = []

    def is_complete() -> bool:
        found[:] = [span for span in read_spans(service) if span["context"]["trace_id"] == f"0x{trace}"]
        return any(span["kind"] == "SpanKind.SERVER" for span in found)

    wait_until(is_complete)
    return found


def test_request_and_its_statement_belong_to_the_trace_of_the_client(service: Service, tasks_url: str) -> None:
    """The client's span is the parent of the request's, and that of the statement's; neither shows what was sent."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "Authorization": f"Bearer {CANARY}"}
    assert service.client.post(tasks_url, json={"title": CANARY}, headers=headers).status_code == 201

    spans = find_spans(service, TRACE)
    request = next(span for span in spans if span["kind"] == "SpanKind.SERVER")
    statement = next(span for span in spans if span["kind"] == "SpanKind.CLIENT")
    assert (request["name"], request["parent_id"]) == ("POST /api/{user_id}/tasks", f"0x{PARENT}")
    assert (statement["name"], statement["parent_id"]) == ("WITH", request["context"]["span_id"])
    assert "INSERT INTO tasks (user_id, id, title" in statement["attributes"]["db.statement"]
    assert CANARY not in json.dumps(spans)


def test_address_of_a_request_is_in_its_span(service: Service, owner: Owner) -> None:
    """With the user's id and the text of a search, as docs/opentelemetry.md warns."""
    trace = TRACE[::-1]
    headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
    service.client.get(f"/api/{owner}/tasks?q={CANARY}", headers=headers)

    shown = [span["attributes"].get("http.url", "") for span in find_spans(service, trace)]
    assert any(address.endswith(f"/api/{owner}/tasks?q={CANARY}") for address in shown)


def test_constraint_of_somebody_else_puts_the_row_into_a_span(service: Service, url: str, tasks_url: str) -> None:
    """As docs/opentelemetry.md warns; the service's own log leaves the row out."""
    trace = TRACE.replace("a", "b")
    with connect(url) as connection:
        connection.execute("ALTER TABLE tasks ADD CONSTRAINT theirs CHECK (title NOT LIKE 'canary%') NOT VALID")
    headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
    assert service.client.post(tasks_url, json={"title": CANARY}, headers=headers).status_code == 500

    assert CANARY in json.dumps(find_spans(service, trace))
    assert not [line for line in service.read_log().splitlines() if line.startswith('{"time"') and CANARY in line]


def test_probes_leave_no_spans(service: Service) -> None:
    """Where the variable of the documents excludes them."""
    assert service.client.get("/health/live").status_code == 200

    assert "/health/" not in json.dumps(read_spans(service))
