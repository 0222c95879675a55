"""How long an operation takes where the database is far away, here and the usual way: one client, over HTTP."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE
from typing import TypeAlias
from urllib.parse import urlsplit

import psycopg
from bench.client import send_all
from bench.contenders import SERVICE, USUAL_WAY
from bench.operations import OPERATIONS, copy_tasks
from bench.processes import make_environment, running
from bench.run import Run, console
from bench.subjects import open_server
from bench.tables import show_target
from rich.table import Table

ROUND_TRIPS_MS = (0, 5, 20)
QUICK_ROUND_TRIPS_MS = (20,)
REQUESTS, QUICK_REQUESTS = 100, 10
WARM_UP = 8  # psycopg prepares a statement when it is run for the sixth time
STATEMENTS = 30
FAR_MS, FAR_TARGET_MS = 20, 25

Quantiles: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Of each contender and operation."""


def run_latency(run: Run) -> object:
    """p50 and p99 of each operation, with 0, 5 and 20 ms between service and database."""
    figures: dict[str, object] = {}
    for round_trip_ms in QUICK_ROUND_TRIPS_MS if run.is_quick else ROUND_TRIPS_MS:
        run.say(f"latency: {round_trip_ms} ms between service and database")
        with running_relay(run.database_url, round_trip_ms) as far_url:
            statement_ms = measure_statement(far_url)
            quantiles = _measure(run, far_url)
        console.print(_make_table(round_trip_ms, statement_ms, quantiles))
        figures[str(round_trip_ms)] = {"statement_ms": statement_ms, "operations": quantiles}
    return figures


def measure_statement(database_url: str) -> float:
    """Measure the milliseconds that a statement takes which does nothing: of them no operation can take fewer."""
    seconds = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(STATEMENTS):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            seconds.append(time.perf_counter() - began)
    return median(seconds) * 1000


def _measure(run: Run, far_url: str) -> Quantiles:
    figures: dict[str, dict[str, dict[str, float]]] = {USUAL_WAY: {}, SERVICE: {}}
    count = QUICK_REQUESTS if run.is_quick else REQUESTS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="todo-bench-")))
        servers = {
            contender: stack.enter_context(open_server(contender, far_url, "info", folder / "log"))
            for contender in figures
        }
        for number, operation in enumerate(OPERATIONS):
            users = {contender: f"far-{number}-{place}" for place, contender in enumerate(servers)}
            copy_tasks(run.database_url, dict.fromkeys(users.values(), operation.tasks))
            for contender, server in servers.items():
                requests = [operation.make_request(users[contender], each) for each in range(WARM_UP + count)]
                send_all(server.port, requests[:WARM_UP], connections=1)
                load = send_all(server.port, requests[WARM_UP:], connections=1)
                load.require(operation.status)
                figures[contender][operation.name] = {
                    "p50_ms": load.find_quantile(0.5),
                    "p99_ms": load.find_quantile(0.99),
                }
    return figures


@contextmanager
def running_relay(database_url: str, round_trip_ms: float) -> Iterator[str]:
    """Run a relay, and yield the URL that leads through it."""
    near = urlsplit(database_url)
    command = [sys.executable, "-m", "bench.relay", str(near.port), str(round_trip_ms)]
    with running(command, make_environment(), stdout=PIPE) as process:
        assert process.stdout  # noqa: S101 - it is a pipe
        port = int(process.stdout.readline())
        yield near._replace(netloc=f"{near.username}@{near.hostname}:{port}").geturl()


def _make_table(round_trip_ms: int, statement_ms: float, figures: Quantiles) -> Table:
    title = f"p50 / p99 in ms, {round_trip_ms} ms to the database and back (SELECT 1 takes {statement_ms:.1f} ms)"
    table = Table("", *figures, *(["p50 of todo"] if round_trip_ms == FAR_MS else []), title=title)
    for operation, of_todo in figures[SERVICE].items():
        cells = [f"{each[operation]['p50_ms']:.1f} / {each[operation]['p99_ms']:.1f}" for each in figures.values()]
        if round_trip_ms == FAR_MS:
            cells.append(show_target(of_todo["p50_ms"], FAR_TARGET_MS, " ms"))
        table.add_row(operation, *cells)
    return table
