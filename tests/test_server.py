import ast
import inspect
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest
from granian.server import MPServer
from granian.server.mp import WorkerProcess

from tests.support import find_port, wait_until
from todo import server
from todo.errors import BadSetting, BrokenEnvironment
from todo.port import ensure_port_is_free
from todo.server import GRACE_SECONDS, HEADER_TIMEOUT_SECONDS, RESERVED_FILES

pytestmark = pytest.mark.slow

# Serves an application that behaves as its first argument says. Every answer carries the worker's process id.
PROGRAM = """
import asyncio, os, sys
from functools import partial
from todo import client_connections, server
from todo.errors import BrokenEnvironment

client_connections.TAKE_SECONDS = 1
if "patient" in sys.argv:
    client_connections.TAKE_SECONDS = 2
    client_connections.SCAN_SECONDS = client_connections.POLL_SECONDS = 0.05

def load(kind, inode):
    if kind == "raises":
        raise ValueError("a mistake")
    if kind == "broken":
        raise BrokenEnvironment("something is missing")
    return partial(app, kind, inode)

async def app(kind, inode, scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if kind == "fails":
            return await send({"type": "lifespan.startup.failed", "message": ""})
        scope["state"]["pid"] = os.getpid()
        if kind == "slow":
            await asyncio.sleep(0.5)
            os.write(1, b"started\\n")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        os.write(1, b"lifespan ended\\n")  # in one piece, as workers share the file
        return await send({"type": "lifespan.shutdown.complete"})
    if kind == "slow":
        os.write(1, b"asked\\n")
    _, path, seconds = f"{scope['path']}/0".split("/")[:3]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d " % scope["state"]["pid"], "more_body": True})
    await asyncio.sleep(float(seconds))
    body = str(has_open(inode)) if path == "lock" else "x" * 8_000_000 if path == "large" else "done"
    await send({"type": "http.response.body", "body": body.encode()})

def has_open(inode):
    for fd in range(3, 256):
        try:
            if os.fstat(fd).st_ino == inode:
                return True
        except OSError:
            pass
    return False

if __name__ == "__main__":
    kind, host, port, workers = sys.argv[1:]
    if kind == "impatient":
        server.HEADER_TIMEOUT_SECONDS = 1
    try:
        with open(__file__) as lock_file:
            inode = os.fstat(lock_file.fileno()).st_ino
            report = (lambda: None) if kind == "works" else partial(print, "it answers", flush=True)
            server.serve(partial(load, kind, inode), report, host=host, port=int(port), workers=int(workers))
    except BrokenEnvironment as error:
        sys.exit(f"todo: {error}")
    print("serve returned", flush=True)
"""


@dataclass
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    log: Path

    def request(self, path: str) -> HTTPResponse:
        """Return the answer as soon as its head is there: the rest of it may still be on its way."""
        with closing(HTTPConnection(self.host, self.port, timeout=20)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse()

    def ask(self, path: str = "/") -> list[str]:
        """Return the id of the worker that answered, and what it said."""
        with self.request(path) as response:
            return response.read().decode().split()

    def await_worker(self, *, other_than: int = 0) -> int:
        """Return the id of a worker once one answers."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if (pid := int(self.ask()[0])) != other_than:
                    return pid
            except (OSError, HTTPException):
                pass
            time.sleep(0.02)
        pytest.fail(f"no worker answers: {self.read_log()}")

    def refuses(self) -> bool:
        """Whether nothing listens on the port."""
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return True
        return False

    def await_end(self, seconds: float) -> int:
        """Return the status of the process, which must end within the time."""
        return self.process.wait(seconds)

    def await_workers(self, count: int, *, besides: frozenset[int] = frozenset()) -> frozenset[int]:
        """Return the ids of so many workers once all of them answer."""
        deadline = time.monotonic() + 10
        workers: frozenset[int] = frozenset()
        while len(workers) < count and time.monotonic() < deadline:
            workers |= {self.await_worker()} - besides
        assert len(workers) == count
        return workers

    def read_log(self) -> str:
        """Return all that it has written."""
        return self.log.read_text()


Start = Callable[..., Served]
OWN_ATTRIBUTES = {"run", "_could_not_start", "_ignores_hangup"}  # of our server; all others are granian's


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers, and end those that are left."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with ExitStack() as stack:

        def start(
            kind: str = "works",
            *,
            host: str = "127.0.0.1",
            port: int = 0,
            workers: int = 1,
            is_up: bool = True,
            setup: str = ":",
        ) -> Served:
            port = port or find_port(host)
            log = tmp_path / f"log{time.monotonic_ns()}"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [
                        *("/bin/sh", "-c", f'{setup}; exec "$@"', "sh"),
                        *(sys.executable, program, kind, host, str(port), str(workers)),
                    ],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            served = Served(process, host, port, log)
            if is_up:
                served.await_worker()
            return served

        yield start


def is_alive(pid: int) -> bool:
    """Whether the process still runs; one that ended may wait for long until somebody asks for its status."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_lifespan_the_workers_and_then_serve(start: Start, number: signal.Signals) -> None:
    """SIGTERM, SIGINT and SIGHUP stop in an orderly way, and nothing else is said about it."""
    served = start(workers=2)
    served.await_workers(2)
    served.process.send_signal(number)
    assert served.await_end(5) == 0
    assert served.read_log().splitlines() == ["lifespan ended", "lifespan ended", "serve returned"]


def test_ctrl_c_reaches_the_parent_alone(start: Start) -> None:
    """A terminal signals the whole process group; the workers have left it, so the parent decides when they stop."""
    served = start()
    assert os.getpgid(served.await_worker()) != os.getpgid(served.process.pid)


def test_sigterm_finishes_requests_in_flight_and_refuses_new_ones(start: Start) -> None:
    """A request that was accepted is answered; one that comes later is not."""
    served = start()
    with served.request("/slow/1") as response:
        served.process.terminate()
        wait_until(served.refuses, 0.5)
        assert response.read().endswith(b"done")
    assert served.await_end(3) == 0


def test_an_idle_connection_does_not_hold_up_a_stop(start: Start) -> None:
    """A kept-alive connection with no request is closed."""
    served = start()
    with closing(HTTPConnection(served.host, served.port, timeout=5)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        served.process.terminate()
        assert served.await_end(3) == 0


def test_a_stuck_request_holds_up_no_end_beyond_the_grace_period(start: Start) -> None:
    """Whether the parent is asked to stop or is killed, its worker ends within the bound; the port is free before."""
    asked, killed = start(), start()
    orphan = killed.await_worker()
    with asked.request("/stuck/60"), killed.request("/stuck/60"):
        asked.process.terminate()
        killed.process.kill()
        wait_until(killed.refuses, 1)
        assert asked.await_end(GRACE_SECONDS + 2) == 0
        wait_until(lambda: not is_alive(orphan), 2)
    assert "Killing a worker that still has requests" in asked.read_log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(start: Start, number: signal.Signals) -> None:
    """Who asks twice does not wait for a stuck request."""
    served = start()
    worker = served.await_worker()
    with served.request("/stuck/60"):
        served.process.send_signal(number)
        wait_until(served.refuses, 1)
        served.process.send_signal(number)
        assert served.await_end(2) == 0
    assert not is_alive(worker)


def test_slow_headers_and_idle_connections_are_closed(start: Start) -> None:
    """Neither a client that drips its request nor one that says nothing keeps a connection."""
    served = start("impatient")
    for words in (b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
        with socket.create_connection((served.host, served.port), 5) as connection:
            connection.sendall(words)
            while connection.recv(1000):
                pass


def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    """After kill -9 of the parent its workers go too, requests in flight first, and the next start has the port."""
    served = start(workers=2)
    workers = served.await_workers(2)
    with served.request("/slow/0.5") as response:
        served.process.kill()
        assert response.read().endswith(b"done")
    wait_until(lambda: not any(map(is_alive, workers)), 2)
    assert start(port=served.port).await_worker() not in workers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - what is asked for is refused
def test_a_second_server_on_the_port_is_refused(start: Start, host: str) -> None:
    """It ends with one line that says what to do, and the first one goes on."""
    first = start()
    second = start(host=host, port=first.port, is_up=False)
    assert second.await_end(5) == 1
    assert second.read_log() == (
        f"todo: port {first.port} on {host} is already in use; "
        "stop what listens there or choose another with TODO_PORT\n"
    )
    assert first.ask()[1] == "done"


@pytest.mark.parametrize("seconds", [0, 0.2, 0.5])
def test_of_two_servers_that_start_together_one_has_the_port(start: Start, seconds: float) -> None:
    """It is taken from the first moment on, and not once a worker listens."""
    first = start(is_up=False)
    time.sleep(seconds)
    second = start(port=first.port, is_up=False)

    wait_until(lambda: None not in {first.process.poll(), second.process.poll()} or not first.refuses(), 5)
    refused, serving = (first, second) if first.process.poll() is not None else (second, first)
    assert refused.await_end(5) == 1
    assert "already in use" in refused.read_log()
    assert serving.await_worker()


def test_two_signals_close_together_end_it(start: Start) -> None:
    """The second may come while the first is being handled; neither waits for the other."""
    for number in range(8):
        served = start()
        served.process.send_signal(signal.SIGTERM)
        time.sleep(number * 20e-6)
        served.process.send_signal(signal.SIGINT)
        assert served.await_end(5) == 0


def test_hangup_that_is_ignored_from_the_start_stays_so(start: Start) -> None:
    """Under nohup the end of the terminal is none of the service."""
    served = start(setup="trap '' HUP")
    served.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)

    assert served.ask()[1] == "done"


def test_worker_that_cannot_be_started_is_one_line_and_the_end_of_the_others(start: Start) -> None:
    """Too few open files, or processes, for all of them."""
    served = start(workers=12, is_up=False, setup="ulimit -n 40")

    assert served.await_end(10) == 1
    assert "todo: a worker could not be started (" in served.read_log()
    assert served.refuses()


def test_a_listener_that_would_share_its_port_is_found() -> None:
    """SO_REUSEPORT on the other side makes no difference."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(BrokenEnvironment, match="already in use"):
            ensure_port_is_free("127.0.0.1", listener.getsockname()[1])


def test_what_a_stopped_server_leaves_behind_does_not_take_the_port(start: Start) -> None:
    """A connection that the server closed first lingers in the kernel; a restart does not wait for it."""
    served = start()
    with socket.create_connection((served.host, served.port), 5) as connection:
        served.process.terminate()
        assert served.await_end(3) == 0
        ensure_port_is_free(served.host, served.port)
        assert connection.recv(1) == b""
    assert start(port=served.port).ask()[1] == "done"


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "a" * 70])
def test_a_host_that_is_not_here_is_one_line(host: str) -> None:
    """A name that means nothing and an address of another machine are faults of the setting."""
    with pytest.raises(BadSetting, match=r"^TODO_HOST: .*$"):
        ensure_port_is_free(host, 8000)


@pytest.mark.ordinary_account  # root may listen on every port
def test_a_privileged_port_is_one_line() -> None:
    """A port that this account may not have is a fault of the setting."""
    try:
        socket.create_server(("127.0.0.1", 1)).close()
    except PermissionError:
        with pytest.raises(BadSetting, match=r"^TODO_PORT: .*$"):
            ensure_port_is_free("127.0.0.1", 1)
    else:
        pytest.skip("this account may listen on every port")


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_names_and_ipv6_addresses_are_served(start: Start, host: str) -> None:
    """Neither of which granian takes as it is."""
    assert start(host=host).ask()[1] == "done"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_replaced(start: Start, workers: int) -> None:
    """However often, and however soon after the one before."""
    served = start(workers=workers)
    for _ in range(3):
        worker = served.await_worker()
        os.kill(worker, signal.SIGKILL)
        served.await_worker(other_than=worker)
    served.process.terminate()
    assert served.await_end(5) == 0


def test_all_workers_that_die_together_are_replaced(start: Start) -> None:
    """No death is overlooked."""
    served = start(workers=2)
    workers = served.await_workers(2)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    served.await_workers(2, besides=workers)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("raises", "ValueError: a mistake"), ("broken", "something is missing"), ("fails", "lifespan startup failed")],
)
def test_an_application_that_cannot_start_is_not_tried_for_ever(
    start: Start, kind: str, reason: str, workers: int
) -> None:
    """The reason is in the log, and the process ends with a status that says so."""
    served = start(kind, workers=workers, is_up=False)
    assert served.await_end(10) == 1
    assert reason in served.read_log()
    assert served.read_log().endswith("todo: the application could not be started; the lines above say why\n")
    assert "it answers" not in served.read_log()


def test_start_is_reported_once_a_worker_answers(start: Start) -> None:
    """Once in all, and without asking the application, which would log that."""
    served = start("slow", workers=2, is_up=False)
    wait_until(lambda: "it answers" in served.read_log())
    served.process.terminate()

    assert served.await_end(GRACE_SECONDS + 2) == 0
    assert served.read_log().startswith("started\n")
    assert served.read_log().count("it answers\n") == 1
    assert "asked" not in served.read_log()


def test_workers_inherit_no_open_files(start: Start) -> None:
    """A lock of the parent's must not live on in a worker."""
    assert start().ask("/lock")[1] == "False"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_idle_connections_make_room_for_new_ones(start: Start, host: str) -> None:
    """More of them than a worker can have, under a small limit of open files, keep nobody waiting."""
    served = start(host=host, setup=f"ulimit -n {RESERVED_FILES + 40}")
    with ExitStack() as idle, served.request("/slow/3") as waiting:
        for _ in range(60):
            idle.enter_context(socket.create_connection((served.host, served.port), 5))
        began = time.monotonic()
        assert served.ask()[1] == "done"
        assert time.monotonic() - began < HEADER_TIMEOUT_SECONDS / 3
        assert waiting.read().endswith(b"done")  # who waits for an answer is not idle
    assert "the longest idle ones, to make room" in served.read_log()


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells what a client has taken")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_client_that_takes_nothing_is_cut(start: Start, host: str) -> None:
    """Its answer is thrown away, and its connection with it."""
    served = start(host=host)
    with open_slow_client(served) as client:
        wait_until(lambda: "did not read their response" in served.read_log(), 20)
        assert takes_less_than_all(client)


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is cut elsewhere")
def test_client_that_is_slow_gets_its_whole_answer(start: Start) -> None:
    """What the kernel has is taken in time, if only just, however long all of it lasts."""
    served = start()
    taken = 0
    with open_slow_client(served) as client:
        while piece := client.recv(131_072):
            taken += len(piece)
            time.sleep(0.02)
    assert taken > 8_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is cut elsewhere")
def test_client_does_not_inherit_the_delay_of_another_at_its_address(start: Start) -> None:
    """Whoever uses an address again, as a proxy does that has few, has the whole time for itself (row 132)."""
    served = start("patient")
    with open_slow_client(served) as first:
        address = first.getsockname()
        time.sleep(1.5)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # nothing is left of it
    with open_slow_client(served, address) as second:
        time.sleep(1)
        assert not takes_less_than_all(second)


def takes_less_than_all(client: socket.socket) -> bool:
    """Whether what there is to read ends too soon."""
    taken = 0
    with suppress(ConnectionResetError):
        while piece := client.recv(1_000_000):
            taken += len(piece)
    return taken < 8_000_000


def open_slow_client(served: Served, address: tuple[str, int] = ("", 0)) -> socket.socket:
    """Ask for a large answer over a connection that can take little of it at a time."""
    client = socket.socket(socket.AF_INET6 if ":" in served.host else socket.AF_INET)
    client.bind(address)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.settimeout(20)
    client.connect((served.host, served.port))
    client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return client


def test_granian_has_every_name_that_is_used_or_overridden() -> None:
    """None of them is documented, so a new version may drop one without notice."""
    ours = next(
        node
        for node in ast.parse(inspect.getsource(server)).body
        if isinstance(node, ast.ClassDef) and node.name == "_Server"
    )
    overridden = {node.name for node in ours.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    attributes = [node for node in ast.walk(ours) if isinstance(node, ast.Attribute)]
    of_server = {node.attr for node in attributes if ast.unparse(node.value) in {"self", "super()"}}
    of_worker = {node.attr for node in attributes if re.match(r"worker$|self\.wrks\[\w+\]$", ast.unparse(node.value))}

    assert len(overridden) == 5
    assert overridden - read_attributes(MPServer, ast.Load) == set()
    assert of_server - OWN_ATTRIBUTES - read_attributes(MPServer, ast.Load) - set(dir(MPServer)) == set()
    assert of_worker - read_attributes(WorkerProcess, ast.Store) - set(dir(WorkerProcess)) == set()


def read_attributes(kind: type, context: type[ast.expr_context]) -> set[str]:
    """The attributes of its own that a class of granian reads, or sets."""
    sources = [inspect.getsource(base) for base in kind.__mro__ if base.__module__.startswith("granian.")]
    return {
        node.attr
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, context)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
