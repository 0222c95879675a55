"""The server process and its workers: the port, the signals, and who ends when.

Owns how granian is run. It must not know what the application does, nor of any database.
"""

import errno
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer
from starlette.types import ASGIApp

from todo.client_connections import ClientConnections
from todo.errors import BadSetting, BrokenEnvironment

# A request's headers must be complete within this time, and a connection may idle for as long between two requests.
HEADER_TIMEOUT_SECONDS = 30
# All of a request's headers together: twice as much is a 431, and what lies between may be one.
HEADER_BYTES = 32_768
# What a stop waits for requests in flight; less than the 10 seconds after which Docker kills.
GRACE_SECONDS = 8
POLL_SECONDS = 0.02
# Idle connections count too. granian's default is shared among the workers: 128 for each of eight.
CONNECTIONS_PER_WORKER = 900
# Open files of a worker: what it asks for, since the usual soft limit is 1024 where the hard one is far higher, and
# what it needs besides connections to clients and to a database.
OPEN_FILES = 65_536
RESERVED_FILES = 64
# A worker that ends by itself sooner than this could not start.
START_SECONDS = 60

_log = logging.getLogger(__name__)


def serve(load_app: Callable[[], ASGIApp], *, host: str, port: int, workers: int, backend_connections: int = 0) -> None:
    """Serve the application until SIGINT, SIGTERM or SIGHUP; return after every worker has ended.

    A second signal ends the workers at once. Later ones stay without effect, so that what the caller does to clean up
    is not cut short. A worker's files leave room for so many `backend_connections` besides those of clients.
    """
    reserved = _reserve_port(host, port)
    connections = _count_connections(backend_connections)
    # A forked worker would inherit every lock file and socket that this process has open, and outlive it with them.
    multiprocessing.set_start_method("spawn", force=True)
    server = _Server(
        "todo",
        address=_resolve(host, port)[1][0],
        port=port,
        workers=workers,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # "auto" never closes idle connections
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_SECONDS * 1000, max_buffer_size=HEADER_BYTES),
        websockets=False,
        backpressure=connections,
        log_level=LogLevels.warning,
        log_dictconfig={"loggers": {"_granian": {}}},  # no handlers of its own: into the service's log
        respawn_failed_workers=True,
    )
    try:
        server.serve(target_loader=partial(_load_in_worker, load_app, port, connections), wrap_loader=False)
    except (OSError, RuntimeError) as error:
        raise BrokenEnvironment(f"a worker could not be started ({error})") from error
    finally:
        # granian leaves the others running where one could not be started; after a normal stop there are none.
        server.stop_workers()
        for worker in multiprocessing.active_children():
            worker.kill()
        reserved.close()
    if server.could_not_start:
        raise BrokenEnvironment("the application could not be started; the lines above say why")


def _count_connections(backend_connections: int) -> int:
    """Raise the limit of open files as far as this account may; return how many clients a worker can then have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_PER_WORKER
    return min(CONNECTIONS_PER_WORKER, max(1, soft - RESERVED_FILES - backend_connections))


def _reserve_port(host: str, port: int) -> socket.socket:
    """Bind the port without listening there, so that no other server takes it before the workers have, nor between two.

    On Linux each worker binds it for itself, which needs SO_REUSEPORT here as well; a probe without that is refused.
    Elsewhere granian listens in this process, and nothing may be in its way.
    """
    ensure_port_is_free(host, port)
    family, address = _resolve(host, port)
    reserved = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform == "linux":
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reserved.bind(address)
        except OSError:  # somebody was faster
            ensure_port_is_free(host, port)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def ensure_port_is_free(host: str, port: int) -> None:
    """Raise BrokenEnvironment, with what to do about it, unless this process could listen on the port.

    granian cannot tell: it would share the port with whatever server of the same user listens there.
    """
    family, address = _resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections that an ended server left behind do not count; a server that listens still does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BrokenEnvironment(
                    f"port {port} on {host} is already in use; stop what listens there or choose another with TODO_PORT"
                ) from None
            if error.errno == errno.EACCES:
                raise BadSetting(f"TODO_PORT: this account may not listen on port {port}; choose another") from None
            raise BadSetting(f"TODO_HOST: cannot listen on {host} ({error.strerror})") from None


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Resolve the host, since granian takes nothing but IP addresses; IPv4 goes first."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadSetting(f"TODO_HOST: {host} is neither an address nor a known name") from None
    family, _, _, _, address = min(found)
    return family, address


class _Interrupt(threading.Event):
    """An event without a lock: a signal may come while another's handler sets it, and would wait for itself."""

    _is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - granian gives none
        # A signal that another thread has taken does not wake this one: look from time to time.
        while not self._is_set:
            time.sleep(POLL_SECONDS)
        return True


class _Server(MPServer):
    """granian, with other answers to signals and to the end of a worker."""

    could_not_start = False

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - granian's own
        super().__init__(*arguments, **options)
        self.main_loop_interrupt = _Interrupt()
        self._ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def signal_handler_interrupt(self, *_: object) -> None:
        if self.interrupt_signal:
            # granian would ignore it. What was acknowledged is durable, so that killing loses none of it.
            for worker in multiprocessing.active_children():
                worker.kill()
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def signal_handler_reload(self, *_: object) -> None:
        # The terminal is gone. granian would start other workers, which is of no use where the settings are frozen.
        if not self._ignores_hangup:  # as under nohup
            self.signal_handler_interrupt()

    def _spawn_workers(self, spawn_target: object, target_loader: object) -> None:
        with _hidden_interrupt():
            super()._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # granian's own

    def _stop_workers(self) -> None:
        self.stop_workers()

    def stop_workers(self) -> None:
        """Stop the workers, and kill those that have not ended when the grace period has.

        granian may call a worker stuck that has just ended, because it looks only once while another thread reaps it.
        """
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # its end is no failure to report
            worker.inner.terminate()
        processes = [worker.inner for worker in self.wrks]
        deadline = time.monotonic() + GRACE_SECONDS
        while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for process in processes:
            if process.is_alive():
                _log.warning("Killing a worker that still has requests after %d seconds", GRACE_SECONDS)
                process.kill()
            process.join()
        self.wrks.clear()
        self.interrupt_children.clear()  # granian's note that a worker has died, which is no failure by now

    def _respawn_workers(self, _: Sequence[int], spawn_target: object, target_loader: object, delay: float = 0) -> None:
        """Replace the dead workers, or give up where one could not start.

        granian gives up when a worker dies twice within 5.5 seconds, which an operator or the kernel may well cause,
        but goes on for ever when two workers take turns in failing. It also loses a death that is reported while
        another is being handled, so look at the workers and not at the reports.
        """
        dead = [index for index, worker in enumerate(self.wrks) if not worker.inner.is_alive()]
        now = time.monotonic()
        # A positive status is the worker's own, of an exception; a signal's is negative.
        if any(self.wrks[index].inner.exitcode > 0 and now - self.wrks[index].birth < START_SECONDS for index in dead):
            self.could_not_start = self.interrupt_signal = True
        else:
            with _hidden_interrupt():
                super()._respawn_workers(dead, spawn_target, target_loader, delay)
            self.respawned_wrks.clear()
        if self.interrupt_signal or self.interrupt_children:
            self.main_loop_interrupt.set()


@contextmanager
def _hidden_interrupt() -> Iterator[None]:
    """Keep Ctrl-C from the workers that are started in this block, from their first moment to their last.

    They inherit that it is blocked. Here it is delivered at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load_in_worker(load_app: Callable[[], ASGIApp], port: int, connections: int) -> ASGIApp:
    # Ctrl-C and the end of a terminal reach its whole process group; only the parent is to act on them.
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        app = ClientConnections(load_app(), port=port, limit=connections)
    except BrokenEnvironment as error:
        _log.error("%s", error)
        sys.exit(error.exit_status)
    app.watch()
    return app


def _end_with_parent() -> None:
    """Stop as on SIGTERM once the parent is dead, however it died; its port must not stay taken."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
