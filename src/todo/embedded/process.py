"""The processes of PostgreSQL: started, awaited, and ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg

from todo.embedded.account import describe_child, pick_words
from todo.embedded.cluster import answers, read_pid_file
from todo.embedded.folder import POLL_SECONDS, Folder, open_file, take_lock
from todo.embedded.sockets import PORT, SOCKET_NAME, make_url
from todo.errors import BrokenEnvironment

START_SECONDS = 60  # recovery reads at most one `max_wal_size` of log: seconds, on any disk
FAST_STOP_SECONDS = 30
IMMEDIATE_STOP_SECONDS = 10
OPTIONS = {
    "listen_addresses": "",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "max_connections": "100",
    "port": str(PORT),
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
}


def launch(binaries: Path, sockets: Path, folder: Folder, held: ExitStack) -> subprocess.Popen[bytes]:
    """Start PostgreSQL; `held` stops it."""
    log = folder.path / "postgres.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    options.append(f"--unix_socket_directories={sockets}")
    command: list[str | Path] = [binaries / "postgres", "-D", folder.cluster, *options]
    with ExitStack() as starting:
        output = open_file(log, starting)
        server = subprocess.Popen(command, stdout=output, stderr=output, **describe_child(folder))  # noqa: S603 - ours
    # Opened now: the folder may be gone by then, and its PostgreSQL has to end all the same.
    held.callback(_stop, server, open_file(folder.path / "postgres.lock", held), folder.path)
    return server


def _stop(server: subprocess.Popen[bytes], lock: int, path: Path) -> None:
    """Stop the server and see the last of its processes end."""
    _end(server.send_signal, lock, path)
    server.wait()


def _end(signal_server: Callable[[int], None], lock: int, path: Path) -> None:
    """Signal until every process of PostgreSQL has ended: finish cleanly, and after a while just end."""
    # Again each second, because one that is only starting may not have been there to be signalled.
    for number in [signal.SIGINT] * FAST_STOP_SECONDS + [signal.SIGQUIT] * IMMEDIATE_STOP_SECONDS:
        signal_server(number)
        if take_lock(lock, patience=1):
            return
    raise BrokenEnvironment(f"a process of the embedded PostgreSQL in {path} does not end")


def end_orphan(folder: Folder, report: Callable[[str], None]) -> None:
    """Take `postgres.lock`, from the PostgreSQL of a killed server if need be."""
    if take_lock(folder.lock):
        return

    def signal_orphan(number: int) -> None:
        # Its socket lies in a folder that only it can enter: while that answers, the pid is the server's own.
        claim = read_pid_file(folder)
        if claim and claim.pid > 1 and claim.socket and answers(claim.socket):
            with suppress(ProcessLookupError):
                os.kill(claim.pid, number)

    report("Stopping the PostgreSQL that a killed server left behind")
    _end(signal_orphan, folder.lock, folder.path)


def await_ready(server: subprocess.Popen[bytes], sockets: Path, folder: Folder) -> None:
    """Wait until the server is ready, and make the database if it is not there yet."""
    deadline = time.monotonic() + START_SECONDS
    # The folder is new: once there is a socket in it, the pid file is this server's, whatever pid an old one had.
    while not ((sockets / SOCKET_NAME).exists() and (claim := read_pid_file(folder)) and claim.is_ready):
        if server.poll() is not None or time.monotonic() > deadline:
            log = folder.path / "postgres.log"
            words = pick_words(log.read_text(errors="replace"))
            raise BrokenEnvironment(f"the embedded PostgreSQL does not start: {words} ({log})")
        time.sleep(POLL_SECONDS)
    with psycopg.connect(make_url(sockets, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'todo'").fetchone():
            connection.execute("CREATE DATABASE todo")
