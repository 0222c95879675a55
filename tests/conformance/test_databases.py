"""The service on the databases that it will meet: PostgreSQL over TLS, and behind a pooler in transaction mode."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest
from tests.blocks import ROOT, find_script
from tests.neon import POOL_SIZE, TlsServer, find_pooler, find_program, pooler, run_migrate, tls_server
from tests.operations import run_six_operations
from tests.service import TODO, running_command, running_service
from tests.support import find_port, open_database
from tests.wire import relayed

pytestmark = pytest.mark.slow

CLIENTS = 50
# The startup and two words of SCRAM; with TLS there are two more, of its request and of its handshake.
FRESH_CONNECTION_TRIPS = 3
ROUNDS = 4
# The blocks of docs/operations.md from a new project to a running service, by what only they have.
GUIDE = (
    "make dev",
    "CREATE ROLE",
    "todo migrate\n",
    "GRANT SELECT, INSERT",
    "statement_timeout",
    "todo check --workers 2",
)


@pytest.fixture(scope="module")
def server(shared_dir: Path) -> Iterator[TlsServer]:
    """Make and run a server."""
    with tls_server(shared_dir / "tls") as server:
        yield server


@pytest.fixture(scope="module")
def neon_url(server: TlsServer) -> Iterator[str]:
    """The URL of a pooler as Neon's, with four connections to the server."""
    with pooler(server, find_pooler(prepares=True), prepares=True) as before:
        yield server.url({"sslmode": "require"}, before.port)


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
def test_six_operations_over_tls(server: TlsServer, query: dict[str, str]) -> None:
    """The URL is taken as it is, and every connection of the service is encrypted."""
    url = server.url({name: value.format(ca=server.ca) for name, value in query.items()})
    assert run_migrate(url).returncode == 0

    def see_encryption() -> None:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE application_name LIKE 'todo-backend/%'"
            ).fetchall()
        assert {ssl for (ssl,) in found} == {True}

    serve_six_operations(f"tls-{query['sslmode']}", {"DATABASE_URL": url}, see_encryption)


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_connection_over_tls_is_kept(server: TlsServer, neon_url: str, *, is_pooled: bool) -> None:
    """What TLS itself sends unasked, such as tickets for a later session, is not taken for the end of one."""
    async with open_database(neon_url if is_pooled else server.url({"sslmode": "require"}), pool_size=1) as database:
        used = set()
        for _ in range(5):
            await database.ping()
            [idle] = database._connections._idle  # noqa: SLF001 - the pool is nobody else's business
            used.add(idle)
            await asyncio.sleep(0.05)

    assert len(used) == 1


def test_six_operations_through_an_old_pooler(server: TlsServer) -> None:
    """One that knows no prepared statements is served with them switched off."""
    with pooler(server, find_pooler(prepares=False), prepares=False) as before:
        url = server.url({"sslmode": "require"}, before.port)
        serve_six_operations("old", {"DATABASE_URL": url, "TODO_PREPARED_STATEMENTS": "off"})


@pytest.mark.timeout(320)
def test_api_suite_passes_through_a_pooler(neon_url: str) -> None:
    """All of it, unchanged and with prepared statements."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/api"],
        cwd=ROOT,
        env={**os.environ, "TODO_TEST_DATABASE_URL": neon_url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert result.returncode == 0, result.stdout


def test_many_clients_share_few_connections(server: TlsServer, neon_url: str) -> None:
    """Fifty at once, each connection with statements that were prepared on others; the server sees four."""
    with (
        running_service(DATABASE_URL=neon_url, TODO_POOL_SIZE=str(CLIENTS)) as service,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):

        def work(number: int) -> None:
            with httpx2.Client(base_url=service.client.base_url, timeout=15) as client:
                for turn in range(ROUNDS):
                    run_six_operations(client, f"client-{number}-{turn}")

        for outcome in [pool.submit(work, number) for number in range(CLIENTS)]:
            outcome.result()
        with psycopg.connect(server.url({})) as connection:
            question = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'todo-backend/%'"
            [(connections,)] = connection.execute(question).fetchall()

    assert 1 <= connections <= POOL_SIZE


def test_check_tells_of_encryption(server: TlsServer) -> None:
    """And of what the way to the database lacks."""
    bound = run_check(server.url({"sslmode": "require", "channel_binding": "require"}))
    unbound = run_check(server.url({"sslmode": "require"}))

    assert re.search(r"^ok +encryption +TLS \(TLSv1\.3\), channel binding used$", bound, re.MULTILINE)
    assert re.search(r"^note +encryption .* add channel_binding=require", unbound, re.MULTILINE)
    assert "canary" not in bound + unbound


def run_check(url: str) -> str:
    """What an operator reads."""
    environment = {**os.environ, "DATABASE_URL": url}
    result = subprocess.run([TODO, "check"], env=environment, capture_output=True, text=True, check=True, timeout=60)
    return result.stdout


def test_commands_of_the_operations_page_lead_to_a_service(shared_dir: Path) -> None:
    """From an empty database to requests through a pooler: they run as they stand, but for addresses."""
    script = find_script("docs/operations.md", *GUIDE)
    [password] = re.findall(r"CREATE ROLE todo_app LOGIN PASSWORD '(.*)'", script)
    port = find_port()
    with tls_server(shared_dir / "guide") as server:
        with psycopg.connect(server.url({}, database="postgres"), autocommit=True) as owner:
            owner.execute("DROP DATABASE todo")
            owner.execute("CREATE DATABASE todo")
        with (server.folder / "users").open("a") as users:
            users.write(f'"todo_app" "{password}"\n')
        with pooler(server, find_pooler(prepares=True), prepares=True) as before:
            url = f"postgresql://todo_app:{password}@localhost:{before.port}/todo?sslmode=require"
            script = re.sub(r"DATABASE_URL='.*'", f"DATABASE_URL='{url}'", script)
            script = script.replace("https://todo.example.com", f"http://127.0.0.1:{port}")
            environment = {
                "DIRECT_URL_OF_THE_OWNER": server.url({"sslmode": "require"}),
                "PATH": f"{os.environ['PATH']}:{find_program('psql').parent}",
                "TODO_PORT": str(port),
            }
            with running_command(["bash", "-euc", script], port, folder=str(ROOT), **environment) as service:
                run_six_operations(service.client, "guide")
                printed = service.read_log()

    for subject in ("settings", "role", "timeouts", "session", "schema", "slots"):
        assert re.search(rf"^ok +{subject} ", printed, re.MULTILINE), printed
    assert "WRONG" not in printed


def test_operations_are_one_round_trip_through_a_pooler_too(server: TlsServer, owner: str) -> None:
    """And what a fresh connection adds is counted; the way to this pooler is not encrypted, so that it can be read."""
    with (
        pooler(server, find_pooler(prepares=True), prepares=True, client_tls="disable") as before,
        relayed(server.url({}, before.port)) as relay,
        running_service(DATABASE_URL=relay.url, TODO_POOL_SIZE="1") as service,
    ):
        relay.hang_up()
        relay.reset()
        client, tasks = service.client, f"/api/{owner}/tasks"
        task = client.post(tasks, json={"title": "A task"}).json()["url"]
        assert relay.trips == FRESH_CONNECTION_TRIPS + 1
        for method, url, body in [
            ("GET", tasks, None),
            ("GET", task, None),
            ("PATCH", task, {"title": "Renamed"}),
            ("PATCH", f"{task}/complete", None),
            ("PATCH", f"{tasks}?status=all", {"completed": False}),
            ("DELETE", task, None),
            ("GET", task, None),
            ("DELETE", f"{tasks}?status=all", None),
        ]:
            relay.reset()
            client.request(method, url, json=body)
            assert relay.trips == 1, (method, url)


def test_plain_connection_is_refused_in_one_line(server: TlsServer) -> None:
    """What the server says is what the operator reads, without the password."""
    result = run_migrate(server.url({"sslmode": "disable"}))

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "pg_hba.conf" in result.stderr
    assert "canary" not in result.stderr
