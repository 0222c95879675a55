"""What a request costs in CPU time, here and elsewhere: of the application alone, and of the server with all it runs.

The contenders take turns at each operation, so that what else the machine does meanwhile falls on all of them, and
each repetition runs them in new processes.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bench.contenders import CONTENDERS, SERVICE, SLOW
from bench.operations import OPERATIONS, Operation, copy_tasks
from bench.results import Spread, summarize
from bench.run import Run, console
from bench.subjects import CONNECTIONS, Cost, Open, Reply, Subject, open_application, open_server
from bench.tables import make_cost_table, make_ratio_table

# What may differ: the ids of new tasks, the names of users with tasks of their own, and when something was done.
VARIABLE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|own-[0-9]+-[0-9]+-[0-9]+"
    r'|"(created_at|updated_at|completed_at)":"[^"]*"'
)
QUICK_SHARE = 0.2
LEAST_REQUESTS = 8  # psycopg prepares a statement when it is run for the sixth time

Costs: TypeAlias = Mapping[str, Mapping[str, Sequence[Cost]]]
"""Of each contender and operation, one of each repetition."""


class Way(NamedTuple):
    """A way to measure."""

    title: str
    open_subject: Open
    log_level: str


WAYS = {
    "application": Way("the application alone", open_application, "info"),
    "application_without_log": Way("the application alone, nothing logged", open_application, "warning"),
    "server": Way(f"the server, {CONNECTIONS} connections", open_server, "info"),
}


def run_cpu(run: Run) -> object:
    """CPU time and throughput of each operation, against others."""
    figures: dict[str, object] = {}
    for name, way in WAYS.items():
        if run.is_quick and name == "application_without_log":
            continue
        costs = measure_cpu(run, way)
        cpu_us = _summarize(costs, "cpu_us")
        rate = _summarize(costs, "rate")
        console.print(make_cost_table(f"CPU of a request, µs: {way.title}", cpu_us))
        console.print(make_ratio_table(f"CPU against others: {way.title}", cpu_us))
        if way.open_subject is open_server:
            console.print(make_cost_table(f"Requests a second: {way.title}", rate))
        figures[name] = {"cpu_us": cpu_us, "requests_per_second": rate}
    return figures


def measure_cpu(run: Run, way: Way) -> Costs:
    """Compare the contenders' answers, and measure what those cost."""
    costs: dict[str, dict[str, list[Cost]]] = {
        contender: {operation.name: [] for operation in OPERATIONS} for contender in CONTENDERS
    }
    for repetition in range(run.repetitions):
        run.say(f"CPU, {way.title}: repetition {repetition + 1} of {run.repetitions}")
        _prepare(run.database_url, repetition)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="todo-bench-")))
            opened = [way.open_subject(name, run.database_url, way.log_level, folder / "log") for name in CONTENDERS]
            with ThreadPoolExecutor() as threads:
                subjects = dict(zip(CONTENDERS, threads.map(stack.enter_context, opened), strict=True))
            for operation in OPERATIONS:
                measured = _measure_operation(subjects, operation, repetition, QUICK_SHARE if run.is_quick else 1)
                for contender, cost in measured.items():
                    costs[contender][operation.name].append(cost)
    return costs


def _measure_operation(
    subjects: Mapping[str, Subject], operation: Operation, repetition: int, share: float
) -> dict[str, Cost]:
    users = {name: _name_user(operation, repetition, number) for number, name in enumerate(subjects)}
    compare_answers(subjects, operation, users)
    count = max(LEAST_REQUESTS, int(operation.count * share))
    warm_up = range(1, 1 + max(LEAST_REQUESTS, count // 5))
    costs: dict[str, Cost] = {}
    for name, subject in subjects.items():
        subject.measure(operation, users[name], warm_up)
        stop = warm_up.stop + count * (1 if name in SLOW else 3)  # the quicker, the more there must be to be measured
        costs[name] = subject.measure(operation, users[name], range(warm_up.stop, stop))
    return costs


def compare_answers(subjects: Mapping[str, Subject], operation: Operation, users: Mapping[str, str]) -> None:
    """Raise RuntimeError unless all answer as this service does, byte for byte but for ids of new tasks and times."""
    replies = {name: _normalize(subject.ask(operation, users[name], 0)) for name, subject in subjects.items()}
    for name, reply in replies.items():
        if reply != replies[SERVICE] or reply.status != operation.status:
            raise RuntimeError(f"{operation.name}: {name} answers {reply}, and the service {replies[SERVICE]}")


def _normalize(reply: Reply) -> Reply:
    content_type = reply.content_type if reply.body else ""  # FastAPI gives nothing one as well
    return reply._replace(content_type=content_type, body=VARIABLE.sub("…", reply.body))


def _name_user(operation: Operation, repetition: int, contender: int) -> str:
    """Name the user whose tasks are read or changed: readers share one, and whoever changes tasks has its own."""
    number = OPERATIONS.index(operation)
    return f"own-{number}-{repetition}-{contender}" if operation.needs_own_tasks else f"reader-{number}"


def _prepare(database_url: str, repetition: int) -> None:
    """Make the tasks that are read, once, and those that each contender is to change in this repetition."""
    users = {
        _name_user(operation, repetition, contender): operation.tasks
        for operation in OPERATIONS
        for contender in range(len(CONTENDERS))
        if operation.needs_own_tasks or not repetition
    }
    copy_tasks(database_url, users)


def _summarize(costs: Costs, name: str) -> dict[str, dict[str, Spread]]:
    def sum_up(each: Sequence[Cost]) -> Spread:
        return summarize([getattr(cost, name) for cost in each])

    return {
        contender: {operation: sum_up(each) for operation, each in by_operation.items()}
        for contender, by_operation in costs.items()
    }
