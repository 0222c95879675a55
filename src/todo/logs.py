"""How the service logs: one line per event, to standard error, for people or for programs.

Secrets and bodies are never passed to a logger, so nothing is redacted here. A write to standard error blocks once its
reader has stopped, so a thread writes, and lines that it cannot write are dropped and counted.
"""

import atexit
import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from todo.settings import LogSettings

# Characters that end a line, move a terminal's cursor or make it show other text: Unicode's categories Cc, Cf, Zl and
# Zp, and lone surrogates. A client may have put them into a path.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)

STANDARD_ERROR = 2
# How much is buffered for a reader that has stopped; later lines are dropped.
WAITING_BYTES = 1_048_576
# How long a line waits for others to be written together: waking the thread costs more than the rest of a line.
GATHER_SECONDS = 0.02
# How long the end of the process waits for a reader.
FLUSH_SECONDS = 1
# Several processes write to one pipe: up to this size a write is atomic (POSIX, PIPE_BUF).
ATOMIC_BYTES = select.PIPE_BUF

_log = logging.getLogger(__name__)


def configure_logging(settings: LogSettings) -> None:
    """Send every log line of this process to standard error, in the format that the settings name."""
    wants_json = settings.log_format == "json" or (settings.log_format is None and not sys.stderr.isatty())
    handler = BackgroundHandler()
    handler.setFormatter(LineFormatter() if wants_json else ConsoleFormatter())
    # No format here writes these, and collecting them costs time ("Optimization" in logging's documentation).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # The command line says what a migration has done.
    logging.getLogger("alembic").setLevel(logging.DEBUG if settings.log_level == "debug" else logging.WARNING)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    if wants_json:
        _capture_python_output()


def _capture_python_output() -> None:
    """Log what Python itself would write to standard error: warnings, and errors that nothing handles."""
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda *error: _log.critical("An unexpected error", exc_info=error)
    threading.excepthook = _log_uncaught
    sys.unraisablehook = _log_uncaught


def _log_uncaught(error: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    if error.exc_type is not SystemExit and error.exc_value:
        _log.error("An unexpected error", exc_info=error.exc_value)


def print_line(line: str, level: int = logging.INFO) -> None:
    """Print a line to standard error, in order with the log and in JSON where that is; an error after `todo: `.

    Never blocks once logging is configured.
    """
    text = f"todo: {line}" if level >= logging.ERROR else line
    for handler in logging.getLogger().handlers:
        if isinstance(handler, BackgroundHandler):
            record = logging.LogRecord("todo", level, __file__, 0, line, (), None)
            handler.write(handler.format(record) if isinstance(handler.formatter, LineFormatter) else text)
            return
    sys.stderr.write(f"{text}\n")


class BackgroundHandler(logging.Handler):
    """Writes lines to standard error in a thread of its own, so that a reader that has stopped blocks no other thread.

    It does not use `sys.stderr`, whose lock would be held by a blocked write and delay the end of the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._is_writing = False  # whether there is a thread
        self._is_closed = False
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record now, before its arguments can change, and leave the line to the thread."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)

    def write(self, text: str) -> None:
        """Queue the text and a newline for the thread, or count the line as lost if the buffer is full."""
        line = text.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            if self._waiting_bytes + len(line) > WAITING_BYTES:
                self._lost += 1
            else:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
                self._start_thread()
                if len(self._waiting) == 1:
                    self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is written, for FLUSH_SECONDS at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, FLUSH_SECONDS)

    def close(self) -> None:
        """End the thread once it has written what is queued; a later line starts another one.

        `logging.config.dictConfig`, which granian calls in the parent, closes the handlers in use. The standard library
        does not flush a closed handler at the end of the process, which is when the last line is logged.
        """
        atexit.register(self.flush)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        super().close()

    def _start_thread(self) -> None:
        if not self._is_writing:
            self._is_writing, self._is_closed = True, False
            threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def _write_all(self) -> None:
        while self._await_line():
            time.sleep(GATHER_SECONDS)
            while lines := self._take_lines():
                is_written = _write(b"".join(lines))
                with self._changed:
                    self._waiting_bytes -= sum(map(len, lines))
                    self._lost += 0 if is_written else len(lines)
                    if is_written and self._lost and self._waiting_bytes < WAITING_BYTES // 2:
                        self._report_lost()
                    self._changed.notify_all()

    def _await_line(self) -> bool:
        """Wait for a line; return false once the handler is closed and the queue empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._is_writing = bool(self._waiting)
            return self._is_writing

    def _take_lines(self) -> list[bytes]:
        """Take as many lines from the queue as one atomic write may hold."""
        with self._changed:
            lines: list[bytes] = []
            size = 0
            while self._waiting and (not lines or size + len(self._waiting[0]) <= ATOMIC_BYTES):
                lines.append(self._waiting.popleft())
                size += len(lines[-1])
            return lines

    def _report_lost(self) -> None:
        # Without a logger: at the end of the process, this handler's lock is held until everything is written.
        message, lost, self._lost = "%d log lines were lost while nobody read the log", self._lost, 0
        self.write(self.format(logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (lost,), None)))


def _write(text: bytes) -> bool:
    """Write all of the text to standard error, however long that takes; return whether that succeeded."""
    while text:
        try:
            text = text[os.write(STANDARD_ERROR, text) :]
        except BlockingIOError:  # another program that shares it has made it non-blocking
            select.select([], [STANDARD_ERROR], [], None)
        except OSError:  # the reader is gone, or the disk is full
            return False
    return True


class ConsoleFormatter(logging.Formatter):
    """Formats a record for people, as one line whatever is in it; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line, with control characters as escapes."""
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LineFormatter(logging.Formatter):
    """Formats a record for programs, as a JSON object; arguments with names become members of it.

    In ASCII, so that characters which break lines or change the direction of text are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        members: dict[str, object] = {
            "time": _format_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, Mapping):
            members = {**members, **record.args, **members}  # the members of every line keep their place and value
        if record.exc_info:
            members["traceback"] = self.formatException(record.exc_info)
        try:
            line = orjson.dumps(members, default=str)
        except orjson.JSONEncodeError:  # a lone surrogate, a number of more than 64 bits, a key that is not a string
            return json.dumps(members, default=str, skipkeys=True)
        return line.decode() if line.isascii() else json.dumps(members, default=str)
