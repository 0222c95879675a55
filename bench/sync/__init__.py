"""What the feed of changes costs: writes with its tick and without, polls, and both with the indexes that serve them.

The variants have databases with the same rows, and take turns. CPU time is that of PostgreSQL's processes, WAL and HOT
are PostgreSQL's own counters: what else the machine does falls on none of them.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from bench.indexes import FILL, OTHERS_TASKS
from bench.postgres import create_database
from bench.run import Run, console
from bench.sync.measured import execute
from bench.sync.polls import measure_mix, measure_polls
from bench.sync.scale import BEFORE, FULL, INDEX, QUICK, TICK, Costs, Scale
from bench.sync.tombstones import measure_tombstones
from bench.sync.writers import measure_writers
from bench.sync.writes import measure_writes
from rich.table import Table

DROP_INDEXES = ("DROP INDEX ix_tasks_user_id_updated_at_id", "DROP INDEX ix_task_tombstones_user_id_id_deleted_at")
FORMATS = {
    "p50_ms": ("p50, ms", "{:.2f}"),
    "cpu_us": ("CPU, µs", "{:.0f}"),
    "wal_bytes": ("WAL, B", "{:.0f}"),
    "hot": ("HOT", "{:.0%}"),
    "executed_ms": ("executed, ms", "{:.3f}"),
    "buffers": ("buffers", "{:.0f}"),
    "writes_per_second": ("writes a second", "{:.0f}"),
}


def run_sync(run: Run) -> object:
    """CPU, WAL and time of writes and polls, with the tick and the indexes and without; writers at the same time."""
    return asyncio.run(_measure(run, QUICK if run.is_quick else FULL))


async def _measure(run: Run, scale: Scale) -> Mapping[str, Costs]:
    run.say(f"sync: {scale.tasks} tasks, of which one user has {scale.heavy} and another {scale.usual}")
    figures: dict[str, Costs] = {}
    parts = {
        "write": measure_writes,
        "poll": measure_polls,
        "change, and two other devices that read it": measure_mix,
        "write, where tasks were deleted": measure_tombstones,
        "writers at the same time": measure_writers,
    }
    with _steady(run.database_url):
        urls = _make_databases(run.database_url, scale)
        for title, measure in parts.items():
            run.say(f"sync: {title}")
            figures[title] = await measure(urls, scale)
            console.print(_make_table(title, figures[title]))
    return figures


@contextmanager
def _steady(url: str) -> Iterator[None]:
    """Keep out of WAL and CPU time what comes when it likes: whole pages after a checkpoint, and vacuum.

    And keep all CPU time in the process of the connection: no workers help it.
    """
    names = ("full_page_writes", "autovacuum", "max_parallel_workers_per_gather")
    execute(url, *(f"ALTER SYSTEM SET {name} = 0" for name in names), "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        execute(url, *(f"ALTER SYSTEM RESET {name}" for name in names), "SELECT pg_reload_conf()")


def _make_databases(url: str, scale: Scale) -> Mapping[str, str]:
    """Make a database for each variant, all with the same rows."""
    urls = {}
    for number, variant in enumerate((BEFORE, TICK, INDEX)):
        urls[variant] = made = create_database(url, f"sync_{number}")
        values = {"heavy": scale.heavy, "usual": scale.usual, "each": OTHERS_TASKS, "tasks": scale.tasks}
        with psycopg.connect(made) as connection:
            connection.execute("SELECT setseed(0.5)")
            connection.execute(FILL.encode(), values)
        execute(made, *([] if variant == INDEX else DROP_INDEXES), "VACUUM ANALYZE tasks")
    return urls


def _make_table(title: str, costs: Costs) -> Table:
    variants = list(dict.fromkeys(name for by_name in costs.values() for name in by_name))
    figures = [name for name in FORMATS if any(name in cost for by_name in costs.values() for cost in by_name.values())]
    table = Table(title, "", *(f"{FORMATS[name][0]}" for name in figures))
    for what, by_name in costs.items():
        for variant in variants:
            if cost := by_name.get(variant):
                cells = [FORMATS[name][1].format(cost[name]) if name in cost else "" for name in figures]
                table.add_row(what if variant == next(iter(by_name)) else "", variant, *cells)
    return table
