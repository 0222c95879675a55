"""An embedded PostgreSQL that ends while it is wanted: it is started again, and nothing of it is left behind."""

import errno
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from tests.embedded.servers import (
    add_row,
    count_after_start,
    count_rows,
    find_pid,
    ignore,
    list_processes,
    make_database,
    read_pid,
    refuse,
    start_parent,
)
from tests.support import wait_until

from todo.embedded.postgres import embedded_postgres
from todo.errors import BadSetting, BrokenEnvironment

pytestmark = pytest.mark.slow

STOP_SECONDS = 10  # after which Docker kills
DISK_BYTES = 128 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk that is full sooner than PostgreSQL's log of changes has its usual length."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Write a file until nothing has room beside it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def answers(url: str) -> bool:
    """Tell whether the database can be asked."""
    try:
        count_rows(url)
    except psycopg.OperationalError:
        return False
    return True


def kill_postmaster(data_dir: Path) -> None:
    """End it as the kernel would for want of memory."""
    os.kill(read_pid(data_dir), signal.SIGKILL)


def freeze(pids: list[int]) -> None:
    """Freeze processes; one that vacuums may have ended meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def write_until_it_ends(url: str) -> int:
    """Add rows and fill PostgreSQL's log of changes, and return how many rows it has acknowledged."""
    rows = 0
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        while True:
            connection.execute("INSERT INTO rows DEFAULT VALUES")
            rows += 1
            connection.execute("SELECT pg_logical_emit_message(true, 'filler', repeat('x', 1000000))")
    return rows


def takes_rows(url: str) -> bool:
    """Tell whether one more row is taken."""
    try:
        add_row(url)
    except psycopg.Error:
        return False
    return True


def test_a_killed_postgresql_is_started_again(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Under the same URL, with all that it had, each time; one line says that it has ended, and one that it is back."""
    with embedded_postgres(database, None, ignore) as url:
        for _ in range(2):
            caplog.clear()
            killed = read_pid(database)
            with psycopg.connect(url):
                kill_postmaster(database)
                wait_until(lambda: answers(url))
            # It answers a moment before that is noticed, and a stop in that moment has nothing to tell.
            wait_until(lambda: "runs again" in caplog.text)
            assert read_pid(database) != killed
            assert count_rows(url) == 1
            lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
            assert ["has ended (signal 9)" in line for line in lines] == [True, False]
    assert list_processes(database) == []


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux can tell whose processes these are")
def test_a_busy_orphan_does_not_keep_the_next_from_starting(database: Path) -> None:
    """A backend that has not noticed the end of its postmaster is ended before another one starts."""
    with embedded_postgres(database, None, ignore) as url:
        busy = psycopg.connect(url)
        orphan = busy.info.backend_pid
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
        kill_postmaster(database)
        os.kill(orphan, signal.SIGSTOP)  # by now it has noticed nothing
        wait_until(lambda: answers(url))
        assert orphan not in list_processes(database)
        busy.close()


def read_log(log: Path) -> str:
    """What PostgreSQL has said; nothing while the log of the start before is renamed and its own is not made yet."""
    try:
        return log.read_text()
    except FileNotFoundError:
        return ""


def test_it_is_tried_until_it_starts(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As long as it takes, with one line for all the tries; why it ended is still there to be read."""
    make_database(data_dir)
    settings = data_dir / "postgres/postgresql.conf"
    working = settings.read_text()
    log = data_dir / "postgres.log"
    with embedded_postgres(data_dir, None, ignore) as url:
        settings.write_text(f"{working}no_such_setting = 1\n")
        kill_postmaster(data_dir)
        wait_until(lambda: "no_such_setting" in read_log(log))
        first_try = log.stat().st_mtime
        wait_until(lambda: log.stat().st_mtime > first_try)
        assert "ready to accept connections" in (data_dir / "postgres.log.1").read_text()
        settings.write_text(working)
        wait_until(lambda: answers(url))
        wait_until(lambda: "runs again" in caplog.text)
    told = [record for record in caplog.records if record.name.startswith("todo.embedded")]
    assert len([record for record in told if record.levelno >= logging.WARNING]) == 2


def test_why_it_ended_is_kept_while_no_start_can_be_tried(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As on a disk without room for the folder of a socket."""
    caplog.set_level(logging.DEBUG)
    with embedded_postgres(data_dir, None, ignore):
        said = (data_dir / "postgres.log").read_text()
        in_the_way = data_dir / "socket/file"
        in_the_way.touch()
        kill_postmaster(data_dir)
        wait_until(lambda: caplog.text.count("is not back yet") > 1)
        in_the_way.unlink()
        wait_until(lambda: "runs again" in caplog.text)
        assert (data_dir / "postgres.log.1").read_text().startswith(said)


@pytest.mark.parametrize("can_start", [True, False])
def test_a_stop_during_a_restart_leaves_nothing_behind(data_dir: Path, *, can_start: bool) -> None:
    """Whether the next PostgreSQL is on its way or cannot start."""
    make_database(data_dir)
    with embedded_postgres(data_dir, None, ignore):
        if not can_start:
            with (data_dir / "postgres/postgresql.conf").open("a") as settings:
                settings.write("no_such_setting = 1\n")
        killed = read_pid(data_dir)
        kill_postmaster(data_dir)
        wait_until((data_dir / "postgres.log.1").exists)
        if can_start:
            wait_until(lambda: find_pid(data_dir) not in (None, killed))
        began = time.monotonic()
    assert time.monotonic() - began < STOP_SECONDS
    assert list_processes(data_dir) == []


def lose_folder(data_dir: Path, ended: list[int]) -> None:
    """Remove the folder under a PostgreSQL, which ends, and wait until this process is told to."""
    with embedded_postgres(data_dir, None, ignore):
        pid = read_pid(data_dir)
        shutil.rmtree(data_dir)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: ended)


def test_a_removed_folder_ends_the_service(data_dir: Path) -> None:
    """Where starting it again cannot help, the process is told to end, and one line says why."""
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        with pytest.raises(BrokenEnvironment, match="was removed"):
            lose_folder(data_dir, ended)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not data_dir.exists()
    assert list_processes(data_dir) == []


@pytest.mark.root  # only root may mount a disk
def test_a_full_disk_that_has_room_again_is_enough(place: Path) -> None:
    """PostgreSQL ends where it cannot write; with room it is back by itself, and has what it acknowledged."""
    with small_disk(place / "disk") as disk:
        data_dir = disk / "data"
        with embedded_postgres(data_dir, None, ignore) as url:
            add_row(url)
            postmaster = read_pid(data_dir)
            filler = fill(disk)
            rows = write_until_it_ends(url)
            wait_until(lambda: postmaster not in list_processes(data_dir))
            filler.unlink()
            wait_until(lambda: takes_rows(url))
            assert count_rows(url) >= rows + 2
        assert list_processes(data_dir) == []


@pytest.mark.root  # only root may mount a disk
def test_a_start_on_a_full_disk_is_one_line_that_names_the_disk(place: Path) -> None:
    """There is no room for PostgreSQL's own words."""
    with small_disk(place / "disk") as disk:
        make_database(disk / "data")
        fill(disk)
        assert "full disk" in str(refuse(disk / "data"))


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux can tell whose processes these are")
@pytest.mark.parametrize("whole", [False, True], ids=["postmaster", "all"])
def test_a_frozen_postgresql_does_not_hold_up_the_stop(database: Path, *, whole: bool) -> None:
    """It ends within the time that Docker gives, and the next start has everything."""
    with embedded_postgres(database, None, ignore) as url:
        rows = count_rows(url)
        freeze(list_processes(database) if whole else [read_pid(database)])
        began = time.monotonic()
    assert time.monotonic() - began < STOP_SECONDS
    assert list_processes(database) == []
    assert count_after_start(database) == rows


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux can tell whose processes these are")
@pytest.mark.parametrize("lacks", ["Python", "Linux"])
def test_a_frozen_postgresql_is_stopped_without_handles(
    database: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Some builds of Python have no handles of processes, nor has Linux before 5.3."""
    if lacks == "Python":
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.delattr(signal, "pidfd_send_signal")
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse_handle)
    with embedded_postgres(database, None, ignore):
        freeze(list_processes(database))
    assert list_processes(database) == []


def refuse_handle(pid: int) -> int:
    """Do what an old kernel does."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), pid)


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux can tell whose processes these are")
def test_a_postgresql_that_takes_no_signal_is_killed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it acknowledged is lost by that."""
    monkeypatch.setattr("todo.embedded.process.FAST_STOP_SECONDS", 0)
    monkeypatch.setattr("todo.embedded.process.IMMEDIATE_STOP_SECONDS", 0)
    with embedded_postgres(database, None, ignore) as url:
        rows = count_rows(url)
    assert list_processes(database) == []
    assert count_after_start(database) == rows


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux can tell whose processes these are")
def test_a_frozen_orphan_does_not_hold_up_the_start(database: Path) -> None:
    """What a killed service left is ended, frozen or not."""
    with start_parent(database) as parent:
        rows = count_rows(parent.url)
        freeze(list_processes(database))
        parent.kill()
    assert count_after_start(database) == rows


def test_every_connection_that_the_settings_allow_is_there(database: Path) -> None:
    """Workers times the size of their pool, and a few for people."""
    with embedded_postgres(database, None, ignore, connections=200) as url:
        connections = [psycopg.connect(url) for _ in range(200)]
        add_row(url)
        for connection in connections:
            connection.close()


def test_connections_beyond_reason_are_a_bad_setting(data_dir: Path) -> None:
    """Each is a process; one line names the two settings, and nothing is made."""
    with (
        pytest.raises(BadSetting, match=r"TODO_WORKERS.*TODO_POOL_SIZE.*1001"),
        embedded_postgres(data_dir, None, ignore, connections=1001),
    ):
        pass
    assert not data_dir.exists()
