"""Admission: which calls may use the pool's connections, and how long the others wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from todo.errors import DatabaseUnavailable

SHORTEST_WAIT_SECONDS = 0.01


class _Share:
    """The places that one owner may hold; kept while the owner has a call here."""

    __slots__ = ("calls", "places")

    def __init__(self, size: int) -> None:
        self.calls = 0
        self.places = asyncio.Semaphore(size)


class Places:
    """A place for each connection of a pool, of which one owner may hold half, and at least one.

    So no single owner can block the others. A call waits for its owner's share first, and only then for a place: calls
    that wait for their own share delay nobody else.
    """

    def __init__(self, number: int, timeout_seconds: float) -> None:
        self._places = asyncio.Semaphore(number)
        self._share_size = max(1, number // 2)
        self._timeout_seconds = timeout_seconds
        self._connected = 0  # calls that have a connection, and do not still wait for one to be made
        self._connected_since = 0.0
        self._connected_seconds = 0.0  # for which there were any, until the current time began
        self.shares: dict[object, _Share] = {}  # of the owners that have a call here

    @asynccontextmanager
    async def take(self, owner: object) -> AsyncIterator[None]:
        """Hold a place; raise DatabaseUnavailable when none becomes free within the pool's timeout."""
        arrived = self._read_clock()
        share = self.shares.get(owner)
        if share is None:
            share = self.shares[owner] = _Share(self._share_size)
        share.calls += 1
        try:
            await self._acquire(share.places, arrived, "This user has too many requests in progress")
            try:
                await self._acquire(self._places, arrived, "All connections to the database are in use")
                try:
                    yield
                finally:
                    self._places.release()
            finally:
                share.places.release()
        finally:
            share.calls -= 1
            if not share.calls:
                del self.shares[owner]

    @contextmanager
    def note_connection(self) -> Iterator[None]:
        """Count a call as connected for the time of the block."""
        if not self._connected:
            self._connected_since = time.monotonic()
        self._connected += 1
        try:
            yield
        finally:
            self._connected -= 1
            if not self._connected:
                self._connected_seconds += time.monotonic() - self._connected_since

    def _read_clock(self) -> float:
        """Return for how many seconds there have been calls with a connection.

        The pool's timeout is measured on this clock. It stands still while every call waits for a database that is
        waking up, when giving up would be of no use.
        """
        return self._connected_seconds + (time.monotonic() - self._connected_since if self._connected else 0)

    async def _acquire(self, places: asyncio.Semaphore, arrived: float, reason: str) -> None:
        """Wait for one of these places, until the pool's timeout since the call arrived."""
        while places.locked():
            patience = self._timeout_seconds - (self._read_clock() - arrived)
            if patience <= 0:
                raise DatabaseUnavailable(f"{reason}; nothing was changed.")
            with suppress(TimeoutError):
                # The clock may stand still meanwhile, and uvloop does not wait for less than a millisecond.
                async with asyncio.timeout(max(patience, SHORTEST_WAIT_SECONDS)):
                    await places.acquire()
                    return
        await places.acquire()
