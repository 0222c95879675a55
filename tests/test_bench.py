from contextlib import ExitStack
from pathlib import Path

from bench.contenders import CONTENDERS
from bench.cpu import compare_answers
from bench.operations import OPERATIONS, copy_tasks
from bench.subjects import open_application


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
