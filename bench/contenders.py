"""What is compared: this service and its rivals, each as an ASGI application and as a running server."""

import importlib
import sys
from pathlib import Path

from starlette.types import ASGIApp

SERVICE, FLOOR, USUAL_WAY = "todo", "floor", "usual way"
RIVALS = {
    FLOOR: "floor",
    "FastAPI + psycopg": "fastapi_psycopg",
    USUAL_WAY: "sqlmodel_async",
    "template way": "sqlmodel_sync",
}
"""Each with its module."""
SLOW = (USUAL_WAY, "template way")
CONTENDERS = (*RIVALS, SERVICE)


def load_app(contender: str, database_url: str, log_level: str) -> ASGIApp:
    """Make a contender's application, which logs as in production where the level is `info`."""
    module = importlib.import_module(f"bench.rivals.{RIVALS[contender]}" if contender in RIVALS else "bench.service")
    app: ASGIApp = module.create_app(database_url, log_level)
    return app


def make_command(contender: str, port: int) -> list[str | Path]:
    """Make the command that serves a contender; DATABASE_URL and TODO_LOG_LEVEL say the rest."""
    if contender == SERVICE:
        return [Path(sys.executable).with_name("todo"), "serve", "--port", str(port)]
    return [sys.executable, "-m", "bench.rivals.serve", contender, str(port)]
