"""What a failure of the database means: whether to try again, and what the caller is told.

One table, of which the first row that fits decides. A row asks how far the statement was, for the SQLSTATE, and for
words: psycopg gives no SQLSTATE for what goes wrong while connecting, Neon's proxy has XX000 for everything, and behind
a pooler a connection that is gone is often no more than the end of a stream. Knows no connection and no retry loop.
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
    """How far the statement had come."""

    CONNECTING = "connecting"  # nothing was sent
    READING = "reading"  # running it twice does no harm
    WRITING = "writing"


class Retry(Enum):
    """Whether another try may help, and for how long."""

    NEVER = "never"
    ONCE = "once, on a fresh connection"
    BRIEFLY = "twice more, within half a second"
    QUICKLY = "until the deadline, a moment after each other"
    PATIENTLY = "until the deadline"


class Failure(NamedTuple):
    """What follows from a failure."""

    retry: Retry
    error: type[TodoError] | None  # None: a mistake of ours


class _Rule(NamedTuple):
    phases: Sequence[Phase]
    sqlstates: tuple[str, ...]  # how they begin; none: any state, or none at all
    words: str
    failure: Failure


_ALL = tuple(Phase)
_RUNNING = (Phase.READING, Phase.WRITING)

# Connection exception, operator intervention, system error, idle for too long; and whatever has cost the connection.
_LOST = "lost"
_GONE = (_LOST, "08", "57P", "58", "25P03")

# The words of PostgreSQL, libpq, PgBouncer and Neon's proxy.
_PERMANENT = (
    "endpoint is disabled|endpoint cannot be found|[Ee]ndpoint ID is not specified|quota|not allowed to connect"
    "|authentication failed|no password supplied|no pg_hba.conf entry|pg_hba.conf rejects connection|does not exist"
    '|not permitted to log in|permission denied (for database|to set)|parameter "[^"]*" cannot be|requirepeer'
    "|certificate|SSL required|does not support SSL|channel binding|unsupported startup parameter"
    "|no such (user|database)|must be UTF8|unrecognized configuration parameter|invalid command-line argument"
    "|invalid value for parameter|authentication method requirement"
    # psycopg's, before anything is sent, with what libpq says of an option or of the environment.
    "|^connection is bad: (invalid|weak|definition of service|service file|syntax error|could not (match|parse))"
)
_FULL = (
    "remaining connection slots|too many (clients|connections)|no more connections allowed|query_wait_timeout"
    "|rate limit|limit exceeded"
)
_ABSENT = "refused|No such file or directory|resolve|Name or service not known|server login has been failing"

_RULES = (
    _Rule([Phase.CONNECTING], (), _PERMANENT, Failure(Retry.NEVER, DatabaseMisconfigured)),
    _Rule(_ALL, (), _FULL, Failure(Retry.NEVER, DatabaseUnavailable)),
    _Rule([Phase.CONNECTING], (), _ABSENT, Failure(Retry.BRIEFLY, DatabaseUnavailable)),
    # It wakes up, or starts, or is in a state that nobody has thought of: in any case nothing was sent.
    _Rule([Phase.CONNECTING], (), "", Failure(Retry.PATIENTLY, DatabaseUnavailable)),
    # A pooler that cannot reach its server has not passed the statement on.
    _Rule(_RUNNING, ("08P01",), _ABSENT, Failure(Retry.BRIEFLY, DatabaseUnavailable)),
    # Rolled back for another transaction's sake, which has got on by that: serialization failure, deadlock.
    _Rule(_RUNNING, ("40001", "40P01"), "", Failure(Retry.QUICKLY, DatabaseUnavailable)),
    # Rolled back after a wait: lock not available.
    _Rule(_RUNNING, ("55P03",), "", Failure(Retry.ONCE, DatabaseUnavailable)),
    # Not begun: a migration has changed a table under a prepared statement, or a pooler has mixed statements up.
    _Rule(_RUNNING, ("0A000",), "cached plan", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule(_RUNNING, ("26000", "42P05"), "", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule(_RUNNING, ("42P01", "42703"), "", Failure(Retry.NEVER, SchemaOutdated)),
    _Rule(_RUNNING, ("42501",), "", Failure(Retry.NEVER, DatabaseMisconfigured)),
    _Rule(_RUNNING, ("57014",), "", Failure(Retry.NEVER, DeadlineExceeded)),
    # Refused as it stands: the database is read-only, or short of memory, disk or slots.
    _Rule(_RUNNING, ("25006", "53"), "", Failure(Retry.NEVER, DatabaseUnavailable)),
    _Rule([Phase.READING], _GONE, "", Failure(Retry.ONCE, DatabaseUnavailable)),
    _Rule([Phase.WRITING], _GONE, "", Failure(Retry.NEVER, OutcomeUnknown)),
)
_MISTAKE = Failure(Retry.NEVER, None)


def judge(phase: Phase, sqlstate: str | None, words: str, *, is_lost: bool) -> Failure:
    """Say what follows from an error; `is_lost`: it has cost the connection."""
    states = [sqlstate or "", *([_LOST] if is_lost else [])]
    for rule in _RULES:
        has_state = not rule.sqlstates or any(state.startswith(rule.sqlstates) for state in states)
        if phase in rule.phases and has_state and re.search(rule.words, words):
            return rule.failure
    return _MISTAKE
