"""Ownership, proven: by every method there is, by every plan there is, and by users who do as they please.

Nothing here names a method or a statement of the store: what is added later is covered without a change.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx2
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test
from tests.arguments import METHODS, make_calls, takes_id
from tests.service import running_service
from tests.support import open_database
from tests.wire import Relay, count_round_trips

from todo.database.engine import Database
from todo.database.store import TaskStore
from todo.errors import TaskNotFound, TodoError
from todo.models.fields import Owner
from todo.models.tasks import TaskCreate


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_reaches_another_owner_s_task(store: TaskStore, stranger: TaskStore, method: str) -> None:
    """Whatever is asked, the task is not shown and stays as it is; with its id, none is found but one of one's own."""
    task, _ = await store.add(TaskCreate(title="Mine"))

    for call in make_calls(method, task.id):
        try:
            answer = str(await call(stranger))
        except TaskNotFound:
            continue
        except TodoError as error:
            answer = f"{error} {error.faults}"
        assert "Mine" not in answer
        assert store.owner not in answer
        assert not takes_id(method) or stranger.owner in answer
    assert await store.get(task.id) == task


@pytest.fixture
def stranger(database: Database) -> TaskStore:
    """Another user's store, in the same database."""
    return TaskStore(database, Owner(f"stranger-{uuid4()}"))


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Relay]:
    """A relay that sees every statement."""
    async with count_round_trips(database_url) as relay:
        yield relay


async def capture_statements(relay: Relay, owner: Owner) -> dict[str, set[str]]:
    """Call every method once, and return what each sent about tasks."""
    async with open_database(relay.url, pool_size=1) as database:
        await database.ping()
        store = TaskStore(database, owner)
        sent: dict[str, set[str]] = {method: set() for method in METHODS}
        for method in METHODS:
            for call in make_calls(method, (await store.add(TaskCreate(title="A task"))).task.id):
                relay.reset()
                with suppress(TodoError):
                    await call(store)
                sent[method] |= {statement for statement in relay.statements if "tasks" in statement}
    return sent


def find_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for child in plan.get("Plans", []):
        yield from find_nodes(child)


def find_first_value(node: dict[str, Any]) -> str:
    """What an insert puts into the first column."""
    [source] = [child for child in node["Plans"] if child["Parent Relationship"] in {"Outer", "Subquery"}]
    value: str = source["Output"][0]
    return find_first_value(source) if "*SELECT*" in value else value


async def test_every_plan_finds_tasks_by_their_owner(relay: Relay, database_url: str, owner: Owner) -> None:
    """Each scan of the table has a condition on `user_id`, and each insert a parameter for it."""
    sent = await capture_statements(relay, owner)

    assert all(sent.values()), "a method sent nothing"
    with psycopg.connect(database_url) as connection:
        for statement in set().union(*sent.values()):
            explain = "EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) " + statement
            [(planned,)] = connection.execute(explain.encode()).fetchall()
            nodes = list(find_nodes(planned[0]["Plan"]))
            scans = [node for node in nodes if node.get("Relation Name") in OWNED and "Scan" in node["Node Type"]]
            inserts = [node for node in nodes if node.get("Operation") == "Insert"]
            assert scans or inserts, statement
            for scan in scans:
                conditions = " ".join(str(scan.get(kind, "")) for kind in ("Index Cond", "Recheck Cond", "Filter"))
                assert "user_id = ($" in re.sub(r"\btask\w*\.", "", conditions), (statement, scan)
            for insert in inserts:
                assert find_first_value(insert).startswith("$"), (statement, insert)
            assert re.findall(r"INSERT INTO \w+ \((\w+),", statement) == ["user_id"] * len(inserts), statement


OWNED = {"tasks", "task_feeds", "task_tombstones"}  # tables in which each row has an owner
USERS = ["alice", "bob", "Alice"]
TITLES = st.sampled_from(["Buy milk", "Call home", "'; DELETE FROM tasks; --", "\U0001f600"])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": TITLES,
        "description": st.none() | st.text("abc%_\\'", max_size=5),
        "completed": st.booleans(),
        "priority": st.sampled_from([None, "low", "medium", "high"]),
        "tags": st.lists(st.sampled_from("abc"), max_size=3, unique=True),
        "order": st.none() | st.integers(-3, 3),
    },
)
DEFAULTS: dict[str, object] = {"description": None, "completed": False, "priority": None, "tags": [], "order": None}


class Users(RuleBasedStateMachine):
    """Several users who try everything with every task, their own or not."""

    client: ClassVar[httpx2.Client]
    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.run = uuid4().hex
        self.model: dict[str, dict[str, dict[str, Any]]] = {user: {} for user in USERS}  # newest last

    def url(self, user: str, task_id: str = "") -> str:
        return f"/api/{user}-{self.run}/tasks" + (f"/{task_id}" if task_id else "")

    def expect(self, response: httpx2.Response, user: str, task_id: str, change: dict[str, Any]) -> None:
        """The user's own task has changed as the model has; anybody else's is not there."""
        own = self.model[user].get(task_id)
        if own is None:
            assert response.status_code == 404
            assert task_id not in response.text
            return
        if any(own[name] != value for name, value in change.items()):
            own.update(change, version=own["version"] + 1)
        self.compare(response.json(), own)

    def compare(self, seen: dict[str, Any], known: dict[str, Any]) -> None:
        assert {name: seen[name] for name in known} == known
        assert (seen["completed_at"] is not None) is known["completed"]

    @rule(target=tasks, user=st.sampled_from(USERS), title=TITLES, members=CHANGES)
    def create(self, user: str, title: str, members: dict[str, Any]) -> str:
        response = self.client.post(self.url(user), json={**members, "title": title})
        assert response.status_code == 201
        task_id: str = response.json()["id"]
        user_id = f"{user}-{self.run}"
        self.model[user][task_id] = {
            **DEFAULTS, **members, "title": title, "id": task_id, "user_id": user_id, "version": 1,
        }  # fmt: skip
        self.compare(response.json(), self.model[user][task_id])
        return task_id

    @rule(user=st.sampled_from(USERS))
    def read_all(self, user: str) -> None:
        seen = self.client.get(self.url(user)).json()
        known = list(self.model[user].values())[::-1]
        assert [task["id"] for task in seen] == [task["id"] for task in known]
        for one, other in zip(seen, known, strict=True):
            self.compare(one, other)

    @rule(user=st.sampled_from(USERS), task_id=tasks)
    def read_one(self, user: str, task_id: str) -> None:
        self.expect(self.client.get(self.url(user, task_id)), user, task_id, {})

    @rule(user=st.sampled_from(USERS), task_id=tasks, changes=CHANGES, method=st.sampled_from(["PUT", "PATCH"]))
    def update(self, user: str, task_id: str, changes: dict[str, Any], method: str) -> None:
        response = self.client.request(method, self.url(user, task_id), json=changes)
        self.expect(response, user, task_id, changes)

    @rule(user=st.sampled_from(USERS), task_id=tasks)
    def toggle(self, user: str, task_id: str) -> None:
        response = self.client.patch(self.url(user, task_id) + "/complete")
        own = self.model[user].get(task_id, {"completed": False})
        self.expect(response, user, task_id, {"completed": not own["completed"]})

    @rule(user=st.sampled_from(USERS), task_id=tasks, completed=st.booleans())
    def set_completed(self, user: str, task_id: str, *, completed: bool) -> None:
        response = self.client.patch(self.url(user, task_id) + "/complete", json={"completed": completed})
        self.expect(response, user, task_id, {"completed": completed})

    @rule(user=st.sampled_from(USERS), task_id=tasks)
    def delete(self, user: str, task_id: str) -> None:
        response = self.client.delete(self.url(user, task_id))
        assert response.status_code == (204 if self.model[user].pop(task_id, None) else 404)

    @rule(task_id=consumes(tasks))
    def read_after_all(self, task_id: str) -> None:
        found = [user for user in USERS if self.client.get(self.url(user, task_id)).status_code == 200]
        assert found == [user for user in USERS if task_id in self.model[user]]


def test_users_who_try_everything_find_what_a_plain_model_says(shared_dir: Path) -> None:
    """Over HTTP, in any order and with anybody's ids, there is no difference from the model and no leak."""
    with running_service("--data-dir", str(shared_dir / "users")) as service:
        Users.client = service.client
        run_state_machine_as_test(
            Users,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
