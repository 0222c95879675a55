"""A page of another origin in a real browser, and the service's own page without the internet."""

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.service import Service, running_service

pytestmark = pytest.mark.slow

PAGE = Path(__file__).with_name("page")
# Names that the browser finds on this machine, and no others: it has no internet.
ALLOWED, FOREIGN = "app.example", "foreign.example"
RESOLVER = f"MAP {ALLOWED} 127.0.0.1, MAP {FOREIGN} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class Files(SimpleHTTPRequestHandler):
    """Serves the page, and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name in the standard library
        """Print nothing."""


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    """The port of a server that has nothing but the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=PAGE)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def service(shared_dir: Path, page_port: int) -> Iterator[Service]:
    """A service that one origin may call."""
    folder = str(shared_dir / "browser")
    with running_service("--data-dir", folder, TODO_CORS_ORIGINS=f"http://{ALLOWED}:{page_port}") as service:
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a network but this machine."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("Chromium is missing (on Debian: apt install chromium)")
    expect.set_options(timeout=20_000)  # milliseconds: the machine may be busy
    with sync_playwright() as playwright:
        arguments = [f"--host-resolver-rules={RESOLVER}", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """An empty page; a screenshot of what becomes of it is kept among pytest's temporary files."""
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(20_000)
    yield page
    page.screenshot(path=tmp_path / "page.png")
    page.close()


@pytest.fixture
def tasks_url(service: Service) -> str:
    """The address of the tasks of a user who has none."""
    return f"{service.client.base_url}/api/user-{uuid4()}/tasks"


@pytest.fixture
def app(page: Page, page_port: int, tasks_url: str) -> Page:
    """The page of the origin that may call the service."""
    return open_app(page, ALLOWED, page_port, tasks_url)


def open_app(page: Page, host: str, port: int, tasks_url: str) -> Page:
    """Open the page as one of `host`, with the tasks at that address."""
    api, _, rest = tasks_url.partition("/api/")
    page.goto(f"http://{host}:{port}/index.html?api={api}&user={rest.split('/')[0]}")
    return page


def create(service: Service, tasks_url: str, **members: object) -> dict[str, Any]:
    """Create a task, as another device."""
    response = service.client.post(tasks_url, json={"title": "Buy milk", **members})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def show(page: Page) -> None:
    """List the tasks that the page's filters let through."""
    page.get_by_role("button", name="Show").click()


def test_page_follows_link_from_page_to_page(app: Page, service: Service, tasks_url: str) -> None:
    """The browser lets it read `Link`, and the address in it is one that it may call."""
    for number in range(5):
        create(service, tasks_url, title=f"Task {number}")

    show(app)
    expect(app.locator("#tasks li")).to_have_count(2)
    app.get_by_role("button", name="More").click()
    expect(app.locator("#tasks li")).to_have_count(4)
    app.get_by_role("button", name="More").click()
    expect(app.locator("#tasks li")).to_have_count(5)
    expect(app.get_by_role("button", name="More")).to_be_hidden()


def test_page_lists_with_filters(app: Page, service: Service, tasks_url: str) -> None:
    """Only the tasks that fit are shown."""
    create(service, tasks_url, title="Buy milk")
    create(service, tasks_url, title="Buy bread", completed=True)
    create(service, tasks_url, title="Call the bank")

    app.get_by_label("Status").select_option("pending")
    app.get_by_label("Search").fill("buy")
    show(app)
    expect(app.locator("#tasks li")).to_have_count(1)
    expect(app.get_by_label("Title")).to_have_value("Buy milk")


def test_page_creates_a_task(app: Page, service: Service, tasks_url: str) -> None:
    """Under an idempotency key; `Location` leads to the task, and `ETag` can be read."""
    app.get_by_label("New task").fill("Buy milk")
    app.get_by_label("Priority").select_option("high")
    app.get_by_role("button", name="Add").click()

    expect(app.get_by_label("Title")).to_have_value("Buy milk")
    assert [(task["title"], task["priority"]) for task in service.client.get(tasks_url).json()] == [
        ("Buy milk", "high")
    ]


def test_page_edits_completes_and_deletes_a_task(app: Page, service: Service, tasks_url: str) -> None:
    """Each with the entity tag of what it did before."""
    url = create(service, tasks_url)["url"]

    show(app)
    app.get_by_label("Title").fill("Buy oat milk")
    app.get_by_role("button", name="Save").click()
    expect(app.get_by_text("version 2")).to_be_visible()
    app.get_by_label("Completed").check()
    expect(app.get_by_text("version 3")).to_be_visible()
    task = service.client.get(url).json()
    assert (task["title"], task["completed"]) == ("Buy oat milk", True)

    app.get_by_role("button", name="Delete").click()
    expect(app.locator("#tasks li")).to_have_count(0)
    assert service.client.get(url).status_code == 404


def test_page_learns_of_a_conflict(app: Page, service: Service, tasks_url: str) -> None:
    """What another device has changed is not overwritten."""
    url = create(service, tasks_url)["url"]
    show(app)
    expect(app.get_by_text("version 1")).to_be_visible()
    service.client.patch(url, json={"title": "Buy bread"})

    app.get_by_label("Title").fill("Buy oat milk")
    app.get_by_role("button", name="Save").click()

    expect(app.get_by_role("alert")).to_have_text("412 urn:todo:problem:precondition-failed true")
    assert service.client.get(url).json()["title"] == "Buy bread"


def test_page_reads_a_problem(app: Page) -> None:
    """Its type, where the error is, and the request id, which the header repeats."""
    app.get_by_label("New task").fill(" ")
    app.get_by_role("button", name="Add").click()

    expect(app.get_by_role("alert")).to_contain_text("422 urn:todo:problem:invalid-input true")
    expect(app.get_by_role("alert")).to_contain_text("/title: ")


def test_refused_origin_stays_refused(page: Page, service: Service, page_port: int, tasks_url: str) -> None:
    """It can neither read nor write."""
    create(service, tasks_url)

    app = open_app(page, FOREIGN, page_port, tasks_url)
    expect(app.get_by_role("alert")).to_have_text("unreachable: Failed to fetch")
    expect(app.locator("#tasks li")).to_have_count(0)
    app.get_by_label("New task").fill("Buy bread")
    app.get_by_role("button", name="Add").click()
    expect(app.get_by_role("alert")).to_have_text("unreachable: Failed to fetch")
    assert len(service.client.get(tasks_url).json()) == 1


def test_docs_need_no_internet(page: Page, service: Service) -> None:
    """Every operation is shown, nothing is asked of another host, and the browser complains of nothing."""
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    paths = service.client.get("/openapi.json").json()["paths"].values()

    page.goto(f"{service.client.base_url}/docs")

    expect(page.locator(".opblock")).to_have_count(sum(len(path) for path in paths))
    assert complaints == []
    assert [url for url in requests if not url.startswith((str(service.client.base_url), "data:"))] == []


def test_try_it_out_creates_buy_milk(page: Page, service: Service, tasks_url: str) -> None:
    """The example of a creation is a task that one would create."""
    page.goto(f"{service.client.base_url}/docs")
    operation = page.locator("#operations-tasks-create_task")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("user_id").fill(tasks_url.split("/")[-2])
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert [task["title"] for task in service.client.get(tasks_url).json()] == ["Buy milk"]
