"""The documents name everything that there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from todo.api import health, tasks
from todo.api.problems import TYPE_PREFIX
from todo.errors import TodoError
from todo.settings import Settings

ROOT = Path(__file__).parent.parent


def find_errors(error: type[TodoError] = TodoError) -> Iterator[type[TodoError]]:
    """Every error that a caller can be told."""
    for child in error.__subclasses__():
        if child.__module__ == error.__module__:  # the README's example makes some of its own
            yield child
            yield from find_errors(child)


@pytest.mark.parametrize("error", list(find_errors()))
def test_every_problem_is_documented(error: type[TodoError]) -> None:
    """With its type and its status."""
    assert f"| `{TYPE_PREFIX}{error.code}` | {error.status} |" in (ROOT / "docs/api.md").read_text()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    """Under the name of its variable."""
    variable = Settings.model_fields[field].validation_alias or f"TODO_{field.upper()}"

    assert f"| `{variable}` |" in (ROOT / "docs/configuration.md").read_text()


@pytest.mark.parametrize(
    "route", [route for route in (*tasks.router.routes, *health.router.routes) if isinstance(route, APIRoute)]
)
def test_every_route_is_documented(route: APIRoute) -> None:
    """With its method and its path."""
    path = route.path.removeprefix("/api/{user_id}")

    for method in route.methods or ():
        assert f"`{method} {path}`" in (ROOT / "docs/api.md").read_text()


def test_architecture_maps_every_module() -> None:
    """The map has every file of the source."""
    drawn = (ROOT / "ARCHITECTURE.md").read_text()
    modules = [path.name for path in (ROOT / "src/todo").rglob("*.py") if path.name != "__init__.py"]

    assert [name for name in modules if name not in drawn and not name[0].isdigit() and name != "env.py"] == []


def test_every_requirement_is_shown_by_tests_that_exist() -> None:
    """The checklist names files, and functions in them."""
    spec = ROOT / "specs/1-backend-todo"
    checklist = (spec / "checklists/requirements.md").read_text()
    required = re.findall(r"^(\d+)\. ", (spec / "spec.md").read_text(), re.MULTILINE)

    assert re.findall(r"^\| (\d+)\. ", checklist, re.MULTILINE) == required
    for name, function in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", checklist):
        assert (ROOT / name).exists(), name
        assert not function or f"def {function}(" in (ROOT / name).read_text(), function
