"""What each kind of write costs."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from uuid import uuid4

from bench.indexes import AVERAGE_TASK
from bench.sync.measured import Call, Cost, Subject, open_subject
from bench.sync.scale import BEFORE, USUAL, Costs, Scale

from todo.database.store import TaskStore
from todo.models.batches import Batch
from todo.models.fields import IdempotencyKey
from todo.models.queries import TaskSelection
from todo.models.tasks import TaskRow, TaskUpdate

BULK, BULK_TASKS, BATCH = "bulk", 100, 20
KINDS = (
    "create", "create with a key", "toggle", "edit of the title", "guarded edit", "delete", "complete 100",
    "batch of 20",
)  # fmt: skip


async def measure_writes(urls: Mapping[str, str], scale: Scale) -> Costs:
    """Measure each kind of write, in turns."""
    costs: dict[tuple[str, str], Cost] = {}
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(open_subject(url, is_former=name == BEFORE))
            for name, url in urls.items()
        }
        writers = {name: await Writer.start(subject, scale.writes) for name, subject in opened.items()}
        for turn in range(-1, scale.turns):  # the first is to warm up
            for kind in KINDS:
                for name, subject in opened.items():
                    if kind == KINDS[-1] and name == BEFORE:
                        continue
                    cost = await subject.measure(await writers[name].prepare(kind))
                    if turn >= 0:
                        costs[kind, name] = costs[kind, name].add(cost) if (kind, name) in costs else cost
    return {kind: {name: costs[kind, name].summarize() for name in urls if (kind, name) in costs} for kind in KINDS}


class Writer:
    """One who writes in every way."""

    def __init__(self, store: TaskStore, bulk: TaskStore, tasks: list[TaskRow]) -> None:
        self._store = store
        self._bulk = bulk
        self._tasks = tasks
        self._number = 0

    @classmethod
    async def start(cls, subject: Subject, count: int) -> "Writer":
        """Make the tasks that are to be changed."""
        store, bulk = subject.open_store(USUAL), subject.open_store(BULK)
        for _ in range(BULK_TASKS):
            await bulk.add(AVERAGE_TASK)
        return cls(store, bulk, [(await store.add(AVERAGE_TASK)).task for _ in range(count)])

    async def prepare(self, kind: str) -> Sequence[Call]:
        """Make the calls of a turn."""
        self._number += 1
        calls: Sequence[Call]
        store, edit = self._store, TaskUpdate(title=f"Task {self._number:032}")
        match kind:
            case "create":
                calls = [partial(store.add, AVERAGE_TASK) for _ in self._tasks]
            case "create with a key":
                calls = [partial(store.add, AVERAGE_TASK, IdempotencyKey(uuid4().hex)) for _ in self._tasks]
            case "toggle":
                calls = [partial(store.toggle, task.id) for task in self._tasks]
            case "edit of the title":
                calls = [partial(store.edit, task.id, edit) for task in self._tasks]
            case "guarded edit":
                current = [await store.get(task.id) for task in self._tasks]
                calls = [partial(store.edit, task.id, edit, frozenset({task.version})) for task in current]
            case "delete":
                calls = [partial(store.remove, (await store.add(AVERAGE_TASK)).task.id) for _ in self._tasks]
            case "complete 100":
                every, completed = TaskSelection(status="all"), self._number // len(KINDS) % 2 == 0
                calls = [partial(self._bulk.complete_all, every, completed=completed ^ bool(n % 2)) for n in range(4)]
            case _:
                calls = [
                    partial(store.apply, await self._make_batch()) for _ in range(max(1, len(self._tasks) // BATCH))
                ]
        return calls

    async def _make_batch(self) -> Batch:
        """Make a batch that creates, changes and deletes, more of the first two."""
        removed = [(await self._store.add(AVERAGE_TASK)).task.id for _ in range(BATCH // 5)]
        changed = self._tasks[: 2 * BATCH // 5]
        created = BATCH - len(removed) - len(changed)
        title = f"Task {uuid4().hex}"
        operations = [
            *make_creations(created),
            *({"op": "update", "id": task.id, "task": {"title": title}} for task in changed),
            *({"op": "delete", "id": task_id} for task_id in removed),
        ]
        return Batch.model_validate({"operations": operations})


def make_creations(count: int) -> list[dict[str, object]]:
    """Make operations of a batch that create tasks."""
    task = AVERAGE_TASK.model_dump(mode="json", exclude_unset=True)
    return [{"op": "create", "id": uuid4(), "task": task} for _ in range(count)]
