"""A PostgreSQL of our own, for a machine without DATABASE_URL: made, started, recovered and stopped here.

It owns one data folder and every process that runs on it, and knows nothing of tables or of the service.
It signals only a process that it has proved to be its server, and changes no folder that it did not make.
A PostgreSQL that ends while it is wanted is started again.

    server.lock      held by the process in whose block the database runs
    postgres.lock    held by every process of PostgreSQL: they inherit its descriptor
    postgres/        the database cluster: whole, or absent
    postgres.log     what PostgreSQL said since it was last started; `postgres.log.1`: the time before
    socket           the folder of its socket, or a link to that where this path does not suit a socket
    postgresql-18.4  for root only: a copy of binaries that the account it chose cannot execute where they are

The kernel frees either lock however its holder dies, so that no pid file has to be believed: `server.lock`
taken means that another server is running, `postgres.lock` alone that a killed one left its PostgreSQL behind.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from todo.embedded.account import check_reach, choose_account, pick_words
from todo.embedded.binaries import find_binaries, prepare_binaries
from todo.embedded.cluster import check_cluster, clear_pid_file, initialize
from todo.embedded.folder import Folder, create_folder, hold_server_lock, make_data_dir, open_file
from todo.embedded.process import end_orphan
from todo.embedded.sockets import make_socket_folder, make_url
from todo.embedded.supervisor import Supervisor
from todo.errors import BadSetting, BrokenEnvironment

USUAL_CONNECTIONS = 80
SPARE_CONNECTIONS = 20  # for migrations, `todo check`, psql, and what of the service's own has not ended yet
MOST_CONNECTIONS = 1000  # each is a process, and takes 1.2 MB and 50 kB of the shared memory before it does anything


@contextmanager
def embedded_postgres(
    data_dir: Path, pg_bin: Path | None, report: Callable[[str], None], *, connections: int = USUAL_CONNECTIONS
) -> Iterator[str]:
    """Run a PostgreSQL of our own on `data_dir` for the time of the block, and yield its URL.

    It has room for so many connections, and for a few more. Should it end, it is started again under the same URL;
    where that cannot help, this process gets a SIGTERM, and BrokenEnvironment is raised at the end of the block.
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
            words = pick_words(str(error))
            raise BrokenEnvironment(f"the embedded database in {data_dir} cannot be used: {words}") from error
        try:
            yield url
        finally:
            if supervisor.failure:
                raise supervisor.failure


def _set_aside_variables(held: ExitStack) -> None:
    """Hide libpq's variables from this process and its workers for the time of `held`.

    Some of them say more than a URL can: PGHOSTADDR or PGSERVICE would lead a client to another server.
    """
    aside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    held.callback(os.environ.update, aside)


def _start(
    path: Path, binaries: Path, connections: int, report: Callable[[str], None], held: ExitStack
) -> tuple[Supervisor, str]:
    """Start PostgreSQL, and return who watches it and its URL; `held` ends it all, in reverse."""
    make_data_dir(path)
    hold_server_lock(path, held)
    folder = Folder(path, choose_account(path / "postgres"), open_file(path / "postgres.lock", held))
    if folder.account:
        report(f"Running PostgreSQL as the account {folder.account.pw_name}: it refuses to run as root")
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
