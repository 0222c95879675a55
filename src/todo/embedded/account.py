"""The account that runs PostgreSQL where this process is root's, and running programs as that account."""

import os
import pwd
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from todo.embedded.folder import Folder
from todo.errors import BrokenEnvironment

RUN_SECONDS = 120  # `initdb` takes one


def choose_account(cluster: Path) -> pwd.struct_passwd | None:
    """Return the account that is to run PostgreSQL if this process is root's, else None; raises BrokenEnvironment."""
    if os.geteuid() != 0:
        _check_entry(os.geteuid())
        return None
    with suppress(KeyError):
        for name in [cluster.owner()] if cluster.exists() else ["postgres", "nobody"]:
            with suppress(KeyError):
                account = pwd.getpwnam(name)
                if account.pw_uid != 0:
                    return account
    raise BrokenEnvironment(
        f"PostgreSQL refuses to run as root: create an account for it, and let it own {cluster} if that exists"
    )


def _check_entry(user_id: int) -> None:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        raise BrokenEnvironment(
            f"PostgreSQL does not run as an account without a name: add one with the id {user_id} to /etc/passwd, or "
            "set DATABASE_URL"
        ) from None


def check_reach(folder: Folder, account: str) -> None:
    """Raise BrokenEnvironment if the account cannot enter the folder: the folders above it are not ours to change."""
    try:
        run_program(["/bin/sh", "-c", 'cd "$1"', "sh", folder.path], folder)
    except BrokenEnvironment as error:
        raise BrokenEnvironment(
            f"the account {account}, which runs PostgreSQL for root, cannot enter {folder.path}: "
            "set TODO_DATA_DIR to a folder that it can enter"
        ) from error


def run_program(command: Sequence[str | Path], folder: Folder) -> str:
    """Run a program as the account until it ends, and return its output; raises BrokenEnvironment if it fails."""
    ended = subprocess.run(  # noqa: S603 - ours or PostgreSQL's
        command, capture_output=True, check=False, errors="replace", timeout=RUN_SECONDS, **describe_child(folder)
    )
    if ended.returncode:
        raise BrokenEnvironment(f"{command[0]} failed: {pick_reason(ended.stderr) or ended.returncode}")
    return str(ended.stdout)


def describe_child(folder: Folder) -> dict[str, Any]:
    """Return the options for every program started here, above all that it inherits `postgres.lock`."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in {"LANG", "LANGUAGE"}
    }
    env["TZ"] = "UTC"  # without it `initdb` compares every time zone with the local one
    who = folder.account
    return {
        "cwd": "/",
        "env": env,
        "pass_fds": [folder.lock],
        "start_new_session": True,  # a Ctrl-C reaches this process only, which then stops PostgreSQL
        "stdin": subprocess.DEVNULL,
        **({"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if who else {}),
    }


def pick_reason(text: str) -> str:
    """Return the line of a program's output that says what went wrong."""
    lines = text.strip().splitlines()
    wrong = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
    return "".join((wrong or lines)[-1:])
