"""The soak finds what it is there to find, finds nothing where nothing is wrong, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest
from bench.soak.account import Account, Fate, Outcome, State, count_fates, delete, read_state, toggle
from tests.neon import find_pooler

ROOT = Path(__file__).parents[2]
NOTHING: dict[Fate, int] = {"lost": 0, "doubled": 0, "leaked": 0, "unexpected": 0}
ALL_COLUMNS = 'title, description, completed, completed_at, tags, "order", version'
COPY = f"INSERT INTO tasks (user_id, id, {ALL_COLUMNS}) SELECT user_id, gen_random_uuid(), {ALL_COLUMNS} FROM tasks"  # noqa: S608 - of constants


@pytest.fixture
async def account(client: httpx2.AsyncClient, owner: str) -> Account:
    """Two users with two tasks each, all acknowledged; the first of each has been completed."""
    account = Account()
    for user in (f"{owner}-a", f"{owner}-b"):
        for change in (toggle, None):
            record = account.open(user)
            created = await client.post(f"/api/{user}/tasks", json={"title": "A task", "order": record.number})
            record.task_id = created.json()["id"]
            record.settle_creation(Outcome.DONE, read_state(created.json()))
            if change:
                await client.patch(f"/api/{user}/tasks/{record.task_id}/complete")
                record.settle(Outcome.DONE, change)
    return account


async def test_account_agrees_with_an_honest_database(account: Account, database_url: str, owner: str) -> None:
    """What was acknowledged is there, once, as it was acknowledged."""
    account.audit(database_url, f"{owner}-%")

    assert account.findings == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM tasks", {"lost": 1}),
        (COPY, {"doubled": 1}),
        ("UPDATE tasks SET user_id = left(user_id, -1) || 'b'", {"leaked": 1, "lost": 1}),
        ("UPDATE tasks SET version = 1, completed = false, completed_at = NULL", {"lost": 1}),
        ("UPDATE tasks SET version = 3, completed = false, completed_at = NULL", {"doubled": 1}),
        ("UPDATE tasks SET title = 'Another'", {"lost": 1}),
        ('UPDATE tasks SET "order" = 1000000', {"doubled": 1, "lost": 1}),
    ],
    ids=["deleted", "copied", "given away", "undone", "done twice", "overwritten", "unknown"],
)
async def test_account_finds_a_row_that_was_tampered_with(
    account: Account, database_url: str, owner: str, statement: str, found: dict[Fate, int]
) -> None:
    """Behind its back, one row is changed."""
    with psycopg.connect(database_url) as connection:
        where = 'WHERE user_id = %s AND "order" = 0'
        connection.execute(f"{statement} {where}".encode(), [f"{owner}-a"])

    account.audit(database_url, f"{owner}-%")

    assert count_fates(account.findings) == {**NOTHING, **found}


async def test_account_finds_a_deleted_task_that_came_back(account: Account, database_url: str, owner: str) -> None:
    """An acknowledged deletion is as durable as anything."""
    account.records[f"{owner}-a", 0].settle(Outcome.DONE, delete)

    account.audit(database_url, f"{owner}-%")

    assert count_fates(account.findings) == {**NOTHING, "lost": 1}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.DONE, {1: "lost", 2: None, 3: "doubled"}),
        (Outcome.NOTHING, {1: None, 2: "doubled", 3: "doubled"}),
        (Outcome.UNKNOWN, {1: None, 2: None, 3: "doubled"}),
    ],
)
def test_outcome_of_a_change_says_what_is_possible(outcome: Outcome, expected: dict[int, Fate | None]) -> None:
    """Done once, not at all, or either; never twice."""
    record = Account().open("alice")
    states = {1: State("A task", None, completed=False, version=1)}
    states |= {2: toggle(states[1]), 3: toggle(toggle(states[1]))}
    record.settle_creation(Outcome.DONE, states[1])

    record.settle(outcome, toggle)

    assert {version: record.judge(state) for version, state in states.items()} == expected


@contextmanager
def running_soak(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run it with its files in a folder, and end it."""
    find_pooler(prepares="TODO_TEST_PGBOUNCER" in os.environ)  # or skip
    command = [sys.executable, "-m", "bench.soak", "--output", str(folder / "results"), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture
def folder(shared_dir: Path) -> Path:
    """Where a run has its files."""
    folder = shared_dir / "soak"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.slow
@pytest.mark.alone
def test_short_run_loses_nothing(folder: Path) -> None:
    """The database is killed and connections are cut; every figure that must be 0 is, and the plot is drawn."""
    faults = ["--fault", "database killed", "--fault", "connections cut"]
    with running_soak(folder, "--minutes", "0.15", "--every", "3", "--rate", "30", *faults) as process:
        printed, _ = process.communicate(timeout=100)

    assert process.returncode == 0, printed
    figures = json.loads((folder / "results/soak.json").read_text())
    assert figures["fates"] == NOTHING
    assert sorted(name for name, _, _ in figures["faults"]) == ["connections cut", "database killed"]
    assert figures["answers"]["201"] > 0
    assert (folder / "results/soak.svg").exists()


@pytest.mark.slow
@pytest.mark.alone
def test_interrupted_run_leaves_nothing_behind(folder: Path) -> None:
    """No process, no mounted disk, no file."""
    with running_soak(folder) as process:
        assert process.stdout
        first_line = next(line for line in process.stdout if "http://" in line)
        process.send_signal(signal.SIGINT)
        process.wait(60)

    assert process.returncode
    [port] = re.findall(r"http://127\.0\.0\.1:(\d+)", first_line)
    commands = [path.read_bytes().replace(b"\0", b" ").decode() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert [command for command in commands if str(folder) in command or f"serve --port {port} " in command] == []
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert list(folder.glob("todo-soak-*")) == []
