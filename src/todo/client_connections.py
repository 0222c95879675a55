"""Client connections: those that do not read their response are closed, and idle ones before new ones have to wait.

granian has no time limit for writing, and keeps an idle connection for as long as a request's headers may take. A
thread watches the worker's own sockets, so that a request costs almost nothing more. It needs what Linux says of a
socket (`TCP_INFO`); elsewhere no connection is closed here.
"""

import fcntl
import logging
import os
import socket
import stat
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

# A client must read what the kernel has buffered of its response within this time: it may be slow, but not stop.
TAKE_SECONDS = 30
# How much of a response the kernel buffers before it can be sent, for each connection; without a limit, megabytes.
UNSENT_BYTES = 131_072
POLL_SECONDS = 0.25
SCAN_SECONDS = 1
# Fractions of the limit: once the first is reached, idle connections are closed until the second is.
CROWDED, ROOMY = 0.85, 0.75

# tcpi_state, tcpi_last_data_sent and tcpi_last_data_recv (milliseconds ago), tcpi_bytes_acked: struct tcp_info in
# https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/uapi/linux/tcp.h
_TCP_INFO = struct.Struct("=B43xI4xI64xQ")
_TCP_LISTEN = 10
_COUNT = struct.Struct("i")
_CUT = struct.pack("ii", 1, 0)  # SO_LINGER: what was not sent is discarded

# Decides how much room there is for an address: with this family, those of IPv4 can be read as well.
_FAMILY = socket.AF_INET6

Address: TypeAlias = tuple[str, int]
_log = logging.getLogger(__name__)


class _Connection(NamedTuple):
    """One connection as the kernel sees it."""

    descriptor: int
    inode: int  # unique, whereas the client's address may be used again at once
    client: Address
    idle_milliseconds: int
    taken_bytes: int
    queued_bytes: int


class _Debt(NamedTuple):
    """How many bytes a client has to read, counted from the beginning of its connection, and since when."""

    until_bytes: int
    since: float


class ClientConnections:
    """ASGI middleware that knows which clients wait for a response, and watches the worker's connections.

    `limit` is the number of connections beyond which granian lets new ones wait.
    """

    def __init__(self, app: ASGIApp, *, port: int, limit: int) -> None:
        self._app = app
        self._port = port
        self._limit = limit
        self._requests: dict[Address, Scope] = {}
        self._debts: dict[int, _Debt] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host, port = scope["client"]
        client = host, int(port)  # granian has it as text
        self._requests[client] = scope
        try:
            await self._app(scope, receive, send)
        finally:
            if self._requests.get(client) is scope:  # else the client's next request has begun
                del self._requests[client]

    def watch(self) -> None:
        """Watch the connections in a thread until the process ends; on Linux only."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, name="client connections", daemon=True).start()

    def _watch(self) -> None:
        while not _limit_unsent(self._port):  # granian listens once the application has been loaded
            time.sleep(POLL_SECONDS / 10)
        scanned = time.monotonic()
        while True:
            time.sleep(POLL_SECONDS)
            # Counting open files is much cheaper than looking at each; the few that are no connections do not matter.
            is_crowded = len(_list_descriptors()) >= CROWDED * self._limit
            if is_crowded or time.monotonic() - scanned >= SCAN_SECONDS:
                scanned = time.monotonic()
                connections = list(_find_connections(self._port))
                self._cut_stalled(connections, scanned)
                self._shed_idle(connections)

    def _cut_stalled(self, connections: Sequence[_Connection], now: float) -> None:
        debts = {}
        stalled = []
        for connection in connections:
            if not connection.queued_bytes:
                continue
            debt = self._debts.get(connection.inode)
            if debt is None or connection.taken_bytes >= debt.until_bytes:
                debt = _Debt(connection.taken_bytes + connection.queued_bytes, now)
            elif now - debt.since > TAKE_SECONDS:
                stalled.append(connection)
            debts[connection.inode] = debt
        self._debts = debts
        if cut := sum(_shut(connection, at_once=True) for connection in stalled):
            _log.warning("Cut %d connections whose clients did not read their response", cut)

    def _shed_idle(self, connections: Sequence[_Connection]) -> None:
        """Close the connections idle for longest, except those whose client waits for a response."""
        if len(connections) < CROWDED * self._limit:
            return
        candidates = [one for one in connections if one.queued_bytes or one.client not in self._requests]
        candidates.sort(key=lambda one: one.idle_milliseconds, reverse=True)
        surplus = len(connections) - int(ROOMY * self._limit)
        if shed := sum(_shut(connection, at_once=False) for connection in candidates[:surplus]):
            _log.warning("Closed %d of %d connections, the longest idle ones, to make room", shed, len(connections))


def _find_connections(port: int) -> Iterator[_Connection]:
    """Yield the connections of this process that clients have made to the port."""
    for descriptor, found in _find_sockets(port):
        try:
            state, sent, received, taken = _read_tcp_info(found)
            queued = _COUNT.unpack(fcntl.ioctl(found, termios.TIOCOUTQ, bytes(_COUNT.size)))[0]
            client = found.getpeername()[:2]
            inode = os.fstat(found.fileno()).st_ino
        except OSError:  # it has just been closed
            continue
        if state != _TCP_LISTEN:
            yield _Connection(descriptor, inode, client, min(sent, received), taken, queued)


def _find_sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield this process's TCP sockets on the port, duplicated so that each stays open while it is looked at."""
    for descriptor in _list_descriptors():
        try:
            # Only sockets are duplicated: closing the duplicate of a file would release its locks.
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            found = socket.fromfd(descriptor, _FAMILY, socket.SOCK_STREAM)
        except OSError:  # closed meanwhile
            continue
        with found:
            if _has_port(found, port):
                yield descriptor, found


def _list_descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - a Path for each would double the time


def _has_port(found: socket.socket, port: int) -> bool:
    try:
        address = found.getsockname()
    except OSError:
        return False
    return isinstance(address, tuple) and len(address) > 1 and address[1] == port


def _read_tcp_info(found: socket.socket) -> tuple[int, int, int, int]:
    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    if len(info) < _TCP_INFO.size:
        raise OSError
    state, sent, received, taken = _TCP_INFO.unpack(info)
    return state, sent, received, taken


def _limit_unsent(port: int) -> bool:
    """Limit what the kernel buffers for each connection to come; return whether the port is listened on already."""
    for _, found in _find_sockets(port):
        if _read_tcp_info(found)[0] == _TCP_LISTEN:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            return True
    return False


def _shut(connection: _Connection, *, at_once: bool) -> bool:
    """Shut the connection down, upon which granian closes it; return whether it was still there."""
    try:
        with socket.fromfd(connection.descriptor, _FAMILY, socket.SOCK_STREAM) as found:
            if found.getpeername()[:2] != connection.client:
                return False
            if at_once:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CUT)
            found.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True
