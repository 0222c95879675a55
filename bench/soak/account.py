"""What clients know of their tasks from the answers they got, and what the database has to hold because of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeAlias

import psycopg

EVERY_TASK = 'SELECT user_id, "order", title, description, completed, version FROM tasks WHERE user_id LIKE %s'


class State(NamedTuple):
    """A task, as far as the account looks at it."""

    title: str
    description: str | None
    completed: bool
    version: int


Change: TypeAlias = Callable[[State], State | None]  # None: the task is gone
Fate: TypeAlias = Literal["lost", "doubled", "leaked", "unexpected"]
FATES: tuple[Fate, ...] = ("lost", "doubled", "leaked", "unexpected")


class Outcome(Enum):
    """What an answer, or its absence, says about a change."""

    DONE = "it has happened"
    NOTHING = "nothing has happened"
    UNKNOWN = "it may or may not have happened"


class Finding(NamedTuple):
    """A promise that was broken."""

    fate: Fate
    text: str


@dataclass
class Record:
    """One task of one user: every state that it may be in, None for being absent.

    More than one is possible after a change whose outcome is unknown. Nothing but toggles may follow such a change,
    because it may still happen later, and toggles can be counted in any order.
    """

    user: str
    number: int  # kept in the task's `order`, which is never changed
    possible: set[State | None] = field(default_factory=lambda: {None})
    task_id: str = ""  # of a creation that was acknowledged
    is_busy: bool = False
    is_kept: bool = False  # a creation that is still on its way would bring it back once it is deleted

    @property
    def state(self) -> State | None:
        """The state, if there is but one and the task exists."""
        return next(iter(self.possible)) if len(self.possible) == 1 else None

    def settle(self, outcome: Outcome, change: Change) -> None:
        """Take in the outcome of a change."""
        changed = {state and change(state) for state in self.possible}
        if outcome is Outcome.DONE:
            self.possible = changed
        elif outcome is Outcome.UNKNOWN:
            self.possible |= changed

    def settle_creation(self, outcome: Outcome, created: State) -> None:
        """Take in the outcome of the creation."""
        if outcome is Outcome.DONE:
            self.possible = {created}
        elif outcome is Outcome.UNKNOWN:
            self.possible = {None, created}

    def judge(self, found: State | None) -> Fate | None:
        """Say what is wrong with a state that was found, by an answer or in the database."""
        if found in self.possible:
            return None
        versions = [state.version for state in self.possible if state]
        if found and (found.version > max(versions, default=0)) and (versions or not self.task_id):
            return "doubled"
        return "lost"


def read_state(task: Mapping[str, Any]) -> State:
    """Read a task of an answer."""
    return State(task["title"], task["description"], task["completed"], task["version"])


def toggle(state: State) -> State:
    """Toggle."""
    return state._replace(completed=not state.completed, version=state.version + 1)


def complete(state: State, *, completed: bool) -> State:
    """Set `completed`."""
    return state if state.completed == completed else toggle(state)


def edit(state: State, title: str, description: str) -> State:
    """Edit."""
    changed = state._replace(title=title, description=description)
    return state if changed == state else changed._replace(version=state.version + 1)


def delete(_: State) -> None:
    """Delete."""


class Account:
    """Every task that was ever asked for, and every promise that was seen broken."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], Record] = {}
        self.findings: list[Finding] = []

    def open(self, user: str) -> Record:
        """Make the record of a task that is about to be created."""
        record = Record(user, len(self.records))
        self.records[user, record.number] = record
        return record

    def report(self, fate: Fate, text: str) -> None:
        """Note a promise that was broken."""
        self.findings.append(Finding(fate, text))

    def compare(self, record: Record, found: State | None, where: str) -> None:
        """Hold a state that was found against what is possible."""
        if fate := record.judge(found):
            self.report(fate, f"{where}: {record} is {found}")

    def audit(self, database_url: str, users: str) -> None:
        """Hold the database against the account; `users` is the pattern (LIKE) of the users' names."""
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(EVERY_TASK, [users]).fetchall()
        found: defaultdict[tuple[str, int], list[State]] = defaultdict(list)
        for user, number, *state in rows:
            found[user, number].append(State(*state))
        self.findings += self._compare_all(found)

    def _compare_all(self, found: Mapping[tuple[str, int], list[State]]) -> Iterator[Finding]:
        for key, record in self.records.items():
            states = found.get(key, [])
            if wrong := record.judge(states[0] if states else None):
                yield Finding(wrong, f"database: {record} is {states}")
            yield from (Finding("doubled", f"database: {record} is there once more, as {more}") for more in states[1:])
        numbers = {number for _, number in self.records}
        for user, number in found.keys() - self.records.keys():
            fate: Fate = "leaked" if number in numbers else "doubled"
            yield Finding(fate, f"database: {user} has task {number} and did not create it")


def count_fates(findings: Iterable[Finding]) -> dict[Fate, int]:
    """Count the findings of each kind."""
    counts: dict[Fate, int] = dict.fromkeys(FATES, 0)
    for finding in findings:
        counts[finding.fate] += 1
    return counts
