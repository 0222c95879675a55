"""The embedded PostgreSQL, used where no DATABASE_URL is set: created, started, recovered and stopped here.

It owns one data folder and every process that runs on it, and must not know of tables or of the service. It signals
only a process that is proven to be its server, and changes no folder that it did not create. A PostgreSQL that ends
unexpectedly is restarted.

    server.lock      held by the process that runs the embedded database
    postgres.lock    held by every process of PostgreSQL: they inherit its descriptor
    postgres/        the database cluster: complete, or absent
    postgres.log     PostgreSQL's messages since it was last started; `postgres.log.1`: those of the run before
    socket           the folder of its socket, or a link to it where this path is unsuitable for a socket
    postgresql-18.4  for root only: a copy of the binaries, where the chosen account cannot execute the originals

The kernel releases both locks however their holder dies, so no pid file has to be trusted: if `server.lock` is held,
another server is running; if only `postgres.lock` is, a server was killed and left its PostgreSQL behind.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from todo.embedded.account import check_reach, choose_account, pick_reason
from todo.embedded.binaries import find_binaries, prepare_binaries
from todo.embedded.cluster import check_cluster, clear_pid_file, initialize
from todo.embedded.folder import Folder, create_folder, hold_server_lock, make_data_dir, open_file
from todo.embedded.process import end_orphan
from todo.embedded.sockets import make_socket_folder, make_url
from todo.embedded.supervisor import Supervisor
from todo.errors import BadSetting, BrokenEnvironment

USUAL_CONNECTIONS = 80
SPARE_CONNECTIONS = 20  # for migrations, `todo check`, psql, and connections of the service that are being closed
MOST_CONNECTIONS = 1000  # each is a process, and takes 1.2 MB and 50 kB of shared memory even if it is idle


@contextmanager
def embedded_postgres(
    data_dir: Path, pg_bin: Path | None, report: Callable[[str], None], *, connections: int = USUAL_CONNECTIONS
) -> Iterator[str]:
    """Run the embedded PostgreSQL on `data_dir` until the end of the block, and yield its URL.

    It takes `connections`, and a few more. If it ends, it is restarted under the same URL. If its folder is gone, this
    process gets a SIGTERM, and BrokenEnvironment is raised at the end of the block.
    """
    if connections > MOST_CONNECTIONS:
        raise BadSetting(
            f"TODO_WORKERS times TODO_POOL_SIZE is {connections} connections, and the embedded database takes at most "
            f"{MOST_CONNECTIONS}: lower one of them"
        )
    with ExitStack() as held:
        _set_aside_variables(held)
        try:
            supervisor, url = _start(data_dir.absolute(), find_binaries(pg_bin), connections, report, held)
        except (OSError, psycopg.Error, subprocess.TimeoutExpired) as error:
            reason = pick_reason(str(error))
            raise BrokenEnvironment(f"the embedded database in {data_dir} cannot be used: {reason}") from error
        try:
            yield url
        finally:
            if supervisor.failure:
                raise supervisor.failure


def _set_aside_variables(held: ExitStack) -> None:
    """Remove libpq's variables from the environment of this process and its workers, until `held` is closed.

    Some of them override what the URL says: PGHOSTADDR or PGSERVICE would lead a client to another server.
    """
    aside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    held.callback(os.environ.update, aside)


def _start(
    path: Path, binaries: Path, connections: int, report: Callable[[str], None], held: ExitStack
) -> tuple[Supervisor, str]:
    """Start PostgreSQL, and return its supervisor and its URL; closing `held` undoes everything in reverse order."""
    make_data_dir(path)
    hold_server_lock(path, held)
    folder = Folder(path, choose_account(path / "postgres"), open_file(path / "postgres.lock", held))
    if folder.account:
        report(f"Running PostgreSQL as the account {folder.account.pw_name}, since it refuses to run as root")
        check_reach(folder, folder.account.pw_name)
    end_orphan(folder, report)
    for unfinished in path.glob("postgres*.new-*"):
        shutil.rmtree(unfinished)
    binaries, version = prepare_binaries(binaries, folder)
    if folder.cluster.exists():
        check_cluster(folder, version)
        clear_pid_file(folder, report)
    else:
        report(f"Creating the embedded database in {path}")
        create_folder(folder.cluster, folder, lambda new: initialize(new, binaries, version, folder))
    sockets = make_socket_folder(folder, held)
    supervisor = Supervisor(folder, binaries, sockets, connections + SPARE_CONNECTIONS)
    held.callback(supervisor.stop)
    supervisor.start()
    return supervisor, make_url(sockets, "todo")
