"""The routes for clients that keep a copy: changes, batches, and tasks under ids of the client's own."""

import json
from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from tests.api.test_problems import assert_problem
from tests.api.test_tasks import add

Object = dict[str, Any]


@pytest.fixture
def changes_url(tasks_url: str) -> str:
    """The path of the owner's changes."""
    return f"{tasks_url}/changes"


@pytest.fixture
def batch_url(tasks_url: str) -> str:
    """The path to which the owner's batches are sent."""
    return f"{tasks_url}/batch"


async def read(client: httpx2.AsyncClient, url: str, **query: object) -> Object:
    """Read one page of changes."""
    response = await client.get(url, params={name: str(value) for name, value in query.items()})
    assert response.status_code == 200, response.text
    page: Object = response.json()
    return page


def forge(owner: str, place: object) -> str:
    """A cursor with the right checksum for the owner's feed, of any place."""
    text = place if isinstance(place, str) else json.dumps(place, separators=(",", ":"))
    checksum = blake2b(f"{owner}\nchanges\n{text}".encode(), digest_size=12).digest()
    return urlsafe_b64encode(checksum + text.encode()).rstrip(b"=").decode()


# Changes


async def test_client_follows_its_users_tasks(
    client: httpx2.AsyncClient, tasks_url: str, changes_url: str, batch_url: str
) -> None:
    """Everything at first, then what has changed; a task is as a response to GET has it, and null once it is gone."""
    kept, deleted = await add(client, tasks_url), await add(client, tasks_url)
    first = await read(client, changes_url)
    await client.delete(str(deleted["url"]))
    kept = (await client.patch(str(kept["url"]), json={"title": "Changed"})).json()
    new_id = str(uuid4())
    await client.post(batch_url, json={"operations": [{"op": "create", "id": new_id, "task": {"title": "New"}}]})
    new = (await client.get(f"{tasks_url}/{new_id}")).json()

    second = await read(client, changes_url, since=first["next"])
    third = await read(client, changes_url, since=second["next"])

    assert [entry["id"] for entry in first["changes"]] == [kept["id"], deleted["id"]]
    assert second["changes"] == [
        {"id": deleted["id"], "task": None},
        {"id": kept["id"], "task": kept},
        {"id": new_id, "task": new},
    ]
    assert (third["changes"], third["has_more"]) == ([], False)


async def test_client_pages_through_many_changes(client: httpx2.AsyncClient, tasks_url: str, changes_url: str) -> None:
    """`has_more` says when to go on at once."""
    tasks = [await add(client, tasks_url) for _ in range(3)]

    first = await read(client, changes_url, limit=2)
    last = await read(client, changes_url, limit=2, since=first["next"])

    assert [len(page["changes"]) for page in (first, last)] == [2, 1]
    assert (first["has_more"], last["has_more"]) == (True, False)
    assert [entry["task"] for page in (first, last) for entry in page["changes"]] == tasks


@pytest.mark.parametrize("since", ["", "abc", "\u00e9"])
async def test_position_that_is_none_is_refused(client: httpx2.AsyncClient, changes_url: str, since: str) -> None:
    """A client that has damaged its own begins again."""
    assert_problem(await client.get(changes_url, params={"since": since}), 400, "invalid-cursor")


async def test_position_of_another_is_refused(client: httpx2.AsyncClient, tasks_url: str, changes_url: str) -> None:
    """Another user's, and that of a list."""
    others = (await read(client, f"/api/stranger-{uuid4()}/tasks/changes"))["next"]
    for _ in range(2):
        await add(client, tasks_url)
    link = (await client.get(tasks_url, params={"limit": 1})).headers["Link"]
    list_cursor = httpx2.URL(link.partition(">")[0].removeprefix("<")).params["cursor"]

    for cursor in (others, list_cursor):
        assert_problem(await client.get(changes_url, params={"since": cursor}), 400, "invalid-cursor")


NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_forged_position_of_any_time_is_void(
    client: httpx2.AsyncClient, owner: str, changes_url: str, moment: str
) -> None:
    """And no error of the service."""
    for place in (["g", moment, moment, moment, NIL], ["g", moment, None, None, NIL]):
        response = await client.get(changes_url, params={"since": forge(owner, place)})
        assert response.status_code in {400, 410}, response.text


async def test_operator_makes_every_position_void(
    client: httpx2.AsyncClient, tasks_url: str, changes_url: str, connection: psycopg.Connection
) -> None:
    """As after a restore; a client is told to begin again, and then goes on."""
    task = await add(client, tasks_url)
    before = (await read(client, changes_url))["next"]

    connection.execute("UPDATE task_feed_generation SET begins_at = now()")

    assert_problem(await client.get(changes_url, params={"since": before}), 410, "changes-expired")
    again = await read(client, changes_url)
    assert again["changes"] == [{"id": task["id"], "task": task}]
    assert (await read(client, changes_url, since=again["next"]))["changes"] == []


async def test_generation_that_is_yet_to_begin_ends_the_one_before(
    client: httpx2.AsyncClient, changes_url: str, connection: psycopg.Connection
) -> None:
    """As after a migration, while processes of the version before may still write."""
    connection.execute("UPDATE task_feed_generation SET begins_at = now() + interval '1 hour'")
    cursors = [(await read(client, changes_url))["next"]]
    cursors.append((await read(client, changes_url, since=cursors[0]))["next"])

    connection.execute("UPDATE task_feed_generation SET begins_at = now()")

    for cursor in cursors:
        assert_problem(await client.get(changes_url, params={"since": cursor}), 410, "changes-expired")


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("status", "all")])
async def test_query_of_changes_is_checked(client: httpx2.AsyncClient, changes_url: str, name: str, value: str) -> None:
    """There are no filters: a filtered feed would have to tell of tasks that leave the filter."""
    problem = assert_problem(await client.get(changes_url, params={name: value}), 422, "invalid-input")

    assert problem["errors"][0]["parameter"] == name


@pytest.mark.parametrize(("path", "method"), [("changes", "GET"), ("batch", "POST")])
async def test_other_methods_are_not_taken_for_those_of_a_task(
    client: httpx2.AsyncClient, tasks_url: str, path: str, method: str
) -> None:
    """`changes` and `batch` are no ids."""
    url = f"{tasks_url}/{path}"
    allowed = {"GET": "GET, HEAD, OPTIONS", "POST": "OPTIONS, POST"}[method]

    for other in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}:
        response = await client.request(other, url, json={} if other in {"PUT", "PATCH", "POST"} else None)
        assert_problem(response, 405, "method-not-allowed")
        assert response.headers["Allow"] == allowed
    assert (await client.options(url)).headers["Allow"] == allowed


# Batches


async def test_batch_is_answered_in_its_order(client: httpx2.AsyncClient, tasks_url: str, batch_url: str) -> None:
    """With each task as it is now, or null."""
    changed, deleted, new_id = await add(client, tasks_url), await add(client, tasks_url), str(uuid4())
    batch = {
        "operations": [
            {"op": "delete", "id": deleted["id"], "if_version": [1]},
            {"op": "update", "id": changed["id"], "task": {"completed": True}, "if_version": [1]},
            {"op": "create", "id": new_id, "task": {"title": "New"}},
        ]
    }

    response = await client.post(batch_url, json=batch)

    assert response.status_code == 200
    tasks = {task["id"]: task for task in (await client.get(tasks_url)).json()}
    assert response.json() == {
        "results": [
            {"id": deleted["id"], "task": None},
            {"id": changed["id"], "task": tasks[changed["id"]]},
            {"id": new_id, "task": tasks[new_id]},
        ]
    }
    assert (await client.post(batch_url, json=batch)).json() == response.json()


async def test_refused_batch_names_every_operation_at_fault(
    client: httpx2.AsyncClient, tasks_url: str, batch_url: str
) -> None:
    """More than the twenty errors of other problems, each with a code for programs; nothing has happened."""
    task = await add(client, tasks_url)
    absent = [{"op": "update", "id": str(uuid4()), "task": {"title": "New"}} for _ in range(99)]

    response = await client.post(
        batch_url, json={"operations": [*absent, {"op": "update", "id": task["id"], "task": {"title": "New"}}]}
    )

    problem = assert_problem(response, 409, "batch-refused")
    assert [error["pointer"] for error in problem["errors"]] == [f"/operations/{place}" for place in range(99)]
    assert {error["code"] for error in problem["errors"]} == {"task-not-found"}
    assert (await client.get(tasks_url)).json() == [task]


ID = str(uuid4())
CREATE = {"op": "create", "id": ID, "task": {"title": "New"}}


@pytest.mark.parametrize(
    ("operations", "pointers"),
    [
        ([], ["/operations"]),
        ([{**CREATE, "id": str(uuid4())} for _ in range(101)], ["/operations"]),
        ([3, CREATE], ["/operations/0"]),
        ([{**CREATE, "op": "replace"}], ["/operations/0/op"]),
        ([{"id": ID}], ["/operations/0/op"]),
        ([{**CREATE, "op": ["create"]}], ["/operations/0/op"]),
        ([{"op": "create"}], ["/operations/0/id", "/operations/0/task"]),
        ([{**CREATE, "id": "x"}], ["/operations/0/id"]),
        ([{**CREATE, "id": ID.replace("-", "")}], ["/operations/0/id"]),
        ([{**CREATE, "if_version": [1]}], ["/operations/0/if_version"]),
        ([{**CREATE, "task": {"title": " "}}], ["/operations/0/task/title"]),
        ([{**CREATE, "task": {}}], ["/operations/0/task/title"]),
        ([{**CREATE, "task": None}], ["/operations/0/task"]),
        ([{**CREATE, "task": {"title": "New", "titel": "New"}}], ["/operations/0/task/titel"]),
        ([{**CREATE, "task": {"title": "New", "user_id": "stranger"}}], ["/operations/0/task/user_id"]),
        ([{"op": "update", "id": ID, "task": {"tags": [1]}}], ["/operations/0/task/tags/0"]),
        ([{"op": "delete", "id": ID, "task": {}}], ["/operations/0/task"]),
        *(
            ([{"op": "delete", "id": ID, "if_version": versions}], [f"/operations/0/if_version{place}"])
            for versions, place in [([], ""), (1, ""), ([0], "/0"), ([2**63], "/0"), (["1"], "/0"), ([1.5], "/0")]
        ),
        ([CREATE, {"op": "delete", "id": ID.upper()}], ["/operations/1/id"]),
        ([{**CREATE, **{f"x{number}": 1 for number in range(60)}}], ["/operations/0"]),
        ([{**CREATE, "task": {f"x{number}": 1 for number in range(5000)}}], ["/operations/0"]),
    ],
)
async def test_bad_batch_is_refused_where_it_is_bad(
    client: httpx2.AsyncClient, tasks_url: str, batch_url: str, operations: list[Any], pointers: list[str]
) -> None:
    """Before anything is done."""
    body = json.dumps({"operations": operations}).replace('"\\ud800"', "")

    response = await client.post(batch_url, content=body, headers={"Content-Type": "application/json"})

    problem = assert_problem(response, 422, "invalid-input")
    assert [error["pointer"] for error in problem["errors"]] == pointers
    assert (await client.get(tasks_url)).json() == []


@pytest.mark.parametrize("place", [{"task": {"\ud800": 1, "title": "New"}}, {"\ud800": 1}, {"op": "\ud800"}])
async def test_member_that_is_no_text_is_refused(client: httpx2.AsyncClient, batch_url: str, place: Object) -> None:
    """A lone surrogate cannot be sent back."""
    body = json.dumps({"operations": [{**CREATE, **place}]})

    response = await client.post(batch_url, content=body, headers={"Content-Type": "application/json"})

    assert_problem(response, 422, "invalid-input")


async def test_what_a_client_has_read_can_be_sent_back_in_a_batch(
    client: httpx2.AsyncClient, tasks_url: str, batch_url: str
) -> None:
    """Members that the service sets are ignored, as in other requests."""
    task = await add(client, tasks_url)

    response = await client.post(batch_url, json={"operations": [{"op": "update", "id": task["id"], "task": task}]})

    assert response.json()["results"] == [{"id": task["id"], "task": task}]


# Tasks under ids of the client's own


async def test_task_is_put_under_the_clients_id(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Once, and not again after its deletion."""
    url, any_ = f"{tasks_url}/{uuid4()}", {"If-None-Match": "*"}

    created = await client.put(url, json={"title": "New", "tags": ["a"]}, headers=any_)
    again = await client.put(url, json={"title": "New", "tags": ["a"]}, headers=any_)

    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    assert created.headers["Location"] == created.json()["url"]
    assert (await client.get(url)).json() == created.json()
    assert "already" in assert_problem(again, 412, "precondition-failed")["detail"]
    await client.delete(url)
    assert_problem(await client.put(url, json={"title": "New"}, headers=any_), 410, "task-deleted")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"If-None-Match": '"1"'}, {"title": "New"}, 400),
        ({"If-None-Match": "x"}, {"title": "New"}, 400),
        ({"If-None-Match": "*", "If-Match": '"1"'}, {"title": "New"}, 400),
        ({"If-None-Match": "*"}, {"tags": []}, 422),
        ({"If-None-Match": "*"}, {"title": "New", "user_id": "stranger"}, 422),
        ({"If-None-Match": "*"}, {"title": None}, 422),
        ({}, {"title": "New"}, 404),
    ],
)
async def test_bad_creation_by_put_is_refused(
    client: httpx2.AsyncClient, tasks_url: str, headers: dict[str, str], body: Object, status: int
) -> None:
    """And without the condition, it is a change of a task that is not there."""
    response = await client.put(f"{tasks_url}/{uuid4()}", json=body, headers=headers)

    assert response.status_code == status
    assert (await client.get(tasks_url)).json() == []
