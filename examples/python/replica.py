"""A copy of a user's tasks that takes changes while offline, on the client that openapi-python-client generates."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias
from uuid import UUID

from tasks import unwrap
from todo_client import Client
from todo_client.api.sync import apply_batch, list_changes
from todo_client.models import Batch, BatchCreate, BatchDelete, BatchUpdate, Problem, ProblemFault, TaskPublic
from todo_client.types import UNSET

Operation: TypeAlias = BatchCreate | BatchUpdate | BatchDelete
# Returns what to send instead of a change that was refused, or nothing to give it up; it may ask the user.
Resolve: TypeAlias = Callable[[Operation, TaskPublic | None, ProblemFault], Operation | None]

REFUSED = (HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
REFUSALS = 10


class Replica:
    """A user's tasks, and the changes that wait to be sent. An app saves all public members, in one transaction."""

    def __init__(self, base_url: str, user_id: str, resolve: Resolve) -> None:
        self._api, self._user_id, self._resolve = Client(base_url=base_url), user_id, resolve
        self.tasks: dict[UUID, TaskPublic] = {}  # as the service last told
        self.next: str | None = None  # the position in the feed
        self.queue: dict[UUID, Operation] = {}  # what waits, at most one change of each task
        self.sent: list[Operation] = []  # the batch without an answer, which is sent again exactly as it was

    def change(self, change: Operation) -> None:
        """Keep a change for the next `sync`; it is refused there if another device has changed the task by then."""
        seen, waiting = self.tasks.get(change.id), self.queue.get(change.id)
        if seen and not isinstance(change, BatchCreate):
            change.if_version = change.if_version or [seen.version]
        if isinstance(waiting, BatchCreate | BatchUpdate) and isinstance(change, BatchUpdate):
            task = waiting.task.to_dict() | change.task.to_dict()
            self.queue[change.id] = type(waiting).from_dict({**waiting.to_dict(), "task": task})
        elif isinstance(waiting, BatchCreate):
            del self.queue[change.id]
        else:
            self.queue[change.id] = change

    def sync(self) -> None:
        """Send what was changed here, then fetch what was changed elsewhere. Raises httpx.TransportError offline."""
        refusals, length = 0, 100
        while self.sent or self.queue:
            self.sent = self.sent or [self.queue.pop(task_id) for task_id in list(self.queue)[:length]]
            answer = apply_batch.sync_detailed(self._user_id, client=self._api, body=Batch(self.sent))
            if isinstance(answer.parsed, Problem) and answer.status_code in REFUSED and refusals < REFUSALS:
                refusals += 1
                if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    length = (len(self.sent) + 1) // 2
                self._settle(answer.parsed)
                continue
            for state in unwrap(answer).results:
                _put(self.tasks, state.id, state.task)
                later = self.queue.get(state.id)  # it was made on top of what was sent
                if state.task and later and not isinstance(later, BatchCreate):
                    later.if_version = [state.task.version]
            self.sent = []
        self._pull()

    def _pull(self) -> None:
        tasks, since, has_more = dict(self.tasks if self.next else {}), self.next, True
        while has_more:
            answer = list_changes.sync_detailed(self._user_id, client=self._api, since=since or UNSET)
            if answer.status_code == HTTPStatus.GONE:
                tasks, since = {}, None  # begin again: what does not come is gone
                continue
            page = unwrap(answer)
            for state in page.changes:
                _put(tasks, state.id, state.task)
            since, has_more = page.next_, page.has_more
        self.tasks, self.next = tasks, since

    def _settle(self, problem: Problem) -> None:
        """Fetch what is there, and decide on each change at fault: nothing of a batch that is refused has happened."""
        self._pull()
        faults = {str(each.pointer).removeprefix("/operations/").split("/")[0]: each for each in problem.errors or []}
        decided: list[Operation | None] = []
        for place, mine in enumerate(self.sent):
            fault = faults.get(str(place))
            if fault:
                decided.append(self._resolve(mine, self.tasks.get(mine.id), fault))
            elif not isinstance(mine, BatchCreate) or mine.id not in self.tasks:  # or it had been carried out
                decided.append(mine)
        later, self.sent, self.queue = self.queue.values(), [], {}
        for change in (*decided, *later):
            if change:
                self.change(change)


def _put(tasks: dict[UUID, TaskPublic], task_id: UUID, task: TaskPublic | None) -> None:
    if task:
        tasks[task_id] = task
    else:
        tasks.pop(task_id, None)
