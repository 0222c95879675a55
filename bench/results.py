"""What a run comes to: figures with their spread, what machine they are of, and the file that keeps them."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psycopg

FILE = "results.json"
PACKAGES = (
    "fastapi", "granian", "orjson", "psycopg", "pydantic", "sqlalchemy", "sqlmodel", "starlette", "uvloop",
)  # fmt: skip


class Spread(NamedTuple):
    """The median of some measurements, the least, and the most."""

    median: float
    least: float
    most: float


def summarize(values: Sequence[float]) -> Spread:
    """Sum measurements up."""
    return Spread(median(values), min(values), max(values))


def read_facts(database_url: str) -> dict[str, Any]:
    """Read what figures depend on: the machine, the versions, and what else it does at the moment."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    with psycopg.connect(database_url) as connection:
        postgres = connection.info.server_version
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "src") else ""),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "postgresql": f"{postgres // 10000}.{postgres % 10000}",
        "packages": {name: version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def keep(folder: Path, part: str, figures: Mapping[str, object]) -> dict[str, Any]:
    """Put a part's figures into the file, beside those of other parts, and return them as they read in there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    results[part] = figures
    file.write_text(json.dumps(results, indent=1) + "\n")
    kept: dict[str, Any] = json.loads(file.read_text())[part]
    return kept
