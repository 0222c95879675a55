"""Processes: what the operating system says that they cost, and how they are started and ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

START_SECONDS, END_SECONDS = 30, 20
POLL_SECONDS = 0.005


def find_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_environment(**settings: str) -> dict[str, str]:
    """Make an environment without the settings of whoever runs this; sessions are in UTC, as the rivals rely on."""
    prefixes = ("DATABASE_URL", "PG", "TODO_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "PGTZ": "UTC", **settings}


@contextmanager
def running(
    command: Sequence[str | Path], environment: Mapping[str, str], **files: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block.

    In a session of its own, so that Ctrl-C reaches this process alone, which then ends what it has started in turn.
    """
    with subprocess.Popen(command, env=environment, start_new_session=True, **files) as process:  # type: ignore[call-overload]  # files are what they are named after
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def find_processes(pid: int) -> Iterator[int]:
    """Find a process and all that come of it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from find_processes(int(child))


def read_cpu_seconds(pid: int) -> float:
    """Read the CPU time of a process and of all that come of it, in user and in kernel mode, to the nanosecond.

    The process's own clock, which `/proc/<pid>/stat` rounds to hundredths: see clock_getcpuclockid(3), and
    MAKE_PROCESS_CPUCLOCK in glibc's sysdeps/unix/sysv/linux/kernel-posix-cpu-timers.h for the id.
    """
    return sum(time.clock_gettime((~each << 3) | 2) for each in find_processes(pid))


def read_pss_bytes(pid: int) -> int:
    """Read the memory of one process, of what it shares its part (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def await_answer(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Wait until a server answers a path with 200."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
            connection.request("GET", path)
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(POLL_SECONDS)
    raise RuntimeError("the server does not answer; its log says why")
