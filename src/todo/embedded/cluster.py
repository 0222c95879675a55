"""The database cluster: created, checked, and freed of the pid file that a killed PostgreSQL left in it."""

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
    """What a `postmaster.pid` says about its server, which may be untrue."""

    pid: int
    socket: Path | None
    is_ready: bool


def initialize(new: Path, binaries: Path, version: int, folder: Folder) -> None:
    """Create a cluster in an empty folder."""
    # Upper and lower case in every script, and a sort order that no system upgrade changes.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if version < BUILTIN_LOCALES_VERSION:
        locale = ["--locale=C", "--lc-ctype=C.UTF-8"]
    access = ["--username=todo", "--auth-local=trust", "--auth-host=reject"]
    run_program([binaries / "initdb", "-D", new, "--encoding=UTF8", "--data-checksums", *locale, *access], folder)


def check_cluster(folder: Folder, version: int) -> None:
    """Raise BrokenEnvironment if these binaries cannot run the cluster."""
    try:
        maker = (folder.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise BrokenEnvironment(
            f"{folder.cluster} is not a PostgreSQL database: set TODO_DATA_DIR to another folder"
        ) from None
    if maker != str(version):
        raise BrokenEnvironment(
            f"the embedded database in {folder.path} was created by PostgreSQL {maker} and this is {version}: "
            f"set TODO_PG_BIN to binaries of PostgreSQL {maker}, or TODO_DATA_DIR to another folder"
        )


def clear_pid_file(folder: Folder, report: Callable[[str], None]) -> None:
    """Remove the pid file of a killed PostgreSQL; raise BrokenEnvironment if somebody runs one there by hand."""
    pid_file = folder.cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    claim = read_pid_file(folder)
    if claim and _is_alive(claim.pid) and (claim.socket is None or answers(claim.socket)):
        raise BrokenEnvironment(
            f"process {abs(claim.pid)} is a PostgreSQL that somebody started on {folder.cluster}: stop it"
        )
    report("PostgreSQL was not shut down cleanly: recovering")
    # PostgreSQL itself removes the file of a process that is gone, after it has checked that no child of it still runs.
    # It gives up if the file is incomplete, or if the pid now belongs to another program.
    if claim is None or _is_alive(claim.pid):
        pid_file.unlink()


def read_pid_file(folder: Folder) -> Claim | None:
    """Read `postmaster.pid`; None if it is absent or incomplete."""
    try:
        lines = (folder.cluster / "postmaster.pid").read_bytes().split(b"\n")
        pid, port, sockets = int(lines[0]), int(lines[3]), os.fsdecode(lines[4])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    is_ready = b"".join(lines[7:8]).strip() == b"ready"
    # A relative path is relative to the cluster.
    return Claim(pid, Path(folder.cluster, sockets, f".s.PGSQL.{port}") if sockets else None, is_ready)


def _is_alive(pid: int) -> bool:
    """Return whether a process has this pid; a single-user PostgreSQL writes its own as a negative number."""
    try:
        os.kill(abs(pid), 0)
    except (OSError, OverflowError):
        return False
    return True


def answers(address: Path) -> bool:
    """Return whether a server listens on the socket; true if in doubt."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
