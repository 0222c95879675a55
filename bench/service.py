"""The service itself as an application, in the shape of its rivals."""

from starlette.types import ASGIApp

from todo.app import create_app as create_todo_app
from todo.database.urls import read_database_url
from todo.logs import configure_logging
from todo.settings import read_settings


def create_app(database_url: str, log_level: str) -> ASGIApp:
    """Make the application as a worker of `todo serve` does."""
    settings = read_settings(database_url=database_url, log_level=log_level, log_format="json")
    configure_logging(settings)
    return create_todo_app(settings, read_database_url(database_url))
