"""The command line, run as a user runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.service import running_service
from tests.support import connect, find_port, wait_until

TODO = Path(sys.executable).with_name("todo")
NOWHERE = "postgresql://alice:canary@127.0.0.1:1/todo"


def run(*arguments: str, folder: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [TODO, *arguments],
        env={**os.environ, "TODO_PORT": str(find_port()), "TODO_LOG_FORMAT": "console", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_commands() -> None:
    """Without a command, the four there are get listed."""
    result = run()

    assert all(command in result.stdout + result.stderr for command in ("serve", "migrate", "check", "openapi"))


def test_version_is_printed() -> None:
    """It is that of the installed package."""
    assert run("--version").stdout == f"todo-backend {version('todo-backend')}\n"


def test_misspelt_setting_is_a_warning() -> None:
    """It names the setting that is meant, and the command goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", TODO_PORT=str(taken.getsockname()[1]), TODO_WORKRS="4", DATABASE_URL=NOWHERE)

    assert "TODO_WORKRS is not a setting; is TODO_WORKERS meant?" in result.stderr
    assert "is already in use" in result.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TODO_PORT": "0"}, "TODO_PORT: "),
        ({"TODO_PORT": "0", "TODO_LOG_FORMAT": "json"}, "TODO_PORT: "),
        ({"TODO_PORT": "0", "TODO_LOG_LEVEL": "canary"}, "TODO_PORT: "),
        ({"DATABASE_URL": "canary"}, "DATABASE_URL: "),
        ({"TODO_IDENTIFY_OWNER": "nowhere:identify"}, "TODO_IDENTIFY_OWNER: "),
        ({"TODO_HOST": "host.invalid"}, "TODO_HOST: "),
    ],
)
def test_serve_that_cannot_start_says_so_in_json_where_its_log_is(environment: dict[str, str], said: str) -> None:
    """Whatever reads the log reads this; standard error is no terminal here."""
    without_format = {"DATABASE_URL": NOWHERE, **environment}
    result = subprocess.run(
        [TODO, "serve"], env={**os.environ, **without_format}, capture_output=True, text=True, timeout=60, check=False
    )

    line = json.loads(result.stderr)
    assert result.returncode == 2
    assert (line["level"], line["logger"]) == ("ERROR", "todo")
    assert said in line["message"]


def test_every_process_of_the_service_reads_the_env_file(database_url: str, tmp_path: Path) -> None:
    """The one that starts, the one that tries the function, and the one that answers."""
    (tmp_path / "tokens.py").write_text("def identify(): return 'alice'\n")
    (tmp_path / ".env").write_text(
        f"DATABASE_URL='{database_url}'\nTODO_IDENTIFY_OWNER=tokens:identify\nTODO_PUBLIC_URL=https://todo.example.com\n"
        "TODO_LOG_FORMAT=console\nTODO_WORKRS=2\n"
    )
    with running_service(folder=str(tmp_path), PYTHON_DOTENV_DISABLED="0") as service:
        created = service.client.post("/api/bob/tasks", json={"title": "Buy milk"})
        wait_until(lambda: "\nAPI   https://todo.example.com/api/" in service.read_log())
        log = service.read_log()

    assert created.json()["user_id"] == "alice"
    assert created.headers["Location"].startswith("https://todo.example.com/")
    assert "WARNING TODO_WORKRS is not a setting; is TODO_WORKERS meant?" in log


def test_file_in_the_working_folder_shadows_no_module_of_the_service(tmp_path: Path) -> None:
    """Python looks there first in the processes that it starts by itself."""
    for name in ("select", "todo", "fastapi"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")

    with running_service(folder=str(tmp_path), probe="/health/live", DATABASE_URL=NOWHERE) as service:
        assert "shadowed" not in service.read_log()


def test_openapi_prints_the_schema() -> None:
    """It needs neither a database nor a server."""
    schema = json.loads(run("openapi", DATABASE_URL=NOWHERE).stdout)

    assert "/api/{user_id}/tasks/{task_id}/complete" in schema["paths"]


def test_migrate_brings_the_schema_and_does_so_once(empty_url: str) -> None:
    """The first run changes the schema, the second finds it up to date."""
    first = run("migrate", DATABASE_URL=empty_url)
    second = run("migrate", DATABASE_URL=empty_url)

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr.endswith("The schema has been migrated.\n")
    assert second.stderr.endswith("The schema is up to date.\n")


def test_migrate_prefers_the_unpooled_url(empty_url: str) -> None:
    """The pooled URL is not even tried."""
    result = run("migrate", DATABASE_URL=NOWHERE, DATABASE_URL_UNPOOLED=empty_url)

    assert result.returncode == 0


def test_migrate_prints_sql_without_a_database() -> None:
    """The SQL goes to standard output, so that it can be put into a file."""
    result = run("migrate", "--sql", DATABASE_URL=NOWHERE)

    assert "CREATE TABLE tasks" in result.stdout
    assert result.returncode == 0


def test_check_of_a_good_database_finds_nothing_wrong(database_url: str) -> None:
    """A line for each subject, some with advice, and exit status 0."""
    result = run("check", DATABASE_URL=database_url, TODO_PUBLIC_URL="https://todo.example.com")

    words = {subject: word for word, subject, *_ in (line.split() for line in result.stdout.splitlines())}
    assert words["settings"] == words["connection"] == words["schema"] == words["slots"] == "ok"
    assert words["role"] == words["timeouts"] == "note"
    assert "WRONG" not in words.values()
    assert result.returncode == 0


def test_check_advises_a_public_url(database_url: str) -> None:
    """Without one, whoever sends a Host decides what `url` says."""
    assert "note   settings    DATABASE_URL; without TODO_PUBLIC_URL" in run("check", DATABASE_URL=database_url).stdout


def test_check_goes_past_the_pooler(database_url: str) -> None:
    """As migrations do; and tries the way through it as well."""
    result = run("check", DATABASE_URL=NOWHERE, DATABASE_URL_UNPOOLED=database_url)

    assert "ok     schema" in result.stdout
    assert "WRONG  connection" in result.stdout
    assert result.returncode == 1


def test_check_says_what_to_do(empty_url: str) -> None:
    """What is not right comes with a next step, and exit status 1."""
    result = run("check", DATABASE_URL=empty_url)

    assert [line for line in result.stdout.splitlines() if line.startswith("WRONG") and "todo migrate" in line]
    assert result.returncode == 1


def test_check_counts_the_workers_that_serve_will_run(database_url: str) -> None:
    """With the option of `serve`, which takes precedence over the setting there as well."""
    result = run("check", "--workers", "100", DATABASE_URL=database_url, TODO_WORKERS="1")

    assert "WRONG  slots       1000 of " in result.stdout
    assert result.returncode == 1


def test_check_looks_into_the_folder_that_serve_will_use(tmp_path: Path) -> None:
    """With the option of `serve`."""
    (tmp_path / "photo").touch()

    result = run("check", "--data-dir", str(tmp_path), TODO_DATA_DIR="/dev/null/data")

    assert f"{tmp_path} is not empty and not an embedded database" in result.stderr


def test_check_of_a_role_without_grants_is_wrong_whoever_migrates(database_url: str) -> None:
    """The service would answer 503 to everything."""
    role = f"test_{uuid4().hex}"
    with connect(database_url) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        try:
            serving = make_url(database_url).set(username=role).render_as_string(hide_password=False)
            result = run("check", DATABASE_URL=serving, DATABASE_URL_UNPOOLED=database_url)
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    assert f"WRONG  role        {role} lacks privileges: GRANT SELECT" in result.stdout
    assert result.returncode == 1


def test_check_reports_bad_settings() -> None:
    """A setting that cannot be read is a finding like any other."""
    result = run("check", TODO_PORT="canary")

    assert result.stdout.startswith("WRONG  settings    TODO_PORT: ")
    assert result.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "named", "status"),
    [
        (["serve"], {"TODO_PORT": "canary"}, "TODO_PORT", 2),
        (["serve", "--port", "99999"], {}, "TODO_PORT", 2),
        (["serve"], {"DATABASE_URL": "mysql://alice:canary@db/todo"}, "DATABASE_URL", 2),
        (["serve"], {"DATABASE_URL": ""}, "DATABASE_URL", 2),
        (["migrate"], {"DATABASE_URL": "postgresql://alice:canary@db:port/todo"}, "DATABASE_URL", 2),
        (["serve"], {"DATABASE_URL": f"{NOWHERE}?port=abc"}, "DATABASE_URL", 2),
        (["migrate"], {"DATABASE_URL": f"{NOWHERE}?service=canary"}, "DATABASE_URL", 2),
        (["migrate"], {"DATABASE_URL": NOWHERE}, "database", 1),
        (["migrate"], {"DATABASE_URL": NOWHERE, "DATABASE_URL_UNPOOLED": "canary"}, "DATABASE_URL_UNPOOLED", 2),
        (["serve"], {"TODO_PG_BIN": "/nonexistent"}, "TODO_PG_BIN", 2),
        (["migrate"], {"TODO_DATA_DIR": "/canary" * 400}, "TODO_DATA_DIR", 2),
        (["migrate"], {"TODO_WORKERS": "101"}, "TODO_WORKERS", 2),
    ],
)
def test_broken_environment_is_one_clear_line(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], named: str, status: int
) -> None:
    """The line names what is wrong, never a secret, and there is no traceback."""
    result = run(*arguments, **{"TODO_DATA_DIR": str(tmp_path / "data"), **environment})

    assert result.returncode == status
    assert result.stderr.startswith("todo: ")
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert "canary" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ValueError('canary')", "ValueError at {folder}/tokens.py, line 1"),
        ("class Odd(BaseException): ...\nraise Odd('canary')", "Odd at {folder}/tokens.py, line 2"),
        ("import os; os._exit(7)", "importing it ended the process with status 7"),
        ("import os; os._exit(0)", "importing it ended the process with status 0"),
    ],
)
def test_serve_tells_of_a_function_that_cannot_be_loaded_before_it_starts_anything(
    tmp_path: Path, module: str, said: str
) -> None:
    """In one line, whatever becomes of the process that tries."""
    (tmp_path / "tokens.py").write_text(module)
    environment = {"TODO_IDENTIFY_OWNER": "tokens:identify", "TODO_DATA_DIR": str(tmp_path / "data")}

    result = run("serve", "--port", str(find_port()), folder=str(tmp_path), **environment)

    assert result.stderr == f"todo: TODO_IDENTIFY_OWNER: {said.format(folder=tmp_path)}\n"
    assert result.returncode == 2
    assert not (tmp_path / "data").exists()


def test_check_reports_a_function_that_cannot_be_loaded(tmp_path: Path) -> None:
    """As any other setting, and without a database."""
    result = run("check", folder=str(tmp_path), TODO_IDENTIFY_OWNER="nowhere:identify")

    assert result.stdout == "WRONG  settings    TODO_IDENTIFY_OWNER: No module named 'nowhere'\n"
    assert result.returncode == 1


def test_openapi_says_what_the_function_asks_for(tmp_path: Path) -> None:
    """The document is that of the application which would be served."""
    (tmp_path / "tokens.py").write_text(
        "from typing import Annotated\n"
        "from fastapi import Depends\n"
        "from fastapi.security import HTTPBearer\n"
        "def identify(token: Annotated[object, Depends(HTTPBearer())]): ...\n"
    )

    schema = json.loads(run("openapi", folder=str(tmp_path), TODO_IDENTIFY_OWNER="tokens:identify").stdout)
    failed = run("openapi", folder=str(tmp_path), TODO_IDENTIFY_OWNER="tokens:nobody")

    for operation in schema["paths"]["/api/{user_id}/tasks"].values():
        assert operation["security"] == [{"HTTPBearer": []}]
        assert {"401", "403"} <= operation["responses"].keys()
    assert failed.stderr == "todo: TODO_IDENTIFY_OWNER: module 'tokens' has no attribute 'nobody'\n"
    assert failed.returncode == 2


def test_openapi_reads_the_settings() -> None:
    """A bad one is told as everywhere."""
    result = run("openapi", TODO_PORT="canary")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("todo: TODO_PORT: ")


def test_deleted_working_folder_is_one_clear_line(tmp_path: Path) -> None:
    """No process could be started from there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd '{gone}' && rmdir '{gone}' && exec '{TODO}' serve"
    result = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "working folder" in result.stderr


# The modules are read as root, since nobody else may be able to where these tests run: typer reads some at first use.
MIGRATE_AS_NOBODY_KNOWN = """
import os
from todo import cli

cli.commands(["--version"], standalone_mode=False)
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
cli.main()
"""


@pytest.mark.root  # only root may become an account that does not exist
@pytest.mark.parametrize(("has_folder", "named", "status"), [(False, "TODO_DATA_DIR", 2), (True, "54321", 1)])
def test_account_without_an_entry_is_one_clear_line(*, has_folder: bool, named: str, status: int) -> None:
    """Neither its missing home nor its missing name ends in a traceback."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, 54321, 54321)
        # Nor may it write down what it has covered.
        left_out = ("HOME", "XDG_DATA_HOME", "COVERAGE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        if has_folder:
            environment["TODO_DATA_DIR"] = folder
        command = [sys.executable, "-c", MIGRATE_AS_NOBODY_KNOWN, "migrate"]
        result = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )

    assert (result.returncode, result.stderr.count("\n")) == (status, 1), result.stderr
    assert named in result.stderr


@pytest.mark.skipif("not os.path.exists('/dev/full')", reason="no disk that is always full")
@pytest.mark.parametrize("arguments", [["openapi"], ["migrate", "--sql"], ["check"]])
def test_full_disk_under_the_output_is_one_clear_line(arguments: list[str]) -> None:
    """What a command prints goes into a file more often than not."""
    with Path("/dev/full").open("w") as full:
        environment = {**os.environ, "DATABASE_URL": NOWHERE}
        result = subprocess.run(
            [TODO, *arguments], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "standard output" in result.stderr


def test_check_is_printed_where_not_every_character_is_known(database_url: str) -> None:
    """A terminal of another encoding shows an escape."""
    result = run("check", DATABASE_URL=database_url, PYTHONIOENCODING="latin-1")

    assert result.returncode == 0, result.stderr
    assert r"ALTER ROLE \u2026 SET" in result.stdout


def test_process_that_stays_imports_only_what_serving_needs() -> None:
    """Memory that the parent of the workers takes for a library is taken for as long as the service runs."""
    for_workers = {"alembic", "fastapi", "sqlalchemy", "sqlmodel"}
    code = f"import sys, todo.cli; print(sorted({for_workers} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout == "[]\n"


def test_windows_is_one_clear_line() -> None:
    """And not an error about a module that is missing there."""
    code = "import sys; from todo.__main__ import main; sys.platform = 'win32'; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("todo: Windows is not supported; use WSL 2: ")


TAKE_A_NUMBER = """
import os, sys

class Library:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "typer":
            print(os.open(os.devnull, os.O_RDONLY))

sys.meta_path.insert(0, Library)
from todo.__main__ import main
main()
"""


def test_file_that_a_library_opens_does_not_take_the_place_of_standard_error() -> None:
    """Where that is closed: the service's lines would go into that file, or nowhere once it is closed again."""
    command = f'exec "{sys.executable}" -c "$0" --version 2>&-'
    result = subprocess.run(
        ["/bin/sh", "-c", command, TAKE_A_NUMBER], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )

    number, version = result.stdout.splitlines()
    assert int(number) > 2
    assert version.startswith("todo-backend ")


@pytest.mark.skipif("sys.platform != 'linux'", reason="what is imported is read off the process's maps")
@pytest.mark.parametrize("imported", ["pydantic_core", "psycopg_binary", "_granian"])
def test_interrupt_during_the_imports_is_silent(imported: str, tmp_path: Path) -> None:
    """Ctrl-C reaches the whole process group; whatever it meets ends without a traceback."""
    command: list[str | Path] = [TODO, "serve", "--data-dir", tmp_path / "data"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    with process:
        wait_until(lambda: imported in Path(f"/proc/{process.pid}/maps").read_text())
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)

    assert process.returncode in {-signal.SIGINT, 128 + signal.SIGINT}
    assert b"Traceback" not in output
