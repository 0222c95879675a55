"""Copies of users' tasks that follow the feeds of their changes, and must be right after every poll.

A copy is right if it equals the tasks in one snapshot of the database. An observer reads the end of the feed and the
tasks in one transaction, and so in one snapshot. A follower polls over HTTP, where it cannot. But its position tells
how far the feed was, and whoever has seen the feed there must have seen the same tasks; now and then it keeps everybody
from writing and looks itself. And whatever was acknowledged before a poll began is in the copy after it.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import httpx2
from psycopg import IsolationLevel
from tests.faults.writers import Copy, Findings, Plan, Session, State, User, Writer, hold, open_session

from todo.api.cursors import read_feed_cursor
from todo.database.engine import Rows
from todo.database.store import TaskStore
from todo.errors import ChangesExpired
from todo.models.feeds import ChangesQuery, FeedPosition
from todo.models.fields import Owner
from todo.models.tasks import TaskRow

USERS, WRITERS, HOLDERS, FOLLOWERS, OBSERVERS = 3, 12, 3, 4, 2
LIMITS = (1, 1, 2, 3, 10, 100, 1000)
PATIENT_PAGES = 50  # after so many, a client asks for large ones: small ones may never catch up
AGAIN = 0.1  # how often it begins again, without a position
LOCK_FEED = "SELECT changed_at FROM task_feeds WHERE user_id = $1 FOR UPDATE"
READ_TASKS = "SELECT id, version, title, completed, updated_at FROM tasks WHERE user_id = $1"
# As after the clock was set back, again and again: the feed is ahead of it, and stays so.
PUT_FEED_AHEAD = """
INSERT INTO task_feeds AS feed VALUES ($1, clock_timestamp() + interval '10 minutes')
ON CONFLICT (user_id) DO UPDATE SET changed_at = greatest(feed.changed_at, excluded.changed_at)
"""
AHEAD_SECONDS = 0.3
# A tombstone has the greatest version that there can be.
FIND_ALL = """
SELECT id, max(version), count(*) FROM (
    SELECT id, version FROM tasks WHERE user_id = $1
    UNION ALL SELECT id, 9223372036854775807 FROM task_tombstones WHERE user_id = $1
) AS found GROUP BY id
"""


def describe_row(task: TaskRow | None) -> State | None:
    """What a copy keeps of a task that was read in this process."""
    if task is None:
        return None
    return task.version, task.title, task.completed, task.updated_at.replace(tzinfo=UTC)


def describe_json(task: Mapping[str, Any] | None) -> State | None:
    """What a copy keeps of a task that came over HTTP."""
    if task is None:
        return None
    return task["version"], task["title"], task["completed"], datetime.fromisoformat(task["updated_at"])


def apply(copy: Copy, task_id: UUID, state: State | None) -> None:
    """Do what a client does with an entry of the feed."""
    if state is None:
        copy.pop(task_id, None)
    else:
        copy[task_id] = state


def choose_limit(random: Random, number: int) -> int:
    """Choose the length of a page."""
    return random.choice(LIMITS) if number < PATIENT_PAGES else max(LIMITS)


async def read_tasks(session: Session, user: User) -> Copy:
    """Read what a copy must be."""
    return {row[0]: row[1:] for row in await run(session, READ_TASKS, user)}


async def run(session: Session, statement: str, user: User) -> Rows:
    """Run a statement of this module's on the tasks of a user."""
    cursor = await session.connection.execute(statement.encode(), [user.owner])
    return await cursor.fetchall() if cursor.description else []


class Observer:
    """A copy that is fed from the database itself, and compared with the tasks in the snapshot of its last page."""

    def __init__(self, plan: Plan, session: Session, seed: int) -> None:
        self._plan = plan
        self._session = session
        self._random = Random(seed)  # noqa: S311 - no secret
        self._copies: dict[Owner, tuple[Copy, FeedPosition]] = {}

    async def work(self) -> None:
        """Poll until it is over."""
        while not self._plan.is_over:
            try:
                await self.poll(self._random.choice(self._plan.users))
            except ChangesExpired:
                self._plan.findings.wrong.append("a position is ahead of the feed")
            await asyncio.sleep(self._random.random() * 0.02)

    async def poll(self, user: User) -> None:
        """Read page after page, each in a snapshot of its own, and compare the copy with the tasks in the last one."""
        copy, since = self._copies.get(user.owner, ({}, None))
        if self._random.random() < AGAIN:
            copy, since = {}, None
        store = TaskStore(self._session, user.owner)
        for number in count():
            query = ChangesQuery(limit=choose_limit(self._random, number))
            async with self._session.connection.transaction():
                page = await store.changes(query, since)
                tasks = await read_tasks(self._session, user)
            self._plan.findings.counts["pages in a snapshot"] += 1
            since = page.end
            for change in page.changes:
                apply(copy, change.id, describe_row(change.task))
            if not page.has_more:
                break
        self._plan.findings.compare(user, page.end.at, tasks, "snapshots")
        self._plan.findings.compare(user, page.end.at, dict(copy), "copies with their snapshot")
        self._copies[user.owner] = copy, page.end


class Follower:
    """A client that keeps a copy of one user's tasks over HTTP, and begins again from time to time."""

    def __init__(self, plan: Plan, user: User, session: Session, seed: int) -> None:
        self._plan = plan
        self._user = user
        self._session = session
        self._random = Random(seed)  # noqa: S311 - no secret
        self._copy: Copy = {}
        self._since: str | None = None

    async def work(self) -> None:
        """Poll until it is over, often at once and sometimes after a while."""
        while not self._plan.is_over:
            await self.poll()
            async with self._session.connection.transaction():
                if await run(self._session, LOCK_FEED, self._user):  # there is none before the first write
                    await self.poll()
                    await self.compare()
            await asyncio.sleep(self._random.random() ** 4)

    async def poll(self) -> None:
        """Ask until there is no more, and compare the copy with what is known."""
        versions, gone = dict(self._user.versions), set(self._user.gone)
        if self._random.random() < AGAIN:
            self._copy, self._since = {}, None
        for number in count():
            page = await self._ask(choose_limit(self._random, number))
            if page is None:
                return
            self._since = page["next"]
            for change in page["changes"]:
                apply(self._copy, UUID(change["id"]), describe_json(change["task"]))
            if not page["has_more"]:
                break
            if self._random.random() < AGAIN:
                await asyncio.sleep(self._random.random() * 0.05)
        findings, copy = self._plan.findings, self._copy
        findings.wrong += [f"{each} is gone, and still in a copy" for each in gone if each in copy]
        findings.wrong += [
            f"{each} was in version {version} before the poll, and is in {copy[each][0]} after it"
            for each, version in versions.items()
            if each in copy and copy[each][0] < version
        ]
        findings.counts["polls over HTTP"] += 1
        position = read_feed_cursor(self._user.owner, self._since or "")
        findings.compare(self._user, position.at, dict(copy), "copies over HTTP")

    async def _ask(self, limit: int) -> Mapping[str, Any] | None:
        parameters = {"limit": limit} | ({"since": self._since} if self._since else {})
        response = await self._plan.client.get(f"{self._user.url}/changes", params=parameters)
        self._plan.findings.counts["pages over HTTP"] += 1
        if response.status_code != httpx2.codes.OK:
            self._plan.findings.wrong.append(f"changes: {response.status_code} {response.text}")
            return None
        page: Mapping[str, Any] = response.json()
        return page

    async def compare(self) -> None:
        """Compare the copy with the tasks while nobody can write."""
        tasks = await read_tasks(self._session, self._user)
        self._plan.findings.counts["compared: copies over HTTP while nobody writes"] += 1
        differ = [(key, tasks.get(key), self._copy.get(key)) for key in tasks | self._copy]
        if differ := [each for each in differ if each[1] != each[2]]:
            self._plan.findings.wrong.append(f"a copy over HTTP while nobody writes: {differ[:3]} of {len(differ)}")

    async def end(self) -> None:
        """Poll once more, when nobody writes: the copy must equal the tasks, and the list."""
        await self.poll()
        await self.compare()
        tasks = (await self._plan.client.get(self._user.url)).json()
        if self._copy != {UUID(task["id"]): describe_json(task) for task in tasks}:
            self._plan.findings.wrong.append("a copy differs from the list")


async def put_feed_ahead(plan: Plan) -> None:
    """Put the first user's feed ahead of the clock, so that copies have positions there before somebody writes."""
    async with open_session(plan.url, IsolationLevel.READ_COMMITTED) as session:
        while not plan.is_over:
            await run(session, PUT_FEED_AHEAD, plan.users[0])
            await asyncio.sleep(AHEAD_SECONDS)


async def follow_writers(
    client: httpx2.AsyncClient, url: str, seconds: float, *, is_clock_set_back: bool = True
) -> Findings:
    """Let clients write and copies follow for so long, or until something is wrong."""
    plan = Plan(client, url, [User() for _ in range(USERS)], Findings(), time.monotonic() + seconds)
    seeds = count()
    async with AsyncExitStack() as stack:
        followers: list[Follower] = []
        observers: list[Observer] = []
        for number in range(FOLLOWERS):
            session = await stack.enter_async_context(open_session(url, IsolationLevel.READ_COMMITTED))
            followers.append(Follower(plan, plan.users[number % USERS], session, next(seeds)))
        for _ in range(OBSERVERS):
            snapshots = await stack.enter_async_context(open_session(url, IsolationLevel.REPEATABLE_READ))
            observers.append(Observer(plan, snapshots, next(seeds)))
        async with asyncio.TaskGroup() as group:
            if is_clock_set_back:
                group.create_task(put_feed_ahead(plan))
            for work in (
                *(Writer(plan, next(seeds)).work() for _ in range(WRITERS)),
                *(hold(plan, next(seeds)) for _ in range(HOLDERS)),
                *(follower.work() for follower in followers),
                *(observer.work() for observer in observers),
            ):
                group.create_task(work)
        for follower in followers:
            await follower.end()
        for user in plan.users:
            await find_what_was_lost(session, user, plan.findings)
    return plan.findings


async def find_what_was_lost(session: Session, user: User, findings: Findings) -> None:
    """Every task that was acknowledged is there, or its one tombstone."""
    rows = await run(session, FIND_ALL, user)
    found = {task_id: version for task_id, version, _ in rows}
    findings.wrong += [f"{task_id} was deleted, and is there" for task_id, _, times in rows if times > 1]
    findings.wrong += [
        f"{task_id} was in version {version}, and is in {found.get(task_id)}"
        for task_id, version in user.versions.items()
        if found.get(task_id, 0) < version
    ]
