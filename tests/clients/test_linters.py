"""The linters of npm find nothing in the OpenAPI document."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.service import TODO

TOOLS = Path(__file__).parents[2] / "clients/node_modules/.bin"
SPECTRAL_RULES = Path(__file__).with_name("spectral.yaml")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TOOLS.exists(), reason="the npm tools are missing: `npm ci` in clients installs them"),
]

GUARD = """
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from todo.api.dependencies import UserId


def identify(user_id: UserId, token: Annotated[object, Depends(HTTPBearer())]): ...
"""


@pytest.fixture(scope="module", params=[None, "tokens:identify"], ids=["open", "guarded"])
def document(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, as `todo openapi` prints it without authentication and with it."""
    folder = tmp_path_factory.mktemp("document")
    (folder / "tokens.py").write_text(GUARD)
    environment = os.environ | ({"TODO_IDENTIFY_OWNER": request.param} if request.param else {})
    printed = subprocess.run([TODO, "openapi"], cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    path = folder / "openapi.json"
    path.write_bytes(printed.stdout)
    return path


def run_linter(document: Path, *command: str | Path) -> object:
    """Run a linter beside the document, and return what it prints as JSON."""
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    result = subprocess.run(
        [TOOLS / command[0], *command[1:], document.name],
        cwd=document.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def test_redocly_finds_nothing(document: Path) -> None:
    """By its strictest rules, in which a warning is an error."""
    report = run_linter(document, "redocly", "lint", "--extends", "recommended-strict", "--format", "json")

    assert isinstance(report, dict)
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, report["problems"]


def test_spectral_finds_nothing(document: Path) -> None:
    """By its rules for OpenAPI, not even a hint."""
    assert run_linter(document, "spectral", "lint", "--quiet", "--format", "json", "--ruleset", SPECTRAL_RULES) == []
