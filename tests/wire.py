"""A relay between a client and PostgreSQL that counts what goes over the wire, by reading the frontend protocol.

A round trip is a message after which the client waits: Sync or a simple Query. See PostgreSQL's documentation,
chapter "Frontend/Backend Protocol", sections "Message Flow" and "Message Formats".
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

SYNC, QUERY, PARSE = b"S", b"Q", b"P"
ENCRYPTION_REQUESTS = {80877103, 80877104}  # SSLRequest and GSSENCRequest: the answer is one byte, without a frame


class Relay:
    """What went through; `url` leads a client to the relay."""

    def __init__(self) -> None:
        self.url = ""
        self.trips = 0
        self.connections = 0
        self.statements: list[str] = []
        self.is_muted = False  # what the database answers is swallowed

    def reset(self) -> None:
        """Count from here."""
        self.trips = self.connections = 0
        self.statements.clear()

    async def read_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the client sends, and count it."""
        self.connections += 1
        self.trips += 1  # the startup, whatever it takes to authenticate
        while True:
            header = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!i", header)[0] - 4)
            writer.write(header + body)
            if struct.unpack("!i", body[:4])[0] not in ENCRYPTION_REQUESTS:
                break
            self.trips += 1
        while True:
            kind = await reader.readexactly(1)
            header = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!i", header)[0] - 4)
            if kind in {SYNC, QUERY}:
                self.trips += 1
            if kind == QUERY:
                self.statements.append(body[:-1].decode())
            elif kind == PARSE:
                self.statements.append(body.split(b"\0")[1].decode())
            writer.write(kind + header + body)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server sends."""
        while data := await reader.read(65536):
            if not self.is_muted:
                writer.write(data)


async def _end_quietly(work: Awaitable[None], writer: asyncio.StreamWriter) -> None:
    try:
        await work
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def count_round_trips(url: str) -> AsyncIterator[Relay]:
    """Run a relay to the database at `url`."""
    relay = Relay()
    upstream = make_url(url)
    folder = upstream.query.get("host")

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(folder, str):
            return await asyncio.open_unix_connection(Path(folder) / f".s.PGSQL.{upstream.query['port']}")
        return await asyncio.open_connection(upstream.host, upstream.port)

    handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handlers[task] = writer
        server_reader, server_writer = await connect()
        await asyncio.gather(
            _end_quietly(relay.read_requests(reader, server_writer), server_writer),
            _end_quietly(relay.pass_on(server_reader, writer), writer),
        )

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        to_relay = upstream.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        relay.url = to_relay.render_as_string(hide_password=False)
        yield relay
        for task, writer in handlers.items():
            writer.close()
            await asyncio.wait({task}, timeout=5)
