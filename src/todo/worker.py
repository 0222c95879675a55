"""What a worker of the server loads. The parent imports this module, which must not import the application."""

import logging
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from todo.database.urls import DatabaseUrl
from todo.errors import BadSetting
from todo.logs import configure_logging, print_line
from todo.settings import Settings, read_log_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

IMPORT_SECONDS = 60
# The status of a process that has imported it; a module that ends the process might give 0.
IMPORTED = 10


def load_app(settings: Settings, database_url: DatabaseUrl) -> "FastAPI":
    """Configure logging and make the application."""
    configure_logging(settings)
    from todo.app import create_app  # noqa: PLC0415 - see above

    return create_app(settings, database_url)


def check_identify_owner(settings: Settings) -> None:
    """Import what TODO_IDENTIFY_OWNER names in another process, since this one must not import FastAPI.

    Raises BadSetting, or SystemExit if that process has printed what is wrong.
    """
    if settings.identify_owner is None:
        return
    # -P: no other file of the working folder may shadow a module of this package.
    command = [sys.executable, "-P", "-m", "todo.worker", settings.identify_owner]
    try:
        # In a process group of its own, which Ctrl-C does not reach: `run` kills it when a signal ends this process.
        status = subprocess.run(command, process_group=0, timeout=IMPORT_SECONDS, check=False).returncode  # noqa: S603 - this module
    except subprocess.TimeoutExpired:
        raise BadSetting(f"TODO_IDENTIFY_OWNER: importing it took more than {IMPORT_SECONDS} seconds") from None
    if status == BadSetting.exit_status:
        sys.exit(status)
    if status != IMPORTED:
        raise BadSetting(f"TODO_IDENTIFY_OWNER: importing it ended the process with status {status}")


if __name__ == "__main__":
    from todo.api.authentication import load_identify_owner

    signal.alarm(IMPORT_SECONDS + 1)  # the parent may be killed while it waits
    configure_logging(read_log_settings())
    try:
        load_identify_owner(sys.argv[1])
    except BadSetting as error:
        print_line(str(error), logging.ERROR)
        sys.exit(error.exit_status)
    sys.exit(IMPORTED)
