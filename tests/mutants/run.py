"""Change the modules that decide about data, in one place at a time, and see that a test notices: `make mutants`.

A mutant is never written to disk: a child of this process, which has imported all the rest, loads it in its module's
place and runs the tests that cover it. Ends with a table, and with 1 where a mutant survives that `equivalent.toml`
does not explain, or where that explains one which does not survive.
"""

import gc
import importlib
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.mutants.operators import Mutant, make_mutants

from todo.embedded.postgres import embedded_postgres

ROOT = Path(__file__).parents[2]

# The tests that cover a module, the quickest first.
TESTS = {
    "todo.database.failures": ["database/test_failures.py"],
    "todo.api.cursors": ["api/test_cursors.py"],
    "todo.api.headers": ["api/test_request_headers.py"],
    **{
        f"todo.database.statements.{name}": [
            "database/test_statements.py",
            "database/test_operations.py",
            "database/test_feeds.py",
            "database/test_plans.py",
            "database/test_store.py",
        ]
        for name in ("columns", "tasks", "lists", "feed", "batch")
    },
    "todo.database.store": ["database/test_operations.py", "database/test_feeds.py", "database/test_store.py"],
}
LIMIT_SECONDS = 300  # for the tests of one mutant
# Made once; SQLAlchemy knows one table of a name.
KEPT = {
    "todo",
    "todo.errors",
    "todo.models",
    *(f"todo.models.{name}" for name in ("fields", "tables", "tasks", "queries", "feeds", "batches")),
}
QUIET = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


class Result(NamedTuple):
    """A module's mutants and what became of them."""

    module: str
    outcomes: dict[Mutant, Outcome]
    seconds: float


def run(modules: Sequence[str]) -> int:
    """Judge the modules and return the status to exit with."""
    with _database():
        results = [_judge(module) for module in modules]
    explained = _read_equivalent()
    _report(results, explained)
    survivors = {
        (result.module, mutant.before, mutant.after)
        for result in results
        for mutant, outcome in result.outcomes.items()
        if outcome is Outcome.SURVIVED
    }
    for module, before, after in sorted(survivors - explained):
        print(f"SURVIVED  {module}\n  - {before}\n  + {after}")
    stale = {each for each in explained if each[0] in modules} - survivors
    for module, before, after in sorted(stale):
        print(f"NO SURVIVOR, but explained  {module}\n  - {before}\n  + {after}")
    return 1 if survivors - explained or stale else 0


def _report(results: Sequence[Result], explained: set[tuple[str, str, str]]) -> None:
    print(f"\n{'module':24}{'made':>6}{'killed':>8}{'timed out':>11}{'equivalent':>12}{'survived':>10}{'seconds':>9}")
    for result in results:
        count = Counter(result.outcomes.values())
        equivalent = sum(
            (result.module, mutant.before, mutant.after) in explained
            for mutant, outcome in result.outcomes.items()
            if outcome is Outcome.SURVIVED
        )
        print(
            f"{result.module:24}{len(result.outcomes):6}{count[Outcome.KILLED]:8}{count[Outcome.TIMED_OUT]:11}"
            f"{equivalent:12}{count[Outcome.SURVIVED] - equivalent:10}{result.seconds:9.0f}"
        )


def _read_equivalent() -> set[tuple[str, str, str]]:
    groups = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    # Stripped, since a text of TOML cannot end in the quotes that it stands in.
    return {(group["module"], *map(str.strip, mutant)) for group in groups for mutant in group["mutants"]}


@contextmanager
def _database() -> Iterator[None]:
    """Start a database for all runs, unless TODO_TEST_DATABASE_URL names one."""
    if os.environ.get("TODO_TEST_DATABASE_URL"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="todo-mutants-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another account
        with embedded_postgres(Path(folder) / "embedded", None, print) as url:
            os.environ["TODO_TEST_DATABASE_URL"] = url
            yield


def _judge(module: str) -> Result:
    start = time.monotonic()
    code = Path(str((spec := find_spec(module)) and spec.origin)).read_text()
    mutants = make_mutants(code)
    _import_the_rest(module)
    if _test(module, code, show=True) is not Outcome.SURVIVED:
        sys.exit(f"{module}: its tests fail without a change")
    outcomes = {}
    for number, mutant in enumerate(mutants, 1):
        outcomes[mutant] = _test(module, mutant.code)
        if outcomes[mutant] is not Outcome.KILLED or number % 50 == 0:
            at = f"{time.monotonic() - start:6.0f} s  {module}  {number}/{len(mutants)}"
            print(f"{at}  {outcomes[mutant].value}  {mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)
    if _test(module, code) is not Outcome.SURVIVED:
        sys.exit(f"{module}: its tests fail without a change by now, so that nobody knows what killed the mutants")
    return Result(module, outcomes, time.monotonic() - start)


def _import_the_rest(module: str) -> None:
    """Import what the tests of a module import, but nothing of ours that may have seen the module."""
    pytest.main(["--collect-only", "-qq", *_find_tests(module)])
    for name in [name for name in sys.modules if name.partition(".")[0] in {"todo", "tests", "conftest"}]:
        if name not in KEPT and not name.startswith("tests.mutants"):
            del sys.modules[name]
    importlib.import_module(module)
    del sys.modules[module]
    gc.freeze()  # a child that collects garbage would copy all that it has inherited


def _find_tests(module: str) -> list[str]:
    return [str(ROOT / "tests" / path) for path in TESTS[module]]


def _test(module: str, code: str, *, show: bool = False) -> Outcome:
    child = os.fork()
    if not child:
        os.setsid()
        _run_child(module, code, show=show)
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Outcome.KILLED if status else Outcome.SURVIVED
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Outcome.TIMED_OUT


def _run_child(module: str, code: str, *, show: bool) -> None:
    status = 70
    try:
        if not show:
            for descriptor in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        _load(module, code)
        status = pytest.main([*QUIET, *_find_tests(module)])
    finally:
        os._exit(status)


def _load(name: str, code: str) -> None:
    spec = find_spec(name)
    assert spec, name
    module = module_from_spec(spec)
    sys.modules[name] = module
    package, _, child = name.rpartition(".")
    setattr(sys.modules[package], child, module)
    exec(compile(code, str(spec.origin), "exec"), module.__dict__)  # noqa: S102 - the project's own code, but for a mutation


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:] or list(TESTS)))
