"""Reads one task after another through each layer in this process, and says what CPU time a read took.

A child of the bench: it writes a JSON document to standard output, and its log to standard error.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
import uvloop
from bench.drive import Exchange
from bench.operations import HOST, LONG_LIST, Request, make_id
from fastapi import FastAPI
from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from todo.api.tasks import write_json
from todo.app import create_app
from todo.database.connections import Connections
from todo.database.engine import Database
from todo.database.places import Places
from todo.database.statements.tasks import GET
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.logs import configure_logging
from todo.models.fields import Owner
from todo.settings import Settings, read_settings

Read: TypeAlias = Callable[[UUID], Awaitable[object]]


async def measure(settings: Settings, database_url: str, user_id: str, reads: int, repetitions: int) -> object:
    """Measure CPU times in microseconds, each once in each repetition."""
    url = read_database_url(database_url)
    app = create_app(settings, url)
    connections = Connections(url, prepared_statements=True)
    places = Places(settings.pool_size, settings.pool_timeout_seconds)
    ids = [make_id(user_id, number % LONG_LIST) for number in range(reads)]
    async with (
        await psycopg.AsyncConnection.connect(url.conninfo, autocommit=True, cursor_factory=AsyncRawCursor) as driver,
        AsyncConnectionPool(url.conninfo, min_size=1, open=False) as pool,
        AsyncConnectionPool(url.conninfo, min_size=1, open=False, check=AsyncConnectionPool.check_connection) as pinged,
        app.router.lifespan_context(app) as lifespan_state,
    ):
        state = dict(lifespan_state or {})
        database: Database = state["database"]
        owner = Owner(user_id)
        layers: Mapping[str, Read] = {
            "psycopg": lambda task_id: _execute(driver, owner, task_id),
            "pool, deadline, retries": lambda task_id: database.read(GET, {"owner": owner, "task_id": task_id}),
            "store, JSON": lambda task_id: _get(TaskStore(database, owner), task_id),
            "FastAPI": _make_read(_strip(create_app(settings, url)), owner, state),
            "middleware": _make_read(app, owner, state),
        }
        pools: Mapping[str, Read] = {
            "a place (Places)": lambda _: _take_place(places, owner),
            "a connection (Connections)": lambda _: _borrow(connections),
            "psycopg_pool": lambda _: _borrow_from_pool(pool),
            "psycopg_pool, checked": lambda _: _borrow_from_pool(pinged),
        }
        logged = {"log": layers["middleware"]}
        cpu_us: dict[str, list[float]] = {name: [] for name in (*layers, *logged, *pools)}
        for repetition in range(-1, repetitions):  # the first is to warm up
            for level, calls in ((logging.WARNING, {**layers, **pools}), (logging.INFO, logged)):
                logging.getLogger().setLevel(level)
                for name, call in calls.items():
                    cost = await _measure(call, ids)
                    if repetition >= 0:
                        cpu_us[name].append(cost)
        await connections.close()
    return {
        name: {each: cpu_us[each] for each in group}
        for name, group in (("layers", {**layers, **logged}), ("pools", pools))
    }


async def _take_place(places: Places, owner: Owner) -> None:
    async with places.take(owner):
        pass


async def _borrow(connections: Connections) -> None:
    connections.give_back(await connections.take())


async def _borrow_from_pool(pool: AsyncConnectionPool[Any]) -> None:
    async with pool.connection():
        pass


async def _measure(read: Read, ids: list[UUID]) -> float:
    began = time.process_time()
    for task_id in ids:
        await read(task_id)
    return (time.process_time() - began) / len(ids) * 1e6


async def _execute(connection: psycopg.AsyncConnection[Any], owner: Owner, task_id: UUID) -> object:
    cursor = connection.cursor(binary=True)
    await cursor.execute(GET.text, GET.bind({"owner": owner, "task_id": task_id}))
    return await cursor.fetchall()


async def _get(store: TaskStore, task_id: UUID) -> bytes:
    return write_json(await store.get(task_id))


def _strip(app: FastAPI) -> FastAPI:
    """Take the middleware away."""
    app.user_middleware.clear()
    return app


def _make_read(app: FastAPI, owner: Owner, state: Mapping[str, object]) -> Read:
    """Make a way to ask an application, in whose place of the middleware stands what handlers take from that."""
    given = {**state, "request_id": "", "base_url": f"http://{HOST}"}

    async def read(task_id: UUID) -> None:
        exchange = Exchange(Request("GET", f"/api/{owner}/tasks/{task_id}"), given)
        await app(exchange.scope, exchange.receive, exchange.send)
        if exchange.status != 200:  # noqa: PLR2004 - of HTTP
            raise RuntimeError(f"answered {exchange.status}")

    return read


def main() -> None:
    """Measure."""
    user_id, reads, repetitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    database_url = os.environ["DATABASE_URL"]
    settings = read_settings(database_url=database_url, log_format="json")
    configure_logging(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(measure(settings, database_url, user_id, reads, repetitions)), sys.stdout)


if __name__ == "__main__":
    main()
