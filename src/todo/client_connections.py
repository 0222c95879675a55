"""The connections of clients: who does not take an answer is cut off, and idle ones make room before new ones wait.

granian has no time limit for what it writes, and keeps an idle connection for as long as a header may take. This looks
at the worker's own sockets from beside the requests, and costs those next to nothing. It needs what Linux tells of a
socket; elsewhere nothing is cut.
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

# What the kernel has of an answer must be taken within this time; so a client may be slow, but not stand still.
TAKE_SECONDS = 30
# What the kernel holds of an answer that it cannot send yet, for each connection; unlimited, it takes megabytes.
UNSENT_BYTES = 131_072
POLL_SECONDS = 0.25
SCAN_SECONDS = 1
# Parts of the limit: idle connections are closed from here on, and down to there.
CROWDED, ROOMY = 0.85, 0.75

# tcpi_state, tcpi_last_data_sent and tcpi_last_data_recv (milliseconds ago), tcpi_bytes_acked: struct tcp_info in
# https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/uapi/linux/tcp.h
_TCP_INFO = struct.Struct("=B43xI4xI64xQ")
_TCP_LISTEN = 10
_COUNT = struct.Struct("i")
_CUT = struct.pack("ii", 1, 0)  # SO_LINGER: what was not taken is thrown away

# The family decides how much room there is for an address: with this one, those of IPv4 can be read as well.
_FAMILY = socket.AF_INET6

Address: TypeAlias = tuple[str, int]
_log = logging.getLogger(__name__)


class _Connection(NamedTuple):
    """One connection as the kernel sees it."""

    descriptor: int
    inode: int  # no other connection has it, while its client's address may be used again at once
    client: Address
    idle_milliseconds: int
    taken_bytes: int
    queued_bytes: int


class _Debt(NamedTuple):
    """What a client had to take at a moment: so many bytes since the beginning of its connection."""

    until_bytes: int
    since: float


class ClientConnections:
    """An application around another one, which knows the clients that wait for it, and watches all others.

    Of more than `limit` connections, granian leaves the newest waiting.
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
        """Watch the connections from a thread, for as long as the process lives."""
        if sys.platform == "linux":
            threading.Thread(target=self._watch, name="client connections", daemon=True).start()

    def _watch(self) -> None:
        while not _limit_unsent(self._port):  # granian listens once the application has been loaded
            time.sleep(POLL_SECONDS / 10)
        scanned = time.monotonic()
        while True:
            time.sleep(POLL_SECONDS)
            # Counting descriptors is much cheaper than looking at each; the few that are no connections do not matter.
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
            _log.warning("Cut %d connections whose clients did not take their answer", cut)

    def _shed_idle(self, connections: Sequence[_Connection]) -> None:
        """Close what has been silent for longest, unless its client waits for us."""
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
        except OSError:  # it has just ended
            continue
        if state != _TCP_LISTEN:
            yield _Connection(descriptor, inode, client, min(sent, received), taken, queued)


def _find_sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield this process's TCP sockets at the port, duplicated so that they stay the same while they are looked at."""
    for descriptor in _list_descriptors():
        try:
            # Nothing else is duplicated: closing the duplicate of a file would give up its locks.
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            found = socket.fromfd(descriptor, _FAMILY, socket.SOCK_STREAM)
        except OSError:  # closed since
            continue
        with found:
            if _has_port(found, port):
                yield descriptor, found


def _list_descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - a path for each would double the time


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
    """Bound what the kernel holds for each connection yet to come; return whether somebody listens already."""
    for _, found in _find_sockets(port):
        if _read_tcp_info(found)[0] == _TCP_LISTEN:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            return True
    return False


def _shut(connection: _Connection, *, at_once: bool) -> bool:
    """End the connection, whose descriptor granian closes thereupon; return whether it was still there."""
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
