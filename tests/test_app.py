"""The application's lifespan, wherever it runs."""

from contextlib import suppress

import pytest
from fastapi import FastAPI

from tests.support import connect, wait_until
from todo.app import create_app
from todo.database.engine import Database
from todo.database.urls import read_database_url
from todo.errors import TodoError
from todo.settings import Settings


async def test_connections_are_closed_whatever_ends_the_lifespan(empty_url: str) -> None:
    """Such as an error of the application that this one is mounted in."""
    app = create_app(Settings(), read_database_url(empty_url))
    question = "SELECT FROM pg_stat_activity WHERE application_name ~ 'todo-backend' AND datname = current_database()"
    with connect(empty_url) as observer:
        with pytest.raises(RuntimeError):
            await fail_in_lifespan(app)

        wait_until(lambda: not observer.execute(question).fetchall())


async def fail_in_lifespan(app: FastAPI) -> None:
    """Use the database, and fail."""
    async with app.router.lifespan_context(app) as state:
        database: Database = (state or {})["database"]
        with suppress(TodoError):  # it is empty
            await database.ping()
        raise RuntimeError
