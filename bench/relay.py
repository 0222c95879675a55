"""A relay to a port on this machine that lets everything take its time: so far away is the database.

A process of its own: `python -m bench.relay <port> <milliseconds of a round trip>` prints the port that it listens on.
"""

import asyncio
import selectors
import sys
from collections import deque
from typing import cast


class Direction(asyncio.Protocol):
    """What one end says, passed on to the other end after half of a round trip, in order."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._on_its_way: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: Direction | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the connection."""
        self.transport = cast("asyncio.Transport", transport)  # of a connection, as asyncio documents

    def data_received(self, data: bytes) -> None:
        """Pass it on, later."""
        self._on_its_way.append(data)
        self._loop.call_later(self._delay_seconds, self._deliver)

    def connection_lost(self, _: Exception | None) -> None:
        """End the other side's."""
        self._loop.call_later(self._delay_seconds, self._end)

    def _deliver(self) -> None:
        data = self._on_its_way.popleft()
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def _end(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()


class ClientSide(Direction):
    """The side that connects: what it says waits until the other side is there."""

    def __init__(self, delay_seconds: float, port: int) -> None:
        super().__init__(delay_seconds)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the other side."""
        super().connection_made(transport)
        self.transport.pause_reading()  # type: ignore[union-attr]  # it was set just now
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        server_side = Direction(self._delay_seconds)
        server_side.other, self.other = self, server_side
        await self._loop.create_connection(lambda: server_side, "127.0.0.1", self._port)
        if self.transport:
            self.transport.resume_reading()


async def main() -> None:
    """Relay until the process is ended."""
    port, round_trip_ms = int(sys.argv[1]), float(sys.argv[2])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientSide(round_trip_ms / 2000, port), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    # epoll's waits are whole milliseconds, select's are not.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(main())
