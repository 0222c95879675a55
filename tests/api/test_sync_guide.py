"""What docs/sync.md shows to those who write a client."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from pydantic import BaseModel
from tests.blocks import list_blocks
from tests.service import running_service

from todo.api.problems import Problem
from todo.database.store import BATCH_FAULTS
from todo.models.batches import Batch
from todo.models.feeds import ChangesPage
from todo.models.fields import Owner

GUIDE = (Path(__file__).parents[2] / "docs/sync.md").read_text()
Tasks = dict[str, dict[str, object]]


def find_texts(document: str, language: str) -> list[str]:
    """The code of a document in one language."""
    return [block.text for block in list_blocks(document) if block.language == language]


@pytest.fixture(scope="module")
def shown() -> dict[str, Callable[..., Any]]:  # Any: the functions of the guide have no types
    """The functions that the guide shows."""
    names: dict[str, Callable[..., Any]] = {}
    exec("\n".join(find_texts("docs/sync.md", "python")), names)  # noqa: S102 - our own text
    return names


@pytest.fixture(scope="module")
def origin(database_url: str) -> Iterator[str]:
    """The address of a service."""
    with running_service(DATABASE_URL=database_url) as service:
        yield str(service.client.base_url)


@pytest.fixture
def client(origin: str, owner: Owner) -> Iterator[httpx2.Client]:
    """The client that the guide asks for."""
    with httpx2.Client(base_url=f"{origin}/api/{owner}/tasks/") as client:
        yield client


def read_tasks(client: httpx2.Client) -> Tasks:
    """What the service has."""
    return {task["id"]: task for task in client.get(str(client.base_url).rstrip("/")).json()}


def test_loop_keeps_a_copy(client: httpx2.Client, shown: dict[str, Callable[..., Any]]) -> None:
    """From the first synchronization on: what was created, changed and deleted."""
    first, second = (str(uuid4()) for _ in range(2))
    for task_id in (first, second):
        client.put(task_id, json={"title": "Buy milk"}, headers={"If-None-Match": "*"}).raise_for_status()
    tasks, since = shown["pull"](client, {}, None)
    assert tasks == read_tasks(client)
    client.patch(first, json={"completed": True}).raise_for_status()
    client.delete(second).raise_for_status()

    tasks, _ = shown["pull"](client, tasks, since)

    assert tasks == read_tasks(client)
    assert tasks.keys() == {first}


def test_loop_begins_again_where_changes_are_not_known(
    client: httpx2.Client, shown: dict[str, Callable[..., Any]], connection: psycopg.Connection
) -> None:
    """And drops the tasks that do not come."""
    client.put(str(uuid4()), json={"title": "Buy milk"}, headers={"If-None-Match": "*"}).raise_for_status()
    tasks, since = shown["pull"](client, {}, None)
    connection.execute("UPDATE task_feed_generation SET begins_at = now()")

    tasks, _ = shown["pull"](client, tasks | {str(uuid4()): {"title": "Call the bank"}}, since)

    assert tasks == read_tasks(client)


def test_batch_says_which_operations_are_refused(client: httpx2.Client, shown: dict[str, Callable[..., Any]]) -> None:
    """Each with its reason, and nothing has changed; without a fault, everything has."""
    creation = {"op": "create", "id": str(uuid4()), "task": {"title": "Buy milk"}}
    update = {"op": "update", "id": str(uuid4()), "task": {"completed": True}, "if_version": [3]}

    assert shown["push"](client, [creation, update]) == [(update, "task-not-found")]
    assert read_tasks(client) == {}
    assert shown["push"](client, [creation]) == []
    assert read_tasks(client).keys() == {creation["id"]}


@pytest.mark.parametrize(
    ("model", "block"),
    [
        *zip([ChangesPage, Batch, Problem], find_texts("docs/sync.md", "json"), strict=True),
        *zip([ChangesPage, Problem], find_texts("docs/api.md", "json"), strict=True),
    ],
)
def test_documents_of_the_guides_are_those_of_the_api(model: type[BaseModel], block: str) -> None:
    """With all members, and no others."""
    assert isinstance(model.model_validate_json(block), model)
    assert json.loads(block).keys() == model.model_fields.keys()


def test_guide_names_every_reason_to_refuse_an_operation() -> None:
    """With what a client may do about it."""
    rows = re.findall(r"^\| `([a-z-]+)` \|", GUIDE, re.MULTILINE)

    assert sorted(rows) == sorted(BATCH_FAULTS)
