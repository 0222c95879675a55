"""Bad input over a real socket: it is refused as the contract says, and the database stays as it was."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx2
import pytest
from tests.service import Service, running_service

from todo.settings import Settings

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1 << 20
FOREIGN_ORIGINS = ["https://evil.example", "http://localhost.evil.example", "null"]
TYPES = {400: "malformed-request", 413: "body-too-large", 415: "unsupported-media-type", 422: "invalid-input"}


@pytest.fixture(scope="module")
def service(shared_dir: Path) -> Iterator[Service]:
    """The service as a user runs it."""
    with running_service("--data-dir", str(shared_dir / "input")) as service:
        yield service


@pytest.fixture
def tasks(service: Service, tasks_url: str) -> Iterator[str]:
    """The path of a user's tasks, of whom there is nothing before and must be nothing after the test."""
    yield tasks_url
    assert service.client.get(tasks_url).json() == []


def assert_problem(response: httpx2.Response, status: int) -> None:
    """It is a problem document that repeats nothing of the request."""
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), response.text
    assert problem["type"] == f"urn:todo:problem:{TYPES[status]}"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert isinstance(problem["detail"], str)
    assert "canary" not in response.text
    assert len(response.content) < 1000


class Answer(NamedTuple):
    """What came over a socket."""

    status: int
    headers: str
    body: bytes


def send_raw(service: Service, *parts: bytes) -> Answer:
    """Send bytes as they are, and read until the server closes or pauses."""
    with socket.create_connection(("127.0.0.1", service.client.base_url.port or 0), timeout=3) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head[9:12] or 0), head.decode("latin-1").lower(), body)


# Bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'{"title": "canary"', 400, id="row 26, malformed"),
        pytest.param(b'{"title": "canary"} {}', 400, id="row 26, more than one value"),
        pytest.param(b"[" * 60_000, 400, id="row 24, deep"),
        pytest.param(b'{"title": "canary", "order": ' + b"9" * 10_000 + b"}", 400, id="row 25, a number without end"),
        pytest.param(b'{"title": "canary", "order": NaN}', 400, id="row 27, NaN"),
        pytest.param(b'{"title": "canary", "order": -Infinity}', 400, id="row 27, infinity"),
        pytest.param(b'{"title": "canary", "order": 1e400}', 400, id="row 27, infinity by overflow"),
        pytest.param(b'{"title": "canary", "title": "b"}', 400, id="row 28, a repeated member"),
        pytest.param(b'{"title": "canary", "x": {"a": 1, "a": 2}}', 400, id="row 28, a repeated member further in"),
        pytest.param(b'{"title": "canary \xff"}', 400, id="row 29, invalid UTF-8"),
        pytest.param(b'{"title": "canary \xed\xa0\x80"}', 400, id="row 29, a surrogate in UTF-8"),
        pytest.param('{"title": "canary"}'.encode("utf-16"), 400, id="row 29, UTF-16"),
        pytest.param('{"title": "canary"}'.encode("utf-8-sig"), 400, id="row 29, a byte order mark"),
        pytest.param(b"", 422, id="row 30, none"),
        pytest.param(b'["canary"]', 422, id="row 30, no object"),
        pytest.param(b"null", 422, id="row 30, null"),
    ],
)
def test_body_that_is_not_strictly_json_is_refused(service: Service, tasks: str, body: bytes, status: int) -> None:
    """Whatever two parsers might read differently is not read at all."""
    assert_problem(service.client.post(tasks, content=body, headers=JSON), status)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="row 31, none"),
        pytest.param({"Content-Type": "text/plain"}, id="row 31, text"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, id="row 31, a form"),
        pytest.param({"Content-Type": "application/vnd.api+json"}, id="row 31, another kind of JSON"),
        pytest.param({"Content-Type": "application/merge-patch+json"}, id="row 31, a patch"),
        pytest.param({"Content-Type": "application/json; charset=utf-16"}, id="row 31, another charset"),
        pytest.param({"Content-Type": "canary"}, id="row 31, no media type"),
        pytest.param({**JSON, "Content-Encoding": "gzip"}, id="row 32, encoded"),
    ],
)
def test_body_that_is_not_declared_as_json_is_415(service: Service, tasks: str, headers: dict[str, str]) -> None:
    """The answer says what would be taken."""
    response = service.client.post(tasks, content=b'{"title": "canary"}', headers=headers)

    assert_problem(response, 415)
    assert response.headers["Accept"] == "application/json"


def test_patch_that_is_not_declared_as_json_is_415(service: Service, tasks: str) -> None:
    """Row 31: for a PATCH, what would be taken stands in `Accept-Patch` (RFC 5789)."""
    response = service.client.patch(f"{tasks}/{uuid4()}", content=b"{}", headers={"Content-Type": "text/plain"})

    assert_problem(response, 415)
    assert response.headers["Accept-Patch"] == "application/json, application/merge-patch+json"


@pytest.mark.parametrize("accept", ["application/xml", "text/html;q=0.9", "canary"])
def test_answer_is_json_whatever_is_asked_for(service: Service, tasks: str, accept: str) -> None:
    """Row 33: there is one representation, and a client that asks for another still gets it."""
    response = service.client.get(tasks, headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


def test_declared_length_beyond_the_limit_is_413_before_the_body(service: Service, tasks: str) -> None:
    """Row 22: of ten megabytes that are only announced, none has to be sent."""
    head = f"POST {tasks} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    answer = send_raw(service, head.encode(), b"Content-Length: 10485760\r\n\r\n")

    assert answer.status == json.loads(answer.body)["status"] == 413


def test_chunks_beyond_the_limit_are_413(service: Service, tasks: str) -> None:
    """Row 23: the body is cut off where it passes the limit, and nothing of it is kept."""

    def read_memory() -> int:
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in children]
        return sum(int(found[1]) for status in statuses if (found := re.search(r"VmRSS:\s+(\d+)", status)))

    def send_chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * MEBIBYTE

    before = read_memory()
    for _ in range(5):
        # The answer may come, and the connection go, while the client still sends.
        with suppress(httpx2.WriteError):
            assert_problem(service.client.post(tasks, content=send_chunks(), headers=JSON), 413)
    assert read_memory() - before < 10 * 1024


@pytest.mark.parametrize("length", ["Content-Length: 30000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("target", ["/api/u/tasks?unknown=1", "/nothing", "/health/live", "/api/u%2Fv/tasks"])
def test_error_that_leaves_a_body_unread_announces_the_end_of_the_connection(
    service: Service, target: str, length: str
) -> None:
    """Row 140: the server ends such a connection, and the next request on it would get no answer."""
    answer = send_raw(service, f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())

    assert answer.status >= 400
    assert "\r\nconnection: close" in answer.headers


def test_error_after_the_body_keeps_the_connection(service: Service, tasks: str) -> None:
    """Row 140: whoever corrects a body needs no other connection."""
    response = service.client.post(tasks, json={"title": " "})

    assert_problem(response, 422)
    assert "Connection" not in response.headers


def test_client_that_leaves_before_its_body_ends_writes_nothing(service: Service, tasks: str) -> None:
    """Row 17: and it is no error to log."""
    head = f"POST {tasks} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.client.base_url.port or 0), timeout=3) as connection:
        connection.sendall(head.encode() + b'{"title": "canary"}')

    assert service.client.get(tasks).json() == []
    assert "Traceback" not in service.read_log()


def test_unread_answers_hold_no_connection_to_the_database(service: Service, tasks_url: str) -> None:
    """Row 16: more clients than the pool has connections ask for a long list, and take nothing of the answer."""
    for number in range(100):
        service.client.post(tasks_url, json={"title": f"Task {number}", "description": "x" * 8192}).raise_for_status()
    request = f"GET {tasks_url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(2 * Settings().pool_size):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", service.client.base_url.port or 0)))
            reader.sendall(request)
            reader.recv(1)  # the statement has run by then

        assert service.client.get(f"{tasks_url}?limit=1").status_code == 200
    assert service.client.delete(f"{tasks_url}?status=all").json() == {"deleted": 100}


# Members


@pytest.mark.parametrize(
    ("member", "value"),
    [
        pytest.param("title", "canary \x00", id="row 34, NUL in the title"),
        pytest.param("description", "canary \x00", id="row 34, NUL in the description"),
        pytest.param("tags", ["canary \x00"], id="row 34, NUL in a tag"),
        pytest.param("title", "canary \ud800", id="row 35, a lone surrogate"),
        pytest.param("title", "", id="row 37, empty"),
        pytest.param("title", " \t\u3000", id="row 37, white space"),
        pytest.param("title", "\u200b\ufeff\u2060", id="row 37, without width"),
        pytest.param("title", "\U0001f600" * 256, id="row 39, one too many"),
        pytest.param("title", "canary" * 43, id="row 39, a few too many"),
        pytest.param("description", "canary" * 1366, id="row 39, a description that is too long"),
        pytest.param("title", 5, id="row 40, a number for a text"),
        pytest.param("completed", 0, id="row 40, a number for a boolean"),
        pytest.param("completed", "yes", id="row 40, a text for a boolean"),
        pytest.param("order", "5", id="row 40, a text for a number"),
        pytest.param("order", True, id="row 40, a boolean for a number"),
        pytest.param("tags", {}, id="row 40, an object for an array"),
        pytest.param("due_at", 1893456000, id="row 40, a number for a timestamp"),
        pytest.param("tags", "canary", id="row 40, a text for an array"),
        pytest.param("due_at", "2030-01-31", id="a date for a timestamp"),
        pytest.param("priority", "canary", id="a priority that is none"),
        pytest.param("order", 2**31, id="a number that is too large"),
        pytest.param("title", None, id="row 41, null"),
        pytest.param("tags", None, id="row 41, null tags"),
        pytest.param("user_id", "canary", id="row 42, another user"),
        pytest.param("titel", "canary", id="row 43, unknown"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_bad_member_is_422_naming_it(service: Service, tasks: str, method: str, member: str, value: object) -> None:
    """One rule on creation and on change."""
    url = tasks if method == "POST" else f"{tasks}/{uuid4()}"
    body = json.dumps({"title": "A task", member: value})

    response = service.client.request(method, url, content=body, headers=JSON)

    assert_problem(response, 422)
    [error] = response.json()["errors"]
    assert error.keys() == {"pointer", "detail"}
    assert error["pointer"].startswith(f"/{member}")


def test_name_of_an_unknown_member_is_cut(service: Service, tasks: str) -> None:
    """Row 43: fifty kilobytes of name do not come back."""
    response = service.client.post(tasks, json={"title": "A task", "x" * 50_000: 1})

    assert_problem(response, 422)
    assert response.json()["errors"][0]["pointer"] == "/" + "x" * 100


# Targets


@pytest.mark.parametrize(
    ("query", "name"),
    [
        pytest.param("statuss=all", "statuss", id="row 43, unknown"),
        pytest.param("%00canary=1", None, id="row 43, unknown and odd"),
        pytest.param("x" * 5000 + "=1", "x" * 100, id="row 43, unknown and long"),
        pytest.param("user_id=canary", "user_id", id="row 43, of the path"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_parameter_is_422_naming_it(
    service: Service, tasks: str, method: str, query: str, name: str | None
) -> None:
    """A misspelt filter does not answer with everything."""
    response = service.client.request(method, f"{tasks}?{query}")

    assert response.status_code == 422
    assert name is None or response.json()["errors"] == [{"parameter": name, "detail": "unknown parameter"}]


@pytest.mark.parametrize("task_id", ["abc", "+1", "1.0", "1", "9" * 5000, "%7B01890a5d-ac96-774b-bcce-b302099a8057%7D"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_malformed_id_is_422(service: Service, tasks: str, method: str, task_id: str) -> None:
    """Row 46: a task id is a UUID in its one common form."""
    response = service.client.request(method, f"{tasks}/{task_id}", json={} if method == "PATCH" else None)

    assert_problem(response, 422)
    assert [error["parameter"] for error in response.json()["errors"]] == ["task_id"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/api/../tasks", {404, 422}, id="row 49, dots"),
        pytest.param("/api/%2e%2e/tasks", {422}, id="row 49, encoded dots"),
        pytest.param("/api//tasks", {404}, id="row 49, empty"),
        pytest.param(f"/api/{'u' * 9000}/tasks", {422}, id="row 49, nine kilobytes"),
        pytest.param("/api/u1%2Ftasks", {404}, id="row 50, a slash"),
        pytest.param("/api/u1%2ftasks/x", {404}, id="row 50, a slash in lower case"),
        pytest.param("/api/u1%5Ctasks", {404}, id="row 50, a backslash"),
        pytest.param("/api/u1%252Ftasks/tasks", {422}, id="row 50, encoded twice"),
        pytest.param("/api/a%0d%0aX-Injected:%20canary/tasks", {422}, id="row 51, line breaks"),
        pytest.param("/api/%FF/tasks", {422}, id="row 52, a byte that is no text"),
        pytest.param("/api/e%CC%81/tasks", {422}, id="row 52, decomposed"),
        pytest.param("/api/%C3%A9/tasks", {422}, id="row 52, composed"),
        pytest.param("/api/white%20space/tasks", {422}, id="a character that no user id has"),
        pytest.param(f"/api/{'u' * 256}/tasks", {422}, id="one character too many"),
    ],
)
def test_odd_path_reaches_no_route_of_another(service: Service, target: str, status: set[int]) -> None:
    """Nothing is decoded into another route, another user or another header."""
    answer = send_raw(service, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.status in status
    assert "application/problem+json" in answer.headers
    assert "x-injected" not in answer.headers
    assert [error["parameter"] for error in json.loads(answer.body).get("errors", ())] in ([], ["user_id"])


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.example", id="row 73, foreign"),
        pytest.param("localhost.evil.example", id="row 73, foreign with our name"),
        pytest.param("localhost:80:80", id="row 73, malformed"),
        pytest.param("localhost/x", id="row 73, a path"),
        pytest.param("user@localhost", id="row 73, a user"),
        pytest.param("", id="row 73, empty"),
        pytest.param("localhost\r\nHost: evil.example", id="row 73, two"),
    ],
)
def test_foreign_host_is_400_and_not_reflected(service: Service, host: str) -> None:
    """On the embedded database only this machine's own names are served, against DNS rebinding."""
    answer = send_raw(service, f"GET /api/u/tasks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert answer.status == 400
    assert b"evil" not in answer.body


def test_forwarding_headers_are_not_read(service: Service, owner: str) -> None:
    """Row 73."""
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}

    response = service.client.post(f"/api/{owner}/tasks", json={"title": "A task"}, headers=forged)

    assert response.headers["Location"].startswith(str(service.client.base_url).rstrip("/"))


def test_probes_need_no_host(service: Service) -> None:
    """Row 73: health routes answer whoever asks."""
    answer = send_raw(service, b"GET /health/live HTTP/1.1\r\nHost: 10.0.0.7:8000\r\nConnection: close\r\n\r\n")

    assert answer.status == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "PROPFIND"])
def test_method_that_a_path_lacks_is_405(service: Service, tasks: str, method: str) -> None:
    """Row 68: with the complete `Allow`."""
    answer = send_raw(service, f"{method} {tasks} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.status == 405
    assert "allow: delete, get, head, options, patch, post\r\n" in answer.headers + "\r\n"


def test_head_has_the_headers_of_get_and_no_body(service: Service, tasks: str) -> None:
    """Row 69."""
    head = send_raw(service, f"HEAD {tasks} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert (head.status, head.body) == (200, b"")
    assert "content-length: 2\r\n" in head.headers + "\r\n"


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_foreign_origin_gets_no_permission(service: Service, tasks: str, origin: str) -> None:
    """Row 71: neither for a preflight nor for a request, and caches are told that it depends."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for response in (service.client.options(tasks, headers=asked), service.client.get(tasks, headers=asked)):
        assert not [name for name in response.headers if name.startswith("access-control-allow-origin")]
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        pytest.param("Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", id="row 74, both framings"),
        pytest.param("Content-Length: 5\r\nContent-Length: 6", b"hello", id="row 74, two lengths"),
        pytest.param("Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n", id="row 74, a bad chunk"),
        pytest.param("Content-Length: -1", b"", id="row 74, a negative length"),
    ],
)
def test_ambiguous_framing_is_one_request_at_most(service: Service, tasks: str, framing: str, body: bytes) -> None:
    """What follows an ambiguous body is not taken for a request of its own."""
    smuggled = f"POST {tasks} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    smuggled += b'Content-Length: 19\r\n\r\n{"title": "canary"}'
    head = f"PATCH {tasks}/{uuid4()} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"

    answer = send_raw(service, head.encode() + body + smuggled)

    assert answer.status in {0, 400, 404, 422}
    assert b"201" not in answer.body[:2000].split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param("X-Long: " + "x" * 100_000 + "\r\n", id="row 75, a long header"),
        pytest.param("".join(f"X-{number}: x\r\n" for number in range(300)), id="row 75, many headers"),
    ],
)
def test_too_much_header_is_refused(service: Service, headers: str) -> None:
    """By the parser, before the application sees it."""
    answer = send_raw(service, f"GET /api/u/tasks HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())

    assert answer.status in {0, 400, 431}


# What is taken


@pytest.mark.parametrize(
    "text", ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u05e9\u05dc\u05d5\u05dd", "e\u0301 \u00e9"]
)
def test_any_text_comes_back_byte_for_byte(service: Service, owner: str, text: str) -> None:
    """Row 36."""
    members = {"title": text, "description": f" {text}\n", "tags": [text]}

    created = service.client.post(f"/api/{owner}/tasks", json=members).json()

    assert members.items() <= created.items()


def test_text_at_its_limit_is_taken(service: Service, owner: str) -> None:
    """Rows 38 and 39: limits count code points, after trimming."""
    padded = {"title": "  " + "\U0001f600" * 255 + "\u3000"}

    created = service.client.post(f"/api/{owner}/tasks", json=padded)
    changed = service.client.patch(created.json()["url"], json=padded)

    assert (created.status_code, changed.status_code) == (201, 200)
    assert created.json()["title"] == "\U0001f600" * 255
    assert changed.json() == created.json()


def test_members_set_by_the_service_change_nothing(service: Service, owner: str) -> None:
    """Row 42: clients send back what they read."""
    forged = {"id": str(uuid4()), "created_at": "x", "completed_at": 1, "version": -1, "url": None, "user_id": owner}

    created = service.client.post(f"/api/{owner}/tasks", json={"title": "A task", **forged})
    changed = service.client.put(created.json()["url"], json={**created.json(), "version": 7, "updated_at": None})

    assert created.status_code == 201
    assert (created.json()["version"], created.json()["completed_at"]) == (1, None)
    assert created.json()["id"] != forged["id"]
    assert changed.json() == created.json()


@pytest.mark.parametrize("text", ["'; DROP TABLE tasks; --", "%", "_", "\\", "$1", "%(owner)s", ":owner"])
def test_metacharacters_of_sql_are_text(service: Service, owner: str, text: str) -> None:
    """Row 53."""
    created = service.client.post(f"/api/{owner}/tasks", json={"title": text, "tags": [text]}).json()

    assert (created["title"], created["tags"]) == (text, [text])
    assert [task["id"] for task in service.client.get(f"/api/{owner}/tasks").json()] == [created["id"]]


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("HEAD", "", None),
        ("PUT", "", {"title": "Taken"}),
        ("PATCH", "", {"title": "Taken"}),
        ("PATCH", "/complete", {}),
        ("PATCH", "/complete", {"completed": True}),
        ("DELETE", "", None),
    ],
)
def test_task_of_another_user_is_like_none(
    service: Service, tasks: str, owner: str, method: str, suffix: str, body: dict[str, object] | None
) -> None:
    """Row 47: byte for byte on the wire, request id and date aside."""
    created = service.client.post(f"/api/not-{owner}/tasks", json={"title": "A task"}).json()
    content = b"" if body is None else json.dumps(body).encode()
    answers = []
    for task_id in (created["id"], str(uuid4())):
        head = f"{method} {tasks}/{task_id}{suffix} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += "X-Request-ID: same\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        answer = send_raw(service, head.encode() + content)
        answers.append((answer.status, re.sub(r"date: .*", "", answer.headers), answer.body))

    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert service.client.get(created["url"]).json() == created
