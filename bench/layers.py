"""Where the time of a read goes: CPU of the same read at each layer, from the driver to the logged request.

The layers take turns in one process, so that what else the machine does falls on all of them. What a layer costs is the
difference to the one before it. Beside them: what it costs to take a connection out of a pool and to give it back.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.operations import LONG_LIST, copy_tasks
from bench.processes import make_environment
from bench.results import Spread, summarize
from bench.run import Run, console
from bench.tables import show
from rich.table import Table

USER = "layers"
READS, QUICK_READS = 2000, 300


def run_layers(run: Run) -> object:
    """CPU of a read at each layer, and of pools."""
    run.say("layers: a read, from the driver to the logged request")
    copy_tasks(run.database_url, {USER: LONG_LIST})
    reads = QUICK_READS if run.is_quick else READS
    command = [sys.executable, "-m", "bench.drive_layers", USER, str(reads), str(run.repetitions)]
    with TemporaryDirectory(prefix="todo-bench-") as folder, Path(folder, "log").open("wb") as log:
        environment = make_environment(DATABASE_URL=run.database_url)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, check=True)
    measured = json.loads(done.stdout)
    cpu_us = {name: {each: summarize(values) for each, values in group.items()} for name, group in measured.items()}
    console.print(_make_table(cpu_us["layers"]), _make_pool_table(cpu_us["pools"]))
    return {"cpu_us": cpu_us}


def _make_table(cpu_us: Mapping[str, Spread]) -> Table:
    table = Table("a read through this layer", "CPU, µs", "more than the one above")
    above = 0.0
    for layer, spread in cpu_us.items():
        table.add_row(layer, show(spread), f"{spread.median - above:.0f}")
        above = spread.median
    return table


def _make_pool_table(cpu_us: Mapping[str, Spread]) -> Table:
    table = Table("taken and given back", "CPU, µs")
    for pool, spread in cpu_us.items():
        table.add_row(pool, f"{spread.median:.1f} ({spread.least:.1f}-{spread.most:.1f})")
    return table
