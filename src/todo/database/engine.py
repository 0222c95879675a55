"""Runs statements on PostgreSQL: within their deadline, with retries where these are safe, and with one error each.

Knows no table: the statements on tasks are in `statements`, those on their schema in `schema`.
"""

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg

from todo.database.compiled import Statement
from todo.database.connections import Connection, Connections
from todo.database.failures import Failure, Phase, Retry, classify
from todo.database.health import Health
from todo.database.places import Places
from todo.database.schema import (
    READ_HIDDEN_SCHEMA,
    READ_SCHEMA,
    Schema,
    SchemaState,
    classify_refusal,
    compare_schema,
)
from todo.database.urls import DatabaseUrl
from todo.errors import (
    DatabaseMisconfigured,
    DeadlineExceeded,
    SchemaOutdated,
    StatementFailed,
    TodoError,
)

# How many failures of each kind a call may have and go on, and its longest pause before it goes on.
FAILURES = {Retry.NEVER: 0, Retry.ONCE: 1, Retry.BRIEFLY: 2}
PAUSE_SECONDS = {Retry.NEVER: 0, Retry.ONCE: 0.05, Retry.BRIEFLY: 0.25, Retry.QUICKLY: 0.05, Retry.PATIENTLY: 1}

# A pooler, or another of its clients, has discarded or mixed up prepared statements.
UNPREPARED = ("26000", "42P05")
# And a column's type has changed: "cached plan must not change result type".
SPOILT = (*UNPREPARED, "0A000")

PING = Statement(READ_SCHEMA)
_FIND_HIDDEN_SCHEMA = Statement(READ_HIDDEN_SCHEMA)

Row: TypeAlias = tuple[Any, ...]  # each statement has its own columns
Rows: TypeAlias = Sequence[Row]


class _Failed(Exception):
    """One attempt has failed."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class Database:
    """A pool of connections in AUTOCOMMIT: a statement is a transaction and one round trip.

    A write is durable when `write` returns. A statement whose parameters have an `owner` counts against that owner's
    share of the pool. The constructor does not connect. `read` and `write` raise DatabaseUnavailable,
    DatabaseMisconfigured, SchemaOutdated, StatementFailed, and DeadlineExceeded when the deadline passes; `write`
    raises OutcomeUnknown when a lost connection leaves open whether it has happened.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        pool_size: int,
        pool_timeout_seconds: float,
        deadline_seconds: float,
        prepared_statements: bool,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._places = Places(pool_size, pool_timeout_seconds)
        self._connections = Connections(url, prepared_statements=prepared_statements)
        self._health = Health()

    @property
    def is_ready(self) -> bool:
        """Whether the last call succeeded and the schema fits; runs no query."""
        return self._health.is_ready

    async def read(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement that changes nothing, again if the connection is lost, and return its rows."""
        return await self._run(Phase.READING, statement, parameters)

    async def write(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement, again only if it is known not to have happened, and return its rows."""
        return await self._run(Phase.WRITING, statement, parameters)

    async def ping(self) -> None:
        """Check that the schema fits and that the role has its privileges; raise what `read` raises."""
        await self.read(PING, {})
        if not self._health.is_servable:
            raise DatabaseMisconfigured

    async def close(self) -> None:
        """Close every connection that is not in use; the others close when they are given back."""
        await self._connections.close()

    async def _run(self, phase: Phase, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        try:
            async with asyncio.timeout(self._deadline_seconds) as limit, self._places.take(parameters.get("owner")):
                return await self._retry(phase, statement, parameters, limit.when() or math.inf)
        except TimeoutError:
            self._health.note_failure(f"no answer within {self._deadline_seconds:g} s")
            raise DeadlineExceeded from None

    async def _retry(
        self, phase: Phase, statement: Statement, parameters: Mapping[str, object], deadline: float
    ) -> Rows:
        """Repeat a statement until it succeeds or must not be retried."""
        failures: Counter[Retry] = Counter()
        while True:
            try:
                rows = await self._attempt(phase, statement, parameters)
            except _Failed as failed:
                retry = failed.failure.retry
                failures[retry] += 1
                pause = _choose_pause(retry, failures.total())
                is_late = asyncio.get_running_loop().time() + pause >= deadline
                if is_late or failures[retry] > FAILURES.get(retry, math.inf):
                    # Not `from failed`: the driver's error, which may quote the row, would be logged.
                    raise self._translate(failed) from None
                await asyncio.sleep(pause)
            else:
                self._health.note_success()
                return rows

    async def _attempt(self, phase: Phase, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        reached = Phase.CONNECTING
        connection = None
        try:
            connection = await self._connections.take()
            with self._places.note_connection():
                reached = Phase.READING
                if statement is PING or not self._health.is_servable:
                    await self._check_schema(connection)
                reached = phase
                return [] if statement is PING else await self._execute(connection, statement, parameters)
        except (psycopg.Error, OSError) as error:
            connection_lost = connection is not None and connection.is_lost
            if connection is not None and isinstance(error, psycopg.Error) and error.sqlstate in SPOILT:
                connection.is_spoilt = True
            raise _describe(error, reached, connection_lost=connection_lost) from None
        finally:
            if connection is not None:
                self._connections.give_back(connection)

    async def _execute(self, connection: Connection, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement; if a table, column or privilege is missing, check the schema."""
        try:
            return await connection.run(statement, parameters)
        except psycopg.ProgrammingError as error:
            if classify_refusal(error):
                schema = await self._check_schema(connection)
                if schema.state is SchemaState.DENIED:
                    raise DatabaseMisconfigured from None
            raise

    async def _check_schema(self, connection: Connection) -> Schema:
        """Read the schema; raise SchemaOutdated or DatabaseMisconfigured when nothing can be served with it."""
        try:
            [found] = await connection.run(PING, {})
            schema = compare_schema(*found)
        except psycopg.ProgrammingError as error:
            refusal = classify_refusal(error)
            if refusal is None:
                raise
            [(hidden,)] = await connection.run(_FIND_HIDDEN_SCHEMA, {})
            if hidden:
                refusal = Schema(SchemaState.DENIED, f"this role has no USAGE on the schema {hidden}")
            self._health.note_schema(refusal)
            raise (DatabaseMisconfigured if refusal.state is SchemaState.DENIED else SchemaOutdated) from None
        self._health.note_schema(schema)
        if schema.state in (SchemaState.OUTDATED, SchemaState.UNUSABLE):
            raise SchemaOutdated
        return schema

    def _translate(self, failed: _Failed) -> TodoError | StatementFailed:
        error = failed.failure.error
        if error is None:
            return StatementFailed(str(failed))
        is_for_operator = error in (DatabaseMisconfigured, SchemaOutdated)
        self._health.note_failure(str(failed), logging.ERROR if is_for_operator else logging.WARNING)
        return error()


def _describe(error: psycopg.Error | OSError, phase: Phase, *, connection_lost: bool) -> _Failed:
    """Classify an error, and describe it in one line that holds nothing of a row."""
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    # The rest of what PostgreSQL says may quote the row.
    failure = classify(phase, sqlstate, primary or str(error), connection_lost=connection_lost)
    if failure.error is None:
        constraint = error.diag.constraint_name if isinstance(error, psycopg.Error) else None
        return _Failed(failure, f"{type(error).__name__}, SQLSTATE {sqlstate}, constraint {constraint}")
    advice = "; set TODO_PREPARED_STATEMENTS=off if a pooler mixes them up" if sqlstate in UNPREPARED else ""
    return _Failed(failure, str(error).strip().partition("\n")[0] + advice)


def _choose_pause(retry: Retry, failures: int) -> float:
    """Return how long to pause: longer each time, and at random, so that simultaneous failures do not retry at once."""
    longest = PAUSE_SECONDS[retry]
    return random.uniform(0.1, 1) * min(longest, 0.1 * 2.0**failures)  # noqa: S311 - no secret
