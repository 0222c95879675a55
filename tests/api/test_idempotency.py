"""Idempotent creation: a client that does not know whether its task was created sends it again."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.api.test_problems import assert_problem

AT_ONCE = 50
BODY = {"title": "Buy milk", "tags": ["shop"], "due_at": "2030-01-01T00:00:00Z"}


async def create(client: httpx2.AsyncClient, tasks_url: str, key: str = "key", **members: object) -> httpx2.Response:
    """Ask for a task under a key."""
    return await client.post(tasks_url, json={**BODY, **members}, headers={"Idempotency-Key": key})


async def read(client: httpx2.AsyncClient, tasks_url: str) -> list[dict[str, Any]]:
    """The user's tasks."""
    tasks: list[dict[str, Any]] = (await client.get(tasks_url)).json()
    return tasks


async def test_same_key_and_body_give_the_same_task(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 62: 201 both times; the second says that it is a replay."""
    first = await create(client, tasks_url)
    second = await create(client, tasks_url)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert await read(client, tasks_url) == [first.json()]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    for name in ("Location", "ETag"):
        assert second.headers[name] == first.headers[name]


async def test_replay_gives_the_task_as_it_is_now(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 62: and leaves it so."""
    url = (await create(client, tasks_url)).json()["url"]
    changed = (await client.patch(url, json={"title": "Buy oat milk", "completed": True})).json()

    replay = await create(client, tasks_url)

    assert (replay.status_code, replay.json(), replay.headers["ETag"]) == (201, changed, '"2"')
    assert await read(client, tasks_url) == [changed]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"due_at": "2030-01-01T00:00:00Z", "tags": ["shop"], "title": "Buy milk"}', id="another order"),
        pytest.param(
            '{"title":" Buy\\u0020milk ","tags":["shop"],"due_at":"2030-01-01T01:00:00+01:00"}', id="spelling"
        ),
        pytest.param(
            '{"title": "Buy milk", "tags": ["shop"], "due_at": "2030-01-01T00:00:00Z", "id": 1, "version": 7}',
            id="members that the service sets",
        ),
    ],
)
async def test_same_body_may_be_written_in_another_way(client: httpx2.AsyncClient, tasks_url: str, body: str) -> None:
    """What counts is what is asked for."""
    first = await create(client, tasks_url)

    headers = {"Idempotency-Key": "key", "Content-Type": "application/json"}
    second = await client.post(tasks_url, content=body, headers=headers)

    assert (second.status_code, second.json()) == (201, first.json())


@pytest.mark.parametrize(
    "members",
    [{"title": "Buy beer"}, {"title": "buy milk"}, {"tags": []}, {"completed": False}, {"description": None}],
)
async def test_same_key_with_another_body_is_422(
    client: httpx2.AsyncClient, tasks_url: str, members: dict[str, Any]
) -> None:
    """Row 63: a member that was not sent before makes another body, even with its default."""
    first = await create(client, tasks_url)

    assert_problem(await create(client, tasks_url, **members), 422, "idempotency-key-reused")

    assert await read(client, tasks_url) == [first.json()]


async def test_many_at_once_create_one_task(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 64: fifty requests in flight, one row, fifty equal answers."""
    responses = await asyncio.gather(*(create(client, tasks_url) for _ in range(AT_ONCE)))

    [task] = await read(client, tasks_url)
    assert [response.status_code for response in responses] == [201] * AT_ONCE
    assert all(response.json() == task for response in responses)
    assert task["version"] == 1
    assert Counter("Idempotent-Replayed" in response.headers for response in responses) == {False: 1, True: AT_ONCE - 1}


async def test_many_at_once_with_other_bodies_create_one_task(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Rows 63 and 64: the first takes the key, and only those that ask for the same get its task."""
    responses = await asyncio.gather(
        *(create(client, tasks_url, title=f"Title {number % 5}") for number in range(AT_ONCE))
    )

    [task] = await read(client, tasks_url)
    assert Counter(response.status_code for response in responses) == {201: AT_ONCE // 5, 422: AT_ONCE * 4 // 5}
    assert all(response.json() == task for response in responses if response.status_code == 201)


async def test_keys_of_different_users_never_meet(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 65."""
    stranger = f"/api/{uuid4()}/tasks"
    mine = await create(client, tasks_url)

    theirs = await create(client, stranger, title="Something else")

    assert theirs.status_code == 201
    assert "Idempotent-Replayed" not in theirs.headers
    assert (await read(client, tasks_url), await read(client, stranger)) == ([mine.json()], [theirs.json()])


@pytest.mark.parametrize("suffix", ["", "?status=all"])
async def test_deletion_frees_the_key(client: httpx2.AsyncClient, tasks_url: str, suffix: str) -> None:
    """Of one task or of all."""
    first = (await create(client, tasks_url)).json()
    await client.delete(tasks_url + suffix if suffix else first["url"])

    second = await create(client, tasks_url, title="Something else")

    assert second.status_code == 201
    assert "Idempotent-Replayed" not in second.headers
    assert second.json()["id"] != first["id"]


async def test_refused_body_does_not_take_the_key(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """The client mends it and sends it under the same key."""
    assert_problem(await create(client, tasks_url, priority="urgent"), 422, "invalid-input")

    assert (await create(client, tasks_url, priority="high")).status_code == 201


async def test_without_a_key_every_request_creates(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Equal tasks are nothing unusual."""
    await client.post(tasks_url, json=BODY)
    await client.post(tasks_url, json=BODY)

    assert len(await read(client, tasks_url)) == 2


@pytest.mark.parametrize(
    ("key", "same"),
    [("a", '"a"'), ('a"b\\c', '"a\\"b\\\\c"'), ("k" * 255, f'"{"k" * 255}"'), ("!~", '"!~"'), ("\\a", '"\\\\a"')],
)
async def test_key_may_be_quoted(client: httpx2.AsyncClient, tasks_url: str, key: str, same: str) -> None:
    """Bare and as a string of RFC 9651, it is one key."""
    first = await create(client, tasks_url, key)
    second = await create(client, tasks_url, same)

    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_keys_are_told_apart_by_case(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """They are opaque."""
    await create(client, tasks_url, "a")

    assert "Idempotent-Replayed" not in (await create(client, tasks_url, "A")).headers


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param('""', id="empty and quoted"),
        pytest.param("k" * 256, id="long"),
        pytest.param(f'"{"k" * 256}"', id="long and quoted"),
        pytest.param("\u00e9".encode(), id="not ASCII"),
        pytest.param("a b", id="a space"),
        pytest.param("a\tb", id="a tab"),
        pytest.param('"a', id="half quoted"),
        pytest.param('"a"b', id="quoted in part"),
        pytest.param('"a\\b"', id="a bad escape"),
    ],
)
async def test_malformed_key_is_400(client: httpx2.AsyncClient, tasks_url: str, key: str | bytes) -> None:
    """Row 67: and creates nothing, for it would create it again."""
    headers = [(b"Idempotency-Key", key if isinstance(key, bytes) else key.encode())]
    response = await client.post(tasks_url, json=BODY, headers=headers)

    problem = assert_problem(response, 400, "invalid-header")
    assert [error["header"] for error in problem["errors"]] == ["Idempotency-Key"]
    assert await read(client, tasks_url) == []


async def test_two_keys_are_none(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """Row 67: nobody can tell which one is meant."""
    response = await client.post(tasks_url, json=BODY, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])

    assert_problem(response, 400, "invalid-header")


async def test_key_is_nobody_s_business(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """No answer repeats it."""
    response = await create(client, tasks_url, "canary-key")
    replay = await create(client, tasks_url, "canary-key")
    reused = await create(client, tasks_url, "canary-key", title="Something else")

    for answer in (response, replay, reused):
        assert "canary" not in answer.text + str(answer.headers)
