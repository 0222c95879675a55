"""What becomes of requests under load when the database, or what stands before it, fails: rows 2 to 13.

After each: nothing that was acknowledged is lost, nothing is done twice, only the answers that are promised come, each
within its deadline, and everything works again within five seconds of the database's return, without a restart.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx2
import psycopg
import pytest
from tests.faults.load import LATE, UNAVAILABLE, UNKNOWN, under_load
from tests.neon import Server, TlsServer, find_pooler, pooler, tls_server
from tests.operations import run_six_operations
from tests.service import Service, running_service
from tests.support import find_port
from tests.wire import make_refusal, relayed

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 3
SLACK_SECONDS = 1  # for a machine that is busy
RECOVERY_SECONDS = 5
POOL_TIMEOUT_SECONDS = 1
SETTINGS = {
    "TODO_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
    "TODO_POOL_TIMEOUT_SECONDS": str(POOL_TIMEOUT_SECONDS),
    "TODO_POOL_SIZE": "10",
}


class Neon(NamedTuple):
    """A database and its pooler."""

    database: TlsServer
    pooler: Server

    @property
    def direct_url(self) -> str:
        """Past the pooler."""
        return self.database.url({"sslmode": "require"})

    @property
    def pooled_url(self) -> str:
        """Through the pooler."""
        return self.database.url({"sslmode": "require"}, self.pooler.port)

    def command_pooler(self, command: str) -> None:
        """Say something to the pooler's console, which takes simple queries alone."""
        url = self.database.url({"sslmode": "require"}, self.pooler.port, database="pgbouncer")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.pgconn.exec_(command.encode())


@pytest.fixture(scope="module")
def neon(shared_dir: Path) -> Iterator[Neon]:
    """Run both."""
    with (
        tls_server(shared_dir / "neon") as database,
        pooler(database, find_pooler(prepares=True), prepares=True) as before,
    ):
        yield Neon(database, before)


def end_backends(neon: Neon) -> None:
    """End what serves the service's connections, and wait until it has ended."""
    question = "FROM pg_stat_activity WHERE application_name LIKE 'todo-backend/%'"
    with psycopg.connect(neon.direct_url, autocommit=True) as connection:
        ended = [pid for (pid,) in connection.execute(f"SELECT pid {question} AND pg_terminate_backend(pid)".encode())]
        while connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [ended]).fetchone():
            time.sleep(0.02)


@contextmanager
def ended_backends(neon: Neon) -> Iterator[None]:
    """Every backend of the service is ended, several times over."""
    for _ in range(3):
        end_backends(neon)
        time.sleep(0.3)
    yield


@contextmanager
def killed_pooler(neon: Neon) -> Iterator[None]:
    """As Neon does when a compute ends."""
    neon.pooler.kill()
    yield
    neon.pooler.start()


@contextmanager
def stopped_database(neon: Neon) -> Iterator[None]:
    """In an orderly way."""
    neon.database.server.stop()
    yield
    neon.database.server.start()


@contextmanager
def killed_database(neon: Neon) -> Iterator[None]:
    """Without a word."""
    neon.database.server.kill()
    yield
    neon.database.server.start()


@contextmanager
def frozen_database(neon: Neon) -> Iterator[None]:
    """It takes nothing and says nothing."""
    neon.database.server.freeze()
    yield
    neon.database.server.thaw()


@contextmanager
def frozen_pooler(neon: Neon) -> Iterator[None]:
    """The same, before the database."""
    neon.pooler.freeze()
    yield
    neon.pooler.thaw()


@contextmanager
def paused_pooler(neon: Neon) -> Iterator[None]:
    """It takes everything and passes on nothing."""
    neon.command_pooler("PAUSE")
    yield
    neon.command_pooler("RESUME")


@contextmanager
def read_only_database(neon: Neon) -> Iterator[None]:
    """As a standby that is not promoted yet."""
    with psycopg.connect(neon.direct_url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE todo SET default_transaction_read_only = on")
    end_backends(neon)
    yield
    with psycopg.connect(neon.direct_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER DATABASE todo RESET default_transaction_read_only")
    end_backends(neon)


POOLED, DIRECT = "pooled", "direct"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("way", "fault", "seconds", "promised"),
    [
        pytest.param(POOLED, ended_backends, 0, {UNAVAILABLE, UNKNOWN}, id="row 4, backends ended behind a pooler"),
        pytest.param(DIRECT, ended_backends, 0, {UNAVAILABLE, UNKNOWN}, id="row 4, backends ended"),
        pytest.param(POOLED, killed_pooler, 1, {UNAVAILABLE, UNKNOWN}, id="row 4, pooler killed"),
        pytest.param(POOLED, stopped_database, 1, {UNAVAILABLE, UNKNOWN}, id="rows 4 and 6, database stopped, pooled"),
        pytest.param(DIRECT, stopped_database, 1, {UNAVAILABLE, UNKNOWN}, id="rows 4 and 6, database stopped"),
        pytest.param(DIRECT, killed_database, 1, {UNAVAILABLE, UNKNOWN}, id="row 4, database killed"),
        pytest.param(POOLED, frozen_database, 5, {UNAVAILABLE, LATE}, id="row 7, database frozen, pooled"),
        pytest.param(DIRECT, frozen_database, 5, {UNAVAILABLE, LATE}, id="row 7, database frozen"),
        pytest.param(POOLED, frozen_pooler, 5, {UNAVAILABLE, LATE}, id="row 7, pooler frozen"),
        pytest.param(POOLED, paused_pooler, 1.5, set(), id="row 11, short pause"),
        pytest.param(POOLED, paused_pooler, 5, {UNAVAILABLE, LATE}, id="row 11, long pause"),
        pytest.param(POOLED, read_only_database, 1, {UNAVAILABLE, UNKNOWN}, id="row 12, read-only, pooled"),
        pytest.param(DIRECT, read_only_database, 1, {UNAVAILABLE, UNKNOWN}, id="row 12, read-only"),
    ],
)
def test_fault_under_load(
    neon: Neon, way: str, fault: Callable[[Neon], AbstractContextManager[None]], seconds: float, promised: set[str]
) -> None:
    """Bounded while it lasts, and as if it had not been five seconds later."""
    url = neon.pooled_url if way == POOLED else neon.direct_url
    with running_service(DATABASE_URL=url, **SETTINGS) as service, under_load(service) as load:
        time.sleep(0.5)
        with fault(neon):
            time.sleep(seconds)
        returned = time.monotonic()
        time.sleep(RECOVERY_SECONDS + 1)
        log = service.read_log()

    assert load.problems <= promised
    slowest = max(answer.seconds for answer in load.answers)
    # What was tried again has succeeded in the end, unless it could not wait for so long.
    assert load.problems or slowest > seconds / 2, "nothing happened"
    assert slowest < DEADLINE_SECONDS + SLACK_SECONDS
    load.assert_full_service_since(returned + RECOVERY_SECONDS)
    load.assert_nothing_lost_or_doubled(neon.direct_url)
    assert "canary" not in log
    assert "Traceback" not in log


def serve(url: str, **settings: str) -> AbstractContextManager[Service]:
    """Run the service on a database that may be away."""
    return running_service(probe="/health/live", DATABASE_URL=url, **{**SETTINGS, **settings})


def create(service: Service, user: str, **headers: str) -> httpx2.Response:
    """Create a task."""
    return service.client.post(f"/api/{user}/tasks", json={"title": "A task"}, headers=headers)


def assert_unavailable(response: httpx2.Response, within: float, retry_after: str = "2") -> None:
    """It is a problem that says when to come back, and no secret."""
    assert (response.status_code, response.json()["type"]) == (503, f"urn:todo:problem:{UNAVAILABLE}")
    assert response.headers["Retry-After"] == retry_after
    assert response.elapsed.total_seconds() < within
    assert "canary" not in response.text


def test_start_without_a_database(neon: Neon, owner: str) -> None:
    """Row 5: it lives, says that it is not ready, and is as soon as there is one."""
    neon.pooler.stop()
    try:
        with serve(neon.pooled_url) as service:
            assert service.client.get("/health/ready").status_code == 503
            assert_unavailable(create(service, owner), within=SLACK_SECONDS)
            assert service.client.get("/health/live").status_code == 200
            neon.pooler.start()
            service.await_answer("/health/ready")
            run_six_operations(service.client, owner)
            log = service.read_log()
    finally:
        if neon.pooler.process.poll() is not None:
            neon.pooler.start()

    assert "Database unavailable: " in log
    assert "Database available again" in log
    assert "canary" not in log


def test_refused_connection_is_given_up_soon(owner: str) -> None:
    """Row 6: after two more tries in half a second; bad input is still told from it."""
    with serve(f"postgresql://todo:canary@127.0.0.1:{find_port()}/todo") as service:
        for _ in range(3):
            assert_unavailable(create(service, owner), within=0.5 + SLACK_SECONDS / 2)
        assert service.client.get(f"/api/{owner}/tasks?limit=0").status_code == 422


@pytest.fixture
def lock(neon: Neon) -> Iterator[Callable[[], None]]:
    """The table is locked; what is yielded unlocks it."""
    with psycopg.connect(neon.direct_url) as connection:
        connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        yield connection.rollback


def count_statements(neon: Neon) -> int:
    """How many statements of the service the database is busy with."""
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name LIKE 'todo-backend/%'"
        " AND query LIKE '%tasks%'"
    )
    with psycopg.connect(neon.direct_url) as connection:
        [(count,)] = connection.execute(question).fetchall()
        return int(count)


def test_held_lock_is_bounded_by_the_deadline(neon: Neon, lock: Callable[[], None], owner: str) -> None:
    """Row 8: 504 in time; the database stops as well, the write has not happened, and the pool is whole again."""
    with running_service(DATABASE_URL=neon.pooled_url, **SETTINGS) as service, ThreadPoolExecutor() as pool:
        responses = list(pool.map(lambda _: create(service, owner), range(4)))
        for response in responses:
            assert (response.status_code, response.json()["type"]) == (504, f"urn:todo:problem:{LATE}")
            assert DEADLINE_SECONDS <= response.elapsed.total_seconds() < DEADLINE_SECONDS + SLACK_SECONDS
        time.sleep(SLACK_SECONDS)
        assert count_statements(neon) == 0
        lock()

        assert service.client.get(f"/api/{owner}/tasks").json() == []
        run_six_operations(service.client, owner)


def test_full_pool_is_told_soon_and_stops_nothing_else(neon: Neon, lock: Callable[[], None], owner: str) -> None:
    """Row 9: who waits for a connection that others use is told in the pool's time; the rest needs none."""
    with (
        running_service(DATABASE_URL=neon.pooled_url, **{**SETTINGS, "TODO_POOL_SIZE": "2"}) as service,
        ThreadPoolExecutor(6) as pool,
    ):
        stuck = [pool.submit(create, service, f"{owner}-{number}") for number in range(2)]
        time.sleep(0.3)
        waiting = [pool.submit(create, service, owner) for _ in range(4)]

        assert service.client.get("/health/live").status_code == 200
        assert service.client.post(f"/api/{owner}/tasks", json={}).status_code == 422
        for answer in waiting:
            assert_unavailable(answer.result(), within=POOL_TIMEOUT_SECONDS + SLACK_SECONDS)
        assert [answer.result().status_code for answer in stuck] == [504, 504]
        lock()
        run_six_operations(service.client, f"{owner}-later")


def test_one_user_cannot_take_every_connection(neon: Neon, owner: str) -> None:
    """Another's requests are served while twenty of one user's hang; those are told so in the pool's time."""
    with running_service(DATABASE_URL=neon.direct_url, **SETTINGS) as service, ThreadPoolExecutor(20) as pool:
        toggle = f"{create(service, owner).json()['url']}/complete"
        with psycopg.connect(neon.direct_url) as connection:
            connection.execute("SELECT FROM tasks WHERE user_id = %s FOR UPDATE", [owner])
            toggles = [pool.submit(service.client.patch, toggle) for _ in range(20)]
            time.sleep(0.3)
            others = [create(service, f"{owner}-other") for _ in range(20)]
            refused, _ = wait(toggles, timeout=POOL_TIMEOUT_SECONDS + SLACK_SECONDS, return_when=FIRST_COMPLETED)

    assert {answer.status_code for answer in others} == {201}
    assert max(answer.elapsed.total_seconds() for answer in others) < POOL_TIMEOUT_SECONDS
    assert refused
    for answer in refused:
        assert_unavailable(answer.result(), within=POOL_TIMEOUT_SECONDS + SLACK_SECONDS)


@pytest.mark.parametrize("way", [POOLED, DIRECT])
def test_idle_connections_that_were_ended_are_not_met(neon: Neon, way: str, owner: str) -> None:
    """Row 10: the next requests succeed, writes among them, all connections of the pool at once."""
    url = neon.pooled_url if way == POOLED else neon.direct_url
    with running_service(DATABASE_URL=url, **SETTINGS) as service, ThreadPoolExecutor(10) as pool:
        for _ in range(3):
            responses = list(pool.map(lambda _: create(service, owner), range(20)))
            assert {response.status_code for response in responses} == {201}
            if way == POOLED:
                neon.pooler.kill()
                neon.pooler.start()
            else:
                end_backends(neon)
            time.sleep(0.1)
        assert len(service.client.get(f"/api/{owner}/tasks").json()) == 60
        assert "WARNING" not in service.read_log()


def test_requests_wait_for_a_database_that_wakes_up(database_url: str, owner: str) -> None:
    """Row 11: longer than the pool's time and more of them than connections, since none of these stands yet."""
    with relayed(database_url) as relay, serve(relay.url, TODO_DEADLINE_SECONDS="15") as service:
        service.await_answer("/health/ready")
        relay.hang_up()
        relay.delay_seconds = 2 * POOL_TIMEOUT_SECONDS
        with ThreadPoolExecutor(30) as pool:
            responses = list(pool.map(lambda _: create(service, owner), range(30)))

        assert {response.status_code for response in responses} == {201}
        assert len(service.client.get(f"/api/{owner}/tasks").json()) == 30


def test_write_whose_answer_was_cut_off_is_not_sent_again(database_url: str, owner: str) -> None:
    """Rows 2 and 3: it is answered with a problem of its own, and its key finds what has happened."""
    # With one connection, nothing else is under way.
    with relayed(database_url) as relay, serve(relay.url, TODO_POOL_SIZE="1") as service:
        service.await_answer("/health/ready")
        relay.reset()
        relay.cuts = 1
        cut = create(service, owner, **{"Idempotency-Key": "key"})
        sent = [statement for statement in relay.statements if "INSERT INTO tasks " in statement]
        retry = create(service, owner, **{"Idempotency-Key": "key"})
        listed = service.client.get(f"/api/{owner}/tasks").json()

    assert (cut.status_code, cut.json()["type"]) == (503, f"urn:todo:problem:{UNKNOWN}")
    assert cut.headers["Retry-After"] == "2"
    assert len(sent) == 1
    assert (retry.status_code, retry.headers["Idempotent-Replayed"]) == (201, "true")
    assert listed == [retry.json()]


def test_read_whose_answer_was_cut_off_runs_again(database_url: str, owner: str) -> None:
    """Row 2: the caller does not notice; when it is cut off every time, it is told."""
    with relayed(database_url) as relay, serve(relay.url, TODO_POOL_SIZE="1") as service:
        service.await_answer("/health/ready")
        relay.cuts = 1
        assert service.client.get(f"/api/{owner}/tasks").status_code == 200
        relay.cuts = 100
        assert_unavailable(service.client.get(f"/api/{owner}/tasks"), within=DEADLINE_SECONDS)
        relay.cuts = 0
        assert service.client.get(f"/api/{owner}/tasks").status_code == 200


@pytest.mark.parametrize("way", [POOLED, DIRECT])
def test_defaults_of_the_role_do_not_matter(neon: Neon, way: str, owner: str) -> None:
    """Each task comes back as it was sent, and contended changes all happen, behind a pooler too."""
    names = {"DateStyle": "German", "client_encoding": "LATIN1", "default_transaction_isolation": "serializable"}
    with psycopg.connect(neon.direct_url, autocommit=True) as connection:
        for name, value in names.items():
            connection.execute(f"ALTER ROLE todo SET {name} = '{value}'".encode())
    neon.command_pooler("RECONNECT")
    try:
        url = neon.pooled_url if way == POOLED else neon.direct_url
        with running_service(DATABASE_URL=url, **SETTINGS) as service, ThreadPoolExecutor(8) as pool:
            run_six_operations(service.client, owner)
            created = service.client.post(f"/api/{owner}/tasks", json={"title": "Größe 🎉"}).json()
            toggle = f"{created['url']}/complete"
            statuses = {answer.status_code for answer in pool.map(lambda _: service.client.patch(toggle), range(100))}
            found = service.client.get(created["url"]).json()
    finally:
        with psycopg.connect(neon.direct_url, autocommit=True, client_encoding="utf8") as connection:
            connection.execute("ALTER ROLE todo RESET ALL")
        neon.command_pooler("RECONNECT")

    assert statuses == {200}
    assert (found["title"], found["version"]) == ("Größe 🎉", 101)


@contextmanager
def fake_proxy(words: str) -> Iterator[int]:
    """Run what refuses every connection as Neon's proxy does: in words, and always with the SQLSTATE XX000."""
    refusal = make_refusal(words)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(refusal)

        threading.Thread(target=refuse, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "words",
    [
        "The endpoint is disabled. Enable it using Neon API and retry.",
        "The requested endpoint cannot be found",
        "Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.",
        "password authentication failed for user 'todo'",
        "This IP address is not allowed to connect to this endpoint.",
    ],
)
def test_final_refusal_of_a_proxy_is_told_at_once(words: str, owner: str) -> None:
    """Nothing but an operator can help, and the log has the words for one."""
    with fake_proxy(words) as port, serve(f"postgresql://todo:canary@127.0.0.1:{port}/todo?sslmode=disable") as service:
        assert_unavailable(create(service, owner), within=SLACK_SECONDS, retry_after="60")
        log = service.read_log()

    assert words in log
    assert "ERROR" in log or '"level": "error"' in log.lower()
    assert "canary" not in log


@pytest.mark.parametrize("words", ["Control plane request failed", "Couldn't connect to compute node"])
def test_passing_refusal_of_a_proxy_is_waited_out(words: str, database_url: str, owner: str) -> None:
    """It is asked again until the deadline, and served as soon as the proxy lets it pass."""
    with fake_proxy(words) as port, serve(f"postgresql://todo:canary@127.0.0.1:{port}/todo?sslmode=disable") as service:
        assert_unavailable(create(service, owner), within=DEADLINE_SECONDS + SLACK_SECONDS)

    with relayed(database_url) as relay, serve(relay.url) as service:
        service.await_answer("/health/ready")
        relay.hang_up()
        relay.refusal = words
        threading.Timer(1, lambda: setattr(relay, "refusal", None)).start()
        response = create(service, owner)
    assert response.status_code == 201
    assert response.elapsed.total_seconds() > 1


IDLE_SECONDS = 60


def test_idle_service_lets_the_database_sleep(database_url: str, owner: str) -> None:
    """A minute of probes of both kinds, each second: no statement and no new connection."""
    with relayed(database_url) as relay, serve(relay.url) as service:
        run_six_operations(service.client, owner)
        relay.reset()
        for _ in range(IDLE_SECONDS):
            assert service.client.get("/health/live").status_code == 200
            assert service.client.get("/health/ready").status_code == 200
            time.sleep(1)
        assert (relay.connections, relay.trips, relay.statements) == (0, 0, [])
