"""The command line: serve, migrate, check, openapi.

Alembic, FastAPI and SQLModel are imported by the commands that need them. `serve` does not: its process lives as long
as it serves, and they would cost it as much memory and time as they cost a worker.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from todo import __version__
from todo.database.revisions import is_newest
from todo.database.urls import DatabaseUrl, read_database_url
from todo.embedded.folder import default_data_dir
from todo.embedded.postgres import embedded_postgres
from todo.errors import BadSetting, BrokenEnvironment
from todo.logs import configure_logging, print_line
from todo.port import ensure_port_is_free
from todo.server import serve
from todo.settings import Settings, find_misspelt, read_log_settings, read_settings
from todo.worker import check_identify_owner, load_app

if TYPE_CHECKING:
    from todo.database.checks import Finding

_log = logging.getLogger(__name__)

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Workers = Annotated[int | None, typer.Option(help="Number of processes (TODO_WORKERS).")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database (TODO_DATA_DIR).")]
commands = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command; a BrokenEnvironment is one line on standard error and its exit status."""
    if isinstance(sys.stdout, TextIOWrapper):  # its encoding may lack some of our characters
        sys.stdout.reconfigure(errors="backslashreplace")
    # A signal must not end this process before the database that it has started; the server sets its own handlers.
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, _exit_on_signal)
    try:
        _check_working_folder()
        commands()
    except BrokenEnvironment as error:
        print_line(str(error), logging.ERROR)
        sys.exit(error.exit_status)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001 - Typer's signature
    if is_asked:
        _print(f"todo-backend {__version__}")
        raise typer.Exit


@commands.callback()
def read_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Serve a multi-user todo API, and look after its database."""


@commands.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on (TODO_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (TODO_PORT).")] = None,
    workers: Workers = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM."""
    configure_logging(read_log_settings())
    settings = _read_settings(host=host, port=port, workers=workers, data_dir=data_dir)
    for name, meant in find_misspelt().items():
        _log.warning("%s is not a setting; is %s meant?", name, meant)
    ensure_port_is_free(settings.host, settings.port)
    check_identify_owner(settings)
    with _open_database(settings) as url:
        if settings.is_embedded and not is_newest(url):
            print_line(_migrate(url))
        serve(
            partial(load_app, settings, url),
            partial(_print_addresses, settings),
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            backend_connections=3 * settings.pool_size,  # one to cancel it over, and one that replaces it
            metrics=(settings.metrics_host, settings.metrics_port) if settings.metrics_port else None,
        )


def _print_addresses(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = settings.public_url or f"http://{host}:{settings.port}"
    print_line(f"API   {address}/api/{{user_id}}/tasks")
    if settings.docs:
        print_line(f"Docs  {address}/docs")


@commands.command("migrate")
def migrate_command(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False
) -> None:
    """Migrate the database's schema to this version."""
    if sql:
        from todo.database.migration import print_migration  # noqa: PLC0415 - see above

        _print(print_migration())
        return
    settings = read_settings()
    with _open_direct_database(settings) as url:
        print_line(_migrate(url))


@commands.command("check")
def check_command(workers: Workers = None, data_dir: DataDir = None) -> None:
    """Check settings, database and schema as `serve` will use them; exit 1 on failure."""
    are_right = [_report_finding(finding) for finding in _check(workers=workers, data_dir=data_dir)]
    raise typer.Exit(0 if all(are_right) else 1)


@commands.command("openapi")
def openapi_command() -> None:
    """Print the OpenAPI schema."""
    from todo.app import create_app  # noqa: PLC0415 - see above

    _print(json.dumps(create_app(read_settings(), DatabaseUrl({})).openapi(), indent=2))


def _read_settings(**options: object) -> Settings:
    return read_settings(**{name: value for name, value in options.items() if value is not None})


def _migrate(url: DatabaseUrl) -> str:
    """Migrate the database, and return the line that tells the outcome."""
    from todo.database.migration import migrate  # noqa: PLC0415 - see above
    from todo.database.schema import SchemaState  # noqa: PLC0415

    outcomes = {
        SchemaState.OUTDATED: "The schema has been migrated.",
        SchemaState.CURRENT: "The schema is up to date.",
        SchemaState.NEWER: "The schema is newer than this version: nothing was changed.",
    }
    return outcomes[migrate(url)]


@contextmanager
def _open_database(settings: Settings) -> Iterator[DatabaseUrl]:
    """Yield the URL of the database that the settings name, or of the embedded one, which runs until the end."""
    if settings.database_url is not None:
        yield read_database_url(settings.database_url.get_secret_value())
    else:
        data_dir = settings.data_dir or default_data_dir()
        connections = settings.workers * settings.pool_size
        with embedded_postgres(data_dir, settings.pg_bin, print_line, connections=connections) as url:
            yield read_database_url(url)


@contextmanager
def _open_direct_database(settings: Settings) -> Iterator[DatabaseUrl]:
    """Yield a URL without a pooler in between, which is what a migration needs."""
    if unpooled := _read_unpooled_url(settings):
        yield unpooled
    else:
        with _open_database(settings) as url:
            yield url.direct


def _read_unpooled_url(settings: Settings) -> DatabaseUrl | None:
    if settings.database_url_unpooled is None:
        return None
    return read_database_url(settings.database_url_unpooled.get_secret_value(), variable="DATABASE_URL_UNPOOLED")


def _check(**options: object) -> "Iterator[Finding]":
    from todo.api.authentication import load_identify_owner  # noqa: PLC0415 - see above
    from todo.database.checks import Finding, check_database  # noqa: PLC0415

    try:
        settings = _read_settings(**options)
        if settings.identify_owner is not None:
            load_identify_owner(settings.identify_owner)
        with _open_database(settings) as url:
            yield _check_settings(settings)
            direct_url = _read_unpooled_url(settings) or url.direct
            yield from check_database(url, direct_url, settings.workers * settings.pool_size)
    except BadSetting as error:
        yield Finding("settings", is_right=False, found=str(error))


def _check_settings(settings: Settings) -> "Finding":
    from todo.database.checks import Finding  # noqa: PLC0415 - see above

    if settings.is_embedded:
        return Finding("settings", is_right=True, found="no DATABASE_URL, so an embedded database")
    advice = "" if settings.public_url else "without TODO_PUBLIC_URL, `url` and `Location` repeat the request's Host"
    return Finding("settings", is_right=True, found="DATABASE_URL", advice=advice)


def _report_finding(finding: "Finding") -> bool:
    word = "WRONG" if not finding.is_right else "note" if finding.advice else "ok"
    _print(f"{word:5}  {finding.subject:10}  {'; '.join(filter(None, [finding.found, finding.advice]))}")
    return finding.is_right


def _print(text: str) -> None:
    """Print to standard output; end silently if the reader has left, raise BrokenEnvironment if the disk is full."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise  # typer ends the command
    except OSError as error:
        # What is left in its buffer is written at the end of the process, and fails again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BrokenEnvironment(f"standard output cannot be written to ({error.strerror})") from None


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise BrokenEnvironment("the working folder was deleted or cannot be entered: run this in another") from None


def _exit_on_signal(number: int, _: FrameType | None) -> None:
    for later in ENDING_SIGNALS:
        signal.signal(later, signal.SIG_IGN)  # the cleanup is bounded in time, and must not be interrupted
    raise SystemExit(128 + number)
