"""The ASGI application of the settings, for other servers than `todo serve`: `uvicorn todo.asgi:app`, `fastapi run`.

They cannot start the embedded database. A BrokenEnvironment is one line on standard error and its exit status.
"""

import logging
import sys
from typing import TYPE_CHECKING

from todo.database.urls import read_database_url
from todo.errors import BadSetting, BrokenEnvironment
from todo.logs import print_line
from todo.settings import read_settings
from todo.worker import load_app

if TYPE_CHECKING:
    from fastapi import FastAPI


def _load_app() -> "FastAPI":
    settings = read_settings()
    if settings.database_url is None:
        raise BadSetting("DATABASE_URL: is not set, and only `todo serve` starts an embedded database")
    return load_app(settings, read_database_url(settings.database_url.get_secret_value()))


try:
    app = _load_app()
except BrokenEnvironment as error:
    print_line(str(error), logging.ERROR)
    sys.exit(error.exit_status)
