"""The folder of PostgreSQL's socket, and the URL that leads there."""

import re
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

from todo.embedded.folder import Folder, give

PORT = 5432  # a part of the socket's name and no more: nothing listens on the network
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 103  # macOS; Linux has room for four more


def make_socket_folder(folder: Folder, held: ExitStack) -> Path:
    """Return a new folder that the account alone can enter, with a path that suits a socket."""
    known = folder.path / "socket"
    _remove_socket_folder(known)
    # The system limits its length; PostgreSQL and its clients split it at `,` and SQLAlchemy at `:`.
    if re.fullmatch(r"[\w/.-]+", str(known), re.ASCII) and len(str(known / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        known.mkdir(mode=0o700)
        made = known
    else:
        # Not TMPDIR's folder, which may be as long, or closed to root's account.
        made = Path(tempfile.mkdtemp(prefix="todo-", dir="/tmp"))
        known.symlink_to(made)
    held.callback(_remove_socket_folder, known)
    give(made, folder)
    return made


def renew_socket_folder(made: Path, folder: Folder) -> None:
    """Make the folder anew under the same path, for a PostgreSQL that is started again."""
    _remove(made)
    made.mkdir(mode=0o700)  # fails if a stranger was faster, where everybody may make one
    give(made, folder)


def _remove(made: Path) -> None:
    """Remove a socket's folder, and nothing that PostgreSQL did not put there."""
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
    """Return the URL of a database, which leaves nothing to the variables of whoever uses it."""
    fixed = f"port={PORT}&sslmode=disable&channel_binding=disable"
    return f"postgresql://todo@/{database}?host={quote(str(sockets), safe='')}&{fixed}"
