"""What a worker of the server loads. The parent names it, and must not import the application for that."""

from typing import TYPE_CHECKING

from todo.logs import configure_logging
from todo.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


def load_app(settings: Settings, database_url: str) -> "FastAPI":
    """Make the application, once the log is set up."""
    from todo.app import create_app  # noqa: PLC0415 - see above

    configure_logging(settings)
    return create_app(settings, database_url)
