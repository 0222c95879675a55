"""The processes of PostgreSQL: started, awaited, and ended.

Each of them holds `postgres.lock`, and nobody else does: who holds it is PostgreSQL, and ours.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psycopg

from todo.embedded.account import describe_child, pick_reason
from todo.embedded.cluster import answers, read_pid_file
from todo.embedded.folder import POLL_SECONDS, Folder, open_file, take_lock
from todo.embedded.sockets import PORT, SOCKET_NAME, make_url
from todo.errors import BrokenEnvironment

START_SECONDS = 60  # recovery reads at most one `max_wal_size` of log: seconds, on any disk
# A stop takes 0.1 s, and as long as the disk needs for a checkpoint; recovery replaces one that is cut short.
FAST_STOP_SECONDS = 5
IMMEDIATE_STOP_SECONDS = 1
KILL_SECONDS = 2
ORPHAN_SECONDS = 1  # the backends of a dead postmaster end by themselves within this time unless they are busy
LOG_BYTES = 65_536  # how much of the end of PostgreSQL's log is searched for the reason why it ended
OPTIONS = {
    "listen_addresses": "",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "port": str(PORT),
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
}


def launch(
    binaries: Path, sockets: Path, folder: Folder, max_connections: int, *, keeps_log: bool
) -> subprocess.Popen[bytes]:
    """Start PostgreSQL, which takes `postgres.lock` over from this process; its previous log is kept or overwritten."""
    log = folder.path / "postgres.log"
    if keeps_log and log.exists():
        log.replace(log.with_suffix(".log.1"))
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    options += [f"--max_connections={max_connections}", f"--unix_socket_directories={sockets}"]
    command: list[str | Path] = [binaries / "postgres", "-D", folder.cluster, *options]
    with ExitStack() as starting:
        output = open_file(log, starting)
        os.ftruncate(output, 0)
        inherited = open_file(folder.path / "postgres.lock", starting)
        fcntl.flock(folder.lock, fcntl.LOCK_UN)
        take_lock(inherited)
        child = describe_child(replace(folder, lock=inherited))
        return subprocess.Popen(command, stdout=output, stderr=output, **child)  # noqa: S603 - ours


def await_ready(server: subprocess.Popen[bytes], sockets: Path, folder: Folder) -> None:
    """Wait until the server is ready, and create the database if necessary; raises BrokenEnvironment."""
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(server, sockets, folder):
        if time.monotonic() > deadline:
            raise _fail_to_start(folder)
        time.sleep(POLL_SECONDS)
    with psycopg.connect(make_url(sockets, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'todo'").fetchone():
            connection.execute("CREATE DATABASE todo")


def is_ready(server: subprocess.Popen[bytes], sockets: Path, folder: Folder) -> bool:
    """Return whether the server accepts connections; raises BrokenEnvironment if it has ended."""
    if server.poll() is not None:
        raise _fail_to_start(folder)
    # The folder of the socket is new: once there is a socket in it, the pid file is this server's and no older one's.
    claim = read_pid_file(folder) if (sockets / SOCKET_NAME).exists() else None
    return claim is not None and claim.is_ready


def read_reason(folder: Folder) -> str:
    """Return the reason in PostgreSQL's log why it ended; an empty string if there is no log."""
    with suppress(OSError), (folder.path / "postgres.log").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
        return pick_reason(log.read().decode(errors="replace"))
    return ""


def _fail_to_start(folder: Folder) -> BrokenEnvironment:
    reason = read_reason(folder) or "its log is empty, as on a full disk"
    return BrokenEnvironment(f"the embedded PostgreSQL does not start: {reason} ({folder.path / 'postgres.log'})")


def end_orphan(folder: Folder, report: Callable[[str], None]) -> None:
    """Take `postgres.lock`, from the PostgreSQL of a killed server if need be."""
    if take_lock(folder.lock):
        return

    def signal_orphan(number: int) -> None:
        # Only its account can enter the folder of its socket: while that answers, the pid is the server's own.
        claim = read_pid_file(folder)
        if claim and claim.pid > 1 and claim.socket and answers(claim.socket):
            with suppress(ProcessLookupError):
                os.kill(claim.pid, number)

    report("Stopping the PostgreSQL left behind by a server that was killed")
    end(signal_orphan, folder)


def end(signal_server: Callable[[int], None], folder: Folder) -> None:
    """Stop every process of PostgreSQL and take its lock: by a fast shutdown, then an immediate one, then SIGKILL.

    Raises BrokenEnvironment if a process survives that.
    """
    signals = {signal.SIGINT: FAST_STOP_SECONDS, signal.SIGQUIT: IMMEDIATE_STOP_SECONDS, signal.SIGKILL: KILL_SECONDS}
    # Repeated each second, because a server that is just starting may have missed the signal.
    for number in (number for number, seconds in signals.items() for _ in range(seconds)):
        signal_server(number)
        _signal_holders(folder, signal.SIGKILL if number == signal.SIGKILL else signal.SIGCONT)  # it may be frozen
        if take_lock(folder.lock, patience=1):
            return
    raise BrokenEnvironment(f"a process of the embedded PostgreSQL in {folder.path} does not end")


def kill_orphans(folder: Folder) -> None:
    """Take `postgres.lock`, killing the backends that a dead postmaster has left, which nobody can use any more."""
    if take_lock(folder.lock, ORPHAN_SECONDS):
        return
    _signal_holders(folder, signal.SIGKILL)
    if not take_lock(folder.lock, KILL_SECONDS):
        raise BrokenEnvironment(f"a process of the embedded PostgreSQL in {folder.path} does not end")


def _signal_holders(folder: Folder, number: signal.Signals) -> None:
    """Signal the processes that hold `postgres.lock`; on Linux only, since no other system says which they are."""
    if sys.platform == "linux":
        lock = os.fstat(folder.lock)
        for pid in _find_holders(lock):
            with suppress(ProcessLookupError, PermissionError):
                _signal_holder(pid, lock, number)


def _signal_holder(pid: int, lock: os.stat_result, number: signal.Signals) -> None:
    handle = _open_handle(pid)
    try:
        # Checked again: the handle refers to one process, whereas its number may have been reused.
        if pid not in _find_holders(lock, pid):
            return
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    finally:
        if handle is not None:
            os.close(handle)


def _open_handle(pid: int) -> int | None:
    """Open a handle of a process; None where Python was built without them, or on Linux before 5.3."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _find_holders(lock: os.stat_result, only: int | None = None) -> Iterator[int]:
    """Yield the processes that hold a lock on this file, through a descriptor of their own or an inherited one."""
    for process in Path("/proc").glob(str(only or "[0-9]*")):
        with suppress(OSError):  # it has ended, or belongs to another account
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    is_same = os.path.samestat(descriptor.stat(), lock)
                    if is_same and "FLOCK" in (process / "fdinfo" / descriptor.name).read_text():
                        yield int(process.name)
                        break
