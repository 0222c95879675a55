"""What tests make for themselves: databases and clients with settings of their own."""

import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from typing import LiteralString
from uuid import uuid4

import httpx2
import psycopg
from fastapi import FastAPI
from psycopg import sql
from sqlalchemy import make_url
from starlette.types import Receive, Scope, Send

from todo.api.tasks import write_json
from todo.database.compiled import Statement
from todo.database.engine import Database, Rows
from todo.database.urls import read_database_url
from todo.models.fields import Owner
from todo.models.queries import TaskQuery
from todo.models.tasks import TaskPublic, TaskRow


@asynccontextmanager
async def open_database(
    url: str, *, pool_size: int = 10, pool_timeout_seconds: float = 3, deadline_seconds: float = 10
) -> AsyncIterator[Database]:
    """Open a pool of connections to `url`, and close it at the end."""
    database = Database(
        read_database_url(url),
        pool_size=pool_size,
        pool_timeout_seconds=pool_timeout_seconds,
        deadline_seconds=deadline_seconds,
        prepared_statements=True,
    )
    try:
        yield database
    finally:
        await database.close()


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition holds, and fail where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.01)


def find_port(host: str = "127.0.0.1") -> int:
    """Find a port that nothing listens on."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return int(probe.getsockname()[1])


def publish(task: TaskRow) -> TaskPublic:
    """The task as a response carries it."""
    return TaskPublic.model_validate_json(write_json(task))


def forge_cursor(owner: Owner, query: TaskQuery, place: str) -> str:
    """A cursor with the right checksum for a list, of a place in the forger's own JSON."""
    which = f"{owner}\n{query.model_dump_json(exclude={'limit', 'cursor'}, exclude_defaults=True)}\n".encode()
    checksum = blake2b(which + place.encode(), digest_size=12).digest()
    return urlsafe_b64encode(checksum + place.encode()).rstrip(b"=").decode()


class RecordingDatabase(Database):
    """A database that keeps what is sent to it: each statement as PostgreSQL gets it, and its parameters."""

    def __init__(self, url: str) -> None:
        super().__init__(
            read_database_url(url), pool_size=1, pool_timeout_seconds=3, deadline_seconds=10, prepared_statements=True
        )
        self.sent: list[tuple[str, list[object]]] = []

    async def read(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Keep it, and run it."""
        self.sent.append((statement.text, statement.bind(parameters)))
        return await super().read(statement, parameters)

    async def write(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Keep it, and run it."""
        self.sent.append((statement.text, statement.bind(parameters)))
        return await super().write(statement, parameters)


def connect(url: str) -> psycopg.Connection:
    """Connect with the driver alone."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


@contextmanager
def make_empty_database(server: str, options: LiteralString = "") -> Iterator[str]:
    """Make a database on the server of that URL, and drop it again."""
    name = f"test_{uuid4().hex}"
    with connect(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(options)))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@asynccontextmanager
async def open_client(app: FastAPI, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application's lifespan and yield a client of it that raises nothing of the application's."""
    async with app.router.lifespan_context(app) as state:

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx2.ASGITransport(app=call)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            yield client
