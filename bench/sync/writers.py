"""How many writes there are in a second where several clients write at the same time: of one user, and of as many."""

import asyncio
from collections.abc import Mapping
from itertools import cycle
from statistics import median
from time import perf_counter
from uuid import UUID

from bench.indexes import AVERAGE_TASK
from bench.sync.measured import open_subject
from bench.sync.scale import BEFORE, INDEX, Costs, Scale

from todo.database.store import TaskStore

WRITERS = {"1 user, 8 connections": (1, 8), "1 user, 16 connections": (1, 16), "16 users, 16 connections": (16, 16)}
TASKS_EACH = 20
COMMITS = {"flushed": "on", "not flushed": "off"}  # to the disk, before they are acknowledged


async def measure_writers(urls: Mapping[str, str], scale: Scale) -> Costs:
    """Measure toggles, each connection's of tasks of its own."""
    figures: Costs = {}
    turns = max(1, scale.turns // 3)
    for flushed, setting in COMMITS.items():
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(turns):
            for writers, (users, connections) in WRITERS.items():
                for name in (BEFORE, INDEX):
                    url = f"{urls[name]}&options=-csynchronous_commit%3D{setting}"
                    done = await _write(url, users, connections, scale.seconds, is_former=name == BEFORE)
                    found.setdefault((writers, name), []).append(done)
        for (writers, name), each in found.items():
            rate, p50 = (median(values) for values in zip(*each, strict=True))
            figures.setdefault(f"{writers}, {flushed}", {})[name] = {"writes_per_second": rate, "p50_ms": p50}
    return figures


async def _write(url: str, users: int, connections: int, seconds: float, *, is_former: bool) -> tuple[float, float]:
    """Return how many writes there were in a second, and the median of how long one took in milliseconds."""
    # A user has half of the pool at most.
    async with open_subject(url, is_former=is_former, connections=2 * connections) as subject:
        stores = [subject.open_store(f"writer-{number % users}") for number in range(connections)]
        tasks = [[(await store.add(AVERAGE_TASK)).task.id for _ in range(TASKS_EACH)] for store in stores]
        latencies: list[float] = []

        async def write(store: TaskStore, tasks: list[UUID]) -> None:
            for task_id in cycle(tasks):
                if (began := perf_counter()) > end:
                    return
                await store.toggle(task_id)
                latencies.append(perf_counter() - began)

        await asyncio.gather(*(store.toggle(own[0]) for store, own in zip(stores, tasks, strict=True)))  # to connect
        started = perf_counter()
        end = started + seconds
        await asyncio.gather(*(write(store, own) for store, own in zip(stores, tasks, strict=True)))
        return len(latencies) / (perf_counter() - started), median(latencies) * 1000
