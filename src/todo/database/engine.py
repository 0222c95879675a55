"""The connection to PostgreSQL: the one place that runs a statement and turns a driver's error into one of ours.

It knows no table but Alembic's own. What there is to say about tasks is said in `store`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Executable, Row
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from todo import __version__
from todo.database.schema import READ_REVISION, SchemaState, compare_revision
from todo.errors import DatabaseUnavailable, DeadlineExceeded, SchemaOutdated, StatementFailed

CONNECT_TIMEOUT_SECONDS = 10

UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"
QUERY_CANCELED = "57014"
# SQLSTATE classes in which the database, not the statement, is what is wrong: connection exception, insufficient
# resources, operator intervention, system error; and two states of the class "invalid transaction state":
# read-only, and idle for too long.
_UNAVAILABLE = ("08", "53", "57", "58", "25006", "25P03")

# What a connection that breaks raises, without a SQLSTATE; any other error without one is a mistake of ours.
_LOST = (InterfaceError, OperationalError)

_log = logging.getLogger(__name__)

Rows: TypeAlias = Sequence[Row[Any]]  # each statement has its own columns


class Database:
    """A pool of connections, every one in AUTOCOMMIT: a statement is a transaction and one round trip.

    A write is durable when `run` returns. The constructor connects to nothing.
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
        self._engine = create_async_engine(
            url,
            isolation_level="AUTOCOMMIT",
            # In AUTOCOMMIT there is nothing to roll back, and psycopg would forget its prepared statements.
            skip_autocommit_rollback=True,
            hide_parameters=True,
            use_native_hstore=False,  # looking the type up costs every first connection three round trips
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_seconds,
            pool_use_lifo=True,  # the most recently used connection is the likeliest to live
            connect_args={
                "application_name": f"todo-backend/{__version__}",
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "gssencmode": "disable",  # asking for it costs a round trip
                "prepare_threshold": 5 if prepared_statements else None,
            },
        )
        self._abandoned: set[asyncio.Task[Rows]] = set()
        self._schema: SchemaState | None = None
        self._is_ready = False
        self._is_troubled = False

    @property
    def is_ready(self) -> bool:
        """Whether the last contact with the database went well; asking costs no query."""
        return self._is_ready

    async def run(self, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        """Run one statement and return its rows.

        Raises DatabaseUnavailable, SchemaOutdated, StatementFailed, or DeadlineExceeded when the deadline passes.
        """
        task = asyncio.create_task(self._run(statement, parameters))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline_seconds)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            self._note_trouble(f"no answer within {self._deadline_seconds:g} s")
            raise DeadlineExceeded
        return task.result()

    async def ping(self) -> None:
        """Ask the database whether its schema is one that this code can serve; raise what `run` raises."""
        await self.run(READ_REVISION, {})

    async def close(self) -> None:
        """Give every connection back."""
        await self._engine.dispose()

    def _abandon(self, task: asyncio.Task[Rows]) -> None:
        # Nobody awaits a cancelled statement: on a frozen connection the driver takes ten seconds to give up.
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Rows]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.debug("An abandoned statement ended with %s", type(error).__name__)

    async def _run(self, statement: Executable, parameters: Mapping[str, object]) -> Rows:
        try:
            async with self._engine.connect() as connection:
                schema = await self._find_schema(connection)
                rows = (await connection.execute(statement, parameters)).all()
        except (DBAPIError, PoolTimeout, OSError) as error:
            # Not `from error`: that would bring its message, in which PostgreSQL quotes the row, into the log.
            raise self._translate(error) from None
        self._note_schema(schema)
        self._note_success()
        return rows

    async def _find_schema(self, connection: AsyncConnection) -> SchemaState:
        """Return the schema's state, read anew unless it is known to be one that this code can serve."""
        if self._schema in (SchemaState.CURRENT, SchemaState.NEWER):
            return self._schema
        found = compare_revision((await connection.execute(READ_REVISION)).scalar())
        if found is SchemaState.OUTDATED:
            self._is_ready = False
            self._note_schema(found)
            raise SchemaOutdated
        return found

    def _note_success(self) -> None:
        self._is_ready = True
        if self._is_troubled:
            self._is_troubled = False
            _log.info("The database answers again")

    def _note_trouble(self, reason: str) -> None:
        """Log what is wrong with the database, once until it is right again."""
        self._is_ready = False
        if not self._is_troubled:
            self._is_troubled = True
            _log.warning("The database does not answer as it should: %s", reason)

    def _note_schema(self, found: SchemaState) -> None:
        if found is self._schema:
            return
        self._schema = found
        if found is SchemaState.OUTDATED:
            _log.error("The database's schema is %s: answering 503 until `todo migrate` has run", found.value)
        elif found is SchemaState.NEWER:
            _log.warning("The database's schema is %s: serving it all the same", found.value)

    def _translate(self, error: DBAPIError | PoolTimeout | OSError) -> Exception:
        sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
        if sqlstate in (UNDEFINED_TABLE, UNDEFINED_COLUMN):
            self._is_ready = False
            self._note_schema(SchemaState.OUTDATED)
            return SchemaOutdated()
        if sqlstate == QUERY_CANCELED:
            self._note_trouble("a statement was cancelled")
            return DeadlineExceeded()
        is_away = sqlstate.startswith(_UNAVAILABLE) if sqlstate else isinstance(error, _LOST)
        if isinstance(error, DBAPIError) and not is_away:
            constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
            return StatementFailed(f"{type(error.orig).__name__}, SQLSTATE {sqlstate}, constraint {constraint}")
        cause = error.orig if isinstance(error, DBAPIError) else error
        self._note_trouble(str(cause).strip().partition("\n")[0])
        return DatabaseUnavailable()
