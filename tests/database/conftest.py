"""What the tests of the database have in common."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the driver's own, of the role that owns the tables."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
