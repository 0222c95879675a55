"""The database cluster: made, checked, and cleared of what a killed PostgreSQL left in it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from todo.embedded.account import run_program
from todo.embedded.folder import Folder
from todo.errors import BrokenEnvironment

BUILTIN_LOCALES_VERSION = 17


class Claim(NamedTuple):
    """What a `postmaster.pid` says of its server, true or not."""

    pid: int
    socket: Path | None
    is_ready: bool


def initialize(new: Path, binaries: Path, version: int, folder: Folder) -> None:
    """Make a cluster in an empty folder."""
    # Every script's upper and lower case, and an order of text that no upgrade of the system changes.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if version < BUILTIN_LOCALES_VERSION:
        locale = ["--locale=C", "--lc-ctype=C.UTF-8"]
    access = ["--username=todo", "--auth-local=trust", "--auth-host=reject"]
    run_program([binaries / "initdb", "-D", new, "--encoding=UTF8", "--data-checksums", *locale, *access], folder)


def check_cluster(folder: Folder, version: int) -> None:
    """Refuse a cluster that these binaries cannot run."""
    try:
        maker = (folder.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise BrokenEnvironment(
            f"{folder.cluster} is no PostgreSQL database: set TODO_DATA_DIR to another folder"
        ) from None
    if maker != str(version):
        raise BrokenEnvironment(
            f"the embedded database in {folder.path} was made by PostgreSQL {maker} and this is {version}: "
            f"set TODO_PG_BIN to binaries of PostgreSQL {maker}, or TODO_DATA_DIR to another folder"
        )


def clear_pid_file(folder: Folder, report: Callable[[str], None]) -> None:
    """Remove what a killed PostgreSQL left in the way of the next; refuse if somebody runs it by hand."""
    pid_file = folder.cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    claim = read_pid_file(folder)
    if claim and _is_alive(claim.pid) and (claim.socket is None or answers(claim.socket)):
        raise BrokenEnvironment(
            f"process {abs(claim.pid)} is a PostgreSQL that somebody started on {folder.cluster}: stop it"
        )
    report("PostgreSQL did not end cleanly the last time: recovering")
    # PostgreSQL itself removes the file of a process that is gone, and first checks that nothing of it still
    # runs. It gives up where the file is unfinished, or where the pid is by now a stranger's.
    if claim is None or _is_alive(claim.pid):
        pid_file.unlink()


def read_pid_file(folder: Folder) -> Claim | None:
    """Read `postmaster.pid`; none if it is absent or unfinished."""
    try:
        lines = (folder.cluster / "postmaster.pid").read_bytes().split(b"\n")
        pid, port, sockets = int(lines[0]), int(lines[3]), os.fsdecode(lines[4])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    is_ready = b"".join(lines[7:8]).strip() == b"ready"
    # Where PostgreSQL was given a relative path, it is relative to the cluster.
    return Claim(pid, Path(folder.cluster, sockets, f".s.PGSQL.{port}") if sockets else None, is_ready)


def _is_alive(pid: int) -> bool:
    """Tell whether a process has this pid; a single-user PostgreSQL notes its own as a negative number."""
    try:
        os.kill(abs(pid), 0)
    except (OSError, OverflowError):
        return False
    return True


def answers(address: Path) -> bool:
    """Tell whether a server listens at the socket; in doubt, one does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
