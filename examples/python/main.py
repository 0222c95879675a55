"""Creates, lists and edits tasks, and reads a problem document."""

import sys
from datetime import UTC, datetime
from uuid import uuid4

from tasks import ApiError, Tasks
from todo_client.models import Status, TaskCreate, TaskPublic, TaskUpdate

base_url, user = sys.argv[1:] or ("http://127.0.0.1:8000", "alice")
tasks = Tasks(base_url, user)

key = str(uuid4())
milk = tasks.create(TaskCreate(title="Buy milk", tags=["shop"]), key)
again = tasks.create(TaskCreate(title="Buy milk", tags=["shop"]), key)
print("the same task for the same key:", again.id == milk.id)

tasks.create(TaskCreate(title="Call the bank", due_at=datetime(2030, 1, 31, 9, 30, tzinfo=UTC)))
for task in tasks.read_all(Status.PENDING, limit=1):
    print("to do:", task.title)

seen: list[TaskPublic] = []


def add_bread(task: TaskPublic) -> TaskUpdate:
    """Add bread to the title."""
    seen.append(task)
    if len(seen) == 1:
        tasks.toggle(task.id)  # as another device would, in between
    return TaskUpdate(title=f"{task.title} and bread")


edited = tasks.edit(milk.id, add_bread)
print("edited:", edited.title, "completed:", edited.completed, "attempts:", len(seen))

try:
    tasks.create(TaskCreate(title=" "))
except ApiError as error:
    print("refused:", error.problem.type_, ",".join(str(fault.pointer) for fault in error.problem.errors or []))
