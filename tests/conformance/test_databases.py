"""The service on the databases that it will meet: PostgreSQL over TLS, and behind a pooler in transaction mode."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import trustme
from tests.operations import run_six_operations
from tests.service import TODO, find_port, running_service

PASSWORD = "canary%25/pass"  # noqa: S105 - of a server that lives as long as this test; the URL needs it quoted
QUOTED_PASSWORD = "canary%2525%2Fpass"  # noqa: S105 - the same
FIRST_WITH_PREPARED_STATEMENTS = (1, 22)
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
pool_mode = transaction
default_pool_size = 2
{prepared_statements}
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.pem
client_tls_key_file = {folder}/server.key
server_tls_sslmode = require
"""


def miss(what: str) -> None:
    """Skip where the machine lacks a program; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def find_program(name: str) -> Path:
    """Find one of PostgreSQL's programs with TLS, which the embedded ones lack, or the pooler."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), "/usr/sbin", os.environ["PATH"]]))
    if found is None:
        miss(name)
    return Path(str(found))


def run_as_account() -> dict[str, object]:
    """Who runs the servers: they refuse to run as root."""
    if os.geteuid():
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextmanager
def run_server(command: list[str | Path], stop: signal.Signals, port: int) -> Iterator[None]:
    """Run a server until the end of the block, from when it takes connections."""
    with subprocess.Popen(  # type: ignore[call-overload]  # the account is a mapping
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **run_as_account()
    ) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run(
                [find_program("pg_isready"), "-q", "-h127.0.0.1", f"-p{port}"], check=False
            ).returncode:
                assert server.poll() is None, command
                assert time.monotonic() < deadline, command
                time.sleep(0.05)
            yield
        finally:
            server.send_signal(stop)
            server.wait(START_SECONDS)


@dataclass(frozen=True)
class TlsServer:
    """A PostgreSQL that takes nothing but TLS and SCRAM, as Neon does."""

    folder: Path
    port: int
    ca: Path

    def url(self, query: Mapping[str, str], port: int | None = None) -> str:
        """A URL of it, or of what stands before it."""
        options = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://todo:{QUOTED_PASSWORD}@localhost:{port or self.port}/todo?{options}"


@pytest.fixture(scope="module")
def tls_server(shared_dir: Path) -> Iterator[TlsServer]:
    """Make and run such a server."""
    folder = shared_dir / "tls"
    folder.mkdir()
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    (folder / "server.key").chmod(0o600)
    (folder / "password").write_text(PASSWORD)
    for path in (folder, folder / "server.key"):
        if not os.geteuid():
            os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    data = folder / "data"
    run_to_end(
        [find_program("initdb"), "-D", data, "-U", "todo", "-A", "scram-sha-256"],
        ["-E", "UTF8", "--locale=C.UTF-8", "--pwfile", folder / "password"],
    )
    port = find_port()
    (folder / "hba").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "hba_file": folder / "hba",
        "ssl": "on",
        "ssl_cert_file": folder / "server.pem",
        "ssl_key_file": folder / "server.key",
    }
    settings = [f"--{name}={value}" for name, value in options.items()]
    with run_server([find_program("postgres"), "-D", data, *settings], signal.SIGINT, port):
        server = TlsServer(folder, port, folder / "ca.pem")
        with psycopg.connect(server.url({}).replace("/todo?", "/postgres?"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE todo")
        yield server


def run_to_end(*command: list[str | Path]) -> None:
    """Run a program as the servers' account."""
    words = [word for part in command for word in part]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **run_as_account())  # type: ignore[call-overload]  # as above


@pytest.fixture(scope="module")
def pooler(tls_server: TlsServer) -> Iterator[tuple[str, str]]:
    """A PgBouncer in transaction mode before the server: its URL, and whether statements can be prepared through it."""
    program = find_program("pgbouncer")
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", printed)[:2])
    can_prepare = version >= FIRST_WITH_PREPARED_STATEMENTS
    port = find_port()
    (tls_server.folder / "users").write_text(f'"todo" "{PASSWORD}"\n')
    (tls_server.folder / "pgbouncer.ini").write_text(
        PGBOUNCER_INI.format(
            server_port=tls_server.port,
            port=port,
            folder=tls_server.folder,
            prepared_statements="max_prepared_statements = 1000" if can_prepare else "",
        )
    )
    with run_server([program, tls_server.folder / "pgbouncer.ini"], signal.SIGINT, port):
        yield tls_server.url({"sslmode": "require"}, port), "on" if can_prepare else "off"


def run_migrate(url: str) -> subprocess.CompletedProcess[str]:
    """Bring the schema, as an operator does."""
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.run([TODO, "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=60)


def serve_six_operations(user_id: str, environment: Mapping[str, str], look: Callable[[], None] | None = None) -> None:
    """Run the service, use it, and see that it never says its password."""
    with running_service(**environment) as service:
        run_six_operations(service.client, user_id)
        if look:
            look()
        assert service.stop() == 0
        assert "canary" not in service.read_log()


@pytest.mark.parametrize(
    "query",
    [{"sslmode": "require", "channel_binding": "require"}, {"sslmode": "verify-full", "sslrootcert": "{ca}"}],
    ids=["as Neon prints it", "verified"],
)
def test_six_operations_over_tls(tls_server: TlsServer, query: dict[str, str]) -> None:
    """The URL is taken as it is, and every connection of the service is encrypted."""
    url = tls_server.url({name: value.format(ca=tls_server.ca) for name, value in query.items()})
    assert run_migrate(url).returncode == 0

    def see_encryption() -> None:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE application_name LIKE 'todo-backend/%'"
            ).fetchall()
        assert {ssl for (ssl,) in found} == {True}

    serve_six_operations(f"tls-{query['sslmode']}", {"DATABASE_URL": url}, see_encryption)


def test_six_operations_through_a_pooler(tls_server: TlsServer, pooler: tuple[str, str]) -> None:
    """Migrations go past the pooler, requests through it."""
    url, prepared_statements = pooler
    assert run_migrate(tls_server.url({"sslmode": "require"})).returncode == 0

    serve_six_operations("pooled", {"DATABASE_URL": url, "TODO_PREPARED_STATEMENTS": prepared_statements})


def test_plain_connection_is_refused_in_one_line(tls_server: TlsServer) -> None:
    """What the server says is what the operator reads, without the password."""
    result = run_migrate(tls_server.url({"sslmode": "disable"}))

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "pg_hba.conf" in result.stderr
    assert "canary" not in result.stderr
