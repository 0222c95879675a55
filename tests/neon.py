"""The closest thing to Neon that runs on one machine: PostgreSQL over TLS with SCRAM, behind PgBouncer.

The pooler has Neon's settings, but for the size of its pool and for times that would make tests wait. Neon's proxy, its
wake-up and its SNI are not here: see docs/operations.md.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trustme

from tests.service import TODO
from tests.support import find_port, wait_until

PASSWORD = "canary%25/pass"  # noqa: S105 - of a server that lives as long as a test run; the URL needs it quoted
QUOTED_PASSWORD = "canary%2525%2Fpass"  # noqa: S105 - the same
FIRST_WITH_PREPARED_STATEMENTS = (1, 22)
POOL_SIZE = 4
START_SECONDS = 30

PGBOUNCER_INI = """\
[databases]
todo = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
admin_users = todo
pool_mode = transaction
max_client_conn = 10000
default_pool_size = {pool_size}
{prepared_statements}
query_wait_timeout = 120
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = {client_tls}
client_tls_cert_file = {folder}/server.pem
client_tls_key_file = {folder}/server.key
server_tls_sslmode = require
"""


def find_program(name: str) -> Path:
    """Find one of PostgreSQL's programs with TLS, which the embedded ones lack, or the pooler of the system."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), "/usr/sbin", os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found)


def find_pooler(*, prepares: bool) -> Path:
    """Find a PgBouncer through which statements can be prepared, as through Neon's, or an older one."""
    named = os.environ.get("TODO_TEST_PGBOUNCER") if prepares else None
    program = Path(named) if named else find_program("pgbouncer")
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", printed)[:2])
    if prepares is not (version >= FIRST_WITH_PREPARED_STATEMENTS):
        wanted = "1.22 or newer (name it by TODO_TEST_PGBOUNCER)" if prepares else "older than 1.22"
        pytest.skip(f"no PgBouncer {wanted} is installed")
    return program


def run_as_account() -> dict[str, object]:
    """Who runs the servers: they refuse to run as root."""
    if os.geteuid():
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def run_to_end(*command: str | Path) -> None:
    """Run a program as the servers' account."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **run_as_account())  # type: ignore[call-overload]  # the account is a mapping


class Server:
    """A server that can be stopped, frozen, killed and started again on the same port."""

    def __init__(self, command: list[str | Path], port: int, stop_signal: signal.Signals = signal.SIGINT) -> None:
        self.port = port
        self._command = command
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What runs."""
        assert self._process
        return self._process

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        self._process = subprocess.Popen(  # type: ignore[call-overload]  # the account is a mapping
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **run_as_account()
        )
        try:
            self._wait_for_start(self._process)
        except BaseException:  # an interruption too must not leave it behind
            self.kill()
            raise

    def _wait_for_start(self, process: subprocess.Popen[bytes]) -> None:
        question = [str(find_program("pg_isready")), "-q", "-h127.0.0.1", f"-p{self.port}"]

        def is_ready() -> bool:
            assert process.poll() is None, self._command
            return subprocess.run(question, check=False).returncode == 0

        wait_until(is_ready, START_SECONDS)

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.send_signal(self._stop_signal)
        self.process.wait(START_SECONDS)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it take nothing and say nothing, and keep its connections."""
        for pid in self._find_processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._find_processes():
            os.kill(pid, signal.SIGCONT)

    def _find_processes(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server until the end of the block, whatever becomes of it there."""
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.thaw()
            server.stop()


@dataclass(frozen=True)
class TlsServer:
    """A PostgreSQL that takes nothing but TLS and SCRAM, as Neon does."""

    folder: Path
    server: Server

    @property
    def ca(self) -> Path:
        """Who vouches for it."""
        return self.folder / "ca.pem"

    def url(self, query: Mapping[str, str], port: int | None = None, database: str = "todo") -> str:
        """A URL of it, or of what stands before it."""
        options = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://todo:{QUOTED_PASSWORD}@localhost:{port or self.server.port}/{database}?{options}"


@contextmanager
def tls_server(folder: Path) -> Iterator[TlsServer]:
    """Make and run such a server, with a database `todo` that is migrated."""
    folder.mkdir()
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    (folder / "server.key").chmod(0o600)
    (folder / "password").write_text(PASSWORD)
    (folder / "users").write_text(f'"todo" "{PASSWORD}"\n')
    (folder / "hba").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    for path in (folder, folder / "server.key"):
        if not os.geteuid():
            os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    data = folder / "data"
    access = ["-U", "todo", "-A", "scram-sha-256", "--pwfile", str(folder / "password")]
    run_to_end(find_program("initdb"), "-D", data, "-E", "UTF8", "--locale=C.UTF-8", *access)
    port = find_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "hba_file": folder / "hba",
        "idle_in_transaction_session_timeout": "300000",
        "ssl": "on",
        "ssl_cert_file": folder / "server.pem",
        "ssl_key_file": folder / "server.key",
    }
    settings = [f"--{name}={value}" for name, value in options.items()]
    with running(Server([find_program("postgres"), "-D", data, *settings], port)) as server:
        made = TlsServer(folder, server)
        with psycopg.connect(made.url({}, database="postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE todo")
        assert run_migrate(made.url({"sslmode": "require"})).returncode == 0
        yield made


@contextmanager
def pooler(
    before: TlsServer, program: Path, *, prepares: bool, pool_size: int = POOL_SIZE, client_tls: str = "require"
) -> Iterator[Server]:
    """Run a PgBouncer in transaction mode before a server."""
    port = find_port()
    settings = before.folder / f"pgbouncer-{port}.ini"
    settings.write_text(
        PGBOUNCER_INI.format(
            server_port=before.server.port,
            port=port,
            folder=before.folder,
            pool_size=pool_size,
            client_tls=client_tls,
            prepared_statements="max_prepared_statements = 1000" if prepares else "",
        )
    )
    with running(Server([program, settings], port)) as server:
        yield server


def run_migrate(url: str) -> subprocess.CompletedProcess[str]:
    """Bring the schema, as an operator does."""
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.run([TODO, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)
