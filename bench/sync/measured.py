"""Calls of the store, and what PostgreSQL says that they cost: CPU time, WAL, and rows that were changed in place."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter
from typing import NamedTuple, TypeAlias

import psycopg
from bench.processes import read_cpu_seconds
from bench.sync.former import FormerDatabase
from sqlalchemy import text

from todo.database.compiled import Statement
from todo.database.engine import Database, Rows
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.models.fields import Owner

Call: TypeAlias = Callable[[], Awaitable[object]]

DEADLINE_SECONDS = 120
EXPLAINED = 20  # times
FLUSH = Statement(text("SELECT pg_stat_force_next_flush()"))  # the statistics, at the end of this statement
READ_COUNTERS = Statement(
    text(
        "SELECT pg_backend_pid(), (pg_current_wal_insert_lsn() - '0/0')::bigint, n_tup_upd, n_tup_hot_upd"
        " FROM pg_stat_user_tables WHERE relname = 'tasks'"
    )
)


class Cost(NamedTuple):
    """What some calls have cost; the CPU time is that of PostgreSQL's process of the one connection."""

    seconds: list[float]  # of each call, as its client waits
    cpu_seconds: float
    wal: int
    updates: int
    hot: int

    def add(self, other: "Cost") -> "Cost":
        """Add the cost of other calls."""
        return Cost(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.wal + other.wal,
            self.updates + other.updates,
            self.hot + other.hot,
        )

    def summarize(self) -> dict[str, float]:
        """Return what a call costs."""
        each = len(self.seconds)
        return {
            "p50_ms": median(self.seconds) * 1000,
            "cpu_us": self.cpu_seconds / each * 1e6,
            "wal_bytes": self.wal / each,
            **({"hot": self.hot / self.updates} if self.updates else {}),
        }


class RecordingDatabase(Database):
    """A database that remembers the last statement that was read with."""

    last_sent: tuple[Statement, Mapping[str, object]]

    async def read(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement that changes nothing."""
        self.last_sent = statement, parameters
        return await super().read(statement, parameters)


class Subject(NamedTuple):
    """A database over one connection, as the service has many, or over some."""

    database: Database

    def open_store(self, owner: str) -> TaskStore:
        """Open an owner's tasks."""
        return TaskStore(self.database, Owner(owner))

    async def measure(self, calls: Sequence[Call]) -> Cost:
        """Make calls one after another."""
        cpu_before, *counters_before = await self._read_counters()
        seconds = []
        for call in calls:
            began = perf_counter()
            await call()
            seconds.append(perf_counter() - began)
        cpu, *counters = await self._read_counters()
        wal, updates, hot = (now - then for now, then in zip(counters, counters_before, strict=True))
        return Cost(seconds, cpu - cpu_before, wal, updates, hot)

    async def _read_counters(self) -> tuple[float, int, int, int]:
        await self.database.read(FLUSH, {})
        [(pid, wal, updates, hot)] = await self.database.read(READ_COUNTERS, {})
        return read_cpu_seconds(pid), wal, updates, hot


@asynccontextmanager
async def open_subject(url: str, *, is_former: bool = False, connections: int = 1) -> AsyncIterator[Subject]:
    """Open a database, whose writes are the former ones or the service's own."""
    database = (FormerDatabase if is_former else RecordingDatabase)(
        read_database_url(url),
        pool_size=connections,
        pool_timeout_seconds=DEADLINE_SECONDS,
        deadline_seconds=DEADLINE_SECONDS,
        prepared_statements=True,
    )
    try:
        yield Subject(database)
    finally:
        await database.close()


def explain(url: str, database: Database) -> dict[str, float]:
    """Run what was read last again, and return how long PostgreSQL executed it, and how many buffers it touched."""
    assert isinstance(database, RecordingDatabase)  # noqa: S101 - nothing is read from the former one
    statement, parameters = database.last_sent
    with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as connection:
        query = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement.text}".encode()
        plans = [connection.execute(query, statement.bind(parameters)).fetchall()[0][0][0] for _ in range(EXPLAINED)]
    return {
        "executed_ms": median(plan["Execution Time"] for plan in plans),
        "buffers": plans[-1]["Plan"]["Shared Hit Blocks"] + plans[-1]["Plan"]["Shared Read Blocks"],
    }


def execute(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
