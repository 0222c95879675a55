"""The data folder: our files in it, their locks, and creating a folder completely or not at all."""

import fcntl
import os
import pwd
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from todo.errors import BadSetting, BrokenEnvironment

HANDOVER_SECONDS = 2  # for the workers of a killed server to notice that it is gone
POLL_SECONDS = 0.01
LONGEST_PATH_BYTES = 900  # PostgreSQL has room for 1023, with the names of its files


@dataclass(frozen=True)
class Folder:
    """The data folder, held by this process."""

    path: Path
    account: pwd.struct_passwd | None  # runs PostgreSQL; None: the account of this process
    lock: int  # a descriptor of `postgres.lock`, held by this process while PostgreSQL does not run

    @property
    def cluster(self) -> Path:
        """The database cluster's own folder."""
        return self.path / "postgres"

    def is_gone(self) -> bool:
        """Return whether the folder was removed or replaced, or has lost its cluster."""
        try:
            is_same = os.path.samestat((self.path / "postgres.lock").stat(), os.fstat(self.lock))
            (self.cluster / "PG_VERSION").stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # the disk may respond again later
            return False
        return not is_same


def default_data_dir() -> Path:
    """Return the default folder of the embedded database; raises BadSetting if this account has no home."""
    if os.geteuid() == 0:
        # The account that runs PostgreSQL usually cannot enter root's home.
        return Path("/var/lib/todo-backend")
    try:
        return platformdirs.user_data_path("todo-backend", appauthor=False)
    except RuntimeError:
        raise BadSetting(
            "neither DATABASE_URL nor TODO_DATA_DIR is set, and this account has no home for an embedded database"
        ) from None


def make_data_dir(path: Path) -> None:
    """Create the data folder, or check that it is empty or a data folder; raises BadSetting or BrokenEnvironment."""
    if re.search(r"[\x00-\x1f]", str(path)):
        raise BadSetting(f"TODO_DATA_DIR contains a control character: {str(path)!r}")
    if (length := len(os.fsencode(path))) > LONGEST_PATH_BYTES:
        raise BadSetting(f"TODO_DATA_DIR is {length} bytes long, and PostgreSQL allows at most {LONGEST_PATH_BYTES}")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")} - {"lost+found"}
        if names and "server.lock" not in names:
            raise BrokenEnvironment(
                f"{path} is not empty and not an embedded database: set TODO_DATA_DIR to another folder"
            ) from None
    else:
        # Root's account has to pass through; the folders inside are closed to everybody else anyway.
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def hold_server_lock(path: Path, held: ExitStack) -> None:
    """Take the lock that keeps a second server from this folder, until `held` is closed; raises BrokenEnvironment."""
    # A program that is started does not inherit this descriptor. A forked worker would, and rightly keep the lock until
    # it ends, since it may still be writing.
    if not take_lock(open_file(path / "server.lock", held), HANDOVER_SECONDS):
        raise BrokenEnvironment(
            f"another server is running on the embedded database in {path}: "
            "stop it, or set TODO_DATA_DIR to another folder"
        )


def create_folder(target: Path, folder: Folder, fill: Callable[[Path], None]) -> None:
    """Create a folder under another name and rename it, so that it is complete or absent."""
    new = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=folder.path))
    give(new, folder)
    fill(new)
    new.rename(target)
    # PostgreSQL makes the files durable, but not the name of their folder.
    parent = os.open(folder.path, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)


def open_file(path: Path, held: ExitStack) -> int:
    """Open a file of ours, created if necessary, until `held` is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, descriptor)
    return descriptor


def take_lock(descriptor: int, patience: float = 0) -> bool:
    """Take the lock of a file, waiting at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def give(path: Path, folder: Folder) -> None:
    """Make the account the owner of a folder that was just created."""
    if folder.account:
        os.chown(path, folder.account.pw_uid, folder.account.pw_gid, follow_symlinks=False)
