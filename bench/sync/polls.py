"""What polls cost, alone and with the changes that they find."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

from bench.indexes import AVERAGE_TASK
from bench.sync.measured import Cost, Subject, explain, open_subject
from bench.sync.scale import HEAVY, INDEX, SMALL, SMALL_TASKS, TICK, USUAL, Costs, Scale

from todo.database.store import TaskStore
from todo.models.feeds import ChangesQuery, FeedPosition
from todo.models.tasks import TaskUpdate

DEVICES = 2  # that read each change once


async def measure_polls(urls: Mapping[str, str], scale: Scale) -> Costs:
    """Measure first synchronisations, empty polls, and those that find one change."""
    costs: Costs = {}
    async with AsyncExitStack() as stack:
        opened = {name: await stack.enter_async_context(open_subject(urls[name])) for name in (TICK, INDEX)}
        for owner, tasks in ((USUAL, scale.usual), (HEAVY, scale.heavy)):
            for name, subject in opened.items():
                store = subject.open_store(owner)
                task = (await store.add(AVERAGE_TASK)).task
                synchronise = [partial(read_to_end, store)] * 2
                await synchronise[0]()
                first = await subject.measure(synchronise)
                end = await read_to_end(store)
                empty = await _measure_poll(urls[name], subject, store, end, scale)
                await store.toggle(task.id)
                one = await _measure_poll(urls[name], subject, store, end, scale)
                for kind, cost in (("everything", first.summarize()), ("nothing", empty), ("one change", one)):
                    costs.setdefault(f"{kind}, {tasks} tasks", {})[name] = cost
    return costs


async def read_to_end(store: TaskStore, since: FeedPosition | None = None) -> FeedPosition:
    """Read all pages of a chain."""
    while True:
        page = await store.changes(ChangesQuery(), since)
        since = page.end
        if not page.has_more:
            return since


async def _measure_poll(
    url: str, subject: Subject, store: TaskStore, since: FeedPosition, scale: Scale
) -> dict[str, float]:
    poll = partial(store.changes, ChangesQuery(), since)
    await subject.measure([poll] * 10)  # to prepare it
    cost = await subject.measure([poll] * scale.writes)
    await poll()
    return cost.summarize() | explain(url, subject.database)


async def measure_mix(urls: Mapping[str, str], scale: Scale) -> Costs:
    """Measure changes each of which two other devices read."""
    costs: dict[str, dict[str, Cost]] = {}
    async with AsyncExitStack() as stack:
        opened = {name: await stack.enter_async_context(open_subject(urls[name])) for name in (TICK, INDEX)}
        for owner, tasks in ((SMALL, SMALL_TASKS), (USUAL, scale.usual), (HEAVY, scale.heavy)):
            by_name = costs.setdefault(f"{tasks} tasks", {})
            clients = {name: await Client.start(subject.open_store(owner)) for name, subject in opened.items()}
            for turn in range(-1, scale.turns // 2):
                for name, subject in opened.items():
                    cost = await subject.measure([clients[name].change] * scale.changes)
                    if turn >= 0:
                        by_name[name] = by_name[name].add(cost) if name in by_name else cost
    return {size: {name: cost.summarize() for name, cost in by_name.items()} for size, by_name in costs.items()}


class Client:
    """A client that changes a task at a time, and whose other devices read that."""

    def __init__(self, store: TaskStore, tasks: list[UUID], since: FeedPosition) -> None:
        self._store = store
        self._tasks = tasks
        self._since = since
        self._number = 0

    @classmethod
    async def start(cls, store: TaskStore) -> "Client":
        """Make tasks to change, and read where the feed is."""
        tasks = [(await store.add(AVERAGE_TASK)).task.id for _ in range(SMALL_TASKS)]
        return cls(store, tasks, await read_to_end(store))

    async def change(self) -> None:
        """Change, create or delete a task, and read that on each of the other devices."""
        self._number += 1
        match self._number % 10:
            case 0:
                await self._store.remove(self._tasks.pop(0))
            case 9:
                self._tasks.append((await self._store.add(AVERAGE_TASK)).task.id)
            case 1 | 3 | 5 | 7:
                await self._store.toggle(self._tasks[self._number % SMALL_TASKS])
            case _:
                changes = TaskUpdate(title=f"Task {self._number:032}")
                await self._store.edit(self._tasks[self._number % SMALL_TASKS], changes)
        for _ in range(DEVICES):
            page = await self._store.changes(ChangesQuery(), self._since)
        self._since = page.end
