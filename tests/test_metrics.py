"""The metrics of `todo serve`, which granian exports, on an address of their own."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.service import TODO, Service, running_service
from tests.support import find_port, wait_until
from todo.server import METRICS_SECONDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def metrics_url() -> str:
    """Where the metrics are."""
    return f"http://127.0.0.1:{find_port()}/metrics"


@pytest.fixture(scope="module")
def service(database_url: str, metrics_url: str) -> Iterator[Service]:
    """A service with metrics."""
    port = str(httpx2.URL(metrics_url).port)
    with running_service(DATABASE_URL=database_url, TODO_METRICS_PORT=port) as service:
        yield service


def read_metric(url: str, name: str) -> int:
    """The sum of a metric over the workers."""
    return sum(map(int, re.findall(rf"^{name}(?:{{.*}})? (\d+)$", httpx2.get(url).text, re.MULTILINE)))


def test_requests_are_counted(service: Service, metrics_url: str, tasks_url: str) -> None:
    """And shown a few seconds later."""
    before = read_metric(metrics_url, "granian_requests_handled")
    for _ in range(20):
        assert service.client.get(tasks_url).status_code == 200

    wait_until(lambda: read_metric(metrics_url, "granian_requests_handled") >= before + 20, 2 * METRICS_SECONDS)


def test_worker_that_was_replaced_is_counted(service: Service, metrics_url: str) -> None:
    """Which our server does, and not granian."""
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)

    wait_until(lambda: read_metric(metrics_url, "granian_workers_respawns_for_err") == 1)
    service.await_answer("/health/ready")


@pytest.mark.usefixtures("service")
def test_every_metric_is_documented(metrics_url: str) -> None:
    """And no other."""
    shown = set(re.findall(r"^# TYPE (\w+) ", httpx2.get(metrics_url).text, re.MULTILINE))
    section = (ROOT / "docs/operations.md").read_text().partition(". Metrics\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(granian_\w+)`", section)) == shown


def test_api_has_no_metrics(service: Service) -> None:
    """Whoever can reach the tasks need not see them."""
    assert service.client.get("/metrics").status_code == 404


def test_port_that_is_taken_is_one_line(database_url: str) -> None:
    """It names the variable of this port, and not of the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "TODO_METRICS_PORT": port,
            "TODO_LOG_FORMAT": "console",
        }
        command = [str(TODO), "serve", "--port", str(find_port())]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 1
    assert result.stderr.endswith(
        f"todo: port {port} on 127.0.0.1 is already in use; "
        "stop what listens there or choose another with TODO_METRICS_PORT\n"
    )
