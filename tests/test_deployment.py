"""How the service is deployed: as a container, with Compose, under systemd.

There is no container engine here, so the steps of the Containerfile are executed one by one, with the folders of the
image below another one.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.neon import TlsServer, tls_server
from tests.service import START_SECONDS, TODO
from tests.support import find_port, wait_until
from todo.cli import commands
from todo.database.urls import read_database_url
from todo.server import GRACE_SECONDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
IMAGE_FOLDERS = re.compile(r"(?<![\w.])/(?=(?:build|opt)\b)")
UNIT = "deploy/todo.service"
MOST_EXPOSURE = 15  # in tenths, as systemd-analyze counts it; most services have more than 90


@dataclass
class Image:
    """What the Containerfile has made, and says of how it is run."""

    folder: Path
    user: str
    environment: dict[str, str] = field(default_factory=dict)
    instructions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def account(self) -> Mapping[str, Any]:
        """How a process becomes its user's, where this account may start such a one."""
        user, group = map(int, self.user.split(":"))
        return {} if os.geteuid() else {"user": user, "group": group, "extra_groups": []}

    def execute(self, instruction: str, argument: str) -> None:
        """Do what an instruction of the Containerfile says."""
        match instruction:
            case "RUN":
                path = f"{find_python(self.account).parent}:{os.environ['PATH']}"
                command = IMAGE_FOLDERS.sub(f"{self.folder}/", argument)
                subprocess.run(["/bin/sh", "-ec", command], env={**os.environ, "PATH": path}, check=True)
            case "COPY" if not argument.startswith("--from="):
                *sources, target = argument.split()
                self.copy(sources, Path(f"{self.folder}{target}"))
            case "ENV":
                self.environment |= dict([argument.split("=", 1)])
            case "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                self.instructions[instruction] = json.loads(argument[argument.index("[") :])
            case _:
                assert instruction in {"FROM", "COPY", "USER", "EXPOSE"}

    def copy(self, sources: Sequence[str], target: Path) -> None:
        """Copy what `.dockerignore` lets into the build."""
        for source in sources:
            assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Run a command in it as its user, without a home, and with nothing of this environment."""
        return subprocess.Popen(
            [IMAGE_FOLDERS.sub(f"{self.folder}/", part) for part in command],
            env={"TMPDIR": "/nowhere", **self.environment, **environment},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.account,
        )

    def run(self, *command: str, **environment: str) -> int:
        """Run a command to its end, and return its status."""
        with ended(self.start(*command, **environment)) as process:
            return process.wait(START_SECONDS)

    def start_todo(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run it with other arguments than those it has."""
        return self.start(*self.instructions["ENTRYPOINT"], *arguments, **environment)


def find_python(account: Mapping[str, Any]) -> Path:
    """Find a Python that the account may execute, as it may that of the base image: not in another one's home."""
    question = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for program in (Path(sys.executable), Path("/usr/bin/python3")):
        with suppress(OSError):
            if subprocess.run([program, "-c", question], cwd="/", check=False, **account).returncode == 0:
                return program
    pytest.skip("no Python 3.11 or newer that any account may execute is installed")


def read_containerfile() -> Iterator[tuple[str, str]]:
    """Each instruction of the Containerfile, and what follows it."""
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            instruction, _, argument = line.partition(" ")
            yield instruction, argument.strip()


@pytest.fixture(scope="module")
def image(shared_dir: Path) -> Image:
    """What its steps make in a clean folder, in which nobody may write any more."""
    steps = list(read_containerfile())
    image = Image(shared_dir / "image", user=dict(steps)["USER"])
    image.folder.mkdir()
    for instruction, argument in steps:
        image.execute(instruction, argument)
    shutil.rmtree(image.folder / "build")  # only the first stage has it
    subprocess.run(["chmod", "-R", "a-w", image.folder], check=True)
    return image


@pytest.fixture(scope="module")
def server(shared_dir: Path) -> Iterator[TlsServer]:
    """A PostgreSQL to which any account can connect."""
    with tls_server(shared_dir / "server") as server:
        yield server


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_image_runs_as_nobody_in_particular(image: Image) -> None:
    """Its user is a number, by which Kubernetes knows that it is not root."""
    user, group = map(int, image.user.split(":"))

    assert user > 0
    assert group > 0


def test_image_migrates_serves_and_stops(image: Image, server: TlsServer, tasks_url: str) -> None:
    """It writes no file, its health check tells whether it serves, and SIGTERM ends it within bounds."""
    port = find_port()
    environment = {"DATABASE_URL": server.url({"sslmode": "require"}), "PORT": str(port)}
    check = image.instructions["HEALTHCHECK"]
    assert image.run(*image.instructions["ENTRYPOINT"], "migrate", **environment) == 0
    with ended(image.start_todo(*image.instructions["CMD"], **environment)) as service:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: image.run(*check, **environment) == 0, START_SECONDS)
            created = client.post(tasks_url, json={"title": "Buy milk"})
            assert client.get(created.headers["Location"]).json()["title"] == "Buy milk"
        service.send_signal(signal.SIGTERM)
        assert service.wait(GRACE_SECONDS) == 0
    assert image.run(*check, **environment) != 0


def test_image_without_a_database_says_so(image: Image) -> None:
    """It has no embedded one, whose data would be gone with the container."""
    with ended(image.start_todo("serve")) as service:
        assert service.wait(START_SECONDS) == 2
        assert service.stdout
        [line] = service.stdout.read().splitlines()
        assert "DATABASE_URL" in json.loads(line)["message"]


def test_compose_file_names_what_there_is() -> None:
    """Its commands are commands of `todo`, its URL can be read, and each service waits for one of the others."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = {name: service for name, service in services.items() if "build" in service}

    assert {command for service in ours.values() for command in service.get("command", ["serve"])} <= {
        command.name for command in commands.registered_commands
    }
    for service in ours.values():
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert read_database_url(service["environment"]["DATABASE_URL"]).parameters["host"] in services
        for name, needed in service["depends_on"].items():
            assert needed["condition"] != "service_healthy" or "healthcheck" in services[name]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is installed here."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    copy = tmp_path / Path(UNIT).name
    copy.write_text((ROOT / UNIT).read_text().replace("/opt/todo/bin/todo", shlex.quote(str(TODO))))
    return copy


def test_systemd_accepts_the_unit(unit: Path) -> None:
    """Every line of it means something."""
    result = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_unit_leaves_the_service_little_to_harm(unit: Path) -> None:
    """By systemd's own measure."""
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
