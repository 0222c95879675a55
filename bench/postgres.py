"""A PostgreSQL on a loopback port, for as long as it is measured."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from bench.processes import find_port, make_environment
from psycopg.sql import SQL, Identifier

from todo.embedded import binaries

START_SECONDS = 30
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "synchronous_commit": "off",  # how long the disk takes for a commit says nothing of the service
}


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a PostgreSQL with this version's schema, and yield the URL of its database."""
    account = _find_account()
    folder = Path(tempfile.mkdtemp(prefix="todo-bench-"))
    try:
        if account:
            os.chown(folder, account["user"], -1)
        yield from _run(folder, account)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path, account: dict[str, Any]) -> Iterator[str]:
    binaries, data, port = find_binaries(), folder / "data", find_port()
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "todo",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    common: dict[str, Any] = {"cwd": "/", "env": make_environment(), "stdout": subprocess.DEVNULL, **account}
    subprocess.run(initdb, check=True, **common)
    options = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    with (folder / "log").open("wb") as log:
        postgres = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options], stderr=log, start_new_session=True, **common
        )
    url = f"postgresql://todo@127.0.0.1:{port}/postgres?sslmode=disable"
    try:
        _await_start(url, postgres, folder / "log")
        _migrate(url)
        yield url
    finally:
        postgres.send_signal(signal.SIGINT)  # "fast": it ends connections
        postgres.wait()


def create_database(database_url: str, name: str) -> str:
    """Create another database with this version's schema beside one, and return its URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    url = urlsplit(database_url)._replace(path=f"/{name}").geturl()
    _migrate(url)
    return url


def _migrate(database_url: str) -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("todo"), "migrate"]
    subprocess.run(command, env=make_environment(DATABASE_URL=database_url), check=True, capture_output=True)


def find_binaries() -> Path:
    """Find the system's newest PostgreSQL, or that of the extra `embedded`."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return folders[-1] if folders else binaries.find_binaries(None)


def _find_account() -> dict[str, Any]:
    """Find who runs it: it refuses to run as root."""
    if os.geteuid():
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _await_start(url: str, postgres: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if postgres.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.05)
        else:
            return
