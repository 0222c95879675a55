"""What the service costs: `make bench` measures all of it, `make bench-quick` less in two minutes.

    make bench BENCH_ARGS='cpu latency'
    make bench BENCH_ARGS='scale --tasks 10000000'

    cpu      CPU time of a request and throughput, against the rivals, whose answers are compared before
    layers   CPU time of a read at each layer, from the driver to the logged request
    latency  p50 and p99 where the database is 0, 5 and 20 ms away, against the usual way
    scale    p50 among a thousand tasks and a million, of far pages, and of a user with many tasks
    memory   memory of every process of the service after many requests
    start    time to the first answer, with compiled byte code and without, and time of imports
    sync     what the feed of changes costs the database: writes, polls, an index, and writers at the same time
    indexes  what the indexes cost and save, as docs/decisions.md quotes it

PostgreSQL runs on a port of this machine, as do the services; all of it listens to this machine alone, and ends with
the run, or with Ctrl-C. Tables are printed, `results.json` keeps every part's last figures with what machine they are
of, and each part has its plot beside it.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.cpu import run_cpu
from bench.latency import run_latency
from bench.layers import run_layers
from bench.memory import run_memory
from bench.plots import plot
from bench.postgres import running_postgres
from bench.results import keep, read_facts
from bench.run import Run, console
from bench.scale import run_scale
from bench.start import run_start
from bench.sync import run_sync


def run_indexes(run: Run) -> object:
    """Run what docs/decisions.md quotes of indexes, in a process and with a database of its own."""
    run.say("indexes: what each costs, and what it would save")
    lines = []
    with subprocess.Popen([sys.executable, "-u", "-m", "bench.indexes"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            console.print(line.rstrip(), markup=False)
            lines.append(line.rstrip())
    if process.returncode:
        raise RuntimeError("bench/indexes.py has failed")
    return lines


PARTS: Mapping[str, Callable[[Run], object]] = {
    "cpu": run_cpu,
    "layers": run_layers,
    "latency": run_latency,
    "scale": run_scale,
    "memory": run_memory,
    "start": run_start,
    "sync": run_sync,
    "indexes": run_indexes,
}
TASKS = 1_000_000  # of the large database, unless another number is asked for
QUICK_PARTS = ("cpu", "latency", "memory")


def main() -> None:
    """Measure."""
    options = read_options()
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is ended on either; a shell may ignore the first
        signal.signal(number, signal.default_int_handler)
    with running_postgres() as database_url:
        repetitions = options.repetitions or (2 if options.quick else 5)
        run = Run(database_url, options.quick, repetitions, options.tasks)
        for name in options.parts or (QUICK_PARTS if options.quick else PARTS):
            began = time.monotonic()
            figures = PARTS[name](run)
            facts = read_facts(database_url) | {"seconds": round(time.monotonic() - began)}
            key = name if options.tasks == TASKS or name != "scale" else f"scale_{options.tasks}"
            kept = keep(options.output, key, {"facts": facts, "figures": figures})
            plot(key, kept["figures"], options.output)


def read_options() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the service.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all unless some are named")
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--repetitions", type=int, help="how often the CPU is measured (5)")
    parser.add_argument("--tasks", type=int, default=TASKS, help=f"of the large database ({TASKS})")
    parser.add_argument("--output", type=Path, help="the folder for the figures and the plots")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    options.output = options.output or Path("bench-results" if options.quick else "docs/performance")
    return options


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
