"""The service as it is run: `todo serve` in a process of its own, asked over a socket."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2

from tests.support import find_port, wait_until
from todo.logs import GATHER_SECONDS

TODO = Path(sys.executable).with_name("todo")
START_SECONDS = 60
STOP_SECONDS = 20


class Service:
    """A running service, and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=15)
        self._log = log

    def read_log(self) -> str:
        """Everything that it printed so far, once lines that gather have been written."""
        time.sleep(10 * GATHER_SECONDS)
        return self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def await_answer(self, probe: str) -> None:
        """Wait until a path is answered with 200."""

        def is_answered() -> bool:
            assert self.process.poll() is None, self.read_log()
            try:
                return self.client.get(probe).status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(is_answered, START_SECONDS)


def running_service(
    *arguments: str, probe: str = "/health/ready", folder: str | None = None, **environment: str
) -> AbstractContextManager[Service]:
    """Run `todo serve` on a free port, and end it if the test has not; it runs once `probe` is answered."""
    return running_service_on(find_port(), *arguments, probe=probe, folder=folder, **environment)


def running_service_on(
    port: int, *arguments: str, probe: str = "/health/ready", folder: str | None = None, **environment: str
) -> AbstractContextManager[Service]:
    """Run it on a port of one's choice, such as that of a service which has ended."""
    command = [str(TODO), "serve", "--port", str(port), *arguments]
    return running_command(command, port, probe=probe, folder=folder, **environment)


@contextmanager
def running_command(
    command: Sequence[str],
    port: int,
    *,
    probe: str = "/health/ready",
    folder: str | None = None,
    **environment: str,
) -> Iterator[Service]:
    """Run a command that serves on the port, in whatever way it does."""
    with tempfile.TemporaryDirectory() as logs, Path(logs, "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        service = Service(process, port, Path(logs, "log"))
        try:
            service.await_answer(probe)
            yield service
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            service.client.close()
