"""Conditional requests: what a client has seen decides whether its request is carried out."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.api.test_ownership import comparable
from tests.api.test_problems import assert_problem
from tests.api.test_tasks import add

WRITES = [
    ("PUT", "", {"title": "Renamed"}),
    ("PATCH", "", {"title": "Renamed"}),
    ("PATCH", "/complete", None),
    ("PATCH", "/complete", {"completed": True}),
    ("DELETE", "", None),
]
AT_ONCE = 50


@pytest.fixture
async def task(client: httpx2.AsyncClient, tasks_url: str) -> dict[str, Any]:
    """A task in its second version."""
    url = (await add(client, tasks_url))["url"]
    task: dict[str, Any] = (await client.patch(str(url), json={"title": "Changed"})).json()
    return task


@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
@pytest.mark.parametrize(
    "if_match", ['"2"', "*", '"1", "2"', '"x","2"', ' , "2" ,, "3",', 'W/"1", "2"', '"2"' + ', "x"' * 2000]
)
async def test_write_whose_condition_holds_is_done(
    client: httpx2.AsyncClient, task: dict[str, Any], method: str, suffix: str, body: object, if_match: str
) -> None:
    """Row 60: one of the tags is the task's, or any would do."""
    response = await client.request(method, task["url"] + suffix, json=body, headers={"If-Match": if_match})

    if method == "DELETE":
        assert response.status_code == 204
        return
    assert (response.status_code, response.json()["version"]) == (200, 3)
    assert response.headers["ETag"] == '"3"'
    assert (await client.get(task["url"])).json() == response.json()


@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
@pytest.mark.parametrize(
    "if_match",
    [
        '"1"',
        '"3"',
        '"1", "3"',
        'W/"2"',
        '"02"',
        '"+2"',
        '"2 "'.replace(" ", "_"),
        '""',
        '"9223372036854775808"',
        '"' + "9" * 5000 + '"',
        '"a,b"',
    ],
)
async def test_write_whose_condition_does_not_hold_is_412_and_not_done(
    client: httpx2.AsyncClient, task: dict[str, Any], method: str, suffix: str, body: object, if_match: str
) -> None:
    """Row 60: a stale tag, a weak one, and one that was never given out."""
    response = await client.request(method, task["url"] + suffix, json=body, headers={"If-Match": if_match})

    assert_problem(response, 412, "precondition-failed")
    assert (await client.get(task["url"])).json() == task


@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
@pytest.mark.parametrize("if_match", ["", "2", '"2', "'2'", '"2" "3"', "*, *", '*, "2"', 'w/"2"', '"a b"', ",", '"2";'])
async def test_malformed_condition_is_400(
    client: httpx2.AsyncClient, task: dict[str, Any], method: str, suffix: str, body: object, if_match: str
) -> None:
    """Row 60: whoever misspells a condition does not get an unconditional write."""
    response = await client.request(method, task["url"] + suffix, json=body, headers={"If-Match": if_match})

    problem = assert_problem(response, 400, "invalid-header")
    assert [error["header"] for error in problem["errors"]] == ["If-Match"]
    assert (await client.get(task["url"])).json() == task


async def test_condition_may_be_in_several_lines(client: httpx2.AsyncClient, task: dict[str, Any]) -> None:
    """They are one list (RFC 9110, section 5.3)."""
    lines = [("If-Match", '"1"'), ("If-Match", '"2"')]

    assert (await client.delete(task["url"], headers=lines)).status_code == 204


@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
@pytest.mark.parametrize("if_match", ['"2"', '"7"', "*", 'W/"2"'])
async def test_condition_on_another_user_s_task_is_404(
    client: httpx2.AsyncClient, task: dict[str, Any], method: str, suffix: str, body: object, if_match: str
) -> None:
    """Row 48: byte for byte that of a task which never was, whatever the condition."""
    stranger, headers = f"/api/{uuid4()}/tasks", {"If-Match": if_match}

    foreign = await client.request(method, f"{stranger}/{task['id']}{suffix}", json=body, headers=headers)
    absent = await client.request(method, f"{stranger}/{uuid4()}{suffix}", json=body, headers=headers)

    assert_problem(foreign, 404, "task-not-found")
    assert comparable(foreign) == comparable(absent)
    assert (await client.get(task["url"])).json() == task


async def test_change_that_changes_nothing_keeps_the_tag(client: httpx2.AsyncClient, task: dict[str, Any]) -> None:
    """So that the client's next condition holds as well."""
    response = await client.patch(task["url"], json={"title": "Changed"}, headers={"If-Match": '"2"'})

    assert (response.status_code, response.headers["ETag"], response.json()) == (200, '"2"', task)


@pytest.mark.parametrize("if_none_match", ['"2"', 'W/"2"', "*", '"1", W/"2"'])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_read_of_what_the_client_has_is_304(
    client: httpx2.AsyncClient, task: dict[str, Any], method: str, if_none_match: str
) -> None:
    """With the tag and without the task."""
    response = await client.request(method, task["url"], headers={"If-None-Match": if_none_match})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == '"2"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("if_none_match", ['"1"', '"3"', 'W/"1"', '"x"'])
async def test_read_of_what_the_client_has_not_is_200(
    client: httpx2.AsyncClient, task: dict[str, Any], if_none_match: str
) -> None:
    """The whole task, as without a condition."""
    response = await client.get(task["url"], headers={"If-None-Match": if_none_match})

    assert (response.status_code, response.headers["ETag"], response.json()) == (200, '"2"', task)


@pytest.mark.parametrize("if_none_match", ['"2"', "*"])
async def test_read_of_another_user_s_task_is_404(
    client: httpx2.AsyncClient, task: dict[str, Any], if_none_match: str
) -> None:
    """Never 304, which would say that it is there."""
    url = f"/api/{uuid4()}/tasks/{task['id']}"

    assert_problem(await client.get(url, headers={"If-None-Match": if_none_match}), 404, "task-not-found")


async def test_malformed_condition_on_a_read_is_400(client: httpx2.AsyncClient, task: dict[str, Any]) -> None:
    """As on a write."""
    assert_problem(await client.get(task["url"], headers={"If-None-Match": "2"}), 400, "invalid-header")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_list_that_the_client_has_is_304(client: httpx2.AsyncClient, tasks_url: str, method: str) -> None:
    """With the address of the next page, and without the tasks; a tag of another list is none of it."""
    for _ in range(2):
        await add(client, tasks_url)
    first, other = await client.get(tasks_url, params={"limit": 1}), await client.get(tasks_url)
    tag = first.headers["ETag"]

    same = [
        await client.request(method, tasks_url, params={"limit": 1}, headers={"If-None-Match": value})
        for value in (tag, tag.removeprefix("W/"), f"{other.headers['ETag']}, {tag}", "*")
    ]
    fresh = await client.request(
        method, tasks_url, params={"limit": 1}, headers={"If-None-Match": other.headers["ETag"]}
    )

    assert tag.startswith('W/"')
    assert [(each.status_code, each.content) for each in same] == [(304, b"")] * 4
    assert {(each.headers["ETag"], each.headers["Link"]) for each in same} == {(tag, first.headers["Link"])}
    assert (fresh.status_code, fresh.headers["ETag"]) == (200, tag)


async def test_tag_of_a_list_changes_with_whatever_the_list_says(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """A task of it, which there are, in which order, and whether there is a next page."""
    tags = [(await client.get(tasks_url)).headers["ETag"]]
    first, second = await add(client, tasks_url), await add(client, tasks_url)
    tags += [(await client.get(tasks_url, params={"sort": sort})).headers["ETag"] for sort in ("order", "-order")]
    await client.patch(str(first["url"]), json={"title": "Changed"})
    tags += [(await client.get(tasks_url, params={"sort": "order"})).headers["ETag"]]
    one = await client.get(tasks_url, params={"limit": 1})
    await client.delete(str(first["url"]))
    alone = await client.get(tasks_url, params={"limit": 1})
    tags += [one.headers["ETag"], alone.headers["ETag"]]

    assert one.json() == alone.json() == [second]
    assert len(set(tags)) == len(tags)


async def test_malformed_condition_on_a_list_is_400(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """As on a task."""
    assert_problem(await client.get(tasks_url, headers={"If-None-Match": "2"}), 400, "invalid-header")


async def test_every_response_with_one_task_has_its_tag(client: httpx2.AsyncClient, tasks_url: str) -> None:
    """And every change gives it another."""
    created = await client.post(tasks_url, json={"title": "A task"})
    url = created.json()["url"]
    responses = [
        created,
        await client.get(url),
        await client.head(url),
        await client.put(url, json={"title": "Second"}),
        await client.patch(url, json={"title": "Third"}),
        await client.patch(f"{url}/complete"),
        await client.patch(f"{url}/complete", json={"completed": False}),
    ]

    assert [response.headers["ETag"] for response in responses] == ['"1"', '"1"', '"1"', '"2"', '"3"', '"4"', '"5"']


@pytest.mark.parametrize("versions", [1, 3])
async def test_of_many_writes_with_one_condition_as_many_win_as_it_names(
    client: httpx2.AsyncClient, tasks_url: str, versions: int
) -> None:
    """Row 59: fifty at once, and the others are told; none is lost under another."""
    url = str((await add(client, tasks_url))["url"])
    headers = {"If-Match": ", ".join(f'"{version + 1}"' for version in range(versions))}

    responses = await asyncio.gather(
        *(client.patch(url, json={"title": f"Title {number}"}, headers=headers) for number in range(AT_ONCE))
    )

    assert Counter(response.status_code for response in responses) == {200: versions, 412: AT_ONCE - versions}
    written = [response.json() for response in responses if response.status_code == 200]
    assert sorted(task["version"] for task in written) == list(range(2, versions + 2))
    assert (await client.get(url)).json() == max(written, key=lambda task: task["version"])


@pytest.mark.parametrize("if_match", [None, '"1"', "*"])
async def test_write_that_races_a_deletion_is_200_or_404(
    client: httpx2.AsyncClient, tasks_url: str, if_match: str | None
) -> None:
    """Row 61: with a condition as well, and nothing rises again."""
    headers = {"If-Match": if_match} if if_match else {}
    for _ in range(40):
        url = str((await add(client, tasks_url))["url"])

        writes = [
            client.patch(url, json={"title": "Renamed"}, headers=headers) for _ in range(2 if if_match != '"1"' else 1)
        ]
        *written, deleted = await asyncio.gather(*writes, client.delete(url))

        assert deleted.status_code == 204
        assert {response.status_code for response in written} <= {200, 404}
        assert (await client.get(url)).status_code == 404
