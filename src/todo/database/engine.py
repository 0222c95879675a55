"""The way to PostgreSQL: runs a statement within its deadline, tries again where that is safe, and says what failed.

It knows no table. What there is to say about tasks is said in `store`, and about their schema in `schema`.
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import Executable, Row
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from todo.database.connections import hang_up, make_engine
from todo.database.failures import Failure, Phase, Retry, judge
from todo.database.places import Places
from todo.database.schema import (
    READ_HIDDEN_HOME,
    READ_SCHEMA,
    SERVABLE,
    Schema,
    SchemaState,
    judge_refusal,
    judge_schema,
)
from todo.errors import (
    DatabaseMisconfigured,
    DeadlineExceeded,
    SchemaOutdated,
    StatementFailed,
)

# How often a call may fail in each way before it is over, and how long it pauses before the next try, at most.
FAILURES = {Retry.NEVER: 0, Retry.ONCE: 1, Retry.BRIEFLY: 2}
PAUSE_SECONDS = {Retry.NEVER: 0, Retry.ONCE: 0.05, Retry.BRIEFLY: 0.25, Retry.QUICKLY: 0.05, Retry.PATIENTLY: 1}
# A database that lives ends a statement at once when it is told to; psycopg's own cancellation waits for ten seconds.
CANCEL_SECONDS = 1

UNPREPARED = ("26000", "42P05")

SCHEMA_LINES = {
    SchemaState.CURRENT: (logging.INFO, "serving it"),
    SchemaState.NEWER: (logging.WARNING, "serving it all the same"),
    SchemaState.OUTDATED: (logging.ERROR, "answering 503 until `todo migrate` has run"),
    SchemaState.UNUSABLE: (logging.ERROR, "answering 503 until it is; `todo check` says more"),
    SchemaState.DENIED: (logging.ERROR, "answering 503 to what needs that until it is granted"),
}

_log = logging.getLogger(__name__)

Rows: TypeAlias = Sequence[Row[Any]]  # each statement has its own columns


class _Call:
    """A statement on its way to the database."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: psycopg.AsyncConnection | None = None  # that it runs on
        self.is_abandoned = False


class _Failed(Exception):
    """One try has failed."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class Database:
    """A pool of connections, every one in AUTOCOMMIT: a statement is a transaction and one round trip.

    A write is durable when `write` returns. A statement whose parameters name an `owner` takes a place out of that
    owner's share of the pool. The constructor connects to nothing. `read` and `write` raise DatabaseUnavailable,
    DatabaseMisconfigured, SchemaOutdated, StatementFailed, and DeadlineExceeded when the deadline passes; `write`
    raises OutcomeUnknown where nobody can tell whether it has happened.
    """

    def __init__(
        self,
        url: URL,
        *,
        pool_size: int,
        pool_timeout_seconds: float,
        deadline_seconds: float,
        prepared_statements: bool,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._engine = make_engine(
            url,
            pool_size=pool_size,
            pool_timeout_seconds=deadline_seconds,
            prepared_statements=prepared_statements,
        )
        self._places = Places(pool_size, pool_timeout_seconds)  # the pool itself is never waited for
        self._abandoned: set[asyncio.Task[None]] = set()
        self._schema: Schema | None = None
        self._is_servable = False  # the schema; where it is not, each call looks at it first
        self._is_ready = False
        self._is_troubled = False

    @property
    def is_ready(self) -> bool:
        """Whether the last contact with the database went well, and its schema can be served; asks no query."""
        return self._is_ready

    async def read(self, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        """Run a statement that changes nothing, a second time where the connection was lost, and return its rows."""
        return await self._run(Phase.READING, statement, parameters)

    async def write(self, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        """Run a statement, a second time only where it is known not to have happened, and return its rows."""
        return await self._run(Phase.WRITING, statement, parameters)

    async def ping(self) -> None:
        """Ask the database whether this code, as this role, can serve its schema; raise what `read` raises."""
        await self.read(READ_SCHEMA, {})
        if not self._is_servable:
            raise DatabaseMisconfigured

    async def close(self) -> None:
        """Give every connection back."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=3 * CANCEL_SECONDS)
        await self._engine.dispose()

    async def _run(self, phase: Phase, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        call = _Call(deadline=time.monotonic() + self._deadline_seconds)
        work = asyncio.create_task(self._try(call, phase, statement, parameters))
        try:
            # Not wait_for(), which would wait for the end of what it has cancelled.
            done, _ = await asyncio.wait({work}, timeout=self._deadline_seconds)
        except asyncio.CancelledError:
            self._abandon(call, work)
            raise
        if not done:
            self._abandon(call, work)
            self._note_trouble(f"no answer within {self._deadline_seconds:g} s")
            raise DeadlineExceeded
        return work.result()

    async def _try(self, call: _Call, phase: Phase, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        """Try until it succeeds or must not be tried again."""
        async with self._places.take(parameters.get("owner")):
            try:
                return await self._try_once(call, phase, statement, parameters)
            except _Failed as failed:
                first = failed
            try:
                return await self._try_again(first, call, phase, statement, parameters)
            except _Failed as failed:
                # Not `from failed`: the driver's error, in which PostgreSQL quotes the row, would come into the log.
                raise self._translate(failed) from None

    async def _try_again(
        self,
        first: _Failed,
        call: _Call,
        phase: Phase,
        statement: Executable,
        parameters: Mapping[str, object],
    ) -> Rows:
        failures: Counter[Retry] = Counter()

        def is_over(state: RetryCallState) -> bool:
            retry = _failure_of(state).retry
            failures[retry] += 1
            is_late = time.monotonic() + state.upcoming_sleep >= call.deadline
            return call.is_abandoned or is_late or failures[retry] > FAILURES.get(retry, math.inf)

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_Failed), stop=is_over, wait=_pause, reraise=True
        ):
            with attempt:
                if attempt.retry_state.attempt_number == 1:  # the one that has failed already
                    raise first
                return await self._try_once(call, phase, statement, parameters)
        raise first

    async def _try_once(
        self, call: _Call, phase: Phase, statement: Executable, parameters: Mapping[str, object]
    ) -> Rows:
        reached = Phase.CONNECTING
        try:
            async with self._engine.connect() as connection:
                with self._note_connection(call, connection):
                    reached = Phase.READING
                    is_ping = statement is READ_SCHEMA
                    if is_ping or not self._is_servable:
                        await self._look_at_schema(connection)
                    reached = phase
                    rows = [] if is_ping else await self._execute(connection, statement, parameters)
        except (DBAPIError, OSError) as error:
            raise _describe(error, reached) from None
        self._note_success()
        return rows

    @contextmanager
    def _note_connection(self, call: _Call, connection: AsyncConnection) -> Iterator[None]:
        call.connection = _find_driver_connection(connection)
        try:
            with self._places.note_connection():
                yield
        finally:
            call.connection = None

    def _abandon(self, call: _Call, work: asyncio.Task[Rows]) -> None:
        """Let a call end that nobody waits for, without waiting for that here."""
        call.is_abandoned = True
        release = asyncio.create_task(_release(call, work))
        self._abandoned.add(release)
        release.add_done_callback(self._abandoned.discard)

    async def _execute(
        self, connection: AsyncConnection, statement: Executable, parameters: Mapping[str, object]
    ) -> Rows:
        """Run a statement; where it is refused, look whether that is because of what has become of the schema."""
        try:
            return (await connection.execute(statement, parameters)).all()
        except ProgrammingError as error:
            if judge_refusal(error.orig):
                schema = await self._look_at_schema(connection)
                if schema.state is SchemaState.DENIED:
                    raise DatabaseMisconfigured from None
            raise

    async def _look_at_schema(self, connection: AsyncConnection) -> Schema:
        """Return how the schema stands; raise what is to be answered where no statement at all can be served."""
        try:
            schema = judge_schema(*(await connection.execute(READ_SCHEMA)).one())
        except ProgrammingError as error:
            refusal = judge_refusal(error.orig)
            if refusal is None:
                raise
            home = (await connection.execute(READ_HIDDEN_HOME)).scalar()
            if home:
                refusal = Schema(SchemaState.DENIED, f"this role has no USAGE on the schema {home}")
            self._note_schema(refusal)
            raise (DatabaseMisconfigured if refusal.state is SchemaState.DENIED else SchemaOutdated) from None
        self._note_schema(schema)
        if schema.state in (SchemaState.OUTDATED, SchemaState.UNUSABLE):
            raise SchemaOutdated
        return schema

    def _note_success(self) -> None:
        self._is_ready = self._is_servable  # what was not granted may be what the next call needs
        if self._is_troubled:
            self._is_troubled = False
            _log.info("The database answers again")

    def _note_trouble(self, reason: str, level: int = logging.WARNING) -> None:
        """Log what is wrong with the database, once until it is right again."""
        self._is_ready = False
        if not self._is_troubled:
            self._is_troubled = True
            _log.log(level, "The database does not answer as it should: %s", reason)

    def _note_schema(self, schema: Schema) -> None:
        """Remember how the schema stands, and log it where that is news."""
        known, self._schema = self._schema, schema
        self._is_servable = schema.state in SERVABLE
        self._is_ready = self._is_ready and self._is_servable
        is_news = schema.state is not known.state if known else schema.state is not SchemaState.CURRENT
        if is_news:
            level, consequence = SCHEMA_LINES[schema.state]
            _log.log(level, "The database's schema is %s (%s): %s", schema.state.value, schema.found, consequence)

    def _translate(self, failed: _Failed) -> Exception:
        error = failed.failure.error
        if error is None:
            return StatementFailed(str(failed))
        is_for_operator = error in (DatabaseMisconfigured, SchemaOutdated)
        self._note_trouble(str(failed), logging.ERROR if is_for_operator else logging.WARNING)
        return error()


def _find_driver_connection(connection: AsyncConnection) -> psycopg.AsyncConnection:
    """Return psycopg's own connection, which alone can be told to stop."""
    assert connection.sync_connection  # noqa: S101 - it is connected
    driver_connection: psycopg.AsyncConnection = connection.sync_connection.connection.driver_connection  # type: ignore[assignment]  # SQLAlchemy does not know which
    return driver_connection


def _describe(error: DBAPIError | OSError, phase: Phase) -> _Failed:
    """Judge an error, and say what it was in one line that holds nothing of a row."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(cause, "sqlstate", None)
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    failure = judge(phase, sqlstate, str(cause), is_lost=is_lost)
    if failure.error is None:
        constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
        return _Failed(failure, f"{type(cause).__name__}, SQLSTATE {sqlstate}, constraint {constraint}")
    advice = "; set TODO_PREPARED_STATEMENTS=off for a pooler that mixes them up" if sqlstate in UNPREPARED else ""
    return _Failed(failure, str(cause).strip().partition("\n")[0] + advice)


def _failure_of(state: RetryCallState) -> Failure:
    assert state.outcome  # noqa: S101 - tenacity asks after a try
    failed = state.outcome.exception()
    assert isinstance(failed, _Failed)  # noqa: S101 - nothing else is tried again
    return failed.failure


def _pause(state: RetryCallState) -> float:
    """Return how long to pause: more each time, and never as long as others that have failed at the same moment."""
    longest = PAUSE_SECONDS[_failure_of(state).retry]
    return random.uniform(0.1, 1) * min(longest, 0.1 * 2.0**state.attempt_number)  # noqa: S311 - no secret


async def _release(call: _Call, work: asyncio.Task[Rows]) -> None:
    """End a call, and get its connection back to the pool."""
    if call.connection is None:  # it waits for one
        work.cancel()
    else:
        with suppress(psycopg.Error, OSError):
            await call.connection.cancel_safe(timeout=CANCEL_SECONDS)
        await asyncio.wait({work}, timeout=CANCEL_SECONDS)
        if call.connection is not None:
            hang_up(call.connection)
    await asyncio.wait({work})
    if not work.cancelled() and (error := work.exception()):
        _log.debug("An abandoned statement ended with %s", type(error).__name__)
