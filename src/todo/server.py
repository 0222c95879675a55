"""The server process and its workers: how they start, what signals do, and how each process ends.

Owns how granian runs. It must not know what the application does, nor any database. What it overrides in granian is not
documented there, so the version is bounded in pyproject.toml; lines of granian's source are those of version 2.8.7.
"""

import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer
from starlette.types import ASGIApp
from typing_extensions import override

from todo.client_connections import ClientConnections
from todo.errors import BrokenEnvironment
from todo.port import ensure_port_is_free, reserve_port, resolve_host, watch_port

# A request's headers must be complete within this time, and a connection may idle for as long between two requests.
HEADER_TIMEOUT_SECONDS = 30
# All of a request's headers together: twice as much is a 431, and sizes in between may be one.
HEADER_BYTES = 32_768
# How long a stop waits for requests in flight; less than the 10 seconds after which Docker kills.
GRACE_SECONDS = 8
POLL_SECONDS = 0.02
# Idle connections count too. granian's default is shared among the workers: 128 for each of eight.
CONNECTIONS_PER_WORKER = 900
# Open files of a worker: the limit it asks for, since the usual soft limit is 1024 where the hard one is far higher,
# and how many it needs besides connections to clients and to a database.
OPEN_FILES = 65_536
RESERVED_FILES = 64
# How often the workers report what the metrics show.
METRICS_SECONDS = 5
# A worker that exits by itself sooner than this failed to start.
START_SECONDS = 60

_log = logging.getLogger(__name__)


def serve(  # noqa: PLR0913 - what a server needs
    load_app: Callable[[], ASGIApp],
    report_start: Callable[[], None],
    *,
    host: str,
    port: int,
    workers: int,
    backend_connections: int = 0,
    metrics: tuple[str, int] | None = None,
) -> None:
    """Serve the application until SIGINT, SIGTERM or SIGHUP; return after every worker has ended.

    Calls `report_start` from a thread once a worker answers.
    A second signal kills the workers. Later ones have no effect, so that they cannot interrupt the caller's cleanup.
    Each worker keeps enough open files for `backend_connections` besides its clients. Raises BadSetting for a host or
    port that cannot be used, and BrokenEnvironment if the port is taken or a worker does not start. `metrics` is the
    host and the port of granian's own exporter.
    """
    reserved = reserve_port(host, port)
    connections = _raise_file_limit(backend_connections)
    # A forked worker would inherit every lock file and socket that this process has open, and outlive it with them.
    multiprocessing.set_start_method("spawn", force=True)
    server = _Server(
        "todo",
        address=resolve_host(host, port)[1][0],
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
        **_export_metrics(*metrics) if metrics else {},
    )
    with closing(reserved), watch_port(host, port, report_start):
        server.run(partial(_load_in_worker, load_app, port, connections))


def _export_metrics(host: str, port: int) -> dict[str, Any]:
    """Return granian's options for its exporter; raises as `serve` does, since granian would share a port in use."""
    ensure_port_is_free(host, port, "TODO_METRICS_")
    address = resolve_host(host, port)[1][0]
    return {
        "metrics_enabled": True,
        "metrics_scrape_interval": METRICS_SECONDS,
        "metrics_address": address,
        "metrics_port": port,
    }


def _raise_file_limit(backend_connections: int) -> int:
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


class _Interrupt(threading.Event):
    """An event without a lock, since a signal may arrive while the handler of another one sets it.

    With a lock the second handler would wait for the first, which it has interrupted:
    https://docs.python.org/3/library/signal.html#signals-and-threads
    """

    _is_set = False

    @override
    def set(self) -> None:
        self._is_set = True

    @override
    def clear(self) -> None:
        self._is_set = False

    @override
    def wait(self, timeout: float | None = None) -> bool:
        # Polls, because a signal that the kernel gives to another thread does not interrupt this one's sleep.
        while not self._is_set:
            time.sleep(POLL_SECONDS)
        return True


class _Server(MPServer):
    """granian with a different response to signals and to the death of a worker."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - granian's own
        super().__init__(*arguments, **options)
        self.main_loop_interrupt = _Interrupt()
        self._could_not_start = False
        self._ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def run(self, load_app: Callable[[], ASGIApp]) -> None:
        """Serve until a signal; raise BrokenEnvironment if a worker does not start. No worker is left either way."""
        try:
            self.serve(target_loader=load_app, wrap_loader=False)
        except (OSError, RuntimeError) as error:
            raise BrokenEnvironment(f"a worker could not be started ({error})") from error
        finally:
            # If one worker could not be started, granian leaves the others running; after a normal stop none is left.
            self._stop_workers()
            for worker in multiprocessing.active_children():
                worker.kill()
        if self._could_not_start:
            raise BrokenEnvironment("the application could not be started; the lines above say why")

    @override
    def signal_handler_interrupt(self, *_: object) -> None:
        # granian ignores a second signal (server/common.py:338). Acknowledged writes are durable: killing loses none.
        if self.interrupt_signal:
            for worker in multiprocessing.active_children():
                worker.kill()
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    @override
    def signal_handler_reload(self, *_: object) -> None:
        # The terminal is gone. granian would replace the workers, which is useless as the settings never change:
        # https://github.com/emmett-framework/granian/pull/182
        if not self._ignores_hangup:  # as under nohup
            self.signal_handler_interrupt()

    @override
    def _spawn_workers(self, spawn_target: object, target_loader: object) -> None:
        # A worker handles SIGINT only once it serves (server/mp.py:198): until then Ctrl-C would be a traceback.
        with _blocked_interrupt(), _safe_path():
            super()._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # granian's own

    @override
    def _stop_workers(self) -> None:
        """Stop the workers, and kill those that have not ended within the grace period.

        granian's `workers_kill_timeout` looks at a worker only twice while another thread reaps it
        (server/common.py:381), and so reported 3 of 40 orderly stops as killed.
        """
        for worker in self.wrks:
            worker.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(worker.is_alive() for worker in self.wrks) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for worker in self.wrks:
            if worker.is_alive():
                _log.warning("Killing a worker that still has requests after %d seconds", GRACE_SECONDS)
                worker.kill()
            worker.join()
        self.wrks.clear()
        # For a worker that died meanwhile, granian would call `sys.exit`:
        # https://github.com/emmett-framework/granian/issues/643
        self.interrupt_children.clear()

    @override
    def _respawn_workers(self, _: Sequence[int], spawn_target: object, target_loader: object, delay: float = 0) -> None:
        """Replace the dead workers, or give up if one failed to start.

        granian gives up when a worker dies twice within 5.5 seconds (server/common.py:553), which an operator or the
        kernel may well cause, but never does when two workers take turns to fail. It also loses a death that is
        reported while it handles another, so this looks at the workers and not at the reports. `respawn_interval` does
        not help: it delays only a reload, and the limits of a worker's lifetime and memory.
        """
        dead = [index for index, worker in enumerate(self.wrks) if not worker.is_alive()]
        now = time.monotonic()
        # A positive status is the worker's own, after an exception; a signal's is negative.
        if any(self.wrks[index].inner.exitcode > 0 and now - self.wrks[index].birth < START_SECONDS for index in dead):
            self._could_not_start = self.interrupt_signal = True
        else:
            with _blocked_interrupt(), _safe_path():
                super()._respawn_workers(dead, spawn_target, target_loader, delay)
            self.respawned_wrks.clear()
        if self.interrupt_signal or self.interrupt_children:
            self.main_loop_interrupt.set()


@contextmanager
def _blocked_interrupt() -> Iterator[None]:
    """Block SIGINT in this process until the end of the block, and for good in the workers started in it.

    Here a Ctrl-C is delivered at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep a file of the working folder, such as a `select.py`, from shadowing a module of Python's in new processes.

    multiprocessing starts them with `-c`, and with `-P` only if this process has it.
    """
    before = os.environ.get("PYTHONSAFEPATH", "")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        os.environ["PYTHONSAFEPATH"] = before  # empty is the same as unset


def _load_in_worker(load_app: Callable[[], ASGIApp], port: int, connections: int) -> ASGIApp:
    # Ctrl-C and the end of a terminal reach its whole process group; only the parent is to act on them.
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        app = ClientConnections(load_app(), port=port, limit=connections)
    except BrokenEnvironment as error:
        _log.error("%s", error)
        sys.exit(error.exit_status)
    except Exception:  # noqa: BLE001 - multiprocessing would print it as plain text
        _log.exception("The application could not be loaded")
        sys.exit(1)
    app.watch()
    return app


def _end_with_parent() -> None:
    """Wait until the parent is dead, however it died, then stop as on SIGTERM, so that the port becomes free.

    granian's workers go on without their parent (server/mp.py:98).
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
