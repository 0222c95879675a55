"""Changes a task on two devices that are offline, and synchronizes them."""

import sys
from uuid import uuid4

from replica import Operation, Replica
from todo_client.models import BatchCreate, BatchUpdate, ProblemFault, TaskCreate, TaskPublic, TaskUpdate

base_url, user = sys.argv[1:] or ("http://127.0.0.1:8000", "alice")


def resolve(mine: Operation, theirs: TaskPublic | None, fault: ProblemFault) -> Operation | None:
    """Write an update over what another device has left: it has only what was changed here. Give up anything else."""
    print("refused:", mine.op, fault.code)
    if theirs and isinstance(mine, BatchUpdate):
        return BatchUpdate("update", mine.id, mine.task, [theirs.version])
    return None


phone = Replica(base_url, user, resolve)
laptop = Replica(base_url, user, resolve)

task_id = uuid4()
phone.change(BatchCreate("create", task_id, TaskCreate(title="Buy milk")))
phone.sync()
laptop.sync()

# without the network
phone.change(BatchUpdate("update", task_id, TaskUpdate(title="Buy oat milk")))
laptop.change(BatchUpdate("update", task_id, TaskUpdate(completed=True)))

# with it
for device in (phone, laptop, phone):
    device.sync()
for device in (phone, laptop):
    task = device.tasks[task_id]
    print("synchronized:", task.title, "completed:", task.completed)
