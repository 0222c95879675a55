"""What we add to the generated requests: a check that whatever one user can read, no other can; and a filter."""

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import schemathesis

from todo.api.headers import PATTERNS


@schemathesis.hook
def filter_case(_: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Leave out headers that break their pattern: some are generated as if they did not.

    And what no schema can refuse: two operations of a batch on one task, and a creation with `PUT` that has no title or
    is conditional on a version.
    """
    body = case.body if isinstance(case.body, dict) else {}
    if case.method == "PUT" and "If-None-Match" in case.headers and ("If-Match" in case.headers or "title" not in body):
        return False
    operations = body.get("operations")
    if isinstance(operations, list):
        ids = [each.get("id") for each in operations if isinstance(each, dict)]
        if any(each in ids[:place] for place, each in enumerate(ids)):
            return False
    return all(re.search(PATTERNS[name], value) for name, value in case.headers.items() if name in PATTERNS)


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Let no two creations meet under one key: what the second is told is right, and no schema can say it."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())


@schemathesis.check
def is_hidden_from_others(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Replay each successful read of a task as another user: the answer is that for a task which never was."""
    if case.method != "GET" or "task_id" not in case.path_parameters or response.status_code != httpx2.codes.OK:
        return
    url = urlsplit(str(response.request.url))
    tasks = f"{url.scheme}://{url.netloc}/api/stranger-{uuid4()}/tasks"
    foreign = httpx2.get(f"{tasks}/{url.path.rpartition('/')[2]}")
    absent = httpx2.get(f"{tasks}/{uuid4()}")

    assert foreign.status_code == absent.status_code == httpx2.codes.NOT_FOUND
    assert {**foreign.json(), "request_id": ""} == {**absent.json(), "request_id": ""}
