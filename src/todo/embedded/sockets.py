"""The folder of PostgreSQL's socket, and the URL that connects to it."""

import re
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

from todo.embedded.folder import Folder, give

PORT = 5432  # only a part of the socket's name: nothing listens on the network
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 103  # on macOS; Linux allows four more


def make_socket_folder(folder: Folder, held: ExitStack) -> Path:
    """Create and return a folder that only the account can enter, with a path that is suitable for a socket."""
    known = folder.path / "socket"
    _remove_socket_folder(known)
    # The system limits its length; PostgreSQL and its clients split it at `,` and SQLAlchemy at `:`.
    if re.fullmatch(r"[\w/.-]+", str(known), re.ASCII) and len(str(known / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        known.mkdir(mode=0o700)
        made = known
    else:
        # Not TMPDIR's folder, whose path may be as long, or closed to root's account.
        made = Path(tempfile.mkdtemp(prefix="todo-", dir="/tmp"))
        known.symlink_to(made)
    held.callback(_remove_socket_folder, known)
    give(made, folder)
    return made


def renew_socket_folder(made: Path, folder: Folder) -> None:
    """Create the folder again under the same path, for a PostgreSQL that is restarted."""
    _remove(made)
    made.mkdir(mode=0o700)  # fails if another account was faster, as it may be in /tmp
    give(made, folder)


def _remove(made: Path) -> None:
    """Remove a socket's folder unless it contains files that PostgreSQL did not create."""
    with suppress(OSError):
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (made / name).unlink(missing_ok=True)
        made.rmdir()


def _remove_socket_folder(known: Path) -> None:
    """Remove the socket's folder and the link to it."""
    _remove(known.readlink() if known.is_symlink() else known)
    if known.is_symlink():
        known.unlink()


def make_url(sockets: Path, database: str) -> str:
    """Return the URL of a database, with every option that a client's environment might otherwise set."""
    fixed = f"port={PORT}&sslmode=disable&channel_binding=disable"
    return f"postgresql://todo@/{database}?host={quote(str(sockets), safe='')}&{fixed}"
