"""The API's own pages: the OpenAPI document, and Swagger UI, which needs nothing from anywhere else."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import Depends
from fastapi.security import OAuth2AuthorizationCodeBearer, OAuth2PasswordBearer
from tests.api.test_problems import assert_problem
from tests.service import running_service
from tests.support import open_client, wait_until

from todo.api.dependencies import UserId
from todo.app import create_app
from todo.database.urls import read_database_url
from todo.models.fields import Owner
from todo.settings import Settings

PAGES = [
    "/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css",
    "/docs/favicon-32x32.png",
]  # fmt: skip
REDIRECT = "/docs/oauth2-redirect"


class Loaded(HTMLParser):
    """What a page loads, and what it has in itself that a browser would run or apply."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.urls += [value for name, value in attrs if name in {"src", "href"} and value]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self._tag in {"script", "style"} and data.strip():
            self.inline.append(data)


def read_policy(response: httpx2.Response) -> dict[str, list[str]]:
    """The directives of a Content-Security-Policy."""
    directives = [directive.split() for directive in response.headers["Content-Security-Policy"].split(";")]
    return {name: sources for name, *sources in directives}


async def test_root_leads_to_the_page(client: httpx2.AsyncClient) -> None:
    """Whoever opens the address of the service sees what it can do."""
    root = await client.get("/")

    assert (root.status_code, root.headers["Location"]) == (307, "docs")
    assert (await client.get("/docs")).headers["Content-Type"] == "text/html; charset=utf-8"


async def test_page_loads_what_the_service_has(client: httpx2.AsyncClient) -> None:
    """No address leads anywhere else, and each has what a browser expects there."""
    loaded = Loaded((await client.get("/docs")).text)

    types = {}
    for url in loaded.urls:
        assert not url.startswith(("/", "http")), "a proxy may add a path in front of it"
        response = await client.get(urljoin("/docs", url))
        assert response.status_code == 200
        types[url] = response.headers["Content-Type"]
    assert types == {
        "docs/favicon-32x32.png": "image/png",
        "docs/swagger-ui.css": "text/css; charset=utf-8",
        "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "docs/start.js": "text/javascript; charset=utf-8",
    }


async def test_page_shows_the_document(client: httpx2.AsyncClient) -> None:
    """It is where the script looks for it."""
    start = (await client.get("/docs/start.js")).text
    [url] = re.findall(r'\burl: "(.*)"', start)

    document = await client.get(urljoin("/docs", url))

    assert document.headers["Content-Type"] == "application/json"
    assert document.json()["info"]["title"] == "Todo backend"


async def test_page_may_run_and_load_nothing_else(client: httpx2.AsyncClient) -> None:
    """What a description or an answer might smuggle in does not run, and no other page can frame this one."""
    page = await client.get("/docs")

    assert Loaded(page.text).inline == []
    assert read_policy(page) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_page_that_the_browser_has_is_not_sent_again(client: httpx2.AsyncClient, path: str, method: str) -> None:
    """It asks with the entity tag each time, so that a new version is seen at once."""
    first = await client.request(method, path)
    etag = first.headers["ETag"]
    others = [await client.request(method, path, headers={"If-None-Match": tag}) for tag in ('"x"', 'W/"x", "y"')]
    same = [
        await client.request(method, path, headers={"If-None-Match": tag})
        for tag in (etag, f"W/{etag}", f'"x", {etag}', "*")
    ]

    assert {each.status_code for each in (first, *others)} == {200}
    assert {(each.status_code, each.content) for each in same} == {(304, b"")}
    assert {each.headers["ETag"] for each in (first, *others, *same)} == {etag}
    assert {each.headers["Cache-Control"] for each in (first, *others, *same)} == {"no-cache"}


async def test_pages_differ_in_their_tags(client: httpx2.AsyncClient) -> None:
    """A tag is that of what is sent."""
    assert len({(await client.get(path)).headers["ETag"] for path in PAGES}) == len(PAGES)


@pytest.mark.parametrize("path", [REDIRECT, "/docs/oauth2-redirect.html", "/redoc", "/docs/"])
async def test_there_is_no_page_that_nothing_needs(client: httpx2.AsyncClient, path: str) -> None:
    """FastAPI brings some of its own."""
    assert_problem(await client.get(path), 404, "not-found")


by_code = OAuth2AuthorizationCodeBearer("https://id.example/authorize", "https://id.example:8443/token")
by_password = OAuth2PasswordBearer("token")


async def identify_by_code(user_id: UserId, _: Annotated[str, Depends(by_code)]) -> Owner:
    """Return the user of the path, once a server elsewhere has given out a token."""
    return Owner(user_id)


async def identify_by_password(user_id: UserId, _: Annotated[str, Depends(by_password)]) -> Owner:
    """Return the user of the path, once this one has."""
    return Owner(user_id)


@pytest.fixture(scope="module")
async def client_by_code(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application with a security scheme that leads to a server elsewhere."""
    async with open_client(create_app(Settings(), read_database_url(database_url), identify_by_code)) as client:
        yield client


async def test_browser_that_was_sent_away_for_a_token_comes_back(client_by_code: httpx2.AsyncClient) -> None:
    """To the page that the script names, on which one script may run."""
    back = await client_by_code.get(REDIRECT)

    [script] = re.findall("<script>(.*)</script>", back.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert read_policy(back)["script-src"] == [f"'sha256-{digest}'"]
    assert read_policy(back)["default-src"] == ["'none'"]
    assert f'"{REDIRECT.removeprefix("/")}"' in (await client_by_code.get("/docs/start.js")).text


async def test_page_may_ask_where_tokens_are_given_out(client_by_code: httpx2.AsyncClient) -> None:
    """And nobody else."""
    assert read_policy(await client_by_code.get("/docs"))["connect-src"] == ["'self'", "https://id.example:8443"]


async def test_token_for_a_password_needs_no_page(database_url: str) -> None:
    """No browser is sent away, and what gives out tokens is at the address of the service."""
    async with open_client(create_app(Settings(), read_database_url(database_url), identify_by_password)) as client:
        assert_problem(await client.get(REDIRECT), 404, "not-found")
        assert read_policy(await client.get("/docs"))["connect-src"] == ["'self'"]


async def test_pages_can_be_turned_off(database_url: str, tasks_url: str) -> None:
    """They are then as any path that does not exist, whatever the method; the API is as ever."""
    async with open_client(create_app(Settings(docs=False), read_database_url(database_url))) as client:
        for path in ["/", *PAGES, REDIRECT]:
            for method in ("GET", "OPTIONS", "POST"):
                assert_problem(await client.request(method, path), 404, "not-found")
        assert (await client.get(tasks_url)).status_code == 200


@pytest.mark.slow
def test_service_without_pages_announces_none(shared_dir: Path) -> None:
    """What it prints at its start can be opened."""
    with running_service("--data-dir", str(shared_dir / "pages"), TODO_DOCS="off") as service:
        wait_until(lambda: "API   http://" in service.read_log())
        assert "/docs" not in service.read_log()
