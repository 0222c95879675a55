"""The pool's connections: how they are made, and how one is known to live without asking the database."""

import asyncio
import os
import select
import socket
import time
from contextlib import suppress
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, Connection, Error, OperationalError
from psycopg.pq import ConnStatus, Format
from psycopg.pq.abc import PGconn
from psycopg.rows import AsyncRowFactory, Row
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from todo import __version__

CONNECT_TIMEOUT_SECONDS = 10  # Neon: a compute that sleeps needs a few seconds at worst
# What was sent and is not even received within this time was sent to nobody. In milliseconds, as libpq wants it.
SEND_TIMEOUT_MS = 5000
# A router on the way may forget a connection that nobody uses, without a word to either end.
IDLE_SECONDS_BEFORE_PING = 60
PING_SECONDS = 2
PREPARE_THRESHOLD = 5  # psycopg's own: a statement is prepared when it has run so often on a connection


class _BinaryCursor(AsyncCursor[Row]):
    """A cursor that is answered in the binary format, in which no setting of the session changes how a value reads.

    As text, a timestamp depends on `DateStyle`, and psycopg can read but one of those.
    """

    __slots__ = ()

    def __init__(
        self, connection: AsyncConnection[Any], *, row_factory: AsyncRowFactory[Row] | None = None
    ) -> None:  # the connection's own rows may be of any type
        super().__init__(connection, row_factory=row_factory)  # type: ignore[arg-type]  # None is the connection's
        self.format = Format.BINARY


def make_engine(url: URL, *, pool_size: int, pool_timeout_seconds: float, prepared_statements: bool) -> AsyncEngine:
    """Make an engine whose connections are each in AUTOCOMMIT; nothing is connected yet."""
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        # In AUTOCOMMIT there is nothing to roll back, and psycopg would forget its prepared statements.
        skip_autocommit_rollback=True,
        hide_parameters=True,
        # Asked for in the startup message, where it passes every pooler and wins over role, URL and environment.
        client_encoding="utf8",
        use_native_hstore=False,  # looking the type up costs every first connection three round trips
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
        pool_use_lifo=True,  # the most recently used connection is the likeliest to live
        connect_args={
            "application_name": f"todo-backend/{__version__}",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "cursor_factory": _BinaryCursor,
            "gssencmode": "disable",  # asking for it costs a round trip
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": SEND_TIMEOUT_MS,
            "prepare_threshold": PREPARE_THRESHOLD if prepared_statements else None,
        },
    )
    pool = engine.sync_engine.pool
    refuse_other_encodings(pool)

    @event.listens_for(pool, "checkin")
    def note_use(_: object, entry: ConnectionPoolEntry) -> None:
        entry.info["used_at"] = time.monotonic()

    @event.listens_for(pool, "checkout")
    def refuse_dead(dbapi_connection: Any, entry: ConnectionPoolEntry, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's
        """Have the pool replace a connection that has ended while nobody used it."""
        if "used_at" not in entry.info:  # a new one
            return
        if has_ended(dbapi_connection.driver_connection.pgconn):
            raise DisconnectionError
        if time.monotonic() - entry.info["used_at"] > IDLE_SECONDS_BEFORE_PING:
            limit = asyncio.get_running_loop().call_later(PING_SECONDS, hang_up, dbapi_connection.driver_connection)
            try:
                engine.dialect.do_ping(dbapi_connection)
            except (DBAPIError, Error):
                raise DisconnectionError from None
            finally:
                limit.cancel()

    return engine


def refuse_other_encodings(pool: Pool) -> None:
    """Make a new connection fail where the database does not keep its text in UTF-8."""

    # Before SQLAlchemy's own questions, whose answers from a database in SQL_ASCII are bytes that it cannot read. The
    # server has told its encoding by then, so this costs no round trip.
    @event.listens_for(pool, "connect", insert=True)
    def refuse_other_encoding(_: object, entry: ConnectionPoolEntry) -> None:
        connection: AsyncConnection | Connection | None = entry.driver_connection
        encoding = connection.info.parameter_status("server_encoding") if connection else None
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


def hang_up(connection: AsyncConnection) -> None:
    """Cut a connection off under the driver, which then sees it end: one that leads nowhere does not end by itself."""
    with suppress(Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
