"""Who gets a connection while one user asks for all of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

import pytest
import uvloop
from sqlalchemy import text
from tests.support import open_database

from todo.database.compiled import Statement
from todo.database.engine import Database, Rows
from todo.database.places import Places
from todo.errors import DatabaseUnavailable

SLEEP = Statement(text("SELECT CAST(:owner AS text), pg_sleep(0.4)"))
ONE = Statement(text("SELECT 1"))
REQUESTS = 20
POOL_TIMEOUT_SECONDS = 1
PATIENCE = 10


@asynccontextmanager
async def flooded(database_url: str, pool_size: int) -> AsyncIterator[tuple[Database, list[asyncio.Task[Rows]]]]:
    """Have alice ask for far more connections than there are, before whoever comes next."""
    async with open_database(database_url, pool_size=pool_size, pool_timeout_seconds=POOL_TIMEOUT_SECONDS) as database:
        await database.ping()
        requests = [asyncio.create_task(database.read(SLEEP, {"owner": "alice"})) for _ in range(REQUESTS)]
        await asyncio.sleep(0.1)
        yield database, requests
        await asyncio.gather(*requests, return_exceptions=True)


@pytest.mark.parametrize("pool_size", [1, 2, 4])
async def test_others_get_past_a_user_who_asks_for_every_connection(database_url: str, pool_size: int) -> None:
    """Even where there is one connection: who waits for the own share is not in line for it."""
    async with flooded(database_url, pool_size) as (database, _):
        assert await database.read(ONE, {"owner": "bob"}) == [(1,)]


def test_wait_that_is_nearly_over_while_the_clock_stands_still_is_a_wait() -> None:
    """The database wakes up then, and a worker that asked again and again would take a whole core meanwhile."""

    async def wait() -> float:
        places = Places(2, timeout_seconds=0.0003)

        async def take() -> None:
            async with places.take("alice"):
                pass

        async with places.take("alice"):
            waiting = asyncio.create_task(take())
            started = time.process_time()
            await asyncio.sleep(0.5)
            spent = time.process_time() - started
        await waiting
        return spent

    assert uvloop.run(wait()) < 0.25


async def test_user_who_asks_for_too_much_is_told_so_in_the_pool_s_time(database_url: str) -> None:
    """The time is that of all the waiting together, however often a place was free for a moment."""
    started = time.monotonic()
    async with flooded(database_url, pool_size=2) as (_, requests):
        pass

    errors = [error for request in requests if (error := request.exception())]
    assert len(errors) > REQUESTS / 2
    assert {type(error) for error in errors} == {DatabaseUnavailable}
    assert time.monotonic() - started < REQUESTS * 0.4, "as long as one after the other"


@pytest.mark.parametrize(("number", "share"), [(1, 1), (2, 1), (3, 1), (10, 5)])
async def test_share_is_half_of_the_places_and_at_least_one(number: int, share: int) -> None:
    """However many are asked for."""
    places = Places(number, timeout_seconds=0.05)
    is_over = asyncio.Event()

    async def hold() -> None:
        async with places.take("alice"):
            await is_over.wait()

    with places.note_connection():
        requests = [asyncio.create_task(hold()) for _ in range(REQUESTS)]
        async with asyncio.timeout(PATIENCE):
            for refused in islice(asyncio.as_completed(requests), REQUESTS - share):
                with pytest.raises(DatabaseUnavailable):
                    await refused
        is_over.set()
        await asyncio.wait(requests)

    assert sum(request.exception() is None for request in requests) == share


async def test_nothing_is_kept_of_a_user_without_a_request() -> None:
    """Be it that the requests were served, refused, cancelled or failed."""
    places = Places(2, timeout_seconds=0.05)

    async def hold(owner: str) -> None:
        async with places.take(owner):
            await asyncio.sleep(0.2)
            raise ValueError(owner)

    with places.note_connection():
        requests = [asyncio.create_task(hold(owner)) for owner in ("alice", "bob", "carol") * 3]
        await asyncio.sleep(0)
        assert set(places.shares) == {"alice", "bob", "carol"}
        requests[0].cancel()
        requests[-1].cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    assert places.shares == {}
    async with places.take("dave"), places.take("erin"):
        assert set(places.shares) == {"dave", "erin"}


async def test_time_does_not_count_while_the_database_wakes_up() -> None:
    """Neither for the share nor for the place: there is nothing to be had sooner."""
    places = Places(2, timeout_seconds=0.05)
    order = []

    async def hold(seconds: float) -> None:
        async with places.take("alice"):
            await asyncio.sleep(seconds)
            order.append(seconds)

    await asyncio.gather(hold(0.2), hold(0.1), hold(0))

    assert order == [0.2, 0.1, 0]
