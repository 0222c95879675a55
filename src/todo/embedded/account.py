"""The account that runs PostgreSQL for root, and how a program is run as that account."""

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
    """Return the account that runs PostgreSQL for root; none for anybody else."""
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
        f"PostgreSQL refuses to run as root: make an account for it, and let {cluster} belong to that if it exists"
    )


def _check_entry(user_id: int) -> None:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        raise BrokenEnvironment(
            f"PostgreSQL does not run as an account without a name: add one with the id {user_id} (/etc/passwd), or "
            "set DATABASE_URL"
        ) from None


def check_reach(folder: Folder, account: str) -> None:
    """Refuse a folder that the account cannot enter: the way there is not ours to open."""
    try:
        run_program(["/bin/sh", "-c", 'cd "$1"', "sh", folder.path], folder)
    except BrokenEnvironment as error:
        raise BrokenEnvironment(
            f"the account {account}, which runs PostgreSQL for root, cannot enter {folder.path}: "
            "set TODO_DATA_DIR to a folder that it can enter"
        ) from error


def run_program(command: Sequence[str | Path], folder: Folder) -> str:
    """Run a program to its end as the account, and return what it printed."""
    ended = subprocess.run(  # noqa: S603 - ours or PostgreSQL's
        command, capture_output=True, check=False, errors="replace", timeout=RUN_SECONDS, **describe_child(folder)
    )
    if ended.returncode:
        raise BrokenEnvironment(f"{command[0]} failed: {pick_words(ended.stderr) or ended.returncode}")
    return str(ended.stdout)


def describe_child(folder: Folder) -> dict[str, Any]:
    """Return what all programs started here have in common, above all that they hold `postgres.lock`."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in {"LANG", "LANGUAGE"}
    }
    env["TZ"] = "UTC"  # without it `initdb` compares every zone there is with the local one
    who = folder.account
    return {
        "cwd": "/",
        "env": env,
        "pass_fds": [folder.lock],
        "start_new_session": True,  # a Ctrl-C is for this process alone, which then stops PostgreSQL
        "stdin": subprocess.DEVNULL,
        **({"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if who else {}),
    }


def pick_words(text: str) -> str:
    """Return the one line that says what went wrong."""
    lines = text.strip().splitlines()
    wrong = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
    return "".join((wrong or lines)[-1:])
