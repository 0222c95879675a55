"""Does what each line of the input says with the replica of the examples, and prints what it then has."""

import json
import sys

import httpx
from replica import Operation, Replica
from todo_client.models import Batch, BatchUpdate, ProblemFault, TaskPublic

base_url, user = sys.argv[1:]
asked: list[str] = []


def resolve(mine: Operation, theirs: TaskPublic | None, fault: ProblemFault) -> Operation | None:
    """Write an update over what another device has left; give up any other change."""
    asked.append(str(fault.code))
    if theirs and isinstance(mine, BatchUpdate):
        return BatchUpdate("update", mine.id, mine.task, [theirs.version])
    return None


replica = Replica(base_url, user, resolve)
for line in sys.stdin:
    command, is_online = json.loads(line), True
    if "change" in command:
        replica.change(Batch.from_dict({"operations": [command["change"]]}).operations[0])
    else:
        try:
            replica.sync()
        except httpx.TransportError:
            is_online = False
    tasks = [task.to_dict() for task in replica.tasks.values()]
    waiting = len(replica.sent) + len(replica.queue)
    print(json.dumps({"tasks": tasks, "waiting": waiting, "asked": asked, "isOnline": is_online}), flush=True)
