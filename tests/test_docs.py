"""The documents name everything that there is, and nothing else."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from tests.blocks import ROOT, list_blocks
from todo import errors
from todo.api import health, sync, tasks
from todo.api.dependencies import trust_path
from todo.api.problems import TYPE_PREFIX
from todo.errors import TodoError
from todo.models.queries import TaskQuery
from todo.settings import Settings

FOLDERS = (".", "clients", "docs", "examples/*", "specs/**")
DOCUMENTS = sorted({path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md")})


def find_errors(error: type[TodoError] = TodoError) -> Iterator[type[TodoError]]:
    """Every error that a caller can be told."""
    for child in error.__subclasses__():
        if child.__module__ == error.__module__:  # the README's example makes some of its own
            yield child
            yield from find_errors(child)


def read_api_section(title: str) -> str:
    """The text under a heading of docs/api.md."""
    return (ROOT / "docs/api.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_documented_problems_are_those_of_the_errors() -> None:
    """Each with its type and its status."""
    rows = re.findall(rf"^\| `{TYPE_PREFIX}([a-z-]+)` \| (\d+) \|", read_api_section("Errors"), re.MULTILINE)

    assert sorted(rows) == sorted({(error.code, str(error.status)) for error in find_errors()})


def test_tree_of_errors_is_that_of_the_classes() -> None:
    """Whoever reads it sees each error under the one that it is a kind of, with its status."""
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    drawn = set()
    branch: list[str] = []
    for lines, name, status in re.findall(r"^([│├└─ ]*)(\w+)(?: +(\d{3}))?", tree, re.MULTILINE):
        branch[len(lines) // 4 :] = [name]
        drawn.add((*branch[-2:], status))

    classes = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, Exception)]
    assert drawn == {
        (*(base.__name__ for base in each.__mro__[1::-1] if base is not Exception), str(vars(each).get("status", "")))
        for each in classes
    }


def test_documented_list_parameters_are_those_of_the_query() -> None:
    """A filter that nobody knows of is of no use, nor is one that there is not."""
    rows = re.findall(r"^\| (`.*?) \|", read_api_section("Lists"), re.MULTILINE)

    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(TaskQuery.model_fields)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    """Under the name of its variable."""
    alias = Settings.model_fields[field].validation_alias
    variable = alias if isinstance(alias, str) else f"TODO_{field.upper()}"

    assert f"| `{variable}` |" in (ROOT / "docs/configuration.md").read_text()


ROUTES = (*tasks.make_router(trust_path).routes, *sync.make_router(trust_path).routes, *health.router.routes)


@pytest.mark.parametrize("route", [route for route in ROUTES if isinstance(route, APIRoute)])
def test_every_route_is_documented(route: APIRoute) -> None:
    """With its method and its path."""
    path = route.path_format.removeprefix("/api/{user_id}")

    for method in route.methods or ():
        assert f"`{method} {path}`" in (ROOT / "docs/api.md").read_text()


def test_architecture_maps_every_module() -> None:
    """The map has every file of the source."""
    drawn = (ROOT / "ARCHITECTURE.md").read_text()
    modules = [path.name for path in (ROOT / "src/todo").rglob("*.py") if path.name != "__init__.py"]

    assert [name for name in modules if name not in drawn and not name[0].isdigit() and name != "env.py"] == []


def test_architecture_is_short() -> None:
    """Whoever is new reads it to its end."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


def find_anchors(document: Path) -> set[str]:
    """The anchors of its headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """To a file of the repository, and to a heading in it."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in find_anchors(target)):
            broken.append(link)

    assert broken == []


README, OPERATIONS = "README.md", "docs/operations.md"
# What runs each block, by what only that block has; where no test can, why.
BLOCKS: Mapping[tuple[str, str], str] = {
    (README, "flowchart LR"): "a diagram",
    (README, "make test "): "test_readme.py::test_first_command_serves_on_a_database_of_its_own",
    (README, "API="): "test_readme.py::test_commands_work_in_order",
    (README, "async edit("): "clients/test_examples.py::test_readme_shows_lines_of_the_examples",
    (README, "def edit("): "clients/test_examples.py::test_readme_shows_lines_of_the_examples",
    (README, "make migrate"): "test_readme.py::test_commands_for_another_database_migrate_it_and_serve",
    (README, "def identify_by_token"): "api/test_authentication.py::test_user_with_a_token_has_the_same_contract",
    (README, "install pyjwt"): "api/test_authentication.py::test_commands_of_the_readme_put_it_in_front",
    ("docs/api.md", "has_more"): "api/test_sync_guide.py::test_documents_of_the_guides_are_those_of_the_api",
    ("docs/api.md", "urn:todo"): "api/test_sync_guide.py::test_documents_of_the_guides_are_those_of_the_api",
    (
        "docs/opentelemetry.md",
        "pip install",
    ): "`make .venv/opentelemetry/installed` does the same",
    ("docs/opentelemetry.md", "OTEL_SERVICE_NAME"): (
        "test_opentelemetry.py::test_request_and_its_statement_belong_to_the_trace_of_the_client"
    ),
    **dict.fromkeys(
        ((OPERATIONS, part) for part in ("make dev", "CREATE ROLE", "todo migrate\n", "GRANT", "ALTER", "todo check")),
        "conformance/test_databases.py::test_commands_of_the_operations_page_lead_to_a_service",
    ),
    (OPERATIONS, "CREATE INDEX"): ("database/test_schema.py::test_index_that_was_built_before_the_update_is_found"),
    (OPERATIONS, "requirements/run.txt"): "test_package.py::test_wheel_migrates_checks_and_serves",
    (OPERATIONS, "neonctl branches create"): "needs Neon",
    (OPERATIONS, "neonctl branches restore"): "needs Neon",
    (OPERATIONS, "SET begins_at"): "faults/test_retention.py::test_operator_makes_every_position_void_at_once",
    (OPERATIONS, "docker build"): "needs a container engine",
    (OPERATIONS, "systemctl enable"): "needs systemd as the first process",
    ("docs/package.md", "uvx"): "test_ways_to_serve.py::test_uvx_with_the_extra_starts_an_embedded_database",
    ("docs/package.md", "curl"): "test_ways_to_serve.py::test_uvx_with_the_extra_starts_an_embedded_database",
    ("docs/package.md", "pip install"): "test_package.py::test_wheel_migrates_checks_and_serves",
    ("docs/performance.md", "make bench "): "takes half an hour",
    ("docs/scaling.md", "PARTITION BY"): "database/test_plans.py::test_every_statement_touches_one_partition",
    ("docs/sync.md", "def pull("): "api/test_sync_guide.py::test_loop_keeps_a_copy",
    ("docs/sync.md", "bmV4dA"): "api/test_sync_guide.py::test_documents_of_the_guides_are_those_of_the_api",
    ("docs/sync.md", '"op"'): "api/test_sync_guide.py::test_documents_of_the_guides_are_those_of_the_api",
    ("docs/sync.md", "batch-refused"): "api/test_sync_guide.py::test_documents_of_the_guides_are_those_of_the_api",
    ("docs/sync.md", "def push("): "api/test_sync_guide.py::test_batch_says_which_operations_are_refused",
}


def test_every_block_is_run_by_a_test_that_exists() -> None:
    """Or says why none runs it; CONTRIBUTING.md has the commands of make, which CI runs."""
    documents = ["README.md", *(str(path.relative_to(ROOT)) for path in DOCUMENTS if path.parent.name == "docs")]
    blocks = [block for document in documents for block in list_blocks(document)]

    keys = [
        [part for document, part in BLOCKS if document == block.document and part in block.text] for block in blocks
    ]
    assert [len(found) for found in keys] == [1] * len(BLOCKS), list(zip(keys, blocks, strict=True))
    for name, _, function in (shown.partition("::") for shown in BLOCKS.values()):
        assert not function or f"def {function}(" in (ROOT / "tests" / name).read_text(), function


def test_every_target_of_make_exists() -> None:
    """That a document tells its reader to make."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [part for path in DOCUMENTS for part in re.findall(r"```.*?```|`[^`]+`", path.read_text(), re.DOTALL)]
    named = {name for part in code for name in re.findall(r"(?:^ *|`)make ([a-z-]+)", part, re.MULTILINE)}

    assert named - targets == set()
    assert {"run", "test", "build"} <= named


def test_words_are_spelt_as_usual() -> None:
    """In documents and source; tests misspell on purpose."""
    names = [*DOCUMENTS, *(ROOT / name for name in ("src", "bench", "examples", "Makefile"))]
    command = [str(Path(sys.executable).with_name("typos")), "--format", "brief", *map(str, names)]
    typos = subprocess.run(command, check=False, capture_output=True, text=True)

    assert typos.stdout == ""


SPECIFICATION = ROOT / "specs/1-backend-todo"
REQUIREMENT = r"(?:AS|FR|SC)-\d+"


def read_checklist() -> list[tuple[str, list[str]]]:
    """Each row: what is required, and the tests that show it."""
    rows = re.findall(
        rf"^\| ({REQUIREMENT}) \|.*\| (`.*) \|$",
        (SPECIFICATION / "checklists/requirements.md").read_text(),
        re.MULTILINE,
    )
    return [(requirement, re.findall(r"`([^`]+)`", tests)) for requirement, tests in rows]


def test_checklist_has_every_requirement_once() -> None:
    """And none that the specification does not have, whose numbers are without gaps and repeats."""
    required = re.findall(rf"^- \*\*({REQUIREMENT})\*\*", (SPECIFICATION / "spec.md").read_text(), re.MULTILINE)

    assert sorted(requirement for requirement, _ in read_checklist()) == sorted(required)
    for kind in ("FR", "SC"):
        numbers = [name for name in required if name.startswith(kind)]
        assert numbers == [f"{kind}-{number:03}" for number in range(1, len(numbers) + 1)]
    assert len(set(required)) == len(required)


@pytest.mark.parametrize(("requirement", "tests"), read_checklist())
def test_requirement_is_shown_by_tests_that_exist(requirement: str, tests: list[str]) -> None:
    """A requirement without a test is no promise."""
    assert tests, requirement
    for name, function in (test.split("::") for test in tests):
        assert f"def {function}(" in (ROOT / "tests" / name).read_text(), function


def read_fault_rows() -> dict[str, list[str]]:
    """The tests of each row of the table of faults."""
    rows = re.findall(r"^\| (\d+) \| .* \| (`.*) \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
    return {row: re.findall(r"`([\w/]+\.py::\w+)`", tests) for row, tests in rows}


def read_cited_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Every test of a module that says which row it shows, and that row."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            text = " ".join([ast.get_docstring(node) or "", *map(ast.unparse, node.decorator_list)])
            for cited in re.findall(r"\brows? (\d+(?:(?:, | and )\d+)*)", text, re.IGNORECASE):
                for row in re.findall(r"\d+", cited):
                    yield row, f"{path.relative_to(ROOT / 'tests')}::{node.name}"


def test_every_fault_is_numbered_and_shown_by_tests_that_exist() -> None:
    """A row without a test is no promise."""
    rows = read_fault_rows()

    assert list(rows) == [str(number) for number in range(1, len(rows) + 1)]
    for row, tests in rows.items():
        assert tests, row
        for name, function in (test.split("::") for test in tests):
            assert f"def {function}(" in (ROOT / "tests" / name).read_text(), (row, function)


def test_every_row_that_a_test_cites_names_that_test() -> None:
    """Whoever follows the number of a row from a test finds the test again there."""
    rows = read_fault_rows()
    modules = (ROOT / "tests").rglob("test_*.py")
    missing = [cited for path in modules for cited in read_cited_rows(path) if cited[1] not in rows.get(cited[0], [])]

    assert missing == []
