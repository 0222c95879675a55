"""What a worker of the server loads. The parent names it, and must not import the application for that."""

import subprocess
import sys
from typing import TYPE_CHECKING

from todo.errors import BadSetting
from todo.logs import configure_logging, print_line
from todo.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

IMPORT_SECONDS = 60


def load_app(settings: Settings, database_url: str) -> "FastAPI":
    """Make the application, once the log is set up."""
    from todo.app import create_app  # noqa: PLC0415 - see above

    configure_logging(settings)
    return create_app(settings, database_url)


def check_identify_owner(settings: Settings) -> None:
    """Have a process of its own import what TODO_IDENTIFY_OWNER names, as each worker will.

    Raises BadSetting, or SystemExit where that process has said what is wrong.
    """
    if settings.identify_owner is None:
        return
    # -P: what else lies in the working folder must not stand in for a module of ours.
    command = [sys.executable, "-P", "-m", "todo.worker", settings.identify_owner]
    try:
        # In a process group of its own, where Ctrl-C does not reach it: it is killed when this one ends.
        status = subprocess.run(command, process_group=0, timeout=IMPORT_SECONDS, check=False).returncode  # noqa: S603 - this module
    except subprocess.TimeoutExpired:
        raise BadSetting(f"TODO_IDENTIFY_OWNER: its import takes more than {IMPORT_SECONDS} s") from None
    if status == BadSetting.exit_status:
        sys.exit(status)
    if status:
        raise BadSetting(f"TODO_IDENTIFY_OWNER: its import ended the process, with status {status}")


if __name__ == "__main__":
    from todo.api.authentication import load_identify_owner

    try:
        load_identify_owner(sys.argv[1])
    except BadSetting as error:
        print_line(f"todo: {error}")
        sys.exit(error.exit_status)
