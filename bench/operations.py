"""The operations that are measured: the rows that they need, and the requests, which are the same in every run."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

HOST = "todo.example.com"  # in every answer's `url`
BROWSER = {  # what fetch() of a page sends
    "host": HOST,
    "connection": "keep-alive",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-GB,en;q=0.5",
}
SHORT_LIST, LONG_LIST = 20, 1000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [
    "buy", "milk", "call", "the", "bank", "about", "mortgage", "write", "report", "book", "flights", "to", "Lisbon",
    "fix", "leaking", "tap", "in", "kitchen", "plan", "birthday", "party", "review", "budget", "for", "next",
    "quarter", "water", "plants", "renew", "passport", "clean", "garage", "prepare", "slides",
]  # fmt: skip
COPY_TASKS = """
    COPY tasks (user_id, id, title, description, completed, completed_at, due_at, priority, tags, "order",
        created_at, updated_at) FROM STDIN
"""


class Request(NamedTuple):
    """A request, as far as one differs from another."""

    method: str
    path: str
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a browser sends."""
        if not self.body:
            return BROWSER
        return BROWSER | {"content-type": "application/json", "content-length": str(len(self.body))}


@dataclass(frozen=True)
class Operation:
    """Something that clients do, and how often it is done for one measurement."""

    name: str
    count: int
    make_request: Callable[[str, int], Request]  # of a user, the n-th
    tasks: int = LONG_LIST  # that the user has before; the requests take turns with them
    needs_own_tasks: bool = False  # because it changes or ends them
    status: int = 200


def make_id(user_id: str, number: int) -> UUID:
    """Make the id of a user's n-th task: a version 7, as the service makes them."""
    made = random.Random(f"{user_id}/{number}")
    milliseconds = int(EPOCH.timestamp() * 1000) + number
    return UUID(int=milliseconds << 80 | 7 << 76 | made.getrandbits(12) << 64 | 2 << 62 | made.getrandbits(62))


def make_rows(user_id: str, count: int) -> Iterator[tuple[Any, ...]]:
    """Make a user's tasks, always the same: two in three have a description, and so on."""
    for number in range(count):
        made = random.Random(number)
        created = EPOCH + timedelta(minutes=number, microseconds=made.randrange(1_000_000))
        is_completed = number % 3 == 0
        yield (
            user_id,
            make_id(user_id, number),
            " ".join(made.choices(WORDS, k=5)).capitalize(),
            " ".join(made.choices(WORDS, k=20)) if number % 3 else None,
            is_completed,
            created + timedelta(hours=1, microseconds=7) if is_completed else None,
            created + timedelta(days=7) if number % 2 else None,
            made.choice([None, 1, 2, 3]),
            made.sample(WORDS, k=number % 4),
            made.choice([None, number]),
            created,
            created + timedelta(hours=1, microseconds=7),
        )


def copy_tasks(database_url: str, users: Mapping[str, int]) -> None:
    """Give users so many tasks, and no others."""
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM tasks WHERE user_id = ANY(%s)", [list(users)])
        with connection.cursor().copy(COPY_TASKS.encode()) as copy:
            for user_id, count in users.items():
                for row in make_rows(user_id, count):
                    copy.write_row(row)
        connection.execute("ANALYZE tasks")


def _path(user_id: str, number: int) -> str:
    return f"/api/{user_id}/tasks/{make_id(user_id, number)}"


def _read(user_id: str, number: int) -> Request:
    return Request("GET", _path(user_id, number % LONG_LIST))


def _list(user_id: str, _: int) -> Request:
    return Request("GET", f"/api/{user_id}/tasks")


def _create(user_id: str, number: int) -> Request:
    task = {
        "title": f"Book flights to Lisbon {number}",
        "description": "Not before nine, two bags, an aisle seat, and look whether the train is cheaper",
        "due_at": "2030-01-31T09:30:00Z",
        "priority": "high",
        "tags": ["travel", "spring"],
        "order": number,
    }
    return Request("POST", f"/api/{user_id}/tasks", _write(task))


def _update(user_id: str, number: int) -> Request:
    changes = {"title": f"Buy oat milk {number}", "due_at": None, "tags": ["shop"]}
    return Request("PATCH", _path(user_id, number % LONG_LIST), _write(changes))


def _toggle(user_id: str, number: int) -> Request:
    return Request("PATCH", f"{_path(user_id, number % LONG_LIST)}/complete")


def _delete(user_id: str, number: int) -> Request:
    return Request("DELETE", _path(user_id, number))


def _write(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


READ = Operation("read", 400, _read)
OPERATIONS: Sequence[Operation] = (
    READ,
    Operation(f"list of {SHORT_LIST}", 300, _list, tasks=SHORT_LIST),
    Operation(f"list of {LONG_LIST}", 20, _list, tasks=LONG_LIST),
    Operation("create", 250, _create, tasks=0, needs_own_tasks=True, status=201),
    Operation("update", 250, _update, needs_own_tasks=True),
    Operation("toggle", 250, _toggle, needs_own_tasks=True),
    Operation("delete", 250, _delete, needs_own_tasks=True, status=204),
)
