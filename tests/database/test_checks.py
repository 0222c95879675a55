"""What `todo check` finds of a database, right or wrong."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from tests.wire import relayed

from todo.database.checks import Finding, check_database
from todo.database.migration import migrate
from todo.database.revisions import REVISIONS
from todo.database.urls import DatabaseUrl, read_database_url

CANARY = "canary-hunter2"
NOWHERE = f"postgresql://todo:{CANARY}@127.0.0.1:1/todo"
SUBJECTS = [
    *("connection", "encryption", "distance", "role", "timeouts", "session"),
    *("server", "clock", "ctype", "schema", "slots"),
]
ON_TASKS = ["SELECT", "INSERT", "UPDATE", "DELETE"]


@pytest.fixture
def role(connection: psycopg.Connection) -> Iterator[sql.Identifier]:
    """A new role that may log in, and no more."""
    role = sql.Identifier(f"test_{uuid4().hex}")
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, CANARY))
    yield role
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def namespace(connection: psycopg.Connection) -> Iterator[sql.Identifier]:
    """A new schema with nothing in it."""
    namespace = sql.Identifier(f"test_{uuid4().hex}")
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(namespace))
    yield namespace
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(namespace))


@pytest.fixture
def url(database_url: str) -> DatabaseUrl:
    """The database."""
    return read_database_url(database_url)


def look_into(url: DatabaseUrl, *namespaces: str) -> DatabaseUrl:
    """Return the URL of sessions that see the tables of these schemas and of no others."""
    return url.with_parameters(options=f"-c search_path={','.join(namespaces)}")


def log_in(url: DatabaseUrl, role: sql.Identifier) -> DatabaseUrl:
    """Return the URL of sessions of that role."""
    return url.with_parameters(user=name_of(role), password=CANARY)


def name_of(identifier: sql.Identifier) -> str:
    """Return the name without its quotes."""
    return identifier.as_string().strip('"')


def check(url: DatabaseUrl, direct_url: DatabaseUrl | None = None, connections: int = 10) -> dict[str, Finding]:
    """Return what is found, by subject; see that each finding is one line without the password."""
    findings = list(check_database(url, direct_url or url, connections))
    for finding in findings:
        assert (finding.found + finding.advice).isprintable()
        assert CANARY not in finding.found + finding.advice
    return {finding.subject: finding for finding in findings}


def list_wrong(findings: dict[str, Finding]) -> list[str]:
    """Return the subjects that are not as they must be."""
    return [subject for subject, finding in findings.items() if not finding.is_right]


def test_good_database_is_right_in_everything(url: DatabaseUrl) -> None:
    """Each subject is looked at once, and says what was found."""
    findings = check(url.with_parameters(password=CANARY))

    assert list(findings) == SUBJECTS
    assert list_wrong(findings) == []
    assert url.parameters["dbname"] in findings["connection"].found
    assert findings["server"].found.startswith("PostgreSQL ")
    assert url.parameters["user"] in findings["role"].found
    assert f"revision {REVISIONS[0]}," in findings["schema"].found


def test_unreachable_database_is_one_finding() -> None:
    """There is nothing more to look at, and it is said why."""
    findings = check(read_database_url(NOWHERE))

    assert list(findings) == list_wrong(findings) == ["connection"]
    assert "refused" in findings["connection"].found


def test_database_that_was_never_migrated_is_wrong(url: DatabaseUrl, namespace: sql.Identifier) -> None:
    """It says what to do, and everything else of it is still looked at."""
    findings = check(look_into(url, name_of(namespace)))

    assert list(findings) == SUBJECTS
    assert list_wrong(findings) == ["role", "schema"]
    assert "revision none," in findings["schema"].found
    assert "todo migrate" in findings["schema"].found


@pytest.mark.parametrize(
    ("revision", "is_right", "found"),
    [("unheard-of", True, "revision unheard-of, newer"), (None, False, "there is a `tasks` without its revision")],
    ids=["newer", "none"],
)
def test_schema_of_another_revision_is_right_when_newer(
    url: DatabaseUrl,
    connection: psycopg.Connection,
    namespace: sql.Identifier,
    revision: str | None,
    found: str,
    *,
    is_right: bool,
) -> None:
    """What the service would serve, with a warning, is right; what it would not is wrong."""
    table = sql.SQL("{}.todo_schema_version").format(namespace)
    connection.execute(sql.SQL("CREATE TABLE {} (version_num varchar(32))").format(table))
    if revision:
        connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(table, revision))

    schema = check(look_into(url, name_of(namespace), "public"))["schema"]

    assert schema.is_right is is_right
    assert schema.found.startswith(found)


@pytest.mark.parametrize("missing", [None, *ON_TASKS])
def test_role_needs_every_right_on_the_tasks(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier, missing: str | None
) -> None:
    """One that lacks a single right is wrong; one that has them all is right without owning the table."""
    connection.execute(sql.SQL("GRANT SELECT ON todo_schema_version, task_feed_generation TO {}").format(role))
    for right in set(ON_TASKS) - {missing}:
        connection.execute(sql.SQL("GRANT {} ON tasks, task_feeds, task_tombstones TO {}").format(sql.SQL(right), role))

    findings = check(log_in(url, role))

    assert list_wrong(findings) == (["role"] if missing else [])
    assert findings["role"].found.startswith(name_of(role))


def test_role_needs_to_read_the_revision(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier
) -> None:
    """Without it, no statement would be served."""
    tables = sql.SQL("tasks, task_feeds, task_tombstones, task_feed_generation")
    connection.execute(sql.SQL("GRANT ALL ON {} TO {}").format(tables, role))

    assert "role" in list_wrong(check(log_in(url, role)))


def test_role_needs_to_execute_the_function(empty_url: str, role: sql.Identifier) -> None:
    """Where that was taken from everybody, a creation under an id of the client's would fail."""
    migrate(read_database_url(empty_url))
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(role))
        connection.execute("REVOKE EXECUTE ON FUNCTION find_deleted_tasks FROM PUBLIC")
        findings = check(log_in(read_database_url(empty_url), role))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))

    assert list_wrong(findings) == ["role"]
    assert f"GRANT EXECUTE ON FUNCTION find_deleted_tasks TO {name_of(role)}" in findings["role"].found


def test_role_without_any_right_is_wrong(url: DatabaseUrl, role: sql.Identifier) -> None:
    """What it may not look at is a finding and not an error."""
    findings = check(log_in(url, role))

    assert "role" in list_wrong(findings)
    assert "GRANT" in findings["role"].found


def test_connection_that_breaks_is_a_finding(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier
) -> None:
    """What was found before it broke is told, and then that it broke."""
    findings = check_database(log_in(url, role), log_in(url, role), 10)
    assert next(findings).is_right
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name_of(role)])

    *_, broken = findings

    assert (broken.subject, broken.is_right) == ("connection", False)
    assert broken.found.isprintable()


def test_server_that_is_too_old_is_wrong(
    url: DatabaseUrl, connection: psycopg.Connection, namespace: sql.Identifier
) -> None:
    """It says which one is needed; the rest is looked at all the same."""
    version = "CASE $1 WHEN 'server_version_num' THEN '140011' ELSE pg_catalog.current_setting($1) END"
    function = "CREATE FUNCTION {}.current_setting(text) RETURNS text RETURN " + version
    connection.execute(sql.SQL(function).format(namespace))

    findings = check(look_into(url, name_of(namespace), "public", "pg_catalog"))

    assert list(findings) == SUBJECTS
    assert list_wrong(findings) == ["server"]
    assert findings["server"].found == "PostgreSQL 14.11; 15 or newer is needed"


def test_role_that_is_more_than_it_needs_is_told_so(url: DatabaseUrl) -> None:
    """It serves all the same, as Neon's own does."""
    assert "superuser" in check(url)["role"].advice


def test_role_with_the_grants_alone_is_all_right(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier
) -> None:
    """Nothing is advised about it."""
    connection.execute(sql.SQL("GRANT SELECT ON todo_schema_version, task_feed_generation TO {}").format(role))
    rights = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON tasks, task_feeds, task_tombstones TO {}")
    connection.execute(rights.format(role))

    assert check(log_in(url, role))["role"].advice == ""


def test_timeouts_of_the_role_are_told(url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier) -> None:
    """Those that are missing, with what sets them."""
    timeouts = check(log_in(url, role))["timeouts"]
    assert timeouts.found.endswith("lock_timeout off, statement_timeout off")
    assert "ALTER ROLE" in timeouts.advice

    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(sql.SQL("ALTER ROLE {} SET {} = '5s'").format(role, sql.Identifier(name)))
    timeouts = check(log_in(url, role))["timeouts"]
    assert "statement_timeout 5 s" in timeouts.found
    assert timeouts.advice == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("default_transaction_read_only", "on"), ("synchronous_commit", "off")],
)
def test_default_that_breaks_a_promise_is_wrong(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier, name: str, value: str
) -> None:
    """With what undoes it: no connection can ask a pooler for another."""
    assert check(log_in(url, role))["session"].is_right

    connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), value))
    session = check(log_in(url, role))["session"]

    assert not session.is_right
    assert session.found.endswith(f"ALTER ROLE … RESET {name}")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_isolation_level_that_costs_is_told(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier, level: str
) -> None:
    """It is served all the same."""
    assert check(log_in(url, role))["session"].advice == ""

    connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_isolation = {}").format(role, level))
    session = check(log_in(url, role))["session"]

    assert session.is_right
    assert session.found.startswith(level)
    assert session.advice.endswith("ALTER ROLE … RESET default_transaction_isolation")


def test_more_connections_than_the_server_has_are_wrong(url: DatabaseUrl) -> None:
    """Counted over all workers."""
    slots = check(url, connections=1000)["slots"]

    assert not slots.is_right
    assert "TODO_POOL_SIZE" in slots.found


def test_ctype_of_the_database_is_told(url: DatabaseUrl) -> None:
    """One that knows every letter's case is all right."""
    assert check(url)["ctype"].advice == ""


def test_role_that_serves_is_looked_at_and_not_the_one_that_migrates(url: DatabaseUrl, role: sql.Identifier) -> None:
    """An owner who may do everything says nothing of the role that the requests have; the schema is the owner's."""
    findings = check(log_in(url, role), url)

    assert list_wrong(findings) == ["role"]
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO {name_of(role)}" in findings["role"].found
    assert f"GRANT SELECT ON todo_schema_version TO {name_of(role)}" in findings["role"].found
    assert findings["timeouts"].advice
    assert url.parameters["user"] in findings["migrations"].found


def test_role_that_looks_into_another_schema_is_told_where_the_tables_are(
    url: DatabaseUrl, connection: psycopg.Connection, role: sql.Identifier
) -> None:
    """To the service they are not there, and `todo migrate` would find nothing to do."""
    connection.execute(sql.SQL("ALTER ROLE {} SET search_path = elsewhere").format(role))

    findings = check(log_in(url, role), url)

    assert list_wrong(findings) == ["role"]
    assert "does not see the tables in schema public: GRANT USAGE ON SCHEMA public" in findings["role"].found


def test_another_way_to_the_database_is_tried_too(url: DatabaseUrl) -> None:
    """Requests may go through a pooler that migrations go past."""
    findings = check(read_database_url(NOWHERE), url)

    assert list_wrong(findings) == ["connection"]
    assert "refused" in findings["connection"].found


def test_url_that_leads_to_another_database_than_the_direct_one_is_wrong(url: DatabaseUrl, empty_url: str) -> None:
    """The schema of the direct one says nothing of where requests go."""
    serving = read_database_url(empty_url)

    findings = list(check_database(serving, url, 10))

    [wrong] = [finding for finding in findings if not finding.is_right]
    assert wrong.subject == "schema"
    assert wrong.found.startswith("over DATABASE_URL: revision none")
    assert [finding.is_right for finding in findings if finding.subject == "schema"] == [False, True]


def test_host_of_the_environment_is_the_one_that_is_named(
    url: DatabaseUrl, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL without a host is no local socket where PGHOST names a host, whose connections need encryption."""
    parameters = {name: url.parameters[name] for name in ("user", "dbname")}
    with relayed(database_url) as relay:
        monkeypatch.setenv("PGPORT", str(make_url(relay.url).port))
        monkeypatch.setenv("PGHOST", "127.1")  # an address of this machine that does not look local

        findings = check(DatabaseUrl(parameters))

    assert list_wrong(findings) == ["encryption"]
    assert findings["connection"].found.startswith(f"127.1, database {parameters['dbname']}")


def test_socket_is_named_as_one(url: DatabaseUrl) -> None:
    """Nobody can listen on it, so that it needs no encryption."""
    findings = check(url)

    assert findings["connection"].found.startswith("local socket, ")
    assert findings["encryption"].is_right


def test_unreachable_host_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By libpq's reason: the URL has none."""
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")

    found = check(DatabaseUrl({"user": "todo"}))["connection"].found

    assert "local socket" not in found
    assert 'server at "127.0.0.1", port 1' in found
