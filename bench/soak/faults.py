"""What goes wrong while the clients work: each fault as a block, at whose end all is well again."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg
from tests.neon import Server, TlsServer, find_pooler, pooler, tls_server
from tests.service import Service, running_service_on
from tests.support import find_port

SETTINGS = {"TODO_LOG_LEVEL": "warning", "TODO_DEADLINE_SECONDS": "10"}
WORKERS = 2
SERVER_CONNECTIONS = 20  # of the pooler, to the database
DISK_BYTES = 512 * 1024 * 1024
START_SECONDS = 30
HEAVY_USER, HEAVY_TASKS = "heavy", 1000
HEAVY_DESCRIPTION = 2048  # characters: a list is 2.5 MB, more than a socket's buffers take
UNREAD_CLIENTS = 100

CUT_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'todo-backend/%'"
COUNT_STATEMENTS = """
    SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'todo-backend/%' AND state <> 'idle'
"""
FILL_HEAVY_LIST = """
    INSERT INTO tasks (user_id, id, title, description, completed, tags)
    SELECT %s, gen_random_uuid(), 'Task ' || n, repeat('x', %s), false, '{}' FROM generate_series(1, %s) AS n
"""
COUNT_HEAVY_LIST = "SELECT count(*) FROM tasks WHERE user_id = %s AND version = 1"


@dataclass(frozen=True)
class Footprint:
    """What the service's processes take together."""

    pss_bytes: int
    descriptors: int


def find_processes(pid: int) -> Iterator[int]:
    """Find a process and all that come of it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from find_processes(int(child))


def kill(pids: Sequence[int]) -> None:
    """Kill processes, and wait until they are gone, or at least dead."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + START_SECONDS
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and not merely waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Stage:
    """A service on PostgreSQL with TLS behind PgBouncer, all of which can be broken."""

    database: TlsServer
    pooler: Server
    prepares: bool
    disk: Path | None  # a small one of its own, for the database
    port: int
    tracebacks: int = 0

    def __post_init__(self) -> None:
        self._service: Service | None = None
        self._end_of_service = ExitStack()

    @property
    def left_out(self) -> set[str]:
        """The faults that cannot be made here."""
        return set() if self.disk else {"disk full"}

    @property
    def service(self) -> Service:
        """What runs at the moment."""
        if not self._service:
            raise RuntimeError("no service runs")
        return self._service

    @property
    def database_url(self) -> str:
        """The way past the pooler."""
        return self.database.url({"sslmode": "require"})

    def start_service(self) -> None:
        """Start, and wait until it is ready."""
        settings = {**SETTINGS, "TODO_PREPARED_STATEMENTS": "on" if self.prepares else "off"}
        url = self.database.url({"sslmode": "require"}, self.pooler.port)
        running = running_service_on(self.port, "--workers", str(WORKERS), DATABASE_URL=url, **settings)
        self._service = self._end_of_service.enter_context(running)

    def end_service(self) -> None:
        """Stop as an operator does, if it is not dead already."""
        if self._service:
            self.tracebacks += self._service.read_log().count("Traceback")
            self._service = None
        self._end_of_service.close()

    def measure(self) -> Footprint | None:
        """Add up the memory and the descriptors of the service's processes; None while they come and go."""
        if not self._service:
            return None
        pss = descriptors = 0
        try:
            for pid in find_processes(self._service.process.pid):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                pss += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
                descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return None
        return Footprint(pss, descriptors)

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run a statement past the pooler."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count_missing(self) -> int:
        """Count what is missing of the long list, which nobody changes."""
        [(found,)] = self.execute(COUNT_HEAVY_LIST, [HEAVY_USER])
        return HEAVY_TASKS - int(str(found))

    def wait_for_statements(self) -> None:
        """Wait until the database does nothing more for the service."""
        deadline = time.monotonic() + START_SECONDS
        while self.execute(COUNT_STATEMENTS) != [(0,)]:
            if time.monotonic() > deadline:
                raise TimeoutError("the database still runs a statement of a service that has ended")
            time.sleep(0.1)


@contextmanager
def set_up(notify: Callable[[str], None]) -> Iterator[Stage]:
    """Run everything, and end it again."""
    prepares = "TODO_TEST_PGBOUNCER" in os.environ
    program = find_pooler(prepares=prepares)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="todo-soak-"))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = stack.enter_context(mounted(folder / "disk"))
        if disk is None:
            notify("No disk can be mounted for the database by this account: the fault “disk full” is left out.")
        database = stack.enter_context(tls_server((disk or folder) / "server"))
        before = stack.enter_context(pooler(database, program, prepares=prepares, pool_size=SERVER_CONNECTIONS))
        stage = Stage(database, before, prepares, disk, find_port())
        stage.execute(FILL_HEAVY_LIST, [HEAVY_USER, HEAVY_DESCRIPTION, HEAVY_TASKS])
        stack.callback(stage.end_service)
        stage.start_service()
        yield stage


@contextmanager
def mounted(folder: Path) -> Iterator[Path | None]:
    """Mount a small disk, or yield None where that is not permitted."""
    folder.mkdir()
    options = f"size={DISK_BYTES},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        is_mounted = False
    try:
        yield folder if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def service_killed(stage: Stage) -> Iterator[None]:
    """Kill all of the service's processes, and start it again."""
    kill(list(find_processes(stage.service.process.pid)))
    yield
    stage.end_service()
    stage.start_service()


@contextmanager
def service_restarted(stage: Stage) -> Iterator[None]:
    """Stop the service in an orderly way, and start it again."""
    yield
    stage.end_service()
    stage.start_service()


@contextmanager
def worker_killed(stage: Stage) -> Iterator[None]:
    """Kill one of the workers; the service replaces it by itself."""
    _, *children = find_processes(stage.service.process.pid)
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    kill(workers[:1])
    yield


@contextmanager
def database_restarted(stage: Stage) -> Iterator[None]:
    """Stop the database in an orderly way, as for a minor upgrade."""
    stage.database.server.stop()
    yield
    stage.database.server.start()


@contextmanager
def database_killed(stage: Stage) -> Iterator[None]:
    """Kill all of the database's processes, and let it recover."""
    kill_database(stage)
    yield
    stage.database.server.start()


def kill_database(stage: Stage) -> None:
    """Kill all of the database's processes."""
    kill(list(find_processes(stage.database.server.process.pid)))
    stage.database.server.process.wait()


@contextmanager
def database_frozen(stage: Stage) -> Iterator[None]:
    """Let the database take nothing and say nothing."""
    stage.database.server.freeze()
    try:
        yield
    finally:
        stage.database.server.thaw()


@contextmanager
def disk_full(stage: Stage) -> Iterator[None]:
    """Fill the database's disk; a database that gives up is started again once there is room."""
    if not stage.disk:
        raise RuntimeError("the database has no disk of its own")
    filler = stage.disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1024 * 1024))
        yield
    finally:
        filler.unlink()
    time.sleep(1)
    if stage.database.server.process.poll() is not None:
        stage.database.server.start()


@contextmanager
def pooler_killed(stage: Stage) -> Iterator[None]:
    """Kill the pooler, and start it again."""
    stage.pooler.kill()
    yield
    stage.pooler.start()


@contextmanager
def connections_cut(stage: Stage) -> Iterator[None]:
    """End whatever serves the service in the database, several times over."""
    for _ in range(3):
        stage.execute(CUT_CONNECTIONS)
        time.sleep(0.3)
    yield


@contextmanager
def unread_answers(stage: Stage) -> Iterator[None]:
    """Ask for a long list from many clients, and read none of it."""
    request = f"GET /api/{HEAVY_USER}/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(UNREAD_CLIENTS):
            client = stack.enter_context(closing(socket.socket()))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(START_SECONDS)
            client.connect(("127.0.0.1", stage.port))
            client.sendall(request)
        yield


class Fault(NamedTuple):
    """One kind of fault."""

    block: Callable[[Stage], AbstractContextManager[None]]
    seconds: float  # between its begin and its end
    ends_service: bool = False  # requests that get no answer are to be expected, then


FAULTS: Mapping[str, Fault] = {
    "service killed": Fault(service_killed, 0.5, ends_service=True),
    "service restarted": Fault(service_restarted, 0, ends_service=True),
    "worker killed": Fault(worker_killed, 1, ends_service=True),
    "database restarted": Fault(database_restarted, 1),
    "database killed": Fault(database_killed, 1),
    "database frozen": Fault(database_frozen, 4),
    "disk full": Fault(disk_full, 3),
    "pooler killed": Fault(pooler_killed, 1),
    "connections cut": Fault(connections_cut, 0),
    "unread answers": Fault(unread_answers, 5),
}


class Strike(NamedTuple):
    """A fault that has happened, in seconds of the monotonic clock."""

    name: str
    began: float
    ended: float

    @property
    def ends_service(self) -> bool:
        """Whether requests without an answer are to be expected."""
        return FAULTS[self.name].ends_service


def draw(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Draw so many faults: each as often as any other, in no order that repeats."""
    shuffle = random.Random(seed).shuffle
    drawn: list[str] = []
    while len(drawn) < count:
        round_ = list(names)
        shuffle(round_)
        drawn += round_
    return drawn[:count]


def strike(stage: Stage, name: str) -> Strike:
    """Let a fault happen, and wait until it is over."""
    fault, began = FAULTS[name], time.monotonic()
    with fault.block(stage):
        time.sleep(fault.seconds)
    return Strike(name, began, time.monotonic())
