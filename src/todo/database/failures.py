"""What a failure of the database means: whether to retry, and which error the caller gets.

One table, in which the first rule that matches decides, by phase, SQLSTATE and message. The message is needed because
psycopg has no SQLSTATE for what fails while connecting, Neon's proxy has XX000 for everything, and behind a pooler a
lost connection is often no more than an unexpected end of file. Knows no connection and no retry loop.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from todo.errors import (
    DatabaseMisconfigured,
    DatabaseUnavailable,
    DeadlineExceeded,
    OutcomeUnknown,
    SchemaOutdated,
    TodoError,
)


class Phase(Enum):
    """How far the statement had got."""

    CONNECTING = "connecting"  # nothing was sent
    READING = "reading"  # safe to run twice
    WRITING = "writing"


class Retry(Enum):
    """Whether to retry, and for how long."""

    NEVER = "never"
    ONCE = "once"
    BRIEFLY = "twice, within half a second"
    QUICKLY = "until the deadline, at short intervals"
    PATIENTLY = "until the deadline"


class Failure(NamedTuple):
    """What follows from a failure."""

    retry: Retry
    error: type[TodoError] | None  # None: a bug


class _Rule(NamedTuple):
    phases: Sequence[Phase]
    sqlstates: tuple[str, ...]  # prefixes; empty: any SQLSTATE, or none
    message: str  # a pattern to search for
    failure: Failure


_ALL = tuple(Phase)
_RUNNING = (Phase.READING, Phase.WRITING)

# Stands for the SQLSTATE of an error that has cost the connection, whichever it has.
_LOST = "lost"
# And connection exception, operator intervention, system error, idle in transaction for too long.
_CONNECTION_LOST = (_LOST, "08", "57P", "58", "25P03")

# Messages of PostgreSQL, libpq, PgBouncer and Neon's proxy.
_PERMANENT = (
    "endpoint is disabled|endpoint cannot be found|[Ee]ndpoint ID is not specified|quota|not allowed to connect"
    "|authentication failed|no password supplied|no pg_hba.conf entry|pg_hba.conf rejects connection|does not exist"
    '|not permitted to log in|permission denied (for database|to set)|parameter "[^"]*" cannot be|requirepeer'
    "|certificate|SSL required|does not support SSL|channel binding|unsupported startup parameter"
    "|no such (user|database)|must be UTF8|unrecognized configuration parameter|invalid command-line argument"
    "|invalid value for parameter|authentication method requirement"
    # psycopg's, before anything is sent, with libpq's complaint about an option or the environment.
    "|^connection is bad: (invalid|weak|definition of service|service file|syntax error|could not (match|parse))"
)
_FULL = (
    "remaining connection slots|too many (clients|connections)|no more connections allowed|query_wait_timeout"
    "|rate limit|limit exceeded"
)
_UNREACHABLE = "refused|No such file or directory|resolve|Name or service not known|server login has been failing"

_RULES = (
    _Rule([Phase.CONNECTING], (), _PERMANENT, Failure(Retry.NEVER, DatabaseMisconfigured)),
    _Rule(_ALL, (), _FULL, Failure(Retry.NEVER, DatabaseUnavailable)),
    _Rule([Phase.CONNECTING], (), _UNREACHABLE, Failure(Retry.BRIEFLY, DatabaseUnavailable)),
    # It is waking up, or starting, or in a state that nobody has thought of: in any case nothing was sent.
    _Rule([Phase.CONNECTING], (), "", Failure(Retry.PATIENTLY, DatabaseUnavailable)),
    # A pooler that cannot reach its server has not passed the statement on.
    _Rule(_RUNNING, ("08P01",), _UNREACHABLE, Failure(Retry.BRIEFLY, DatabaseUnavailable)),
    # Rolled back in favour of another transaction, which has made progress: serialization failure, deadlock.
    _Rule(_RUNNING, ("40001", "40P01"), "", Failure(Retry.QUICKLY, DatabaseUnavailable)),
    # Rolled back after waiting: lock not available.
    _Rule(_RUNNING, ("55P03",), "", Failure(Retry.ONCE, DatabaseUnavailable)),
    # Rolled back: another request has just created a task with the same id, which the next attempt will see. A batch
    # has many ids, and may meet others each time.
    _Rule([Phase.WRITING], ("23505",), "pk_tasks", Failure(Retry.QUICKLY, DatabaseUnavailable)),
    # Not started: a migration has changed a table under a prepared statement, or a pooler has mixed statements up.
    _Rule(_RUNNING, ("0A000",), "cached plan", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule(_RUNNING, ("26000", "42P05"), "", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule(_RUNNING, ("42P01", "42703"), "", Failure(Retry.NEVER, SchemaOutdated)),
    _Rule(_RUNNING, ("42501",), "", Failure(Retry.NEVER, DatabaseMisconfigured)),
    _Rule(_RUNNING, ("57014",), "", Failure(Retry.NEVER, DeadlineExceeded)),
    # The database is read-only, or out of memory, disk or connections.
    _Rule(_RUNNING, ("25006", "53"), "", Failure(Retry.NEVER, DatabaseUnavailable)),
    _Rule([Phase.READING], _CONNECTION_LOST, "", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule([Phase.WRITING], _CONNECTION_LOST, "", Failure(Retry.NEVER, OutcomeUnknown)),
)
_BUG = Failure(Retry.NEVER, None)


def classify(phase: Phase, sqlstate: str | None, message: str, *, connection_lost: bool) -> Failure:
    """Return what follows from an error; `connection_lost` tells whether it has cost the connection."""
    states = [sqlstate or "", *([_LOST] if connection_lost else [])]
    for rule in _RULES:
        has_state = not rule.sqlstates or any(state.startswith(rule.sqlstates) for state in states)
        if phase in rule.phases and has_state and re.search(rule.message, message):
            return rule.failure
    return _BUG
