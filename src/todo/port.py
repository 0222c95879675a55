"""The port to listen on: its host resolved, checked to be free, reserved for granian's workers, watched for an answer.

Lines of granian's source are those of version 2.8.7.
"""

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from todo.errors import BadSetting, BrokenEnvironment

# How long a server is waited for, how often it is asked meanwhile, and how long it may take to answer.
ANSWER_SECONDS = 60
POLL_SECONDS = 0.05
PROBE_SECONDS = 1


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind the port without listening, so that no other server takes it while no worker listens.

    On Linux each worker binds it for itself, which needs SO_REUSEPORT here as well; a probe without that is refused.
    Elsewhere granian listens in this process, and nothing else may be bound.
    """
    ensure_port_is_free(host, port)
    family, address = resolve_host(host, port)
    reserved = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform == "linux":
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reserved.bind(address)
        except OSError:  # another server was faster
            ensure_port_is_free(host, port)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


@contextmanager
def watch_port(host: str, port: int, report: Callable[[], None]) -> Iterator[None]:
    """Call `report` from a thread once a server answers on the port, but not after the end of the block."""
    _, address = resolve_host(host, port)
    ended = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not ended.wait(POLL_SECONDS) and time.monotonic() < deadline:
            if _is_answered(address):
                report()
                return

    watcher = threading.Thread(target=watch, name="port", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _is_answered(address: tuple[Any, ...]) -> bool:
    """Send what is not HTTP: the server answers it with a 400 by itself, without the application and its log."""
    try:
        with socket.create_connection(address[:2], PROBE_SECONDS) as probe:
            probe.sendall(b"?\r\n\r\n")
            return probe.recv(1) == b"H"  # of "HTTP"
    except OSError:
        return False


def ensure_port_is_free(host: str, port: int, variables: str = "TODO_") -> None:
    """Raise BrokenEnvironment, with what to do about it, unless this process could listen on the port.

    `variables` is how the names of the two settings begin.
    granian sets SO_REUSEPORT (`_init_shared_socket`, server/common.py:323), so it would share the port with any other
    server of the same user that does.
    """
    family, address = resolve_host(host, port, variables)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections left behind by a server that has ended do not count; a server that listens still does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BrokenEnvironment(
                    f"port {port} on {host} is already in use; "
                    f"stop what listens there or choose another with {variables}PORT"
                ) from None
            if error.errno == errno.EACCES:
                raise BadSetting(
                    f"{variables}PORT: this account may not listen on port {port}; choose another"
                ) from None
            raise BadSetting(f"{variables}HOST: cannot listen on {host} ({error.strerror})") from None


def resolve_host(host: str, port: int, variables: str = "TODO_") -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Resolve the host, since granian accepts IP addresses only; IPv4 goes first.

    https://github.com/emmett-framework/granian/issues/790
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadSetting(f"{variables}HOST: {host} is neither an address nor a known name") from None
    family, _, _, _, address = min(found)
    return family, address
