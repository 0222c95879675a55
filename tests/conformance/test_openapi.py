"""The service does what its OpenAPI schema says, for requests that are generated from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.service import running_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
CHECKS = "tests.conformance.openapi_checks"
# How many examples of each operation; `make fuzz` asks for more.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "20")
SEED = os.environ.get("FUZZ_SEED", "1")
LIMIT_SECONDS = 100 if EXAMPLES == "20" else 1200


def test_generated_requests_find_nothing(shared_dir: Path) -> None:
    """Valid requests are taken, invalid ones refused as documented, and nothing of one user is seen by another."""
    with running_service("--data-dir", str(shared_dir / "openapi")) as service:
        result = subprocess.run(
            [
                *(
                    SCHEMATHESIS,
                    "--no-color",
                    "--config-file",
                    CONFIGURATION,
                    "run",
                    f"{str(service.client.base_url).rstrip('/')}/openapi.json",
                ),
                *("-n", EXAMPLES, "--seed", SEED, "--generation-database", "none", "-w", "1"),
                *("--phases", "examples,coverage,fuzzing,stateful"),
                *("--continue-on-failure", "--request-timeout", "5"),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": CHECKS},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    assert result.returncode == 0, result.stdout
    assert "No issues found" in result.stdout
