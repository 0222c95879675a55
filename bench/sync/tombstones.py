"""What it costs to create under a client's id where many tasks were deleted, and what an index for that costs."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from uuid import uuid4

import psycopg
from bench.indexes import AVERAGE_TASK
from bench.sync.measured import Call, Cost, execute, open_subject
from bench.sync.scale import HEAVY, INDEX, TICK, USUAL, Costs, Scale
from bench.sync.writes import BATCH, make_creations

from todo.database.store import TaskStore
from todo.models.batches import Batch

# As many of others, ten of each.
FILL_TOMBSTONES = """
    INSERT INTO task_tombstones (user_id, deleted_at, id)
    SELECT CASE WHEN n %% 2 = 0 THEN 'heavy' ELSE 'user-' || n / 20 END, now() - n * interval '1 min', gen_random_uuid()
    FROM generate_series(1, 2 * %s) AS n
"""


async def measure_tombstones(urls: Mapping[str, str], scale: Scale) -> Costs:
    """Measure creations under an id, and deletions."""
    for name in (TICK, INDEX):
        with psycopg.connect(urls[name]) as connection:
            connection.execute("DELETE FROM task_tombstones")
            connection.execute(FILL_TOMBSTONES, [scale.tombstones])
        execute(urls[name], "VACUUM ANALYZE task_tombstones")
    costs: dict[str, dict[str, Cost]] = {}
    async with AsyncExitStack() as stack:
        opened = {name: await stack.enter_async_context(open_subject(urls[name])) for name in (TICK, INDEX)}
        # The deletions last: they make tombstones.
        for kind, prepare in KINDS.items():
            for owner, tombstones in ((USUAL, 0), (HEAVY, scale.tombstones)):
                by_name = costs.setdefault(f"{kind}, {tombstones} tombstones", {})
                for turn in range(-1, scale.turns // 2):  # the first is to warm up
                    for name, subject in opened.items():
                        cost = await subject.measure(await prepare(subject.open_store(owner), scale.writes // 2))
                        if turn >= 0:
                            by_name[name] = by_name[name].add(cost) if name in by_name else cost
    return {kind: {name: cost.summarize() for name, cost in by_name.items()} for kind, by_name in costs.items()}


async def _prepare_creations(store: TaskStore, count: int) -> Sequence[Call]:
    return [partial(store.add_under_id, uuid4(), AVERAGE_TASK) for _ in range(count)]


async def _prepare_batches(store: TaskStore, count: int) -> Sequence[Call]:
    batches = [Batch.model_validate({"operations": make_creations(BATCH)}) for _ in range(count // 10)]
    return [partial(store.apply, batch) for batch in batches]


async def _prepare_deletions(store: TaskStore, count: int) -> Sequence[Call]:
    return [partial(store.remove, (await store.add(AVERAGE_TASK)).task.id) for _ in range(count)]


KINDS = {
    "create under an id": _prepare_creations,
    f"create {BATCH} in a batch": _prepare_batches,
    "delete": _prepare_deletions,
}
