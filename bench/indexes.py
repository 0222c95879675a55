"""What each order of a list costs without an index of its own, and what the indexes would cost each write.

Prints the tables that docs/decisions.md quotes. Run it with `make bench`; it takes minutes and a gigabyte of disk.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import get_args

import psycopg

from todo.database.compiled import Statement
from todo.database.engine import Database, Rows
from todo.database.migration import migrate
from todo.database.store import TaskStore
from todo.database.urls import read_database_url
from todo.embedded.postgres import embedded_postgres
from todo.models.fields import Owner
from todo.models.queries import PAGE_LENGTH, SortKey, TaskQuery
from todo.models.tasks import TaskCreate, TaskUpdate

TASKS = 1_000_000
HEAVY, HEAVY_TASKS = Owner("heavy"), 50_000
USUAL, USUAL_TASKS = Owner("usual"), 1_000
OTHERS_TASKS = 10  # each
PAGE = 50
REPEATS = 20
WRITTEN, WRITES = 200, 10  # tasks, and how often each

# A tenth of the tasks lacks each value that may be missing.
FILL = """
    INSERT INTO tasks
        (user_id, id, title, completed, completed_at, due_at, priority, tags, "order", created_at, updated_at)
    SELECT CASE WHEN n <= %(heavy)s THEN 'heavy' WHEN n <= %(heavy)s + %(usual)s THEN 'usual'
                ELSE 'user-' || n / %(each)s END, gen_random_uuid(),
           'Task ' || md5(n::text), n %% 2 = 0, CASE WHEN n %% 2 = 0 THEN now() END,
           CASE WHEN n %% 10 > 0 THEN now() + (random() * 1e6) * interval '1 s' END,
           CASE WHEN n %% 10 > 1 THEN 1 + n %% 3 END, ARRAY['tag-' || n %% 100],
           CASE WHEN n %% 10 > 2 THEN (random() * 1e6)::int END,
           now() - (random() * 1e6) * interval '1 s', now() - (random() * 1e6) * interval '1 s'
    FROM generate_series(1, %(tasks)s) AS n ORDER BY random()
"""
# As long as the others: a shorter one fits into what they leave of their pages, and has no room to be changed in there.
AVERAGE_TASK = TaskCreate.model_validate(
    {"title": "Task " + "x" * 32, "due_at": "2030-01-01T00:00:00Z", "priority": "low", "tags": ["tag-50"], "order": 1}
)
INDEXES: dict[SortKey, str] = {
    "title": 'CREATE INDEX extra_title ON tasks (user_id, (lower(title) COLLATE "C"), id)',
    "due_at": "CREATE INDEX extra_due_at ON tasks (user_id, due_at, id)",
    "priority": "CREATE INDEX extra_priority ON tasks (user_id, priority, id)",
    "order": 'CREATE INDEX extra_order ON tasks (user_id, "order", id)',
}
READ_COUNTERS = """
    SELECT pg_current_wal_insert_lsn() - '0/0', n_tup_upd, n_tup_hot_upd
    FROM pg_stat_user_tables WHERE relname = 'tasks'
"""


class RecordingDatabase(Database):
    """A database that remembers the last statement that was read with."""

    last_sent: tuple[Statement, Mapping[str, object]]

    async def read(self, statement: Statement, parameters: Mapping[str, object]) -> Rows:
        """Run a statement that changes nothing."""
        self.last_sent = statement, parameters
        return await super().read(statement, parameters)


@asynccontextmanager
async def open_store(url: str, owner: Owner = USUAL) -> AsyncIterator[tuple[TaskStore, RecordingDatabase]]:
    """Open an owner's tasks over one connection, as the service does."""
    database = RecordingDatabase(
        read_database_url(url), pool_size=1, pool_timeout_seconds=3, deadline_seconds=60, prepared_statements=True
    )
    yield TaskStore(database, owner), database
    await database.close()


async def measure_lists(url: str) -> None:
    """Print, for each order, the time and the buffers of a first page and of one in the middle."""
    print(f"\n| Tasks | Order | First {PAGE} | Buffers | {PAGE} in the middle | Buffers |\n|---|---|---|---|---|---|")
    for owner, tasks in ((USUAL, USUAL_TASKS), (HEAVY, HEAVY_TASKS)):
        async with open_store(url, owner) as (store, database):
            for key in get_args(SortKey):
                middle = None
                for _ in range(10):
                    middle = (await store.page(TaskQuery(sort=key, limit=min(tasks // 20, PAGE_LENGTH)), middle)).end
                query = TaskQuery(sort=key, limit=PAGE)
                cells: list[str] = []
                for after in (None, middle):
                    times = []
                    for _ in range(REPEATS):
                        start = perf_counter()
                        await store.page(query, after)
                        times.append((perf_counter() - start) * 1000)
                    cells += [f"{median(times):.1f} ms", str(count_buffers(url, database.last_sent))]
                print(f"| {tasks} | `{key}` | {' | '.join(cells)} |")


def count_buffers(url: str, sent: tuple[Statement, Mapping[str, object]]) -> int:
    """Count the buffers that a statement touches."""
    statement, parameters = sent
    with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as connection:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}"
        [(plan,)] = connection.execute(explain.encode(), statement.bind(parameters)).fetchall()
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


async def measure_writes(url: str, label: str) -> None:
    """Print what toggles and edits cost: time, WAL, and how many of them stayed in their page (HOT)."""
    async with open_store(url) as (store, _):
        tasks = [(await store.add(AVERAGE_TASK)).task for _ in range(WRITTEN)]
        for name in ("create", "toggle", "edit of the title"):
            before, start = read_counters(url), perf_counter()
            for number in range(WRITES):
                for task in tasks:
                    if name == "create":
                        await store.add(AVERAGE_TASK)
                    elif name == "toggle":
                        await store.toggle(task.id)
                    else:
                        await store.edit(task.id, TaskUpdate(title=f"Task {number:032}"))
            seconds = perf_counter() - start
            wal, updates, hot = (now - then for now, then in zip(read_counters(url), before, strict=True))
            each = len(tasks) * WRITES
            in_place = f"{100 * hot / updates:.0f} %" if updates else ""
            print(f"| {label} | {name} | {seconds / each * 1000:.2f} ms | {wal / each:.0f} B | {in_place} |")


def read_counters(url: str) -> tuple[int, int, int]:
    """Read how much WAL was written, how many rows were updated, and how many of them in place."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(1.5)")  # statistics are sent once a second
        [(wal, updates, hot)] = connection.execute(READ_COUNTERS).fetchall()
    return int(wal), int(updates), int(hot)


def execute(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def main() -> None:
    """Measure."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with embedded_postgres(Path(folder, "data"), None, print) as url:
            migrate(read_database_url(url))
            print(
                f"{TASKS} tasks: {HEAVY_TASKS} of one user, {USUAL_TASKS} of another, {OTHERS_TASKS} of everybody else"
            )
            with psycopg.connect(url) as connection:
                values = {"heavy": HEAVY_TASKS, "usual": USUAL_TASKS, "each": OTHERS_TASKS, "tasks": TASKS}
                connection.execute(FILL.encode(), values)
            # WAL holds the whole page where one is changed for the first time since a checkpoint, whenever that was.
            execute(url, "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
            # A vacuum that comes when it likes keeps old rows from being pruned for as long as it looks.
            execute(url, "ALTER TABLE tasks SET (autovacuum_enabled = off)", "VACUUM ANALYZE tasks")
            asyncio.run(measure_lists(url))
            print("\n| Indexes | Write | Time | WAL | HOT |\n|---|---|---|---|---|")
            asyncio.run(measure_writes(url, "as they are"))
            for key, statement in INDEXES.items():
                execute(url, statement)
                asyncio.run(measure_writes(url, f"and `{key}`"))
                execute(url, f"DROP INDEX extra_{key}")
            execute(url, *INDEXES.values(), "VACUUM ANALYZE tasks")
            asyncio.run(measure_writes(url, "and all four"))
            asyncio.run(measure_lists(url))


if __name__ == "__main__":
    main()
