"""What the service logs and how: one line an event, to standard error, for people or for programs.

Neither secrets nor bodies are ever handed to a logger, so nothing here has to take them out again.
"""

import logging
import re
import sys

from pythonjsonlogger.json import JsonFormatter

from todo.settings import Settings

# What ends a line, moves a terminal's cursor, or lets it show other text than there is: the characters without a shape
# (Unicode's categories Cc, Cf, Zl and Zp), and lone surrogates. A caller may have put them into a path.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)


def configure_logging(settings: Settings) -> None:
    """Send every log line of this process to standard error, in the format that the settings ask for."""
    wants_json = settings.log_format == "json" or (settings.log_format is None and not sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(_make_json_formatter() if wants_json else ConsoleFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


class ConsoleFormatter(logging.Formatter):
    """A line for people, which stays one line whatever is in it; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line, with control characters as escapes."""
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))


def _make_json_formatter() -> JsonFormatter:
    fields = ["asctime", "levelname", "name", "message"]
    names = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"}
    return JsonFormatter(fields, rename_fields=names, datefmt="%Y-%m-%dT%H:%M:%S%z")
