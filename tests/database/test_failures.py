"""What a failure means, by messages that have been seen."""

import pytest

from todo.database.failures import Phase, Retry, classify
from todo.errors import (
    DatabaseMisconfigured,
    DatabaseUnavailable,
    DeadlineExceeded,
    OutcomeUnknown,
    SchemaOutdated,
    TodoError,
)

RUNNING = [Phase.READING, Phase.WRITING]
PROXY = "connection failed: connection to server at "


@pytest.mark.parametrize(
    ("message", "retry", "error"),
    [
        ('"127.0.0.1", port 1 failed: Connection refused', Retry.BRIEFLY, DatabaseUnavailable),
        ('on socket "/x/.s.PGSQL.5432" failed: No such file or directory', Retry.BRIEFLY, DatabaseUnavailable),
        ("failed to resolve host 'db.invalid': Name or service not known", Retry.BRIEFLY, DatabaseUnavailable),
        ("FATAL:  the database system is starting up", Retry.PATIENTLY, DatabaseUnavailable),
        ("ERROR:  Control plane request failed", Retry.PATIENTLY, DatabaseUnavailable),
        ("ERROR:  Couldn't connect to compute node", Retry.PATIENTLY, DatabaseUnavailable),
        ("ERROR:  Too many database connection attempts are currently ongoing", Retry.PATIENTLY, DatabaseUnavailable),
        ("could not translate host name: Name or service not known", Retry.BRIEFLY, DatabaseUnavailable),
        ("failed to resolve host 'db.invalid': No address associated", Retry.BRIEFLY, DatabaseUnavailable),
        ("connection timeout expired", Retry.PATIENTLY, DatabaseUnavailable),
        ("SSL error: unexpected eof while reading", Retry.PATIENTLY, DatabaseUnavailable),
        ("server closed the connection unexpectedly", Retry.PATIENTLY, DatabaseUnavailable),
        ("FATAL:  remaining connection slots are reserved for roles", Retry.NEVER, DatabaseUnavailable),
        ("FATAL:  sorry, too many clients already", Retry.NEVER, DatabaseUnavailable),
        ("FATAL:  no more connections allowed (max_client_conn)", Retry.NEVER, DatabaseUnavailable),
        ('FATAL:  too many connections for role "x"', Retry.NEVER, DatabaseUnavailable),
        ("FATAL:  query_wait_timeout", Retry.NEVER, DatabaseUnavailable),
        ("ERROR:  Your request exceeds the rate limit", Retry.NEVER, DatabaseUnavailable),
        ("ERROR:  Connection limit exceeded for the endpoint", Retry.NEVER, DatabaseUnavailable),
        ("ERROR:  The endpoint is disabled. Enable it and try again.", Retry.NEVER, DatabaseMisconfigured),
        ("ERROR:  The requested endpoint cannot be found", Retry.NEVER, DatabaseMisconfigured),
        ("ERROR:  Endpoint ID is not specified. Either upgrade libpq", Retry.NEVER, DatabaseMisconfigured),
        ("ERROR:  endpoint ID is not specified", Retry.NEVER, DatabaseMisconfigured),
        ("ERROR:  Your account or project has exceeded the compute time quota.", Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  password authentication failed for user 'x'", Retry.NEVER, DatabaseMisconfigured),
        ("ERROR:  This IP address is not allowed to connect", Retry.NEVER, DatabaseMisconfigured),
        ("fe_sendauth: no password supplied", Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  no pg_hba.conf entry for host "192.0.2.1"', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  permission denied for database "x"', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  role "x" is not permitted to log in', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  pg_hba.conf rejects connection for host "192.0.2.1"', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  permission denied to set parameter "x"', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  permission denied to set session authorization "x"', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  parameter "x" cannot be changed', Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  parameter "x" cannot be set after connection start', Retry.NEVER, DatabaseMisconfigured),
        ('requirepeer specifies "x", but actual peer user name is "y"', Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  no such user: x", Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  no such database: x", Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  SSL required", Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  database "x" does not exist', Retry.NEVER, DatabaseMisconfigured),
        ("server does not support SSL, but SSL was required", Retry.NEVER, DatabaseMisconfigured),
        ("SSL error: certificate verify failed", Retry.NEVER, DatabaseMisconfigured),
        ("channel binding is required, but server did not offer", Retry.NEVER, DatabaseMisconfigured),
        ("the database's encoding is SQL_ASCII and must be UTF8", Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  unsupported startup parameter in options: x", Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  unrecognized configuration parameter "x"', Retry.NEVER, DatabaseMisconfigured),
        ("FATAL:  invalid command-line argument for server process: x", Retry.NEVER, DatabaseMisconfigured),
        ('FATAL:  invalid value for parameter "statement_timeout": "x"', Retry.NEVER, DatabaseMisconfigured),
        ('authentication method requirement "password" failed', Retry.NEVER, DatabaseMisconfigured),
    ],
)
def test_what_fails_while_connecting_was_never_sent(message: str, retry: Retry, error: type[TodoError]) -> None:
    """It is tried again unless it is final, or the database is full."""
    assert classify(Phase.CONNECTING, None, PROXY + message, connection_lost=False) == (retry, error)


@pytest.mark.parametrize(
    "message",
    [
        'invalid port number: "99999"',
        'definition of service "x" not found',
        'service file "x" not found',
        'syntax error in service file "x", line 1',
        "could not match 2 port numbers to 1 hosts",
        'could not parse network address "x": Name or service not known',
        'weak sslmode "require" may not be used with sslrootcert=system (use "verify-full")',
    ],
)
def test_what_libpq_refuses_by_itself_is_final(message: str) -> None:
    """Trying to connect again is no help."""
    failure = classify(Phase.CONNECTING, None, f"connection is bad: {message}", connection_lost=False)

    assert failure == (Retry.NEVER, DatabaseMisconfigured)


@pytest.mark.parametrize("phase", RUNNING)
@pytest.mark.parametrize(
    ("sqlstate", "message", "retry", "error"),
    [
        ("40001", "could not serialize access", Retry.QUICKLY, DatabaseUnavailable),
        ("40P01", "deadlock detected", Retry.QUICKLY, DatabaseUnavailable),
        ("55P03", "canceling statement due to lock timeout", Retry.ONCE, DatabaseUnavailable),
        ("0A000", "cached plan must not change result type", Retry.ONCE, DatabaseUnavailable),
        ("26000", 'prepared statement "_pg3_0" does not exist', Retry.ONCE, DatabaseUnavailable),
        ("42P05", 'prepared statement "_pg3_0" already exists', Retry.ONCE, DatabaseUnavailable),
        ("57014", "canceling statement due to statement timeout", Retry.NEVER, DeadlineExceeded),
        ("25006", "cannot execute UPDATE in a read-only transaction", Retry.NEVER, DatabaseUnavailable),
        ("53100", "could not extend file: No space left on device", Retry.NEVER, DatabaseUnavailable),
        ("42P01", 'relation "tasks" does not exist', Retry.NEVER, SchemaOutdated),
        ("42703", 'column "x" does not exist', Retry.NEVER, SchemaOutdated),
        ("42501", "permission denied for table tasks", Retry.NEVER, DatabaseMisconfigured),
        ("23514", "violates check constraint", Retry.NEVER, None),
        ("42601", "syntax error", Retry.NEVER, None),
        ("0A000", "cannot do that", Retry.NEVER, None),
        ("23514", "violates check constraint of a cached plan", Retry.NEVER, None),
        ("23514", 'violates check constraint "pk_tasks"', Retry.NEVER, None),
        ("42883", "could not open: No such file or directory", Retry.NEVER, None),
        (None, "cannot adapt type", Retry.NEVER, None),
    ],
)
def test_what_the_database_refuses_has_not_happened(
    phase: Phase, sqlstate: str | None, message: str, retry: Retry, error: type[TodoError] | None
) -> None:
    """So it may be tried again, where that can help."""
    assert classify(phase, sqlstate, message, connection_lost=False) == (retry, error)


@pytest.mark.parametrize(
    ("constraint", "failure"),
    [("pk_tasks", (Retry.QUICKLY, DatabaseUnavailable)), ("ix_tasks_user_id_idempotency_key", (Retry.NEVER, None))],
)
def test_id_that_was_just_taken_is_tried_again(constraint: str, failure: tuple[Retry, type[TodoError] | None]) -> None:
    """The next attempt sees the task; a key that is taken is a mistake of ours."""
    message = f'duplicate key value violates unique constraint "{constraint}"'

    assert classify(Phase.WRITING, "23505", message, connection_lost=False) == failure


@pytest.mark.parametrize("phase", RUNNING)
@pytest.mark.parametrize(
    ("message", "retry"),
    [
        ("query_wait_timeout", Retry.NEVER),
        ("server login has been failing, cached error: connect failed", Retry.BRIEFLY),
    ],
)
def test_what_a_pooler_could_not_pass_on_has_not_happened(phase: Phase, message: str, retry: Retry) -> None:
    """It closes the connection, which makes no difference."""
    assert classify(phase, "08P01", message, connection_lost=True) == (retry, DatabaseUnavailable)


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("57P01", "terminating connection due to administrator command"),
        ("57P02", "terminating connection because of crash of another server process"),
        ("08P01", "server conn crashed?"),
        (None, "SSL error: unexpected eof while reading"),
        (None, "server closed the connection unexpectedly"),
        (None, "received 2 results from command 'COMMIT'"),
        ("XX000", "whatever a proxy says"),
    ],
)
def test_what_was_on_a_lost_connection_may_have_happened(sqlstate: str | None, message: str) -> None:
    """A read may run again; a write must not."""
    assert classify(Phase.READING, sqlstate, message, connection_lost=True) == (Retry.ONCE, DatabaseUnavailable)
    assert classify(Phase.WRITING, sqlstate, message, connection_lost=True) == (Retry.NEVER, OutcomeUnknown)


@pytest.mark.parametrize("sqlstate", ["08000", "08006", "57P01", "57P03", "58000", "58030", "25P03"])
def test_state_of_a_lost_connection_is_enough(sqlstate: str) -> None:
    """Whether the connection is known to be gone already, or not yet."""
    assert classify(Phase.READING, sqlstate, "", connection_lost=False) == (Retry.ONCE, DatabaseUnavailable)
    assert classify(Phase.WRITING, sqlstate, "", connection_lost=False) == (Retry.NEVER, OutcomeUnknown)
