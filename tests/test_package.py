"""What is released: the source distribution, complete enough to be tested, and the Pythons that it is tested on."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.blocks import ROOT, find_block, find_script
from tests.operations import run_six_operations
from tests.service import running_command
from tests.support import find_port


def run(folder: Path, *arguments: str) -> str:
    """Run Python in the folder, on the source there, and return what it prints."""
    # Its copy of the source is not what the coverage of a run is about.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**inherited, "PYTHONPATH": "src"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked in a clean folder."""
    folder = tmp_path_factory.mktemp("sdist")
    build = "import sys; from flit_core.buildapi import build_sdist; print(build_sdist(sys.argv[1]))"
    name = run(ROOT, "-c", build, str(folder)).strip()
    with tarfile.open(folder / name) as archive:
        archive.extractall(folder, filter="data")
    return folder / name.removesuffix(".tar.gz")


def test_source_distribution_has_everything(unpacked: Path) -> None:
    """Documents, tests and what they need: every file of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert [name for name in listed.split() if (ROOT / name).exists() and not (unpacked / name).exists()] == []


@pytest.mark.slow
def test_tests_pass_in_the_source_distribution(unpacked: Path) -> None:
    """On its own source, and with a PostgreSQL of their own."""
    tests = ["tests/test_docs.py", "tests/api/test_tasks.py", "tests/test_architecture.py"]

    assert run(unpacked, "-c", "import todo; print(todo.__file__)").startswith(str(unpacked))
    run(unpacked, "-m", "pytest", "-q", *tests)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and its locked requirements, without the extra."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
    wheel = folder / run(ROOT, "-c", build, str(folder)).strip()
    programs = folder / "environment/bin"
    script = find_block("docs/operations.md", "requirements/run.txt").replace("/opt/todo", str(programs.parent))
    script = re.sub(r" \.$", f" {wheel}", script, flags=re.MULTILINE)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PIP_QUIET": "1"}
    subprocess.run(["bash", "-euc", script], cwd=ROOT, env=environment, check=True)
    return programs


@pytest.mark.slow
@pytest.mark.timeout(300)  # the requirements have to be fetched
def test_wheel_migrates_checks_and_serves(installed: Path, empty_url: str, tmp_path: Path) -> None:
    """From another folder, on a database of the operator's, by the commands of the page on a package index."""
    port = find_port()
    path = f"{installed}:{os.environ['PATH']}"
    script = find_script("docs/package.md", "pip install").replace("pip install todo-backend", "pip show todo-backend")
    [shown] = re.findall(r"DATABASE_URL='(.*)'", script)
    command = ["bash", "-euc", script.replace(shown, empty_url)]

    with running_command(command, port, folder=str(tmp_path), PATH=path, TODO_PORT=str(port)) as service:
        run_six_operations(service.client, "alice")
        assert service.stop() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_without_the_extra_wants_a_database(installed: Path, tmp_path: Path) -> None:
    """In one line, which names the extra; nothing is created."""
    environment = {**os.environ, "TODO_LOG_FORMAT": "console"}
    forgotten = subprocess.run(
        [installed / "todo", "serve"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (forgotten.returncode, len(forgotten.stderr.splitlines())) == (2, 1), forgotten.stderr
    assert "embedded" in forgotten.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_page_of_a_package_index_has_no_link_into_the_repository(installed: Path) -> None:
    """Where it would lead nowhere, as would a picture."""
    command = [
        str(installed / "python"),
        "-c",
        "import importlib.metadata as m; print(m.metadata('todo-backend').json['description'])",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout

    assert shown.startswith("# todo-backend\n")
    assert re.findall(r"\]\((?!https://)[^)]*\)|<img|```mermaid", shown) == []


def test_every_python_that_is_announced_is_tested_in_ci() -> None:
    """From the oldest that the package can be installed on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: 3."
    announced = [f"3.{name.removeprefix(prefix)}" for name in project["classifiers"] if name.startswith(prefix)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())

    assert workflow["jobs"]["check"]["strategy"]["matrix"]["python"] == announced
    assert project["requires-python"] == f">={announced[0]}"
