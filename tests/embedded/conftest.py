"""Folders for embedded databases, and one that is made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.embedded.servers import end_what_is_left, make_database, make_place


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder, and see that no PostgreSQL is left in it."""
    with make_place() as folder:
        yield folder
        end_what_is_left(folder)


@pytest.fixture
def data_dir(place: Path) -> Path:
    """Name a data folder that does not exist yet."""
    return place / "data"


@pytest.fixture(scope="session")
def shared_database() -> Iterator[Path]:
    """Make an embedded database with one row, once: that takes longer than most tests."""
    with make_place() as folder:
        make_database(folder / "data")
        yield folder / "data"


@pytest.fixture
def database(shared_database: Path) -> Iterator[Path]:
    """Name an embedded database with one row, for a test that leaves it as it was."""
    yield shared_database
    end_what_is_left(shared_database)
