"""What a statement's caller is told when the database is slow, gone or refuses, and that the pool survives it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from tests.support import connect, open_database, publish, wait_until
from tests.wire import count_round_trips

from todo.database.compiled import Statement
from todo.database.connections import PING_SECONDS
from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.errors import DatabaseMisconfigured, DatabaseUnavailable, DeadlineExceeded, OutcomeUnknown, StatementFailed
from todo.models.fields import Owner
from todo.models.queries import TaskQuery
from todo.models.tasks import TaskCreate

CANARY = "canary-hunter2"
NOWHERE = "postgresql://todo@127.0.0.1:1/todo"
PATIENCE = 20
ONE = Statement(text("SELECT 1"))
SLEEP = Statement(text("SELECT pg_sleep(60)"))
SHORT_SLEEP = Statement(text("SELECT pg_sleep(0.3)"))
WHO_AM_I = Statement(text("SELECT pg_backend_pid()"))
DIE = Statement(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection, and time enough."""
    async with open_database(database_url, pool_size=1) as database:
        yield database


@pytest.fixture
def observer(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that looks on."""
    with connect(database_url) as connection:
        yield connection


def set_option(url: str, option: str) -> str:
    """Return the URL of sessions that begin with a setting of their own."""
    return make_url(url).update_query_dict({"options": f"-c {option}"}).render_as_string(hide_password=False)


@contextmanager
def expect_within(seconds: float, error: type[Exception]) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """See that the block raises exactly `error`, and soon enough."""
    started = time.monotonic()
    with pytest.raises(error) as caught:
        yield caught
    assert time.monotonic() - started < seconds
    assert caught.type is error


async def run(database: Database, statement: Statement) -> object:
    """Run a statement and return the one value of its first row."""
    return (await database.read(statement, {}))[0][0]


async def eventually(call: Callable[[], Awaitable[object]]) -> object:
    """Call until it succeeds: a connection that was given up may take a moment to come back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except (DeadlineExceeded, DatabaseUnavailable):
                await asyncio.sleep(0.005)


def is_sleeping(observer: psycopg.Connection, pid: object) -> bool:
    """Tell whether the backend of that pid is in the slow statement."""
    question = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'"
    return observer.execute(question, [pid]).fetchone() is not None


@asynccontextmanager
async def sleep_in(
    database: Database, observer: psycopg.Connection
) -> AsyncIterator[tuple[asyncio.Task[object], object]]:
    """Keep the only connection of a pool busy; yield the call and the backend's pid."""
    pid = await run(database, WHO_AM_I)
    call = asyncio.create_task(run(database, SLEEP))
    await asyncio.to_thread(wait_until, lambda: is_sleeping(observer, pid))
    try:
        yield call, pid
    finally:
        call.cancel()
        await asyncio.wait([call])


# Time


async def test_deadline_ends_the_wait_and_not_the_pool(database_url: str, observer: psycopg.Connection) -> None:
    """The caller is told in time, the database stops, and the only connection is there for the next statement."""
    async with open_database(database_url, pool_size=1, deadline_seconds=0.3) as database:
        pid = await run(database, WHO_AM_I)

        with expect_within(1.5, DeadlineExceeded):
            await database.read(SLEEP, {})

        assert await eventually(lambda: run(database, ONE)) == 1
        await asyncio.to_thread(wait_until, lambda: not is_sleeping(observer, pid))


async def test_pool_can_be_closed_on_a_statement_that_was_given_up(database_url: str) -> None:
    """A service that stops does not wait for what nobody waits for."""
    async with open_database(database_url, pool_size=1, deadline_seconds=0.3) as database:
        with expect_within(1.5, DeadlineExceeded):
            await database.read(SLEEP, {})

        async with asyncio.timeout(5):
            await database.close()


async def test_statement_timeout_of_the_database_is_a_deadline_too(database_url: str) -> None:
    """Whoever set the limit, the caller is told the same, and the connection goes on."""
    async with open_database(set_option(database_url, "statement_timeout=200"), pool_size=1) as database:
        pid = await run(database, WHO_AM_I)

        with expect_within(3, DeadlineExceeded):
            await database.read(SLEEP, {})

        assert await run(database, WHO_AM_I) == pid


async def test_cancelled_caller_gives_the_connection_back(single: Database, observer: psycopg.Connection) -> None:
    """A client that hangs up keeps neither the connection nor the database busy."""
    async with sleep_in(single, observer) as (call, pid):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        async with asyncio.timeout(PATIENCE):
            assert await run(single, ONE) == 1
        await asyncio.to_thread(wait_until, lambda: not is_sleeping(observer, pid))


# Want of a database


async def test_backend_that_ends_itself_is_unavailable_and_replaced(single: Database) -> None:
    """What was on it is not sent again, and the next statement finds another."""
    pid = await run(single, WHO_AM_I)

    with expect_within(3, OutcomeUnknown):
        await single.write(DIE, {})

    assert await run(single, WHO_AM_I) != pid


async def test_read_whose_backend_is_ended_runs_again(database_url: str, observer: psycopg.Connection) -> None:
    """A database that stops, as Neon's does, costs a read a moment; what runs on the second connection is its own."""
    async with open_database(database_url, pool_size=1) as database:
        pid = await run(database, WHO_AM_I)
        call = asyncio.create_task(run(database, Statement(text("SELECT pg_sleep(0.5), pg_backend_pid()"))))
        await asyncio.to_thread(wait_until, lambda: is_sleeping(observer, pid))

        observer.execute("SELECT pg_terminate_backend(%s)", [pid])

        async with asyncio.timeout(3):
            await call
        assert await run(database, WHO_AM_I) != pid


async def test_read_that_loses_every_connection_is_unavailable(single: Database) -> None:
    """It is tried once more, and not for ever."""
    with expect_within(3, DatabaseUnavailable):
        await single.read(DIE, {})


async def test_idle_connection_that_was_ended_is_replaced_before_it_is_used(
    single: Database, observer: psycopg.Connection
) -> None:
    """Row 10: even a write does not meet it, and nothing was asked to find out."""
    pid = await run(single, WHO_AM_I)
    observer.execute("SELECT pg_terminate_backend(%s)", [pid])
    backend = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    await asyncio.to_thread(wait_until, lambda: not observer.execute(backend, [pid]).fetchone())

    assert (await single.write(WHO_AM_I, {}))[0][0] != pid


async def test_connection_that_a_router_has_forgotten_is_replaced_after_long_idleness(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked before a statement is put on it, and given up after two seconds without an answer."""
    monkeypatch.setattr("todo.database.connections.IDLE_SECONDS_BEFORE_PING", 0)
    async with count_round_trips(database_url) as relay, open_database(relay.url, pool_size=1) as database:
        await database.ping()
        relay.reset()
        await database.ping()
        assert (relay.trips, relay.connections) == (2, 0), "a question and the statement"

        relay.forget()
        started = time.monotonic()
        await database.write(ONE, {})

        assert PING_SECONDS <= time.monotonic() - started < PING_SECONDS + 1
        assert relay.statements.count("SELECT 1") == 1


async def test_connections_that_a_router_has_forgotten_are_not_waited_for_one_by_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that does not answer stands for those that were idle for longer."""
    monkeypatch.setattr("todo.database.connections.IDLE_SECONDS_BEFORE_PING", 0)
    async with count_round_trips(database_url) as relay, open_database(relay.url, pool_size=4) as database:
        await asyncio.gather(*(database.read(SHORT_SLEEP, {}) for _ in range(2)))
        assert relay.connections == 2

        relay.forget()
        started = time.monotonic()
        await database.write(ONE, {})

        assert time.monotonic() - started < PING_SECONDS + 1


async def test_nothing_that_belongs_to_a_session_is_sent(database_url: str, owner: Owner) -> None:
    """Behind a pooler the next statement may be on another one."""
    async with count_round_trips(database_url) as relay, open_database(relay.url, pool_size=1) as database:
        store = TaskStore(database, owner)
        for _ in range(8):
            await store.add(TaskCreate(title="A task"))
            await store.page(TaskQuery())

        sent = " ".join(relay.statements).upper()

    assert "INSERT" in sent
    for word in ("SET ", "LISTEN", "ADVISORY", "PREPARE ", "DEALLOCATE", "TEMP", "DECLARE", "BEGIN"):
        assert word not in sent.replace("OFFSET ", "").replace("UPDATE SET ", ""), sent


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"host": "127.0.0.1", "port": 1, "query": {}}, DatabaseUnavailable),
        ({"query": {"host": "/nonexistent"}}, DatabaseUnavailable),
        ({"database": "nonexistent"}, DatabaseMisconfigured),
        ({"username": "nonexistent", "password": CANARY}, DatabaseMisconfigured),
    ],
    ids=["refused", "no socket", "no database", "no role"],
)
async def test_database_that_cannot_be_reached_is_unavailable(
    database_url: str, parts: dict[str, Any], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is soon there, and neither it nor the log holds the password."""
    caplog.set_level(logging.DEBUG)
    url = make_url(database_url).set(password=CANARY).set(**parts).render_as_string(hide_password=False)

    async with open_database(url, pool_size=1) as database:
        with expect_within(3, error) as caught:
            await database.ping()

    assert CANARY not in f"{caught.value}{caplog.text}"


async def test_exhausted_pool_is_unavailable(database_url: str, observer: psycopg.Connection) -> None:
    """Who gets no connection within the pool's time is told so, and the pool serves again once one is free."""
    async with open_database(database_url, pool_size=1, pool_timeout_seconds=0.3) as database:
        async with sleep_in(database, observer):
            with expect_within(2, DatabaseUnavailable):
                await database.read(ONE, {})

        assert await eventually(lambda: run(database, ONE)) == 1


async def test_read_only_database_is_unavailable_for_writes(database_url: str, owner: Owner) -> None:
    """A standby that is not yet promoted serves reads, and a write may be tried again."""
    async with open_database(set_option(database_url, "default_transaction_read_only=on"), pool_size=1) as database:
        store = TaskStore(database, owner)

        with expect_within(3, DatabaseUnavailable):
            await store.add(TaskCreate(title="A task"))

        assert (await store.page(TaskQuery())).tasks == []


# Mistakes


@pytest.mark.parametrize(
    "statement",
    [
        "SELEKT 1",
        "SELECT nonexistent()",
        "SELECT 1 / 0",
        "SELECT 'x'::int",
        "INSERT INTO tasks (user_id, id, title, completed, tags) VALUES ('u', gen_random_uuid(), '', false, '{}')",
        # What a user wrote decides nothing.
        "INSERT INTO tasks (user_id, id, title) VALUES ('u', gen_random_uuid(), 'rate limit')",
        "SELECT '0044-03-15 BC'::date",  # PostgreSQL has such a date, and Python has none
    ],
)
async def test_mistake_of_ours_is_raised_as_it_is(single: Database, statement: str) -> None:
    """It is nobody's fault but the code's, so it must not look like a database that is away."""
    pid = await run(single, WHO_AM_I)

    with pytest.raises(StatementFailed):
        await single.read(Statement(text(statement)), {})

    assert await run(single, WHO_AM_I) == pid


# What the pool's connections are


async def test_write_is_durable_when_it_returns(single: Database, owner: Owner, observer: psycopg.Connection) -> None:
    """Another connection sees it at once, and the one that wrote it holds no transaction open."""
    task, _ = await TaskStore(single, owner).add(TaskCreate(title="A task"))

    assert observer.execute("SELECT 1 FROM tasks WHERE user_id = %s AND id = %s", [owner, task.id]).fetchone()
    assert await run(single, Statement(text("SELECT pg_current_xact_id_if_assigned()"))) is None


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
async def test_time_zone_of_the_database_does_not_matter(database_url: str, owner: Owner, zone: str) -> None:
    """A moment at either end of the calendar would fall off it in a zone beside UTC."""
    async with open_database(set_option(database_url, f"timezone={zone}"), pool_size=1) as database:
        store = TaskStore(database, owner)
        ends = ["0001-01-01T00:00:00Z", "2030-01-31T09:30:00Z", "9999-12-31T23:59:59.999999Z"]

        tasks = [(await store.add(TaskCreate.model_validate({"title": end, "due_at": end}))).task for end in ends]

        assert (await store.page(TaskQuery())).tasks == tasks[::-1]
        assert [publish(task).model_dump(mode="json")["due_at"] for task in tasks] == ends


# Readiness


async def test_readiness_is_how_the_last_contact_went(database_url: str) -> None:
    """It is not ready before the first contact, nor after a failure until the next success."""
    async with open_database(database_url, pool_size=1, deadline_seconds=0.3) as database:
        assert not database.is_ready
        await database.ping()
        assert database.is_ready

        with pytest.raises(OutcomeUnknown):
            await database.write(DIE, {})
        assert not database.is_ready
        await eventually(database.ping)
        assert database.is_ready

        with pytest.raises(DeadlineExceeded):
            await database.read(SLEEP, {})
        assert not database.is_ready
        await eventually(lambda: run(database, ONE))
        assert database.is_ready


async def test_unreachable_database_is_not_ready() -> None:
    """A failed contact is no contact."""
    async with open_database(NOWHERE, pool_size=1) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()

        assert not database.is_ready


async def test_readiness_costs_no_query(single: Database, observer: psycopg.Connection) -> None:
    """Whoever asks, the database is left to sleep."""
    question = "SELECT query_start, state_change, query FROM pg_stat_activity WHERE pid = %s"
    pid = await run(single, WHO_AM_I)
    before = observer.execute(question, [pid]).fetchone()

    assert all(single.is_ready for _ in range(10))

    assert observer.execute(question, [pid]).fetchone() == before
