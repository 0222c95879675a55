"""What memory the service's processes take after many requests: of one worker, and without PostgreSQL's own."""

import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.client import send_all
from bench.operations import LONG_LIST, OPERATIONS, SHORT_LIST, Request
from bench.processes import find_processes
from bench.run import Run, console
from bench.start import EMBEDDED, EXTERNAL, make_surroundings, running_service
from bench.subjects import CONNECTIONS
from bench.tables import show_target
from rich.table import Table

REQUESTS, QUICK_REQUESTS, BATCHES = 100_000, 2_000, 20
MIX = {"read": 70, "list": 10, "create": 10, "toggle": 9, "long list": 1}
MIB = 1024 * 1024
PSS_TARGET_MIB = 120
MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ (\S+) \S+ (\d+) *(.*)")

CREATE = next(operation for operation in OPERATIONS if operation.name == "create")
ROLES = {"resource_tracker": "resource tracker", "spawn_main": "worker"}  # by what stands in the command line


def run_memory(run: Run) -> object:
    """Memory of every process after a mix of requests."""
    figures: dict[str, object] = {}
    for kind in (EXTERNAL,) if run.is_quick else (EXTERNAL, EMBEDDED):
        requests = QUICK_REQUESTS if run.is_quick else REQUESTS if kind == EXTERNAL else REQUESTS // 5
        run.say(f"memory: {requests} requests, {kind}")
        with (
            make_surroundings(kind, run.database_url) as settings,
            tempfile.TemporaryDirectory() as folder,
            running_service(Path(folder, "log"), settings) as (process, port),
        ):
            at_start = read_memory(process.pid)
            send_mix(port, requests)
            at_end = read_memory(process.pid)
        console.print(_make_table(f"Memory in MiB, {kind}, {requests} requests", at_start, at_end))
        figures[kind] = {"requests": requests, "at_start_mib": at_start, "at_end_mib": at_end}
    return figures


def send_mix(port: int, count: int) -> None:
    """Send requests of many kinds, over some connections at a time."""
    drawn = random.Random(0)
    paths = _create_tasks(port)
    for batch in range(BATCHES):
        requests = []
        for number in range(count // BATCHES):
            match drawn.choices(list(MIX), list(MIX.values()))[0]:
                case "read":
                    requests.append(Request("GET", drawn.choice(paths)))
                case "toggle":
                    requests.append(Request("PATCH", f"{drawn.choice(paths)}/complete"))
                case "create":
                    requests.append(CREATE.make_request(f"maker-{batch}-{number}", number))
                case "list":
                    requests.append(Request("GET", "/api/short/tasks"))
                case "long list":
                    requests.append(Request("GET", "/api/usual/tasks"))
        send_all(port, requests, connections=CONNECTIONS)


def _create_tasks(port: int) -> Sequence[str]:
    """Create the tasks that are read and toggled over HTTP, as nobody else reaches an embedded database."""
    send_all(port, [CREATE.make_request("short", number) for number in range(SHORT_LIST)], connections=CONNECTIONS)
    requests = [CREATE.make_request("usual", number) for number in range(LONG_LIST)]
    load = send_all(port, requests, connections=CONNECTIONS, keeps_bodies=True)
    load.require(CREATE.status)
    return [f"/api/usual/tasks/{json.loads(answer.body)['id']}" for answer in load.answers]


def read_memory(pid: int) -> dict[str, float]:
    """Read the MiB of each process, with its part of what it shares (PSS), and of all as if they were alone.

    The bench has some of the same files in memory, Python's own for one, and the kernel divides those by it as well. So
    the total counts what is private, and once what is shared: it is a little more than the PSS on a machine of its own.
    """
    memory: dict[str, float] = {}
    private = 0
    shared: dict[tuple[str, ...], int] = {}
    for each in find_processes(pid):
        if Path(f"/proc/{each}/comm").read_text().strip() == "postgres":
            continue
        role = _name_role(Path(f"/proc/{each}/cmdline").read_text())
        sums: Counter[str] = Counter()
        for block in Path(f"/proc/{each}/smaps").read_text().split("VmFlags:"):
            values = {name: int(kib) * 1024 for name, kib in re.findall(r"(\w+): +(\d+) kB", block)}
            sums.update(values)
            mapping = MAPPING.search(block)
            if mapping:
                place = mapping.groups()
                shared[place] = max(shared.get(place, 0), values["Shared_Clean"] + values["Shared_Dirty"])
        private += sums["Private_Clean"] + sums["Private_Dirty"]
        memory[role] = memory.get(role, 0) + sums["Pss"] / MIB
    return memory | {"all, alone": (private + sum(shared.values())) / MIB}


def _name_role(command: str) -> str:
    return next((role for sign, role in ROLES.items() if sign in command), "todo serve")


def _make_table(title: str, at_start: Mapping[str, float], at_end: Mapping[str, float]) -> Table:
    table = Table("", "at start", "at the end", "", title=title)
    for role, mib in at_end.items():
        target = show_target(mib, PSS_TARGET_MIB, " MiB") if role.startswith("all") else ""
        table.add_row(role, f"{at_start.get(role, 0):.1f}", f"{mib:.1f}", target)
    return table
