"""httplint finds nothing to object to in the service's responses: of every operation and page, and of its errors."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from httplint import HttpRequestLinter, HttpResponseLinter, Note, levels
from httplint.field import REQUEST_HDR_IN_RESPONSE
from httplint.status import STATUS_BAD_REQUEST
from tests.service import Service, running_service

pytestmark = pytest.mark.slow

ORIGIN = "https://app.example.com"
TASKS = "/api/alice/tasks"
ABSENT = f"{TASKS}/00000000-0000-7000-8000-000000000000"
NEW_ID = "00000000-0000-7000-8000-000000000001"
JSON = {"Content-Type": "application/json"}
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}
PAGES = [
    "/", "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/favicon-32x32.png",
    "/openapi.json",
]  # fmt: skip


class Call(NamedTuple):
    """A request, and the status that it is answered with; `{task}` is the path of a task."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    body: str | None = None


def make_batch(op: str, **members: object) -> str:
    """The body of a batch of one operation."""
    return json.dumps({"operations": [{"op": op, "id": NEW_ID, **members}]})


OPERATIONS = [
    Call("POST", TASKS, 201, JSON | {"Idempotency-Key": '"key"'}, '{"title": "Buy milk"}'),
    Call("POST", TASKS, 201, JSON | {"Idempotency-Key": '"key"', "Origin": ORIGIN}, '{"title": "Buy milk"}'),
    Call("GET", TASKS, 200),
    Call("GET", f"{TASKS}?limit=1", 200, {"Origin": ORIGIN}),
    Call("GET", TASKS, 304, {"If-None-Match": "*"}),
    Call("GET", "{task}", 200),
    Call("GET", "{task}", 304, {"If-None-Match": '"1"'}),
    Call("PATCH", "{task}", 200, JSON, '{"title": "Buy oat milk"}'),
    Call("PUT", "{task}", 200, JSON, '{"title": "Buy soy milk"}'),
    Call("PATCH", "{task}/complete", 200),
    Call("PATCH", f"{TASKS}?status=all", 200, JSON, '{"completed": true}'),
    Call("PUT", f"{TASKS}/{NEW_ID}", 201, JSON | {"If-None-Match": "*"}, '{"title": "Buy tea"}'),
    Call("GET", f"{TASKS}/changes", 200),
    Call("POST", f"{TASKS}/batch", 200, JSON, make_batch("delete")),
    Call("OPTIONS", "{task}", 204),
    Call("OPTIONS", "{task}", 200, PREFLIGHT),
    Call("OPTIONS", "{task}", 204, PREFLIGHT | {"Origin": "https://evil.example"}),
    Call("DELETE", "{task}", 204),
    Call("DELETE", f"{TASKS}?status=all&q=milk", 200),
    Call("GET", "/health/live", 200),
    Call("GET", "/health/ready", 200),
]
ERRORS = [
    Call("GET", "/nothing", 404),
    Call("GET", ABSENT, 404),
    Call("GET", f"{TASKS}?sort=id", 422),
    Call("GET", f"{TASKS}?cursor=x", 400),
    Call("POST", TASKS, 400, JSON, "{"),
    Call("POST", TASKS, 413, JSON, json.dumps({"title": "x" * 70_000})),
    Call("POST", TASKS, 415, {"Content-Type": "text/plain"}, "{}"),
    Call("PATCH", "{task}", 415, {"Content-Type": "text/plain"}, "{}"),
    Call("POST", f"{TASKS}/batch", 409, JSON, make_batch("update", task={"title": "Buy tea"})),
    Call("PATCH", "{task}", 412, JSON | {"If-Match": '"99"'}, "{}"),
    Call("POST", "{task}", 405),
]


@pytest.fixture(scope="module")
def service(shared_dir: Path) -> Iterator[Service]:
    """The service as it is run, which pages of one origin may call."""
    with running_service("--data-dir", str(shared_dir / "http"), TODO_CORS_ORIGINS=ORIGIN) as service:
        yield service


def find_notes(service: Service, call: Call) -> Iterator[Note]:
    """Make a call, and yield what httplint notes of the response, in its bytes."""
    address = f"{service.client.base_url.host}:{service.client.base_url.port}"
    task = service.client.post(TASKS, json={"title": "Buy milk"}).json()
    path = call.path.format(task=f"{TASKS}/{task['id']}")
    connection = HTTPConnection(address)
    connection.request(call.method, path, call.body, call.headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()

    assert response.status == call.status, content
    request = HttpRequestLinter()
    request.process_request_topline(call.method.encode(), f"http://{address}{path}".encode(), b"HTTP/1.1")
    request.process_headers([(name.encode(), value.encode()) for name, value in call.headers.items()])
    linter = HttpResponseLinter(start_time=time.time(), _related=request, no_content=call.method == "HEAD")
    linter.process_response_topline(b"HTTP/1.1", str(response.status).encode(), response.reason.encode())
    linter.process_headers([(name.encode(), value.encode()) for name, value in response.getheaders()])
    linter.feed_content(content)
    linter.finish_content(complete=True)
    yield from linter.notes


def is_objection(note: Note) -> bool:
    """Whether a note is about something that the service should do otherwise."""
    if isinstance(note, STATUS_BAD_REQUEST):  # of any 400
        return False
    if isinstance(note, REQUEST_HDR_IN_RESPONSE) and note.vars["field_name"] == "Accept":
        return False  # RFC 9110, section 12.5.1: in a response, it says what a later request may have
    return note.level in {levels.WARN, levels.BAD}


@pytest.mark.parametrize("call", [*OPERATIONS, *ERRORS], ids=lambda call: f"{call.method} {call.path} {call.status}")
def test_response_is_good_http(service: Service, call: Call) -> None:
    """Its headers fit each other, its status and its body."""
    methods = [call, call._replace(method="HEAD")] if call.method == "GET" else [call]
    for each in methods:
        assert [note.summary for note in find_notes(service, each) if is_objection(note)] == []


@pytest.mark.parametrize("path", PAGES)
def test_page_is_good_http(service: Service, path: str) -> None:
    """Whether it is sent or the browser has it."""
    status = 307 if path == "/" else 200
    calls = [Call("GET", path, status), Call("HEAD", path, status)]
    if status == 200:
        calls += [Call("GET", path, 304, {"If-None-Match": "*"})]
    for call in calls:
        assert [note.summary for note in find_notes(service, call) if is_objection(note)] == []


def test_every_operation_is_looked_at(service: Service) -> None:
    """What is added later has to be added here."""
    document = service.client.get("/openapi.json").json()
    called = {
        (
            call.method.lower(),
            call.path.partition("?")[0].format(task=f"{TASKS}/{{task_id}}").replace("alice", "{user_id}"),
        )
        for call in OPERATIONS
    }

    assert {(method, path) for path, item in document["paths"].items() for method in item} <= called
