"""Copies that clients keep are right after every poll, whatever is written meanwhile; a broken feed is found out."""

import os
import re
from collections.abc import Callable, Iterator

import httpx2
import psycopg
import pytest
from tests.faults.replicas import follow_writers
from tests.service import running_service
from tests.support import open_client, wait_until

from todo.app import create_app
from todo.database.compiled import Statement
from todo.database.migration import migrate
from todo.database.urls import read_database_url
from todo.settings import Settings

pytestmark = pytest.mark.slow

TICK = r"greatest\(clock_timestamp\(\), (task_feeds\.changed_at \+ interval '1 microsecond')\)"
TICKED = r"\(SELECT tick\.changed_at \nFROM tick\)"
BURIED = r"(INSERT INTO task_tombstones [^)]*\) SELECT [^)]* JOIN tick ON) true"
PURGED = r"interval '91 days'"
PLACE = r"\((\w+)\.(\w+), \1\.id\) > \((coalesce\(\$\d+::TIMESTAMP WITH TIME ZONE, '-infinity'::\w+\)), \$\d+::UUID\)"

# Enough for all to wait for one lock, which a follower holds while it polls.
POOL_SIZE = 60
COMPARED = ("compared: copies over HTTP while nobody writes", "compared: copies with their snapshot")
MUTANT_SECONDS = 40  # at the latest
SECONDS = float(os.environ.get("REPLICA_SECONDS", "20"))


@pytest.fixture
def migrated_url(empty_url: str) -> str:
    """A database of the test's own."""
    migrate(read_database_url(empty_url))
    return empty_url


def count_deadlocks(url: str) -> int:
    """How many there were in this database; a session has reported them once it has ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        question = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        wait_until(lambda: connection.execute(question).rowcount == 0)
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row
    return int(row[0])


async def test_copies_are_right_after_every_poll(migrated_url: str) -> None:
    """Row 153: twelve clients write at once, others are slow to commit, and copies follow by pages of any length."""
    with running_service("--workers", "2", DATABASE_URL=migrated_url, TODO_POOL_SIZE=str(POOL_SIZE)) as service:
        async with httpx2.AsyncClient(base_url=service.client.base_url, timeout=30) as client:
            findings = await follow_writers(client, migrated_url, SECONDS)

    print(*sorted(findings.counts.items()), sep="\n")  # noqa: T201 - for whoever runs it for minutes
    assert findings.wrong == []
    assert min(findings.counts[name] for name in COMPARED) > 10
    assert count_deadlocks(migrated_url) == 0


@pytest.fixture
def alter_statements() -> Iterator[Callable[[str, str], set[str]]]:
    """Replace what matches a pattern in the text of every statement, until the end of the test."""
    with pytest.MonkeyPatch.context() as patch:

        def alter(pattern: str, replacement: str) -> set[str]:
            altered = set()

            def read_text(statement: Statement) -> str:
                text, count = re.subn(pattern, replacement, vars(statement)["text"])
                if count:
                    altered.add(text)
                return text

            def write_text(statement: Statement, text: str) -> None:
                vars(statement)["text"] = text

            patch.setattr(Statement, "text", property(read_text, write_text), raising=False)
            return altered

        yield alter


async def follow_in_this_process(url: str, seconds: float, *, is_clock_set_back: bool = False) -> list[str]:
    """Do the same with the application in this process, and return what was wrong."""
    settings = Settings(pool_size=POOL_SIZE)
    async with open_client(create_app(settings, read_database_url(url))) as client:
        findings = await follow_writers(client, url, seconds, is_clock_set_back=is_clock_set_back)
    return findings.wrong


async def test_nothing_is_wrong_with_the_statements_as_they_are(migrated_url: str) -> None:
    """So that what follows says something."""
    assert await follow_in_this_process(migrated_url, 5, is_clock_set_back=True) == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "is_clock_set_back"),
    [
        pytest.param(TICKED, "clock_timestamp()", False, id="tick last"),
        pytest.param(TICK, "excluded.changed_at", False, id="tick of the time before its lock"),
        pytest.param(TICK, "now()", False, id="tick of the time of the statement"),
        pytest.param(TICK, "clock_timestamp()", True, id="tick of the clock alone, which was set back"),
        pytest.param(TICK, "greatest(clock_timestamp(), task_feeds.changed_at)", True, id="equal ticks"),
        pytest.param(BURIED, r"\1 false", False, id="no tombstone"),
        pytest.param(PURGED, "interval '0.3 seconds'", False, id="purge without the rule on age"),
        pytest.param(PLACE, r"\1.\2 > \3", False, id="pages without the tie-break by id"),
    ],
)
async def test_feed_that_is_wrong_is_found_out(
    migrated_url: str,
    alter_statements: Callable[[str, str], set[str]],
    pattern: str,
    replacement: str,
    is_clock_set_back: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    """Row 153: each part of the design is needed; without it, a copy is wrong within seconds."""
    altered = alter_statements(pattern, replacement)

    wrong = await follow_in_this_process(migrated_url, MUTANT_SECONDS, is_clock_set_back=is_clock_set_back)

    assert altered
    assert wrong != []
