"""What the README shows is so."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from tests.blocks import ROOT, find_script
from tests.picture import PICTURE, read_commands, run_commands
from tests.service import running_command, running_service
from tests.support import connect, find_port

README = (ROOT / "README.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_commands_work_in_order(database_url: str) -> None:
    """Each of the six operations succeeds, on the task that the first has created."""
    with running_service(DATABASE_URL=database_url) as service:
        printed = "\n".join(run_commands(str(service.client.base_url).rstrip("/")))

    assert re.findall(r"^HTTP/1.1 (\d+)", printed, re.MULTILINE) == ["201", "200", "200", "200", "200", "204"]


@pytest.mark.slow
def test_first_command_serves_on_a_database_of_its_own(shared_dir: Path, tasks_url: str) -> None:
    """Which it creates."""
    command, port = ["bash", "-euc", find_script("README.md", "make run ")], find_port()
    environment = {"TODO_PORT": str(port), "TODO_DATA_DIR": str(shared_dir / "make-run")}

    with running_command(command, port, folder=str(ROOT), **environment) as service:
        assert service.client.post(tasks_url, json={"title": "Buy milk"}).status_code == 201


@pytest.mark.slow
def test_commands_for_another_database_migrate_it_and_serve(empty_url: str, tasks_url: str) -> None:
    """With its URL in place of the one that is shown."""
    script = find_script("README.md", "export DATABASE_URL")
    [shown] = re.findall(r"DATABASE_URL='(.*)'", script)
    command, port = ["bash", "-euc", script.replace(shown, empty_url)], find_port()

    with running_command(command, port, folder=str(ROOT), TODO_PORT=str(port)) as service:
        assert service.client.post(tasks_url, json={"title": "Buy milk"}).status_code == 201
        with connect(empty_url) as connection:
            assert connection.execute("SELECT title FROM tasks").fetchall() == [("Buy milk",)]


def test_picture_is_of_these_commands() -> None:
    """Where they have changed, `make picture` draws it again."""
    drawn = unescape("".join(re.findall(r"<text[^>]*>(.*?)</text>", PICTURE.read_text())))

    for command in read_commands():
        assert "".join(command.split()) in "".join(drawn.split())


def test_readme_is_short_and_says_what_it_is_first() -> None:
    """With the stack, in the lines below the title."""
    lines = README.splitlines()

    assert len(lines) <= 190
    for name in ("FastAPI", "SQLModel", "Neon Serverless PostgreSQL"):
        assert name in " ".join(lines[2:4])


def test_figures_are_those_of_the_performance_page() -> None:
    """Each with its unit."""
    section = README.partition("## What a request costs")[2].partition("\n## ")[0]
    measured = (ROOT / "docs/performance.md").read_text()

    figures = re.findall(r"\*\*([\d. ]+)\*\*", section)
    assert figures
    assert [figure for figure in figures if f"**{figure}**" not in measured] == []
