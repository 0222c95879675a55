"""What every test can ask for: a real PostgreSQL, the application on it, and an owner nobody else has.

Tests share one database and are kept apart as users are: each has an owner of its own.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from tests.support import make_database, open_client

from todo.app import create_app
from todo.database.engine import Database
from todo.database.migration import migrate
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.embedded.postgres import embedded_postgres
from todo.models.fields import Owner
from todo.settings import Settings


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
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Iterator[Path]:
    """A folder that another account can reach, as pytest's own cannot be: as root, PostgreSQL runs as one."""
    folder = Path(tempfile.mkdtemp(prefix="todo-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_url(shared_dir: Path) -> Iterator[str]:
    """The URL of a migrated database: a new embedded one, or what TODO_TEST_DATABASE_URL names."""
    if url := os.environ.get("TODO_TEST_DATABASE_URL"):
        migrate(read_database_url(url))
        yield url
        return
    with embedded_postgres(shared_dir / "embedded", None, print) as url:
        migrate(read_database_url(url))
        yield url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of connections to the database."""
    database = make_database(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def client(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of the whole application."""
    async with open_client(create_app(Settings(), database_url)) as client:
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
