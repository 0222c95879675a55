"""What every test can ask for: a real PostgreSQL, the application on it, and an owner nobody else has.

The tests of one process share a database and are kept apart as users are: each has an owner of its own. Processes that
run tests in parallel share one PostgreSQL, where each has a database.
"""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.support import connect, make_empty_database, open_client, open_database
from todo.app import create_app
from todo.database.engine import Database
from todo.database.migration import migrate
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.embedded.postgres import embedded_postgres
from todo.models.fields import Owner
from todo.settings import Settings

SERVER_URL = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only another account can show: CI runs the tests as root and as an ordinary account."""
    other = "ordinary_account" if os.geteuid() == 0 else "root"
    left_out = [item for item in items if item.get_closest_marker(other)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, which installs every tool, a test that is skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Every asynchronous test runs on asyncio, in one loop."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def interrupt() -> None:
    """Ctrl-C ends what tests start, although a shell has whatever it runs in the background ignore that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def environment() -> Iterator[None]:
    """No test sees the settings of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DATABASE_URL", "PG", "TODO_"))]:
            if not name.startswith("TODO_TEST_"):
                patch.delenv(name)
        patch.setenv("PYTHON_DOTENV_DISABLED", "1")
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - pytest-xdist has no types
    """Tell a process that runs tests in parallel with others where the PostgreSQL is that they share."""
    node.workerinput["server_url"] = start_server(node.config)


def start_server(config: pytest.Config) -> str:
    """Start the PostgreSQL of this run, unless TODO_TEST_DATABASE_URL names one, and return its URL."""
    if SERVER_URL not in config.stash:
        url = os.environ.get("TODO_TEST_DATABASE_URL")
        if not url:
            resources = ExitStack()
            config.add_cleanup(resources.close)
            folder = resources.enter_context(open_shared_folder())
            url = resources.enter_context(embedded_postgres(folder / "embedded", None, print))
        config.stash[SERVER_URL] = url
    return config.stash[SERVER_URL]


@contextmanager
def open_shared_folder() -> Iterator[Path]:
    """Make a folder that another account can reach, as pytest's own cannot be: as root, PostgreSQL runs as one."""
    with tempfile.TemporaryDirectory(prefix="todo-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def shared_dir() -> Iterator[Path]:
    """A folder that the account of PostgreSQL can reach."""
    with open_shared_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database."""
    with ExitStack() as stack:
        if workerinput := getattr(request.config, "workerinput", None):
            url = stack.enter_context(make_empty_database(workerinput["server_url"]))
        else:
            url = start_server(request.config)
        migrate(read_database_url(url))
        yield url


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with make_empty_database(database_url) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the driver's own, of the role that owns the tables."""
    with connect(database_url) as connection:
        yield connection


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of connections to the database."""
    async with open_database(database_url) as database:
        yield database


@pytest.fixture(scope="session")
async def client(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of the whole application."""
    async with open_client(create_app(Settings(), read_database_url(database_url))) as client:
        yield client


@pytest.fixture
def owner() -> Owner:
    """A user without a task."""
    return Owner(f"user-{uuid4()}")


@pytest.fixture
def tasks_url(owner: Owner) -> str:
    """The path of the owner's tasks."""
    return f"/api/{owner}/tasks"


@pytest.fixture
def store(database: Database, owner: Owner) -> TaskStore:
    """The owner's tasks."""
    return TaskStore(database, owner)
