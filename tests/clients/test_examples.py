"""The example clients compile strictly, and do what they show."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from tests.clients.generators import NODE_MODULES, PROGRAMS, PYTHON_TOOLS, ROOT, run, run_npm_tool
from tests.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("client_tools")]

EXAMPLES = ROOT / "examples"
SHOWN = """\
the same task for the same key: {true}
to do: Call the bank
to do: Buy milk
edited: Buy milk and bread completed: {true} attempts: 2
refused: urn:todo:problem:invalid-input /title
"""
SHOWN_OFFLINE = """\
refused: update precondition-failed
synchronized: Buy oat milk completed: {true}
synchronized: Buy oat milk completed: {true}
"""


@pytest.fixture
def folder(tmp_path: Path, document: Path) -> Path:
    """An empty folder, but for the document."""
    shutil.copy(document, tmp_path / "openapi.json")
    return tmp_path


def test_typescript_example_does_what_it_shows(folder: Path, service: Service) -> None:
    """One task for one key, every page, an overtaken edit, a problem, and two devices that were offline."""
    for path in (EXAMPLES / "typescript").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    run_npm_tool(folder, "openapi-typescript", "openapi.json", "--output", "schema.ts")
    run_npm_tool(folder, "tsc")

    for program, shown in [("main", SHOWN), ("offline", SHOWN_OFFLINE)]:
        arguments = (str(service.client.base_url), f"user-{uuid4()}")
        assert run(folder, "node", f"build/{program}.js", *arguments) == shown.format(true="true")


def test_python_example_does_what_it_shows(folder: Path, service: Service) -> None:
    """One task for one key, every page, an overtaken edit, a problem, and two devices that were offline."""
    for path in (EXAMPLES / "python").glob("*.py"):
        shutil.copy(path, folder)
    run(
        folder,
        *(PYTHON_TOOLS / "openapi-python-client", "generate", "--path", "openapi.json", "--fail-on-warning"),
        *("--config", PROGRAMS / "openapi-python-client.json", "--meta", "none", "--output-path", "todo_client"),
    )
    run(folder, PYTHON_TOOLS / "mypy", "--strict", "--no-incremental", "main.py", "offline.py")

    for program, shown in [("main", SHOWN), ("offline", SHOWN_OFFLINE)]:
        arguments = (str(service.client.base_url), f"user-{uuid4()}")
        assert run(folder, PYTHON_TOOLS / "python", f"{program}.py", *arguments) == shown.format(true="True")


def test_replica_has_at_most_a_hundred_lines() -> None:
    """Whoever copies it has read it."""
    for name in ("typescript/replica.ts", "python/replica.py"):
        assert len((EXAMPLES / name).read_text().splitlines()) <= 100, name


def test_typescript_example_uses_the_versions_that_are_tested() -> None:
    """Those that the tests install."""
    tested = json.loads((NODE_MODULES.parent / "package.json").read_text())["devDependencies"]
    example = json.loads((EXAMPLES / "typescript/package.json").read_text())

    assert {**example["dependencies"], **example["devDependencies"]}.items() <= tested.items()


def test_readme_shows_lines_of_the_examples() -> None:
    """Those that are compiled and run here."""
    section = (ROOT / "README.md").read_text().partition("## Clients\n")[2].partition("\n## ")[0]

    for language, name in [("ts", "typescript/tasks.ts"), ("python", "python/tasks.py")]:
        shown = section.partition(f"```{language}\n")[2].partition("```")[0]
        assert shown
        assert strip_lines(shown) in strip_lines((EXAMPLES / name).read_text())


def strip_lines(text: str) -> str:
    """A text without its indentation."""
    return "\n".join(line.strip() for line in text.splitlines())
