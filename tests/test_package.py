"""What is released: the source distribution, complete enough to be tested, and the Pythons that it is tested on."""

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


def run(folder: Path, *arguments: str) -> str:
    """Run Python in the folder, on the source there, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": "src"}
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


def test_every_python_that_is_announced_is_tested_in_ci() -> None:
    """From the oldest that the package can be installed on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: 3."
    announced = [f"3.{name.removeprefix(prefix)}" for name in project["classifiers"] if name.startswith(prefix)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())

    assert workflow["jobs"]["check"]["strategy"]["matrix"]["python"] == announced
    assert project["requires-python"] == f">={announced[0]}"
