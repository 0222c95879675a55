"""What is compared is comparable, and what was measured meets the success criteria of the specification."""

import json
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from bench.contenders import CONTENDERS
from bench.cpu import compare_answers
from bench.operations import OPERATIONS, copy_tasks
from bench.subjects import open_application
from bench.sync.measured import open_subject

from todo.models.fields import IdempotencyKey
from todo.models.queries import TaskQuery, TaskSelection
from todo.models.tasks import TaskCreate, TaskUpdate

ROOT = Path(__file__).parent.parent


def test_what_the_bench_compares_answers_alike(database_url: str, tmp_path: Path) -> None:
    """The rivals answer every operation as the service does, byte for byte but for ids and times."""
    with ExitStack() as stack:
        subjects = {
            contender: stack.enter_context(open_application(contender, database_url, "info", tmp_path / "log"))
            for contender in CONTENDERS
        }
        for number, operation in enumerate(OPERATIONS):
            users = {contender: f"own-{number}-0-{place}" for place, contender in enumerate(CONTENDERS)}
            copy_tasks(database_url, dict.fromkeys(users.values(), min(operation.tasks, 20)))
            compare_answers(subjects, operation, users)


async def test_former_writes_do_what_the_service_does(database_url: str) -> None:
    """What is measured without the tick differs in nothing else."""
    outcomes = []
    for is_former in (False, True):
        async with open_subject(database_url, is_former=is_former) as subject:
            store = subject.open_store(f"user-{uuid4()}")
            task = (await store.add(TaskCreate(title="A task", completed=True))).task
            once = [await store.add(TaskCreate(title="Once"), IdempotencyKey("key")) for _ in range(2)]
            changed = [
                await store.edit(task.id, TaskUpdate(title="Renamed")),
                await store.edit(task.id, TaskUpdate(tags=["a"]), frozenset({2})),
                await store.toggle(task.id),
            ]
            count = await store.complete_all(TaskSelection(status="all"), completed=True)
            await store.remove(once[0].task.id)
            left = (await store.page(TaskQuery())).tasks
            outcomes.append(
                (
                    [each.is_replayed for each in once],
                    [(each.title, each.tags, each.completed, each.version) for each in (*changed, *left)],
                    count,
                )
            )

    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2] == 2


def read_figures(part: str) -> Any:  # noqa: ANN401 - JSON
    """The figures of a part, of its last run."""
    return json.loads((ROOT / "docs/performance/results.json").read_text())[part]["figures"]


def test_measured_cpu_time_is_half_of_the_usual_ways() -> None:
    """SC-002, of each operation and list, through the server."""
    cpu_us = read_figures("cpu")["server"]["cpu_us"]
    ratios = {name: median(values) / median(cpu_us["usual way"][name]) for name, values in cpu_us["todo"].items()}

    assert {name: ratio for name, ratio in ratios.items() if ratio > 0.5} == {}


def test_measured_latency_is_one_round_trip() -> None:
    """SC-003, where the database is 20 ms away."""
    operations = read_figures("latency")["20"]["operations"]["todo"]

    assert {name: times["p50_ms"] for name, times in operations.items() if times["p50_ms"] >= 30} == {}


def test_measured_time_does_not_grow_with_the_table() -> None:
    """SC-004, of each operation and of far pages."""
    figures = read_figures("scale")
    ratios = {name: times["large"] / times["small"] for name, times in figures["p50_ms"].items()}
    pages = figures["heavy_p50_ms"]

    assert figures["tasks"] >= 1_000_000
    assert {name: ratio for name, ratio in ratios.items() if ratio > 1.3} == {}
    assert pages["page 1000"]["large"] <= 1.2 * pages["page 1"]["large"]


def test_measured_start_is_short() -> None:
    """SC-005, with either database."""
    starts = read_figures("start")["first_answer_ms"]

    assert {name: times["compiled"] for name, times in starts.items() if median(times["compiled"]) > 1500} == {}


def test_measured_poll_that_finds_nothing_is_short() -> None:
    """In the database, of users with few tasks and with many."""
    polls = read_figures("sync")["poll"]
    empty = {name: cost["and the indexes"]["executed_ms"] for name, cost in polls.items() if name.startswith("nothing")}

    assert len(empty) == 2
    assert {name: milliseconds for name, milliseconds in empty.items() if milliseconds > 0.3} == {}
