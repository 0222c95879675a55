"""Serves a rival as `todo serve` serves the application: granian, one worker, the same options."""

import multiprocessing
import os
import sys
from functools import partial

from bench.contenders import load_app
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer
from starlette.types import ASGIApp


def main() -> None:
    """Serve the rival that the first argument names on the port that the second is, until SIGTERM."""
    contender, port = sys.argv[1], int(sys.argv[2])
    multiprocessing.set_start_method("spawn", force=True)
    server = MPServer(
        "rival",
        address="127.0.0.1",
        port=port,
        workers=1,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=32_768),
        websockets=False,
        backpressure=900,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(load, contender), wrap_loader=False)


def load(contender: str) -> ASGIApp:
    """Make the application in the worker."""
    return load_app(contender, os.environ["DATABASE_URL"], os.environ["TODO_LOG_LEVEL"])


if __name__ == "__main__":
    main()
