"""A relay between a client and PostgreSQL that counts what goes over the wire, by reading the frontend protocol.

A round trip is a message after which the client waits: Sync, a simple Query, or a word of its authentication. See
PostgreSQL's documentation, chapter "Frontend/Backend Protocol", sections "Message Flow" and "Message Formats".
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine import make_url

SYNC, QUERY, PARSE, PASSWORD = b"S", b"Q", b"P", b"p"
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ENCRYPTION_REQUESTS = {80877103, 80877104}  # SSLRequest and GSSENCRequest: the answer is one byte, without a frame


def make_refusal(words: str) -> bytes:
    """Make the answer of Neon's proxy to whoever may not connect: words, and always the SQLSTATE XX000."""
    fields = b"SFATAL\0VFATAL\0CXX000\0M" + words.encode() + b"\0\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


class Relay:
    """What went through, and what is to go wrong; `url` leads a client to the relay."""

    def __init__(self) -> None:
        self.url = ""
        self.trips = 0
        self.connections = 0
        self.statements: list[str] = []
        self.is_muted = False  # what the database answers is swallowed
        self.cuts = 0  # so many connections end where the answer to a statement would come
        self.delay_seconds = 0.0  # before a new connection gets anywhere
        self.refusal: str | None = None  # what a new connection is told instead
        self._clients: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.get_running_loop()

    def reset(self) -> None:
        """Count from here."""
        self.trips = self.connections = 0
        self.statements.clear()

    def hang_up(self) -> None:
        """End every connection; any thread may ask for that."""
        for client in list(self._clients):
            self._loop.call_soon_threadsafe(client.close)

    def forget(self) -> None:
        """Let every connection lead nowhere, as a router does that has been idle for long; new ones work."""
        self._forgotten |= self._clients

    async def serve(self, streams: Streams, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Pass on what either side says, from a client's connection to its end."""
        client_reader, client = streams
        self._clients.add(client)
        try:
            await asyncio.sleep(self.delay_seconds)
            if self.refusal:
                await client_reader.read(4096)
                client.write(make_refusal(self.refusal))
                return
            server_reader, server = await connect()
            is_asked = asyncio.Event()
            await asyncio.gather(
                _end_quietly(self._read_requests(client_reader, server, is_asked), server),
                _end_quietly(self._read_answers(server_reader, client, is_asked), client),
            )
        finally:
            client.close()
            self._clients.discard(client)

    async def _read_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_asked: asyncio.Event
    ) -> None:
        self.connections += 1
        self.trips += 1  # the startup
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
            if kind in {SYNC, QUERY, PASSWORD}:
                self.trips += 1
            if kind in {SYNC, QUERY}:
                is_asked.set()
            if kind == QUERY:
                self.statements.append(body[:-1].decode())
            elif kind == PARSE:
                self.statements.append(body.split(b"\0")[1].decode())
            writer.write(kind + header + body)

    async def _read_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_asked: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if self.cuts and is_asked.is_set():
                self.cuts -= 1
                return
            if not self.is_muted and writer not in self._forgotten:
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

    async def connect() -> Streams:
        if isinstance(folder, str):
            return await asyncio.open_unix_connection(Path(folder) / f".s.PGSQL.{upstream.query['port']}")
        return await asyncio.open_connection(upstream.host, upstream.port)

    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            tasks.add(task)
        await relay.serve((reader, writer), connect)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        to_relay = upstream.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        relay.url = to_relay.render_as_string(hide_password=False)
        yield relay
        relay.hang_up()
        if tasks:
            await asyncio.wait(tasks, timeout=5)


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    """Run a relay beside a test that is not asynchronous."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(count_round_trips(url)) as relay:
        yield relay
