"""The headers that all responses share: request id, caching, CORS."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest
from tests.api.test_tasks import add
from tests.support import open_client

from todo.app import create_app
from todo.database.urls import read_database_url
from todo.settings import Settings, read_settings

ORIGIN = "https://app.example.com"
PATHS = ["/api/u/tasks", "/api/u/tasks/not-a-uuid", "/health/live", "/nothing", "/openapi.json"]


@pytest.fixture(scope="module")
async def any_host(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application where any host is allowed."""
    async with open_client(
        create_app(read_settings(DATABASE_URL=database_url), read_database_url(database_url))
    ) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_every_response_can_be_found_in_a_log(client: httpx2.AsyncClient, path: str) -> None:
    """Errors included, a response has a request id of its own and may not be sniffed."""
    first, second = [await client.get(path) for _ in range(2)]

    assert UUID(first.headers["X-Request-ID"]) != UUID(second.headers["X-Request-ID"])
    assert first.headers["X-Content-Type-Options"] == "nosniff"


async def test_request_id_of_the_client_is_kept(client: httpx2.AsyncClient) -> None:
    """A trace goes on under the id that it has."""
    response = await client.get("/health/live", headers={"X-Request-ID": "trace-1.a_B"})

    assert response.headers["X-Request-ID"] == "trace-1.a_B"


@pytest.mark.parametrize("forged", ["", "a b", "x" * 129, "a;b", "\u00e9"])
async def test_request_id_that_could_do_harm_is_replaced(client: httpx2.AsyncClient, forged: str) -> None:
    """What could break a log or a header is not repeated."""
    response = await client.get("/health/live", headers={b"X-Request-ID": forged.encode()})

    assert str(UUID(response.headers["X-Request-ID"])) != forged


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_tasks_that_are_read_are_kept_by_the_browser_alone(
    client: httpx2.AsyncClient, tasks_url: str, method: str
) -> None:
    """It asks with the entity tag whether they are current; no cache on the way keeps them."""
    url = str((await add(client, tasks_url))["url"])

    read = await client.request(method, url)
    unchanged = await client.request(method, url, headers={"If-None-Match": read.headers["ETag"]})
    listed = await client.request(method, tasks_url)

    assert [each.status_code for each in (read, unchanged, listed)] == [200, 304, 200]
    assert {each.headers["Cache-Control"] for each in (read, unchanged, listed)} == {"private, no-cache"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "", 201),
        ("PATCH", "/{id}", 200),
        ("PUT", "/{id}", 200),
        ("PATCH", "/{id}/complete", 200),
        ("PATCH", "?status=all", 200),
        ("DELETE", "?status=all", 200),
        ("DELETE", "/{id}", 204),
        ("OPTIONS", "/{id}", 204),
        ("POST", "/{id}", 405),
        ("GET", "/not-a-uuid", 422),
        ("GET", "?sort=id", 422),
        ("GET", "/00000000-0000-0000-0000-000000000000", 404),
        ("HEAD", "/00000000-0000-0000-0000-000000000000", 404),
    ],
)
async def test_errors_and_answers_to_writes_are_not_kept(
    client: httpx2.AsyncClient, tasks_url: str, method: str, path: str, status: int
) -> None:
    """They tell what has happened once."""
    task = await add(client, tasks_url)
    body = {"title": "A title", "completed": True} if "?" not in path else {"completed": True}

    response = await client.request(
        method, tasks_url + path.format(id=task["id"]), json=body if method in {"POST", "PUT", "PATCH"} else None
    )

    assert (response.status_code, response.headers["Cache-Control"]) == (status, "no-store")


async def test_changes_are_not_kept(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Each page has a position of its own."""
    assert (await client.get(f"{tasks_url}/changes")).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/none", "/nothing"])
async def test_health_is_not_kept(client: httpx2.AsyncClient, path: str) -> None:
    """Nor is that there is nothing: a probe learns how things are now."""
    assert (await client.get(path)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_its_body(client: httpx2.AsyncClient, path: str) -> None:
    """HEAD works wherever GET does, with the same status and headers."""
    get, head = await client.get(path), await client.head(path)

    changing = {"x-request-id"}
    assert head.status_code == get.status_code
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }
    assert head.content == b""


REQUEST_HEADERS = [
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID",
    "traceparent", "tracestate", "baggage",
]  # fmt: skip
EXPOSED_HEADERS = {
    "ETag", "Link", "Location", "X-Request-ID", "Idempotent-Replayed", "Retry-After", "Allow", "Accept-Patch", "Date",
}  # fmt: skip


async def test_configured_origin_may_read_and_preflight(database_url: str) -> None:
    """A configured origin gets the contract's methods and headers, and never credentials."""
    app = create_app(Settings(cors_origins=(ORIGIN,)), read_database_url(database_url))
    async with open_client(app, Origin=ORIGIN) as client:
        preflight = await client.options(
            "/api/u/tasks",
            headers={
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": ", ".join(REQUEST_HEADERS),
            },
        )
        response = await client.get("/api/u/tasks/not-a-uuid")

    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Max-Age"] == "600"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert response.status_code == 422
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) == EXPOSED_HEADERS
    assert "Access-Control-Allow-Credentials" not in {*preflight.headers, *response.headers}


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:5173", "https://localhost"])
async def test_local_pages_may_read_on_the_embedded_database(client: httpx2.AsyncClient, origin: str) -> None:
    """A frontend under development works without a setting."""
    response = await client.get("/api/u/tasks", headers={"Origin": origin})

    assert response.headers["Access-Control-Allow-Origin"] == origin


async def test_local_pages_need_permission_on_any_other_database(database_url: str) -> None:
    """With a DATABASE_URL, only TODO_CORS_ORIGINS counts."""
    settings = read_settings(DATABASE_URL=database_url)
    async with open_client(
        create_app(settings, read_database_url(database_url)), Origin="http://localhost:3000"
    ) as client:
        response = await client.get("/api/u/tasks")

    assert "Access-Control-Allow-Origin" not in response.headers


async def test_public_url_is_never_taken_from_the_request(database_url: str) -> None:
    """With TODO_PUBLIC_URL set, neither Host nor a forwarding header is reflected."""
    settings = read_settings(DATABASE_URL=database_url, public_url="https://todo.example.com/base/")
    async with open_client(create_app(settings, read_database_url(database_url))) as client:
        response = await client.post(
            "/api/u/tasks",
            json={"title": "A task"},
            headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
        )

    assert response.headers["Location"].startswith("https://todo.example.com/base/api/u/tasks/")
    assert "evil" not in response.text + str(response.headers)


async def test_public_url_of_any_script_is_an_address_in_ascii(database_url: str, tasks_url: str) -> None:
    """What is written is answered: `url`, `Location` and `Link` are URLs that a header can carry."""
    settings = read_settings(DATABASE_URL=database_url, public_url="https://例え.jp/パス")
    async with open_client(create_app(settings, read_database_url(database_url))) as client:
        created = await client.post(tasks_url, json={"title": "A task"})
        await client.post(tasks_url, json={"title": "Another"})
        listed = await client.get(tasks_url, params={"limit": 1})

    base = f"https://xn--r8jz45g.jp/%E3%83%91%E3%82%B9{tasks_url}"
    assert created.status_code == 201
    assert created.headers["Location"] == created.json()["url"] == f"{base}/{created.json()['id']}"
    assert listed.headers["Link"].startswith(f"<{base}?limit=1&cursor=")


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("todo_backend:8000", "http://todo_backend:8000"),
        ("localhost:", "http://localhost"),
        ("Todo.Example.com.", "http://Todo.Example.com."),
        ("[::1]:8000", "http://[::1]:8000"),
        ("[::ffff:192.0.2.1]", "http://[::ffff:192.0.2.1]"),
        ("192.0.2.1:65535", "http://192.0.2.1:65535"),
        ("x" * 253, f"http://{'x' * 253}"),
    ],
)
async def test_any_host_that_is_one_is_reflected(
    any_host: httpx2.AsyncClient, tasks_url: str, host: str, base: str
) -> None:
    """Where any host is allowed, `url` and `Location` begin with that of the request."""
    response = await any_host.post(tasks_url, json={"title": "A task"}, headers={"Host": host})

    assert response.status_code == 201, response.text
    assert response.headers["Location"] == response.json()["url"] == f"{base}{tasks_url}/{response.json()['id']}"


@pytest.mark.parametrize(
    "host",
    [
        "", "any example", 'a"b', "a'b", "a<b", "a/b", "a@b", "a%62", "a,b", "a;b", "a..b", ".", "a:b", "a:-1",
        "a:65536", ":80", "[:::]", "[1.2]", "[fe80::1%25eth0]", "[::1", "[::1]x", "\u00e9", "a\u00b2", "x" * 254,
    ],
)  # fmt: skip
async def test_host_that_is_none_writes_nothing(any_host: httpx2.AsyncClient, tasks_url: str, host: str) -> None:
    """What no URL can be made of is refused before anything is written, and nothing of it comes back."""
    response = await any_host.post(tasks_url, json={"title": "A task"}, headers={b"Host": host.encode("latin-1")})
    tasks = await any_host.get(tasks_url)

    assert response.status_code == 400
    assert response.json()["detail"] == "The Host header is malformed or not allowed."
    assert tasks.json() == []
