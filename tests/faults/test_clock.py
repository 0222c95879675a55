"""A database whose clock is not this machine's: libfaketime moves the clock of its processes alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import open_client

from todo.app import create_app
from todo.database.checks import check_database
from todo.database.migration import migrate
from todo.database.urls import read_database_url
from todo.embedded.postgres import embedded_postgres
from todo.settings import Settings

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
TOLERANCE = timedelta(minutes=1)


@pytest.fixture
def library() -> Path:
    """What is loaded before everything else, and answers for the clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed")
    return found[0]


@pytest.fixture(params=[-1, 1])
def days(request: pytest.FixtureRequest) -> int:
    """How far the database's clock is off."""
    return int(request.param)


@contextmanager
def database_with_clock(library: Path, folder: Path, offset: str) -> Iterator[str]:
    """Run the database on a folder with its clock so far off, and give its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("FAKETIME", offset)
        with embedded_postgres(folder, None, print) as url:
            patch.undo()
            yield url


@pytest.fixture
def skewed_url(library: Path, days: int, shared_dir: Path) -> Iterator[str]:
    """The URL of a database with such a clock."""
    with database_with_clock(library, shared_dir / f"clock{days:+}", f"{days:+}d") as url:
        migrate(read_database_url(url))
        yield url


async def test_times_come_from_the_database(skewed_url: str, days: int, tasks_url: str) -> None:
    """Row 78: whatever this machine's clock says, and the newest task is the first of the list."""
    async with open_client(create_app(Settings(), read_database_url(skewed_url))) as client:
        first = (await client.post(tasks_url, json={"title": "First", "completed": True})).json()
        second = (await client.post(tasks_url, json={"title": "Second"})).json()
        changed = (await client.patch(second["url"], json={"completed": True})).json()
        listed = (await client.get(tasks_url)).json()

    expected = datetime.now(UTC) + days * DAY
    for task in (first, changed):
        for name in ("created_at", "updated_at", "completed_at"):
            assert abs(datetime.fromisoformat(task[name]) - expected) < TOLERANCE
    assert [task["id"] for task in listed] == [second["id"], first["id"]]


def test_check_reports_a_clock_that_is_off(skewed_url: str, days: int) -> None:
    """It says how far, and what to do."""
    url = read_database_url(skewed_url)

    [clock] = [finding for finding in check_database(url, url, 10) if finding.subject == "clock"]

    assert not clock.is_right
    assert f"{days * DAY.total_seconds():+.0f}"[:-1] in clock.found
    assert "correct one of the two clocks" in clock.found


async def test_clock_that_is_set_back_loses_no_change(library: Path, shared_dir: Path, tasks_url: str) -> None:
    """Row 161: a position of before leads to what is written after, whose times go on to increase."""
    with database_with_clock(library, shared_dir / "set-back", "+10m") as url:
        migrate(read_database_url(url))
        async with open_client(create_app(Settings(), read_database_url(url))) as client:
            kept, deleted = [(await client.post(tasks_url, json={"title": "A task"})).json() for _ in range(2)]
            position = (await client.get(f"{tasks_url}/changes")).json()["next"]
    with database_with_clock(library, shared_dir / "set-back", "+0m") as url:
        async with open_client(create_app(Settings(), read_database_url(url))) as client:
            changed = (await client.patch(kept["url"], json={"title": "Changed"})).json()
            await client.delete(deleted["url"])
            added = (await client.post(tasks_url, json={"title": "Added"})).json()
            page = (await client.get(f"{tasks_url}/changes", params={"since": position})).json()

    expected = [(changed["id"], changed), (deleted["id"], None), (added["id"], added)]
    assert [(change["id"], change["task"]) for change in page["changes"]] == expected
    assert deleted["updated_at"] < changed["updated_at"] < added["updated_at"]
