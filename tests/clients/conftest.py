"""A running service, the document that it publishes, and the tools that make clients from it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.generators import NODE_MODULES, PYTHON_TOOLS
from tests.service import TODO, Service, running_service


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The OpenAPI document, as `todo openapi` prints it."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(subprocess.run([TODO, "openapi"], stdout=subprocess.PIPE, check=True).stdout)
    return path


@pytest.fixture(scope="module")
def service(shared_dir: Path) -> Iterator[Service]:
    """A service that pages of any port of this machine may call."""
    with running_service("--data-dir", str(shared_dir / "clients")) as service:
        yield service


@pytest.fixture(scope="session")
def client_tools() -> None:
    """Skip the test where a tool is missing that it runs."""
    if not shutil.which("node") or not NODE_MODULES.exists() or not PYTHON_TOOLS.exists():
        pytest.skip("Node or its tools are missing: `make client-check` installs the tools")
