"""The OpenAPI document: what FastAPI makes of the routes, completed by what it cannot be told there."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from todo.api.health import Health
from todo.api.operations import DOCUMENTED
from todo.api.problems import Problem, make_problem
from todo.api.schemas import REF_TEMPLATE, ClientSchema
from todo.api.tasks import Deleted, Updated
from todo.errors import BatchRefused, Fault, InvalidHeader, InvalidInput, TodoError
from todo.models.batches import Batch, BatchCreate, BatchDelete, BatchResults, BatchUpdate
from todo.models.feeds import ChangesPage, TaskState
from todo.models.fields import DESCRIPTION_LENGTH, TAG_LENGTH, TAGS_COUNT, TITLE_LENGTH
from todo.models.queries import TaskQuery
from todo.models.tasks import TaskCompletion, TaskCreate, TaskPublic, TasksCompletion, TaskUpdate

Schema: TypeAlias = dict[str, Any]  # of JSON Schema

INFO: Mapping[str, Any] = {
    "title": "Todo backend",
    "summary": "The tasks of many users",
    "description": """\
Tasks as JSON over HTTP, each owned by one user.

- **Errors** are problem documents (RFC 9457): `type` is stable, `detail` is for people, `errors` says where.
- **Pages**: if there are more tasks, `Link` has the address of the next page; follow it unchanged until there is none.
- **Conditions**: send the `ETag` of a task as `If-Match`, and a change does not overwrite another client's.
- **Copies**: `changes` lists what has changed since the last time, deletions included, and never misses a change.
- **Batches**: up to a hundred creations, updates and deletions happen together, or none of them does.
- **Repetition**: a creation with an `Idempotency-Key` can be sent again, and creates no second task.
- Timestamps are in UTC, with up to six decimal places. Unknown members and parameters are refused by name.
""",
    "contact": {"name": "The todo-backend authors"},
    "license_info": {"name": "MIT", "identifier": "MIT"},
    "openapi_tags": [
        {"name": "tasks", "description": "The tasks of one user."},
        {"name": "sync", "description": "For clients that keep a copy of the user's tasks."},
        {"name": "health", "description": "Whether the service runs, and can serve requests."},
    ],
}

TASK_ID = "01890a5d-ac96-774b-8cce-b302099a8057"
OTHER_ID = "01890a5d-ac96-774b-8cce-b302099a8058"
TASK_URL = f"https://todo.example.com/api/alice/tasks/{TASK_ID}"
REQUEST_ID = "01890a5d-ac96-474b-8cce-b302099a8057"

# What "Try it out" sends. Optional parameters have none: it would send these, too.
PARAMETER_EXAMPLES = {"user_id": "alice", "task_id": TASK_ID}

HEADERS: Mapping[str, tuple[str, str]] = {
    "Accept": ("The media types that the operation takes, if it is not a PATCH.", "application/json"),
    "Accept-Patch": (
        "The media types that the operation takes, if it is a PATCH.",
        "application/json, application/merge-patch+json",
    ),
    "ETag": ("The entity tag of the task or of the page, which changes with whatever it has.", '"1"'),
    "Idempotent-Replayed": ("`true` if an earlier request with this key created the task.", "true"),
    "Link": (
        'The address of the next page, with `rel="next"`, if there are more tasks.',
        '<https://todo.example.com/api/alice/tasks?cursor=bmV4dA>; rel="next"',
    ),
    "Location": ("The address of the task.", TASK_URL),
    "Retry-After": ("After how many seconds to try again.", "2"),
    "X-Request-ID": ("The id of the request: the client's own if it sent a valid one.", REQUEST_ID),
}
FAULTS: Mapping[type[TodoError], list[Fault]] = {
    InvalidHeader: [Fault(source="header", name="If-Match", detail='must be * or a list of entity tags, such as "1"')],
    InvalidInput: [Fault(source="pointer", name="/title", detail="Field required")],
    BatchRefused: [
        Fault(
            source="pointer", name="/operations/1", detail="the task is in another version", code="precondition-failed"
        )
    ],
}

MODELS: tuple[type[BaseModel], ...] = (
    *(Batch, BatchCreate, BatchUpdate, BatchDelete, BatchResults, ChangesPage, TaskState),
    *(TaskPublic, TaskCreate, TaskUpdate, TaskCompletion, TasksCompletion, Updated, Deleted, Health, Problem),
    TaskQuery,
)
DESCRIPTIONS = {
    "BatchOperation": "A change of one task, of the kind that `op` names.",
    "Priority": "How important a task is.",
    "Sort": "The member to sort by; with a leading `-`, descending.",
    "Status": "All tasks, those that are not completed, or those that are.",
}
# The members of a task, in each of its schemas.
MEMBERS: Mapping[str, Schema] = {
    "id": {"description": "A UUID: version 7, unless the client has chosen another with PUT or in a batch."},
    "user_id": {"description": "The owner, set by the path; if sent, it must be the owner's."},
    "title": {"description": f"1 to {TITLE_LENGTH} code points after trimming, and never blank."},
    "description": {"description": f"Any text of at most {DESCRIPTION_LENGTH} code points."},
    "completed": {"description": "Whether the task is completed."},
    "completed_at": {"description": "When the task was completed, set by the service."},
    "due_at": {"description": "When the task is due. A client sends any offset; the service answers in UTC."},
    "priority": {"description": "How important the task is, if that is known."},
    "tags": {"description": f"At most {TAGS_COUNT} texts of 1 to {TAG_LENGTH} code points after trimming."},
    "order": {"description": "A position that the client has chosen.", "format": "int32"},
    "created_at": {"description": "When the task was created, set by the service."},
    "updated_at": {"description": "When the task last changed, set by the service."},
    "version": {"description": "1, plus one at every change, set by the service.", "format": "int64"},
    "url": {"description": "The absolute address of the task, set by the service."},
}
DEFAULTS = {
    **dict.fromkeys(("description", "due_at", "priority", "order"), "null"),
    "completed": "false",
    "tags": "[]",
}

_SENT = {"title": "Buy milk", "due_at": "2030-01-31T09:30:00Z", "priority": "high", "tags": ["shop"]}
_TASK: Mapping[str, object] = {
    "id": TASK_ID,
    "user_id": "alice",
    **_SENT,
    "description": None,
    "completed": False,
    "completed_at": None,
    "order": None,
    "created_at": "2030-01-30T08:00:00.123456Z",
    "updated_at": "2030-01-30T08:00:00.123456Z",
    "version": 1,
    "url": TASK_URL,
}
_CREATE = {"op": "create", "id": TASK_ID, "task": {"title": "Buy milk"}}
_UPDATE = {"op": "update", "id": OTHER_ID, "task": {"completed": True}, "if_version": [3]}
_DELETE = {"op": "delete", "id": OTHER_ID, "if_version": [4]}
_STATES = [{"id": TASK_ID, "task": _TASK}, {"id": OTHER_ID, "task": None}]
EXAMPLES: Mapping[str, object] = {
    "Batch": {"operations": [_CREATE, _DELETE]},
    "BatchCreate": _CREATE,
    "BatchDelete": _DELETE,
    "BatchOperation": _UPDATE,
    "BatchResults": {"results": _STATES},
    "BatchUpdate": _UPDATE,
    "ChangesPage": {"changes": _STATES, "next": "bmV4dA", "has_more": False},
    "Deleted": {"deleted": 3},
    "Health": {"status": "ready"},
    "Priority": "high",
    "Problem": make_problem(InvalidInput(faults=FAULTS[InvalidInput]), REQUEST_ID),
    "ProblemFault": {"pointer": "/title", "detail": "Field required"},
    "Sort": "-created_at",
    "Status": "pending",
    "TaskCompletion": {"completed": True},
    "TaskCreate": _SENT,
    "TaskPublic": _TASK,
    "TaskState": _STATES[0],
    "TaskUpdate": {"title": "Buy oat milk", "due_at": None},
    "TasksCompletion": {"completed": True},
    "Updated": {"updated": 3},
}


class DocumentedApi(FastAPI):
    """FastAPI with a complete OpenAPI document."""

    _document: dict[str, Any] | None = None

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made when it is first asked for."""
        if self._document is None:
            # A copy: another thread may be given FastAPI's own at the same time.
            document = deepcopy(super().openapi())
            _complete(document)
            self._document = document
        return self._document


def _complete(document: dict[str, Any]) -> None:
    document["security"] = []  # of operations that have none of their own
    components = document["components"]
    components["schemas"] |= _make_schemas()
    components["headers"] = {
        name: {"description": description, "schema": {"type": "string"}, "example": example}
        for name, (description, example) in HEADERS.items()
    }
    components["examples"] = {
        error.code: {"summary": error.title, "value": make_problem(error(faults=FAULTS.get(error, ())), REQUEST_ID)}
        for error in sorted(DOCUMENTED, key=lambda error: error.code)
    }
    for path, operation in _find_operations(document):
        # FastAPI puts those of the handler before those of its dependencies.
        operation["parameters"].sort(key=lambda parameter: _find_position(path, parameter))
        for parameter in operation["parameters"]:
            if parameter["name"] in PARAMETER_EXAMPLES:
                parameter["example"] = PARAMETER_EXAMPLES[parameter["name"]]


def _find_operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            if "parameters" in operation:
                yield path, operation


def _find_position(path: str, parameter: Mapping[str, Any]) -> int:
    return path.index(f"{{{parameter['name']}}}") if parameter["in"] == "path" else len(path)


def _make_schemas() -> dict[str, Schema]:
    _, made = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=REF_TEMPLATE, schema_generator=ClientSchema
    )
    schemas: dict[str, Schema] = made["$defs"]
    del schemas["TaskQuery"]  # its members are parameters
    public = schemas["TaskPublic"]["properties"]
    for name, described in MEMBERS.items():
        public[name] |= described
    for model in (TaskCreate, TaskUpdate, TaskCompletion):
        schemas[model.__name__]["properties"] = _describe_input(schemas[model.__name__]["properties"], public, model)
    for name, default in DEFAULTS.items():
        schemas["TaskCreate"]["properties"][name]["description"] += f" Default: `{default}`."
    schemas["Sort"]["x-enum-varnames"] = [_name_sort(value) for value in schemas["Sort"]["enum"]]
    for name, text in DESCRIPTIONS.items():
        schemas[name]["description"] = text
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    return schemas


def _describe_input(
    settable: Mapping[str, Schema], public: Mapping[str, Schema], model: type[TaskCreate | TaskUpdate | TaskCompletion]
) -> dict[str, Schema]:
    """Return the members of a request body, in which a client may send back those that it cannot set."""
    read_only = {*model.ignored, "user_id"}
    return {
        name: {**public[name], "readOnly": True} if name in read_only else settable[name] | described
        for name, described in MEMBERS.items()
    }


def _name_sort(value: str) -> str:
    """Return the name of a sort in an enumeration: generators would call it `VALUE_6`."""
    return value[1:].upper() + "_DESC" if value.startswith("-") else value.upper()
