"""The tasks of one user, on the client that openapi-python-client generates."""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID, uuid4

import httpx
from todo_client import Client
from todo_client.api.tasks import complete_task, create_task, get_task, list_tasks, update_task
from todo_client.models import Problem, Status, TaskCompletion, TaskCreate, TaskPublic, TaskUpdate
from todo_client.types import UNSET, Response, Unset

ATTEMPTS = 5

Data = TypeVar("Data")


class ApiError(Exception):
    """An error of the API, with its problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Tasks:
    """The tasks of one user."""

    def __init__(self, base_url: str, user_id: str) -> None:
        self._api = Client(base_url=base_url)
        self._user_id = user_id

    def create(self, task: TaskCreate, key: str | None = None) -> TaskPublic:
        """Create a task; where no answer comes, the key makes it safe to ask again."""
        key = key or str(uuid4())
        for attempt in range(1, ATTEMPTS):
            try:
                return unwrap(
                    create_task.sync_detailed(self._user_id, client=self._api, body=task, idempotency_key=key)
                )
            except httpx.TransportError:
                time.sleep(0.2 * attempt)
        return unwrap(create_task.sync_detailed(self._user_id, client=self._api, body=task, idempotency_key=key))

    def read_all(self, status: Status | Unset = UNSET, limit: int | Unset = UNSET) -> Iterator[TaskPublic]:
        """Read every task with a status, page by page."""
        cursor: str | Unset = UNSET
        while True:
            page = list_tasks.sync_detailed(self._user_id, client=self._api, status=status, limit=limit, cursor=cursor)
            yield from unwrap(page)
            links = httpx.Response(page.status_code, headers=page.headers).links
            if "next" not in links:
                return
            cursor = httpx.URL(links["next"]["url"]).params["cursor"]

    def edit(self, task_id: UUID, edit: Callable[[TaskPublic], TaskUpdate]) -> TaskPublic:
        """Edit a task; where another device was quicker, edit what it left."""
        for _ in range(ATTEMPTS):
            read = get_task.sync_detailed(self._user_id, task_id, client=self._api)
            changed = update_task.sync_detailed(
                self._user_id, task_id, client=self._api, body=edit(unwrap(read)), if_match=read.headers["ETag"]
            )
            if changed.status_code != HTTPStatus.PRECONDITION_FAILED:
                break
        return unwrap(changed)

    def toggle(self, task_id: UUID) -> TaskPublic:
        """Toggle whether a task is completed."""
        return unwrap(complete_task.sync_detailed(self._user_id, task_id, client=self._api, body=TaskCompletion()))


def unwrap(response: Response[Problem | Data]) -> Data:
    """Return what a response carries. Raises ApiError."""
    if response.parsed is None:
        raise ValueError(f"unexpected status {response.status_code}")
    if isinstance(response.parsed, Problem):
        raise ApiError(response.parsed)
    return response.parsed
