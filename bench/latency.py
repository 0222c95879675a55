"""How long an operation takes where the database is far away, here and the usual way: one client, over HTTP."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from urllib.parse import urlsplit

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
REQUESTS, QUICK_REQUESTS = 100, 20
WARM_UP = 10
FAR_MS, FAR_TARGET_MS = 20, 25


def run_latency(run: Run) -> object:
    """p50 and p99 of each operation, with 0, 5 and 20 ms between service and database."""
    figures: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for round_trip_ms in QUICK_ROUND_TRIPS_MS if run.is_quick else ROUND_TRIPS_MS:
        run.say(f"latency: {round_trip_ms} ms between service and database")
        figures[str(round_trip_ms)] = _measure(run, round_trip_ms)
        console.print(_make_table(round_trip_ms, figures[str(round_trip_ms)]))
    return figures


def _measure(run: Run, round_trip_ms: int) -> dict[str, dict[str, dict[str, float]]]:
    figures: dict[str, dict[str, dict[str, float]]] = {USUAL_WAY: {}, SERVICE: {}}
    count = QUICK_REQUESTS if run.is_quick else REQUESTS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="todo-bench-")))
        far_url = stack.enter_context(running_relay(run.database_url, round_trip_ms))
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


def _make_table(round_trip_ms: int, figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    operations = list(figures[SERVICE])
    title = f"p50 / p99 in ms, with {round_trip_ms} ms to the database and back"
    table = Table("", *operations, title=title)
    for contender, quantiles in figures.items():
        cells = [f"{quantiles[name]['p50_ms']:.1f} / {quantiles[name]['p99_ms']:.1f}" for name in operations]
        table.add_row(contender, *cells)
    if round_trip_ms == FAR_MS:
        cells = [show_target(figures[SERVICE][name]["p50_ms"], FAR_TARGET_MS, " ms") for name in operations]
        table.add_row("p50 of todo", *cells)
    return table
