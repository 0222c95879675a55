"""How long `todo serve` takes until it answers, and what it imports on the way."""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.contenders import SERVICE, make_command
from bench.operations import HOST
from bench.processes import await_answer, find_port, make_environment, running
from bench.results import Spread, summarize
from bench.run import Run, console
from bench.subjects import PROBE
from bench.tables import show, show_target
from rich.table import Table

STARTS, QUICK_STARTS = 5, 2
SHOWN_MODULES = 15
LEAST_MODULES = 50  # of a process that is shown; multiprocessing has one that imports little
START_TARGET_MS = 1200
EMBEDDED, EXTERNAL = "embedded database", "external database"
IMPORT = re.compile(r"import time: +(\d+) \| +(\d+) \| +(\S+)")


class Import(NamedTuple):
    """A module, and how long its own code took to run."""

    name: str
    self_us: int


@contextmanager
def make_surroundings(kind: str, database_url: str) -> Iterator[dict[str, str]]:
    """Make the settings of a service on this database, or on one of its own in a folder that lasts for the block."""
    settings = {"TODO_LOG_FORMAT": "json", "TODO_ALLOWED_HOSTS": f"{HOST},127.0.0.1"}
    if kind == EXTERNAL:
        yield settings | {"DATABASE_URL": database_url}
        return
    folder = Path(tempfile.mkdtemp(prefix="todo-bench-"))
    folder.chmod(0o755)  # root's PostgreSQL is another account's
    try:
        yield settings | {"TODO_DATA_DIR": str(folder / "data")}
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_service(log: Path, settings: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `todo serve` until the end of the block, and yield it and its port once it has answered."""
    port = find_port()
    environment = make_environment(**settings)
    with (
        log.open("wb") as lines,
        running(make_command(SERVICE, port), environment, stdout=lines, stderr=lines) as process,
    ):
        await_answer(process, port, PROBE.path)
        yield process, port


def run_start(run: Run) -> object:
    """Time to the first answer, with compiled byte code and without, and the time that imports take."""
    times: dict[str, dict[str, Spread]] = {}
    for kind in (EXTERNAL,) if run.is_quick else (EXTERNAL, EMBEDDED):
        run.say(f"start: {kind}")
        with make_surroundings(kind, run.database_url) as settings, tempfile.TemporaryDirectory() as folder:
            log, empty = Path(folder, "log"), Path(folder, "empty")
            measure_start(log, settings)  # makes the database, and compiles what is not
            uncompiled = settings | {"PYTHONPYCACHEPREFIX": str(empty), "PYTHONDONTWRITEBYTECODE": "1"}
            starts: dict[str, list[float]] = {"compiled": [], "not compiled": []}
            for _ in range(QUICK_STARTS if run.is_quick else STARTS):
                starts["compiled"].append(measure_start(log, settings))
                starts["not compiled"].append(measure_start(log, uncompiled))
            times[kind] = {name: summarize(each) for name, each in starts.items()}
    console.print(_make_table(times))
    imports = measure_imports(run.database_url)
    for process in imports:
        console.print(_make_import_table(process))
    return {"first_answer_ms": times, "imports": [_sum_up(process) for process in imports]}


def measure_start(log: Path, settings: Mapping[str, str]) -> float:
    """Measure the milliseconds from the start of the process to the first answer that came from the database."""
    began = time.perf_counter()
    with running_service(log, settings):
        return (time.perf_counter() - began) * 1000


def measure_imports(database_url: str) -> Sequence[Sequence[Import]]:
    """Measure what each process of the service imports, in the order in which they were started."""
    with (
        tempfile.TemporaryDirectory() as folder,
        make_surroundings(EXTERNAL, database_url) as settings,
    ):
        log = Path(folder, "log")
        with running_service(log, settings | {"PYTHONPROFILEIMPORTTIME": "1"}):
            pass
        processes = log.read_text().split("import time: self [us] | cumulative | imported package")
    found = [[Import(name, int(own)) for own, _, name in IMPORT.findall(process)] for process in processes]
    return [imports for imports in found if len(imports) >= LEAST_MODULES]


def _sum_up(imports: Sequence[Import]) -> dict[str, object]:
    return {
        "modules": len(imports),
        "total_ms": sum(module.self_us for module in imports) / 1000,
        "packages_ms": {name: us / 1000 for name, us in _find_slowest_packages(imports)},
        "modules_ms": {name: us / 1000 for name, us in _find_slowest(imports)},
    }


def _find_slowest(imports: Sequence[Import]) -> Sequence[Import]:
    return sorted(imports, key=lambda module: -module.self_us)[:SHOWN_MODULES]


def _find_slowest_packages(imports: Sequence[Import]) -> Sequence[tuple[str, int]]:
    packages: Counter[str] = Counter()
    for module in imports:
        packages[module.name.partition(".")[0]] += module.self_us
    return packages.most_common(SHOWN_MODULES)


def _make_table(times: Mapping[str, Mapping[str, Spread]]) -> Table:
    table = Table("First answer after ms", "compiled byte code", "", "without")
    for kind, by_code in times.items():
        compiled = by_code["compiled"]
        table.add_row(
            kind,
            show(compiled),
            show_target(compiled.median, START_TARGET_MS, " ms"),
            show(by_code["not compiled"]),
        )
    return table


def _make_import_table(imports: Sequence[Import]) -> Table:
    total = sum(module.self_us for module in imports) / 1000
    title = f"Imports of a process: {len(imports)} modules, {total:.0f} ms"
    table = Table("module", "ms", "package", "ms", title=title)
    for module, (package, us) in zip(_find_slowest(imports), _find_slowest_packages(imports), strict=True):
        table.add_row(module.name, f"{module.self_us / 1000:.1f}", package, f"{us / 1000:.1f}")
    return table
