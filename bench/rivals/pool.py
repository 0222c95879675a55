"""The least that a pool of connections can be."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection

SIZE = 10

Connection = AsyncConnection[tuple[Any, ...]]


class Pool:
    """Connections in AUTOCOMMIT; the one that was used last is the next to be used."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()

    async def open(self) -> None:
        """Connect."""
        for _ in range(SIZE):
            self._free.put_nowait(await AsyncConnection.connect(self._database_url, autocommit=True))

    async def close(self) -> None:
        """Disconnect."""
        for _ in range(SIZE):
            await (await self._free.get()).close()

    async def fetch(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        connection = await self._free.get()
        try:
            cursor = await connection.execute(statement.encode(), parameters, binary=True)
            return await cursor.fetchall()
        finally:
            self._free.put_nowait(connection)
