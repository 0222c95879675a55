"""The pool's connections: how they are made, how one is known to live without asking the database, how one is ended."""

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

CONNECT_TIMEOUT_SECONDS = 10  # Neon: a compute that sleeps needs a few seconds at worst
# What was sent and is not even received within this time was sent to nobody. In milliseconds, as libpq wants it.
SEND_TIMEOUT_MS = 5000
# A router on the way may forget a connection that nobody uses, without a word to either end.
IDLE_SECONDS_BEFORE_PING = 60
PING_SECONDS = 2
PREPARE_THRESHOLD = 5  # psycopg's own: a statement is prepared when it has run so often on a connection
# A database that lives ends a statement at once when it is told to.
CANCEL_SECONDS = 1

# Of every connection, whatever the URL says.
PARAMETERS: Mapping[str, str] = {
    "application_name": f"todo-backend/{__version__}",
    # Asked for in the startup message, where it passes every pooler and wins over role, URL and environment.
    "client_encoding": "utf8",
    "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    "gssencmode": "disable",  # asking for it costs a round trip
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": str(SEND_TIMEOUT_MS),
}


class _BinaryCursor(AsyncRawCursor[AnyRow]):
    """A cursor that is answered in the binary format, in which no setting of the session changes how a value reads.

    As text, a timestamp depends on `DateStyle`, and psycopg can read but one of those.
    """

    __slots__ = ()

    def __init__(
        self, connection: AsyncConnection[Any], *, row_factory: AsyncRowFactory[AnyRow] | None = None
    ) -> None:  # the connection's own rows may be of any type
        super().__init__(connection, row_factory=row_factory)  # type: ignore[arg-type]  # None is the connection's
        self.format = Format.BINARY


class Connection(AsyncConnection[TupleRow]):
    """A connection that lets go of whoever is cancelled at once; what it was doing is for `Connections` to end."""

    idle_since = 0.0
    is_spoilt = False  # its prepared statements are not what psycopg takes them for, and would fail each time

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - psycopg's signature
        """Wait for the database; psycopg's own would keep a cancelled caller until it has answered, up to ten seconds.

        https://github.com/psycopg/psycopg/blob/3.3.9/psycopg/psycopg/connection_async.py#L516
        """
        return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)

    async def run(self, statement: Statement, parameters: Mapping[str, object]) -> list[TupleRow]:
        """Run a statement and return its rows."""
        cursor = await self.execute(statement.text, statement.bind(parameters))
        return await cursor.fetchall()

    @property
    def is_lost(self) -> bool:
        """Whether it has ended."""
        return self.pgconn.status != ConnStatus.OK


class Connections:
    """The connections that nobody uses at the moment, and the way to new ones; how many may be in use, `Places` says.

    Of the idle ones the most recently used goes first: it is the likeliest to live. One whose caller was cancelled is
    ended in the background, within CANCEL_SECONDS, and until then there is one more.
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
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def take(self) -> Connection:
        """Return a connection that lives: an idle one, or a new one. Raises psycopg's Error."""
        while self._idle:
            connection = self._idle.pop()
            if await _lives(connection):
                return connection
            await connection.close()
            self._end_idle()  # they were idle for longer, and each would be waited for in turn
        connection = await self._connect()
        try:
            refuse_other_encoding(connection)
        except OperationalError:
            await connection.close()
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call, or end it where it is not fit for one."""
        is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if is_idle and not connection.is_spoilt and not self._is_closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
            return
        if connection.is_lost or connection.is_spoilt:  # and likely the others by the same event
            self._end_idle()
        self._end(connection)

    async def close(self) -> None:
        """End every connection that nobody uses; those in use end when they are given back."""
        self._is_closed = True
        self._end_idle()
        if self._ending:
            await asyncio.wait(self._ending, timeout=2 * CANCEL_SECONDS)

    def _end_idle(self) -> None:
        for connection in self._idle:
            self._end(connection)
        self._idle.clear()

    def _end(self, connection: Connection) -> None:
        task = asyncio.create_task(_end(connection), name="end of a connection")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _end(connection: Connection) -> None:
    """Close a connection, after cancelling what its caller no longer waits for."""
    with suppress(Error, OSError):
        if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
    await connection.close()


async def _lives(connection: Connection) -> bool:
    """Tell whether an idle connection can be used; only one that was idle for long is asked."""
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
    """Raise OperationalError where the database does not keep its text in UTF-8; it has told, so nothing is asked."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        words = f"the database's encoding is {encoding} and must be UTF8"
        raise OperationalError(f"{words}: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")


def has_ended(connection: PGconn) -> bool:
    """Tell whether the other end has said goodbye on a connection that nobody uses.

    Whatever has arrived is taken for that, even if the end itself is still on its way: a setting that was reloaded, the
    one other thing that a server says unasked, costs a new connection and no more.
    """
    arrivals = select.poll()
    arrivals.register(connection.socket, select.POLLIN)
    return connection.status != ConnStatus.OK or bool(arrivals.poll(0))
