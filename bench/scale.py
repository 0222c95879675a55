"""How much longer an operation takes among a million tasks than among a thousand: one client, over HTTP."""

import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import UUID

import psycopg
from bench.client import send_all
from bench.contenders import SERVICE
from bench.operations import COPY_TASKS, EPOCH, LONG_LIST, OPERATIONS, SHORT_LIST, Request, make_id, make_rows
from bench.postgres import create_database
from bench.run import Run, console
from bench.subjects import Server, open_server
from bench.tables import show_target
from rich.progress import track
from rich.table import Table

QUICK_TASKS = 10_000  # of the large database
TASKS_EACH, HEAVY_SHARE = 10, 20  # of a user in the crowd, and one in so many is of one user
REQUESTS, QUICK_REQUESTS, WARM_UP, TURNS = 200, 20, 10, 10
HEAVY, USUAL, SHORT, MAKER, LEAVER = "heavy", "usual", "short", "maker", "leaver"
LEAVING = 250
USERS = {f"list of {SHORT_LIST}": SHORT, "create": MAKER, "delete": LEAVER}  # of operations; the others': USUAL
PAGE, FAR_PAGE = 20, 1000
SEARCH = f"?q=passport%20slides&limit={PAGE}"  # which few tasks have
SCALE_TARGET, PAGE_TARGET = 1.3, 1.2
NEXT = re.compile(r'<https?://[^/]+([^>]+)>; rel="next"')
NAMED = {USUAL: LONG_LIST, SHORT: SHORT_LIST, f"{LEAVER}-0": LEAVING, f"{LEAVER}-1": LEAVING}


class Call(NamedTuple):
    """Requests of one kind."""

    name: str
    make_request: Callable[[int], Request]
    status: int = 200


def run_scale(run: Run) -> object:
    """p50 of every operation among a thousand tasks and a million, of far pages, and of a user with many tasks."""
    tasks = QUICK_TASKS if run.is_quick else run.tasks
    heavy = tasks // HEAVY_SHARE
    small_url, large_url = (create_database(run.database_url, f"scale_{name}") for name in ("small", "large"))
    fill(small_url, NAMED, crowd=0)
    fill(large_url, NAMED | {HEAVY: heavy}, crowd=tasks - heavy - sum(NAMED.values()))
    run.say(f"scale: {tasks} tasks, of which the database has no statistics")
    with _open(large_url) as server:
        no_statistics = _measure(run, {"large": server}, _make_calls(1))
    for url in (small_url, large_url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE tasks")
    with _open(small_url) as small, _open(large_url) as large:
        run.say(f"scale: {tasks} tasks against {LONG_LIST}")
        operations = _measure(run, {"small": small, "large": large}, _make_calls(0))
        run.say(f"scale: a user with {heavy} tasks")
        of_heavy = _measure(run, {"large": large}, _make_heavy_calls(large.port, heavy))
    p50_ms = {name: {**by_size, "no_statistics": no_statistics[name]["large"]} for name, by_size in operations.items()}
    console.print(_make_table(tasks, p50_ms), _make_heavy_table(heavy, of_heavy))
    return {"tasks": tasks, "heavy_tasks": heavy, "p50_ms": p50_ms, "heavy_p50_ms": of_heavy}


def fill(database_url: str, named: Mapping[str, int], *, crowd: int) -> None:
    """Load the tasks of some users, and those of a crowd, in the order in which they were created: at random."""
    contents = list(make_rows("", LONG_LIST))
    made = random.Random(0)
    users = max(1, crowd // TASKS_EACH)
    total = sum(named.values()) + crowd
    numbers: Counter[str] = Counter()
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")  # it would make statistics
        with connection.cursor().copy(COPY_TASKS.encode()) as copy:
            owners = _shuffle(named, total, made)
            for number, owner in enumerate(track(owners, f"Loading {total} tasks", total, console=console)):
                user_id = owner or f"user-{made.randrange(users)}"
                task_id = make_id(owner, numbers[owner]) if owner else UUID(int=made.getrandbits(128), version=4)
                numbers[owner] += 1
                created = EPOCH + timedelta(seconds=number)
                copy.write_row((user_id, task_id, *contents[number % LONG_LIST][2:-2], created, created))


def _shuffle(named: Mapping[str, int], total: int, made: random.Random) -> Iterator[str]:
    """Give out the owners of all tasks at random, an empty name for one of the crowd."""
    left = dict(named)
    for remaining in range(total, 0, -1):
        drawn = made.randrange(remaining)
        for name, count in left.items():
            if drawn < count:
                left[name] -= 1
                yield name
                break
            drawn -= count
        else:
            yield ""


@contextmanager
def _open(database_url: str) -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="todo-bench-") as folder,
        open_server(SERVICE, database_url, "info", Path(folder, "log")) as server,
    ):
        yield server


def _make_calls(number: int) -> Sequence[Call]:
    """Make the calls of all operations; those that delete find the tasks of another user each time."""

    def make_call(name: str, make: Callable[[str, int], Request], status: int) -> Call:
        user_id = USERS.get(name, USUAL).replace(LEAVER, f"{LEAVER}-{number}")
        return Call(name, lambda each: make(user_id, each), status)

    calls = [make_call(operation.name, operation.make_request, operation.status) for operation in OPERATIONS]
    return [*calls, Call("search", lambda _: Request("GET", f"/api/{USUAL}/tasks{SEARCH}"))]


def _make_heavy_calls(port: int, tasks: int) -> Sequence[Call]:
    page = min(FAR_PAGE, tasks // PAGE)
    queries = {
        "page 1": f"?limit={PAGE}",
        f"page {page}": find_page(port, page),
        "list of 1000": "",
        "20 by title": f"?limit={PAGE}&sort=title",
        "search": SEARCH,
        "search in vain": f"?q=no-such-word&limit={PAGE}",
    }

    def make_call(name: str, query: str) -> Call:
        return Call(name, lambda _: Request("GET", f"/api/{HEAVY}/tasks{query}"))

    return [make_call(name, query) for name, query in queries.items()]


def find_page(port: int, page: int) -> str:
    """Walk to a page of the list, and return the query that leads there."""
    query = ""
    connection = HTTPConnection("127.0.0.1", port)
    left = (page - 1) * PAGE
    while left:
        step = min(left, LONG_LIST)
        query = re.sub(r"limit=\d+", f"limit={step}", query) if query else f"?limit={step}"
        connection.request("GET", f"/api/{HEAVY}/tasks{query}")
        answer = connection.getresponse()
        found = NEXT.fullmatch(answer.headers["Link"])
        if not found:
            raise RuntimeError(f"no next page: {answer.headers}")
        query = "?" + found[1].partition("?")[2]
        answer.read()
        left -= step
    return re.sub(r"limit=\d+", f"limit={PAGE}", query)


def _measure(run: Run, servers: Mapping[str, Server], calls: Sequence[Call]) -> dict[str, dict[str, float]]:
    """Measure the p50 of each call; the servers take turns."""
    each = (QUICK_REQUESTS if run.is_quick else REQUESTS) // TURNS
    p50_ms: dict[str, dict[str, float]] = {}
    for call in calls:
        seconds: dict[str, list[float]] = {name: [] for name in servers}
        for turn in range(-1, TURNS):  # the first is to warm up
            first = WARM_UP + turn * each
            numbers = range(WARM_UP) if turn < 0 else range(first, first + each)
            for name, server in servers.items():
                load = send_all(server.port, [call.make_request(number) for number in numbers], connections=1)
                load.require(call.status)
                seconds[name] += [answer.seconds for answer in load.answers if turn >= 0]
        p50_ms[call.name] = {name: median(values) * 1000 for name, values in seconds.items()}
    return p50_ms


def _make_table(tasks: int, p50_ms: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("p50 in ms", f"{LONG_LIST} tasks", f"{tasks} tasks", "", "without statistics")
    for name, by_size in p50_ms.items():
        ratio = show_target(by_size["large"] / by_size["small"], SCALE_TARGET)
        cells = [f"{by_size[size]:.2f}" for size in ("small", "large", "no_statistics")]
        table.add_row(name, cells[0], cells[1], ratio, cells[2])
    return table


def _make_heavy_table(heavy: int, p50_ms: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(f"p50 in ms, of a user with {heavy} tasks", "", "")
    first = p50_ms["page 1"]["large"]
    for name, by_size in p50_ms.items():
        ratio = show_target(by_size["large"] / first, PAGE_TARGET) if name.startswith("page") else ""
        table.add_row(name, f"{by_size['large']:.2f}", ratio)
    return table
