"""What a measurement is taken of: a contender's application in a process of its own, or its running server."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from bench.client import send_all
from bench.contenders import make_command
from bench.operations import Operation, Request
from bench.processes import await_answer, find_port, make_environment, read_cpu_seconds, running

CONNECTIONS = 8
PROBE = Request("GET", "/api/nobody/tasks")


class Cost(NamedTuple):
    """What a request costs: CPU time in microseconds, and how many there are in a second."""

    cpu_us: float
    rate: float


class Reply(NamedTuple):
    """What is compared of an answer."""

    status: int
    content_type: str
    body: str


class Subject(Protocol):
    """A contender that runs."""

    def ask(self, operation: Operation, user_id: str, number: int) -> Reply:
        """Send one request."""

    def measure(self, operation: Operation, user_id: str, numbers: range) -> Cost:
        """Send many, and measure what they cost."""


Open: TypeAlias = Callable[[str, str, str, Path], AbstractContextManager[Subject]]


class Application:
    """An application that is driven in a process of its own, without a server."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, operation: Operation, user_id: str, number: int) -> Reply:
        """Send one request."""
        return Reply(*self._order(operation, user_id, range(number, number + 1), is_measured=False))

    def measure(self, operation: Operation, user_id: str, numbers: range) -> Cost:
        """Send many, one after another, and measure what they cost."""
        return Cost(**self._order(operation, user_id, numbers, is_measured=True))

    def _order(self, operation: Operation, user_id: str, numbers: range, *, is_measured: bool) -> Any:  # noqa: ANN401 - JSON
        order = {
            "operation": operation.name,
            "user_id": user_id,
            "start": numbers.start,
            "stop": numbers.stop,
            "is_measured": is_measured,
        }
        orders, answers = self._process.stdin, self._process.stdout
        assert orders and answers  # noqa: S101, PT018 - both are pipes
        orders.write(json.dumps(order).encode() + b"\n")
        orders.flush()
        return json.loads(answers.readline())


@contextmanager
def open_application(contender: str, database_url: str, log_level: str, log: Path) -> Iterator[Application]:
    """Run a contender's application."""
    command = [sys.executable, "-m", "bench.drive", contender]
    environment = make_environment(DATABASE_URL=database_url, TODO_LOG_LEVEL=log_level)
    with log.open("ab") as lines:
        pipe = subprocess.PIPE
        with running(command, environment, stdin=pipe, stdout=pipe, stderr=lines) as process:
            yield Application(process)


class Server:
    """A server, asked over HTTP by connections that stay open."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def ask(self, operation: Operation, user_id: str, number: int) -> Reply:
        """Send one request."""
        request = operation.make_request(user_id, number)
        [answer] = send_all(self.port, [request], connections=1, keeps_bodies=True).answers
        return Reply(answer.status, answer.content_type, answer.body)

    def measure(self, operation: Operation, user_id: str, numbers: range) -> Cost:
        """Send many, over some connections at a time, and measure what they cost all processes of the server."""
        requests = [operation.make_request(user_id, number) for number in numbers]
        began = read_cpu_seconds(self.pid)
        load = send_all(self.port, requests, connections=CONNECTIONS)
        cpu = read_cpu_seconds(self.pid) - began
        load.require(operation.status)
        return Cost(cpu / len(requests) * 1e6, len(requests) / load.seconds)


@contextmanager
def open_server(contender: str, database_url: str, log_level: str, log: Path) -> Iterator[Server]:
    """Run a contender's server, and wait until it answers."""
    port = find_port()
    environment = make_environment(DATABASE_URL=database_url, TODO_LOG_LEVEL=log_level, TODO_LOG_FORMAT="json")
    command = make_command(contender, port)
    with log.open("ab") as lines, running(command, environment, stdout=lines, stderr=lines) as process:
        await_answer(process, port, PROBE.path)
        yield Server(process.pid, port)
