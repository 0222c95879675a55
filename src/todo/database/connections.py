"""The pool's connections: how one is opened, known to be alive without a round trip, cancelled and closed."""

import asyncio
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor, Error, OperationalError, waiting
from psycopg import Connection as SyncConnection
from psycopg.abc import RV, PQGen
from psycopg.pq import ConnStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import AsyncRowFactory, TupleRow
from psycopg.rows import Row as AnyRow

from todo import __version__
from todo.database.compiled import Statement
from todo.database.urls import DatabaseUrl

CONNECT_TIMEOUT_SECONDS = 10  # Neon: a suspended compute starts within a few seconds
# Data that the other end has not acknowledged within this time is lost, and so is the connection.
SEND_TIMEOUT_MS = 5000
# A router on the way may drop an idle connection without telling either end.
IDLE_SECONDS_BEFORE_PING = 60
PING_SECONDS = 2
PREPARE_THRESHOLD = 5  # psycopg's default: a statement is prepared once it has run so often on a connection
# A database that is alive cancels a statement at once.
CANCEL_SECONDS = 1

# An end that has gone without a word is noticed.
KEEPALIVES: Mapping[str, str] = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": str(SEND_TIMEOUT_MS),
}
# Of every connection, whatever the URL says.
PARAMETERS: Mapping[str, str] = {
    "application_name": f"todo-backend/{__version__}",
    # In the startup message it passes every pooler, and overrides role, URL and environment.
    "client_encoding": "utf8",
    "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    "gssencmode": "disable",  # asking for it costs a round trip
    **KEEPALIVES,
}


class _BinaryCursor(AsyncRawCursor[AnyRow]):
    """A cursor with results in the binary format, which no setting of the session changes.

    As text, a timestamp depends on `DateStyle`, and psycopg can read only one of those.
    """

    __slots__ = ()

    def __init__(
        self, connection: AsyncConnection[Any], *, row_factory: AsyncRowFactory[AnyRow] | None = None
    ) -> None:  # the connection's own rows may be of any type
        super().__init__(connection, row_factory=row_factory)  # type: ignore[arg-type]  # None is the connection's
        self.format = Format.BINARY


class Connection(AsyncConnection[TupleRow]):
    """A connection whose caller can be cancelled at once; `Connections` then cancels the statement."""

    idle_since = 0.0
    is_spoilt = False  # its prepared statements are not those that psycopg expects, and would fail each time

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - psycopg's signature
        """Wait for the database; psycopg's own method keeps a cancelled caller waiting for it, up to ten seconds.

        https://github.com/psycopg/psycopg/blob/3.3.9/psycopg/psycopg/connection_async.py#L516
        """
        return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)

    async def run(self, statement: Statement, parameters: Mapping[str, object]) -> list[TupleRow]:
        """Run a statement and return its rows."""
        cursor = await self.execute(statement.text, statement.bind(parameters))
        return await cursor.fetchall()

    @property
    def is_lost(self) -> bool:
        """Whether it is broken or closed."""
        return self.pgconn.status != ConnStatus.OK


class Connections:
    """The idle connections of the pool, and the way to new ones; `Places` bounds how many are in use.

    The most recently used one is taken first: it is the likeliest to be alive. One whose caller was cancelled is closed
    in the background, within CANCEL_SECONDS; until then the database has one connection more.
    """

    def __init__(self, url: DatabaseUrl, *, prepared_statements: bool) -> None:
        self._connect = partial(
            Connection.connect,
            url.with_parameters(**PARAMETERS).conninfo,
            autocommit=True,
            cursor_factory=_BinaryCursor,
            prepare_threshold=PREPARE_THRESHOLD if prepared_statements else None,
        )
        self._idle: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def take(self) -> Connection:
        """Return a live connection, idle or new; raise psycopg's Error when none can be opened."""
        while self._idle:
            connection = self._idle.pop()
            if await _is_alive(connection):
                return connection
            await connection.close()
            self._close_idle()  # they have been idle for longer, and each would cost a wait
        connection = await self._connect()
        try:
            refuse_other_encoding(connection)
        except OperationalError:
            await connection.close()
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call, or close it if it is not fit for one."""
        is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if is_idle and not connection.is_spoilt and not self._is_closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
            return
        if connection.is_lost or connection.is_spoilt:  # and most likely the others for the same reason
            self._close_idle()
        self._close(connection)

    async def close(self) -> None:
        """Close every idle connection; those in use close when they are given back."""
        self._is_closed = True
        self._close_idle()
        if self._closing:
            await asyncio.wait(self._closing, timeout=2 * CANCEL_SECONDS)

    def _close_idle(self) -> None:
        for connection in self._idle:
            self._close(connection)
        self._idle.clear()

    def _close(self, connection: Connection) -> None:
        task = asyncio.create_task(_cancel_and_close(connection), name="close connection")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _cancel_and_close(connection: Connection) -> None:
    """Close a connection, after cancelling the statement that its caller no longer waits for."""
    with suppress(Error, OSError):
        if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
    await connection.close()


async def _is_alive(connection: Connection) -> bool:
    """Tell whether an idle connection can be used; only after a long time does that take a round trip."""
    if has_ended(connection.pgconn):
        return False
    if time.monotonic() - connection.idle_since <= IDLE_SECONDS_BEFORE_PING:
        return True
    try:
        async with asyncio.timeout(PING_SECONDS):
            await connection.execute("")
    except (TimeoutError, Error):
        return False
    except asyncio.CancelledError:
        await connection.close()
        raise
    return True


def refuse_other_encoding(connection: AsyncConnection[Any] | SyncConnection[Any]) -> None:
    """Raise OperationalError if the database is not in UTF-8, which it reports when a connection opens."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        problem = f"the database's encoding is {encoding} and must be UTF8"
        raise OperationalError(f"{problem}: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")


def has_ended(connection: PGconn) -> bool:
    """Tell whether the other end has closed an idle connection.

    Anything that has arrived is taken for that. The only other message that a server sends unasked, a changed setting,
    costs no more than a new connection.
    """
    arrivals = select.poll()
    arrivals.register(connection.socket, select.POLLIN)
    return connection.status != ConnStatus.OK or bool(arrivals.poll(0))
