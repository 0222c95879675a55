"""Keeps PostgreSQL running: restarts it, on the same socket, whenever it ends unexpectedly."""

import _thread
import logging
import signal
import subprocess
import threading
import time
from pathlib import Path

from todo.embedded.cluster import clear_pid_file
from todo.embedded.folder import POLL_SECONDS, Folder
from todo.embedded.process import await_ready, end, is_ready, kill_orphans, launch, read_reason
from todo.embedded.sockets import renew_socket_folder
from todo.errors import BrokenEnvironment

WATCH_SECONDS = 0.1
# The pause between two attempts to start it grows, and is short again once it has run for a while.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5
STEADY_SECONDS = 30
# How long a stop waits for the watching thread, which ends sooner unless the log or the disk blocks it.
JOIN_SECONDS = 3

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs PostgreSQL on a data folder from `start` to `stop`, and restarts it if it ends in between.

    If the folder is gone, `failure` says so and this process gets a SIGTERM.
    """

    def __init__(self, folder: Folder, binaries: Path, sockets: Path, max_connections: int) -> None:
        self.failure: BrokenEnvironment | None = None
        self._folder = folder
        self._binaries = binaries
        self._sockets = sockets
        self._max_connections = max_connections
        self._server: subprocess.Popen[bytes] | None = None
        self._is_steady_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="embedded PostgreSQL", daemon=True)

    def start(self) -> None:
        """Start PostgreSQL, and watch it once it is ready; raises BrokenEnvironment if it does not start."""
        self._server = self._launch(keeps_log=True)
        await_ready(self._server, self._sockets, self._folder)
        self._is_steady_at = time.monotonic() + STEADY_SECONDS
        self._watcher.start()

    def stop(self) -> None:
        """Stop PostgreSQL, whatever state it is in, and wait until its last process has ended."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join(JOIN_SECONDS)
        if self._server:
            end(self._server.send_signal, self._folder)
            self._server.wait()

    def _launch(self, *, keeps_log: bool) -> subprocess.Popen[bytes]:
        return launch(self._binaries, self._sockets, self._folder, self._max_connections, keeps_log=keeps_log)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            if self._server and self._server.poll() is not None and not self._restart(self._server):
                return

    def _restart(self, ended: subprocess.Popen[bytes]) -> bool:
        """Try to start PostgreSQL until it is ready or to be stopped; return whether it is ready."""
        since = time.monotonic()
        # Logged and not printed: a reader that has stopped must not keep the database from restarting.
        _log.error("The embedded PostgreSQL has ended (%s): restarting it", _describe_end(ended, self._folder))
        if since > self._is_steady_at:
            self._pause = FIRST_PAUSE_SECONDS
        keeps_log = True  # what it said before it ended matters more than what each attempt says
        while not self._stopping.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            if self._folder.is_gone():
                self._give_up()
                return False
            try:
                has_started = self._try_start(keeps_log=keeps_log)
            except (OSError, BrokenEnvironment, subprocess.SubprocessError) as error:
                _log.debug("The embedded PostgreSQL is not back yet: %s", error)
            else:
                if has_started:
                    self._is_steady_at = time.monotonic() + STEADY_SECONDS
                    _log.warning("The embedded PostgreSQL runs again after %.1f s", time.monotonic() - since)
                return has_started
            keeps_log = self._server is ended  # nothing else was said if no process was started
        return False

    def _try_start(self, *, keeps_log: bool) -> bool:
        """Start PostgreSQL once; return false if it is to be stopped before it is ready."""
        kill_orphans(self._folder)
        clear_pid_file(self._folder, _log.debug)
        renew_socket_folder(self._sockets, self._folder)
        if self._stopping.is_set():
            return False
        self._server = self._launch(keeps_log=keeps_log)
        # However long recovery takes: if it were ended, the next attempt would begin from the start.
        while not is_ready(self._server, self._sockets, self._folder):
            if self._stopping.wait(POLL_SECONDS):
                return False
        return True

    def _give_up(self) -> None:
        self.failure = BrokenEnvironment(
            f"the embedded database has ended, and its folder {self._folder.path} was removed or replaced"
        )
        # As if the signal had been sent; nothing happens if no handler is set.
        _thread.interrupt_main(signal.SIGTERM)


def _describe_end(server: subprocess.Popen[bytes], folder: Folder) -> str:
    if server.returncode < 0:
        return f"signal {-server.returncode}"
    return read_reason(folder) or f"exit status {server.returncode}"
