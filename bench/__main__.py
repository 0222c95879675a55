"""The command line of the bench: parts by name, all unless some are named."""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.cpu import run_cpu
from bench.latency import run_latency
from bench.memory import run_memory
from bench.plots import plot
from bench.postgres import running_postgres
from bench.results import keep, read_facts
from bench.run import Run, console
from bench.scale import run_scale
from bench.start import run_start


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
    "latency": run_latency,
    "scale": run_scale,
    "memory": run_memory,
    "start": run_start,
    "indexes": run_indexes,
}
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
            kept = keep(options.output, name, {"facts": facts, "figures": figures})
            plot(name, kept["figures"], options.output)


def read_options() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the service.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all unless some are named")
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--repetitions", type=int, help="how often the CPU is measured (5)")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of the large database (1000000)")
    parser.add_argument("--output", type=Path, help="the folder for the figures and the plots")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    options.output = options.output or Path("bench-results" if options.quick else "docs/performance")
    return options


if __name__ == "__main__":
    main()
