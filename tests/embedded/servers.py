"""Embedded PostgreSQL servers for tests: made, run in a process of their own, looked at and ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from todo.embedded.postgres import embedded_postgres
from todo.errors import BrokenEnvironment

IS_ROOT = os.geteuid() == 0
PATIENCE = 20

SERVER = """
import subprocess, sys
from pathlib import Path
from todo.embedded.postgres import embedded_postgres

with embedded_postgres(Path(sys.argv[1]), None, lambda line: None) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


class Parent(NamedTuple):
    """A process that runs an embedded database until its standard input ends."""

    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        """End it as the kernel would for want of memory."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Let it end, and return its exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@contextmanager
def make_place() -> Iterator[Path]:
    """Make a folder that root's account for PostgreSQL can enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="todo-test-", dir="/tmp")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def end_what_is_left(folder: Path) -> None:
    """Fail if a PostgreSQL still runs below the folder, and end it."""
    left = list_processes(folder)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "a process of PostgreSQL was left running"


def list_processes(folder: Path) -> list[int]:
    """Return the processes of PostgreSQL below the folder: each of them works in its cluster."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            works_in = (process / "cwd").readlink()
        except OSError:  # it has ended, or belongs to somebody else
            continue
        if works_in.is_relative_to(folder):
            found.append(int(process.name))
    return found


def ignore(_line: str) -> None:
    """Report to nobody."""


@contextmanager
def start_parent(data_dir: Path, script: str = SERVER) -> Iterator[Parent]:
    """Run the embedded database in a process of its own, which ends with the block at the latest."""
    command = [sys.executable, "-c", script, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Parent(process, process.stdout.readline().strip())
        finally:
            process.kill()


def make_database(data_dir: Path) -> None:
    """Make the embedded database, and a row in it."""
    with embedded_postgres(data_dir, None, ignore) as url:
        add_row(url)


def add_row(url: str) -> None:
    """Add one row."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS rows (id int GENERATED ALWAYS AS IDENTITY)")
        connection.execute("INSERT INTO rows DEFAULT VALUES")


def count_rows(url: str) -> int:
    """Count the rows."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM rows").fetchone()
    assert row
    return int(row[0])


def count_after_start(data_dir: Path, report: Callable[[str], None] = ignore) -> int:
    """Start the embedded database, count its rows, and stop it."""
    with embedded_postgres(data_dir, None, report) as url:
        return count_rows(url)


def refuse(data_dir: Path, pg_bin: Path | None = None) -> BrokenEnvironment:
    """Try to start, and return the error, which is one line."""
    with pytest.raises(BrokenEnvironment) as caught, embedded_postgres(data_dir, pg_bin, ignore):
        pass
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def read_pid(data_dir: Path) -> int:
    """Return the pid of the postmaster."""
    return int((data_dir / "postgres/postmaster.pid").read_bytes().split()[0])


def find_pid(data_dir: Path) -> int | None:
    """Return the pid of the postmaster, or None while there is none that says so."""
    try:
        return read_pid(data_dir)
    except (FileNotFoundError, IndexError):
        return None
