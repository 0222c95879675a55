"""Users who work at a fixed rate, whatever becomes of their requests, and hold every answer against the account."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
from bench.soak.account import Account, Change, Fate, Outcome, Record, State, complete, delete, edit, read_state, toggle

USERS = 40
BULK_USERS = 10
TASKS_PER_USER = 50
PAGE = 20
IN_FLIGHT = 600
TIMEOUT_SECONDS = 20  # twice the deadline: whoever waits longer has been forgotten
RETRY_SECONDS = 0.5
RETRIES_END_AFTER_SECONDS = 30
REPEATED_SHARE = 0.25

UNAVAILABLE, LATE, UNKNOWN = (503, "database-unavailable"), (504, "deadline-exceeded"), (503, "outcome-unknown")
OVERLOADED = (503, "overloaded")  # a long list, while others that nobody reads take the room
PROMISED_TO_READS = {UNAVAILABLE, LATE, OVERLOADED}
PROMISED_TO_WRITES = {UNAVAILABLE, LATE, UNKNOWN}
NOT_CONNECTED, CUT_OFF, TIMED_OUT = "not connected", "cut off", "timed out"

# How often each is chosen; `users` name the methods of a user who shares no task with a change of all.
OPERATIONS: Mapping[str, int] = {
    "create": 12,
    "create_once": 12,
    "read": 14,
    "read_all": 6,
    "read_filtered": 6,
    "edit": 10,
    "edit_in_version": 6,
    "edit_in_old_version": 3,
    "toggle": 6,
    "toggle_together": 10,
    "set_completed": 6,
    "delete": 8,
    "probe": 8,
}
BULK_OPERATIONS: Mapping[str, int] = {"create": 10, "read_all": 4, "toggle": 2, "complete_all": 6, "delete_all": 2}


class Sample(NamedTuple):
    """One request, and when it was due, sent and answered, in seconds of the monotonic clock."""

    due: float
    sent: float
    arrived: float
    method: str
    status: int  # 0 for none
    problem: str  # the last part of its type, or how the connection failed; empty for a success


class Request(NamedTuple):
    """What is sent."""

    method: str
    url: str
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = {}


class Answer(NamedTuple):
    """What came back."""

    status: int
    outcome: Outcome
    body: Any  # JSON of whatever shape
    headers: Mapping[str, str]


class User:
    """A user and the tasks of that user; one who works alone has one request in flight at a time."""

    def __init__(self, name: str, account: Account, *, works_alone: bool) -> None:
        self.name = name
        self.url = f"/api/{name}/tasks"
        self.works_alone = works_alone
        self.is_working = False
        self.records: list[Record] = []
        self.shared = account.open(name)  # what several requests at once toggle

    def choose(self, random: Random, *, for_deletion: bool = False) -> Record | None:
        """Choose a task whose state is known, and with which nothing else is being done."""
        idle = [record for record in self.records if record.state and not record.is_busy]
        if for_deletion:
            idle = [record for record in idle if not record.is_kept]
        return random.choice(idle) if idle else None


def make_url(user: User, record: Record) -> str:
    """Make the address of a task."""
    return f"{user.url}/{record.task_id}"


@contextmanager
def held(record: Record) -> Iterator[Record]:
    """Keep a task to oneself."""
    record.is_busy = True
    try:
        yield record
    finally:
        record.is_busy = False


class Clients:
    """All users."""

    def __init__(self, base_url: str, account: Account, random: Random, prefix: str) -> None:
        self.samples: list[Sample] = []
        self._account = account
        self._random = random
        self._prefix = prefix
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._ends = float("inf")
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            timeout=TIMEOUT_SECONDS,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=50),
        )
        self._names = (f"{prefix}-{number}" for number in range(10**6))
        self._users = [self._make_user(works_alone=False) for _ in range(USERS)]
        self._bulk_users = [self._make_user(works_alone=True) for _ in range(BULK_USERS)]

    def _make_user(self, *, works_alone: bool) -> User:
        return User(next(self._names), self._account, works_alone=works_alone)

    async def work(self, rate: float, seconds: float) -> None:
        """Send `rate` requests a second for so many seconds, each when it is due, and wait for the answers.

        A request waits for its turn where too many are in flight; its latency is counted from when it was due.
        """
        async with self._http, asyncio.TaskGroup() as tasks:
            for user in (*self._users, *self._bulk_users):
                await self._create(user, user.shared, time.monotonic())
            started = time.monotonic()
            self._ends = started + seconds
            for number in range(round(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0, due - time.monotonic()))
                await self._places.acquire()
                tasks.create_task(self._operate(due))

    async def _operate(self, due: float) -> None:
        user = self._random.choice([*self._users, *(user for user in self._bulk_users if not user.is_working)])
        operations = BULK_OPERATIONS if user.works_alone else OPERATIONS
        [name] = self._random.choices(list(operations), list(operations.values()))
        if name.startswith("create") and len(user.records) >= TASKS_PER_USER:
            name = "delete_all" if user.works_alone else "delete"
        user.is_working = True
        try:
            await getattr(self, name)(user, due)
        finally:
            user.is_working = False
            user.records = [record for record in user.records if record.is_busy or record.possible != {None}]
            self._places.release()

    async def create(self, user: User, due: float) -> None:
        """Create a task; without an answer nobody knows whether it is there."""
        await self._create(user, self._account.open(user.name), due)

    async def create_once(self, user: User, due: float) -> None:
        """Create a task under a key, as often as it takes to get an answer, and now and then once more."""
        record, key = self._account.open(user.name), str(uuid4())
        while True:
            answer = await self._create(user, record, due, **{"Idempotency-Key": key})
            record.is_kept = record.is_kept or answer.outcome is Outcome.UNKNOWN
            if answer.outcome is Outcome.DONE or time.monotonic() > self._ends + RETRIES_END_AFTER_SECONDS:
                break
            await asyncio.sleep(RETRY_SECONDS)
            due = time.monotonic()
        if record.state and self._random.random() < REPEATED_SHARE:
            with held(record):
                request = Request("POST", user.url, describe(record), {"Idempotency-Key": key})
                again = await self._ask(time.monotonic(), request, 201)
                record.is_kept = record.is_kept or again.outcome is Outcome.UNKNOWN
                if again.outcome is Outcome.DONE:
                    self._compare(record, again, "repeated")

    async def _create(self, user: User, record: Record, due: float, **headers: str) -> Answer:
        body = describe(record)
        if record is not user.shared and all(record is not other for other in user.records):
            user.records.append(record)
        with held(record):
            answer = await self._ask(due, Request("POST", user.url, body, headers), 201)
            created = State(body["title"], body["description"], completed=False, version=1)
            record.settle_creation(answer.outcome, created)
        if answer.outcome is Outcome.DONE:
            record.task_id = answer.body["id"]
            self._compare(record, answer, "created")
        return answer

    async def read(self, user: User, due: float) -> None:
        """Read a task, which is as it was left."""
        record = user.choose(self._random)
        if not record:
            await self.create(user, due)
            return
        with held(record):
            answer = await self._ask(due, Request("GET", make_url(user, record)), 200, 404)
            if answer.outcome is Outcome.DONE:
                self._compare(record, answer, "read")
            elif answer.status == httpx2.codes.NOT_FOUND:
                self._account.compare(record, None, "read")

    async def read_all(self, user: User, due: float) -> None:
        """Read all pages: every task that nobody has touched meanwhile is there once, as it was left."""
        before = {record.number: record.state for record in user.records if record.state and not record.is_busy}
        tasks = await self._read_pages(user, f"{user.url}?limit={PAGE}", due)
        if tasks is None:
            return
        found = {task["order"]: read_state(task) for task in tasks}
        if len(found) < len(tasks):
            self._account.report("doubled", f"listed: {user.name} has a task more than once")
        for record in user.records:
            if not record.is_busy and record.state and record.state == before.get(record.number):
                self._account.compare(record, found.get(record.number), "listed")

    async def read_filtered(self, user: User, due: float) -> None:
        """Read all pages of a filtered list: nothing else is there."""
        is_completed = self._random.choice([True, False])
        status = "completed" if is_completed else "pending"
        query = f"status={status}&tag=soak&q=task&sort=-updated_at&limit={PAGE}"
        for task in await self._read_pages(user, f"{user.url}?{query}", due) or []:
            if task["completed"] is not is_completed:
                self._account.report("unexpected", f"listed: {task} is not {status}")

    async def _read_pages(self, user: User, url: str, due: float) -> list[dict[str, Any]] | None:
        tasks: list[dict[str, Any]] = []
        while url:
            answer = await self._ask(due, Request("GET", url), 200)
            if answer.outcome is not Outcome.DONE:
                return None
            tasks += answer.body
            url = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
            due = time.monotonic()
        for task in tasks:
            if task["user_id"] != user.name or (user.name, task["order"]) not in self._account.records:
                self._account.report("leaked", f"listed: {user.name} was shown {task}")
        return tasks

    async def edit(self, user: User, due: float) -> None:
        """Edit a task, whatever its version."""
        await self._edit(user, due, lambda _: {})

    async def edit_in_version(self, user: User, due: float) -> None:
        """Edit a task in the version that it has."""
        await self._edit(user, due, lambda state: {"If-Match": f'"{state.version}"'})

    async def _edit(self, user: User, due: float, condition: Callable[[State], dict[str, str]]) -> None:
        record = user.choose(self._random)
        if not record or not record.state:
            await self.create(user, due)
            return
        title, description = f"Task {record.number} edited", str(uuid4())
        body = {"title": title, "description": description}
        request = Request("PATCH", make_url(user, record), body, condition(record.state))
        await self._change(record, due, request, partial(edit, title=title, description=description))

    async def edit_in_old_version(self, user: User, due: float) -> None:
        """Try to edit a task in a version that it no longer has, which changes nothing."""
        record = user.choose(self._random)
        if not record or not record.state:
            await self.create(user, due)
            return
        headers = {"If-Match": f'"{record.state.version - 1}"'}
        with held(record):
            await self._ask(due, Request("PATCH", make_url(user, record), {"title": "Late"}, headers), 412)

    async def toggle(self, user: User, due: float) -> None:
        """Toggle a task."""
        if record := user.choose(self._random):
            await self._change(record, due, Request("PATCH", f"{make_url(user, record)}/complete"), toggle)
        else:
            await self.create(user, due)

    async def toggle_together(self, user: User, due: float) -> None:
        """Toggle the task that others of the user's requests toggle at the same time: only the count is known."""
        answer = await self._ask(due, Request("PATCH", f"{make_url(user, user.shared)}/complete"), 200)
        user.shared.settle(answer.outcome, toggle)

    async def set_completed(self, user: User, due: float) -> None:
        """Complete or reopen a task, which may be so already."""
        if record := user.choose(self._random):
            completed = self._random.choice([True, False])
            request = Request("PATCH", f"{make_url(user, record)}/complete", {"completed": completed})
            await self._change(record, due, request, partial(complete, completed=completed))
        else:
            await self.create(user, due)

    async def delete(self, user: User, due: float) -> None:
        """Delete a task, and see that it is gone."""
        record = user.choose(self._random, for_deletion=True)
        if not record:
            await self.read_all(user, due)
            return
        await self._change(record, due, Request("DELETE", make_url(user, record)), delete)
        if record.possible == {None}:
            await self._ask(time.monotonic(), Request("GET", make_url(user, record)), 404)

    async def _change(self, record: Record, due: float, request: Request, change: Change) -> None:
        with held(record):
            answer = await self._ask(due, request, 204 if request.method == "DELETE" else 200, 404)
            if answer.status == httpx2.codes.NOT_FOUND:
                self._account.compare(record, None, request.method)
                record.possible = {None}
                return
            record.settle(answer.outcome, change)
            if answer.body and answer.outcome is Outcome.DONE:
                self._compare(record, answer, request.method)

    async def complete_all(self, user: User, due: float) -> None:
        """Complete or reopen all tasks of a user."""
        completed = self._random.choice([True, False])
        request = Request("PATCH", f"{user.url}?status=all", {"completed": completed})
        await self._change_all(user, due, request, partial(complete, completed=completed))

    async def delete_all(self, user: User, due: float) -> None:
        """Delete all completed tasks of a user."""
        request = Request("DELETE", f"{user.url}?status=completed")
        await self._change_all(user, due, request, lambda state: None if state.completed else state)

    async def _change_all(self, user: User, due: float, request: Request, change: Change) -> None:
        records = [user.shared, *user.records]
        expected = sum(record.state is not None and change(record.state) != record.state for record in records)
        is_countable = all(len(record.possible) == 1 for record in records)
        answer = await self._ask(due, request, 200)
        for record in records:
            record.settle(answer.outcome, change)
        if answer.outcome is Outcome.DONE:
            [count] = answer.body.values()
            if is_countable and count != expected:
                fate: Fate = "lost" if count < expected else "doubled"
                self._account.report(fate, f"{request.method} of all of {user.name}: {count} and not {expected}")
        elif answer.outcome is Outcome.UNKNOWN:  # it may still happen, to whatever the user does next
            self._bulk_users[self._bulk_users.index(user)] = self._make_user(works_alone=True)

    async def probe(self, user: User, due: float) -> None:
        """Ask for another user's task: the answer is that for a task which never was."""
        other = self._random.choice([other for other in self._users if other is not user])
        method, suffix, body = self._random.choice(PROBES)
        found = set()
        for task_id in (other.shared.task_id, str(uuid4())):
            answer = await self._ask(due, Request(method, f"{user.url}/{task_id}{suffix}", body), 404)
            if answer.outcome is Outcome.DONE:
                self._account.report("leaked", f"{method} {suffix} of another user's task: {answer}")
            if answer.status == httpx2.codes.NOT_FOUND:
                found.add(repr(make_comparable(answer)))
            due = time.monotonic()
        if len(found) > 1:
            self._account.report("leaked", f"{method} {suffix} tells another user's task from none: {found}")

    async def _ask(self, due: float, request: Request, *expected: int) -> Answer:
        sent = time.monotonic()
        answer, problem = await self._send(request)
        self.samples.append(Sample(due, sent, time.monotonic(), request.method, answer.status, problem))
        promised = PROMISED_TO_READS if request.method == "GET" else PROMISED_TO_WRITES
        says_when = answer.status != httpx2.codes.SERVICE_UNAVAILABLE or "retry-after" in answer.headers
        is_promised = answer.status in expected or ((answer.status, problem) in promised and says_when)
        if answer.status and not is_promised:
            self._account.report("unexpected", f"{request.method} {request.url}: {answer}")
        return answer

    async def _send(self, request: Request) -> tuple[Answer, str]:
        """Send a request and return the answer and what is wrong with it; status 0 is none."""
        method, url, body, headers = request
        try:
            response = await self._http.request(method, url, json=body, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            return Answer(0, Outcome.NOTHING, None, {}), NOT_CONNECTED
        except httpx2.TimeoutException:
            return Answer(0, Outcome.UNKNOWN, None, {}), TIMED_OUT
        except httpx2.TransportError:
            return Answer(0, Outcome.UNKNOWN, None, {}), CUT_OFF
        answer = read_answer(response)
        return answer, "" if response.is_success else read_problem(answer)

    def _compare(self, record: Record, answer: Answer, where: str) -> None:
        self._account.compare(record, read_state(answer.body), where)


PROBES = (
    ("GET", "", None),
    ("PATCH", "", {"title": "Taken"}),
    ("PUT", "", {"title": "Taken"}),
    ("PATCH", "/complete", None),
    ("DELETE", "", None),
)


def describe(record: Record) -> dict[str, Any]:
    """Make the body of a creation."""
    text = f"Of {record.user} \N{WHITE HEAVY CHECK MARK}"
    return {"title": f"Task {record.number}", "description": text, "order": record.number, "tags": ["soak"]}


def read_answer(response: httpx2.Response) -> Answer:
    """Read what an answer says about the change that was asked for."""
    is_json = "json" in response.headers.get("content-type", "")
    answer = Answer(response.status_code, Outcome.UNKNOWN, response.json() if is_json else None, response.headers)
    if response.is_success:
        return answer._replace(outcome=Outcome.DONE)
    if response.is_client_error or read_problem(answer) in {"database-unavailable", "schema-outdated"}:
        return answer._replace(outcome=Outcome.NOTHING)
    return answer


def read_problem(answer: Answer) -> str:
    """Read the last part of a problem's type."""
    return (
        str(answer.body["type"]).rpartition(":")[2] if isinstance(answer.body, dict) and "type" in answer.body else ""
    )


def make_comparable(answer: Answer) -> tuple[dict[str, str], dict[str, object]]:
    """Leave out of an answer what differs from request to request."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}}
    return headers, {**answer.body, "request_id": ""}
