"""What the OpenAPI document says of each operation: arguments of FastAPI's routes."""

from collections import defaultdict
from typing import Any, TypeAlias

from todo.api.bodies import MERGE_PATCH
from todo.api.dependencies import IdentifyOwner, trust_path
from todo.api.headers import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, IF_NONE_MATCH_ANY
from todo.api.parameters import describe, describe_query
from todo.api.problems import MEDIA_TYPE, PHRASES
from todo.api.schemas import REF_TEMPLATE
from todo.errors import (
    BatchRefused,
    BodyTimeout,
    BodyTooLarge,
    ChangesExpired,
    DatabaseUnavailable,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InternalError,
    InvalidCursor,
    InvalidHeader,
    InvalidInput,
    MalformedRequest,
    NoSuchResource,
    OutcomeUnknown,
    Overloaded,
    PreconditionFailed,
    SchemaOutdated,
    TaskDeleted,
    TaskNotFound,
    TodoError,
    UnsupportedMediaType,
)
from todo.models.feeds import ChangesQuery
from todo.models.queries import TaskQuery, TaskSelection
from todo.models.tasks import TaskCompletion, TasksCompletion, TaskUpdate

Responses: TypeAlias = dict[int | str, dict[str, Any]]  # FastAPI's type
Options: TypeAlias = dict[str, Any]  # of a route

# The headers of a problem document, besides that of every response.
PROBLEM_HEADERS = {415: ["Accept", "Accept-Patch"], 503: ["Retry-After"]}

# Which errors a client may be told of.
ANYWHERE = (InvalidInput, InternalError)
OF_DATABASE = (DatabaseUnavailable, SchemaOutdated, DeadlineExceeded)
OF_READ = (*ANYWHERE, *OF_DATABASE, MalformedRequest, NoSuchResource)
OF_WRITE = (*OF_READ, OutcomeUnknown)
OF_TASK = (TaskNotFound, InvalidHeader)
OF_BODY = (BodyTimeout, BodyTooLarge, UnsupportedMediaType)
DOCUMENTED = {
    *(
        *OF_WRITE,
        *OF_TASK,
        *OF_BODY,
        BatchRefused,
        ChangesExpired,
        TaskDeleted,
        IdempotencyKeyReused,
        InvalidCursor,
        Overloaded,
        PreconditionFailed,
    ),
}


def describe_success(status: int, description: str, *headers: str) -> Responses:
    """Describe a response without an error: what it is, and its headers, which `document.HEADERS` describes."""
    return {status: {"description": description, "headers": _refer_to_headers(*headers)}}


def describe_problems(*errors: type[TodoError]) -> Responses:
    """Describe the responses to these errors."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error.code)
    return {status: _describe_problem(status, codes) for status, codes in sorted(by_status.items())}


def describe_refusals(identify_owner: IdentifyOwner) -> Responses:
    """Describe the responses by which a function that identifies the owner refuses a request."""
    statuses = () if identify_owner is trust_path else (401, 403)
    return {status: _describe_problem(status, []) for status in statuses}


def _describe_problem(status: int, codes: list[str]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF_TEMPLATE.format(model="Problem")}}
    if codes:
        content["examples"] = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    return {
        "description": PHRASES[status],
        "headers": _refer_to_headers(*PROBLEM_HEADERS.get(status, ())),
        "content": {MEDIA_TYPE: content},
    }


def _refer_to_headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-ID")}


def _accept_merge_patch(model: type) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes the model as a merge patch too (RFC 7396)."""
    schema = {"$ref": REF_TEMPLATE.format(model=model.__name__)}
    return {"requestBody": {"content": {MERGE_PATCH: {"schema": schema}}}}


CREATE_TASK: Options = {
    "summary": "Create a task",
    "responses": describe_success(201, "The task.", "ETag", "Location", "Idempotent-Replayed")
    | describe_problems(*OF_WRITE, *OF_BODY, InvalidHeader, IdempotencyKeyReused),
    "openapi_extra": describe(IDEMPOTENCY_KEY),
}
LIST_TASKS: Options = {
    "summary": "List tasks",
    "responses": describe_success(200, "A page of tasks.", "ETag", "Link")
    | describe_success(304, "The client's copy is current.", "ETag", "Link")
    | describe_problems(*OF_READ, InvalidHeader, InvalidCursor, Overloaded),
    "openapi_extra": describe(IF_NONE_MATCH, *describe_query(TaskQuery)),
}
COMPLETE_TASKS: Options = {
    "summary": "Complete or reopen many tasks",
    "responses": describe_success(200, "The number of tasks that changed.") | describe_problems(*OF_WRITE, *OF_BODY),
    "openapi_extra": _accept_merge_patch(TasksCompletion) | describe(*describe_query(TaskSelection)),
}
DELETE_TASKS: Options = {
    "summary": "Delete many tasks",
    "responses": describe_success(200, "The number of tasks that were deleted.") | describe_problems(*OF_WRITE),
    "openapi_extra": describe(*describe_query(TaskSelection)),
}
GET_TASK: Options = {
    "summary": "Read a task",
    "responses": describe_success(200, "The task.", "ETag")
    | describe_success(304, "The client's copy is current.", "ETag")
    | describe_problems(*OF_READ, *OF_TASK),
    "openapi_extra": describe(IF_NONE_MATCH),
}
CHANGED: Options = {
    "responses": describe_success(200, "The task.", "ETag")
    | describe_problems(*OF_WRITE, *OF_TASK, *OF_BODY, PreconditionFailed),
}
UPDATE_TASK: Options = {
    "summary": "Change members of a task",
    **CHANGED,
    "openapi_extra": describe(IF_MATCH) | _accept_merge_patch(TaskUpdate),
}
PUT_TASK: Options = {
    "operation_id": "put_task",
    "summary": "Send back an edited task, or create one",
    "description": "Change the members in the body, as PATCH does: those that are left out keep their values. "
    "With `If-None-Match: *`, create the task under an id of the client's own.",
    "responses": CHANGED["responses"]
    | describe_success(201, "The task was created.", "ETag", "Location")
    | describe_problems(TaskDeleted),
    "openapi_extra": describe(IF_MATCH, IF_NONE_MATCH_ANY),
}
COMPLETE_TASK: Options = {
    "summary": "Complete, reopen or toggle a task",
    **CHANGED,
    "openapi_extra": describe(IF_MATCH) | _accept_merge_patch(TaskCompletion),
}
DELETE_TASK: Options = {
    "summary": "Delete a task",
    "responses": describe_success(204, "The task is deleted.")
    | describe_problems(*OF_WRITE, *OF_TASK, PreconditionFailed),
    "openapi_extra": describe(IF_MATCH),
}
LIST_CHANGES: Options = {
    "summary": "List changes",
    "responses": describe_success(200, "A page of changes.")
    | describe_problems(*OF_READ, InvalidCursor, ChangesExpired, Overloaded),
    "openapi_extra": describe(*describe_query(ChangesQuery)),
}
APPLY_BATCH: Options = {
    "summary": "Carry out a batch of changes",
    "responses": describe_success(200, "Every operation was carried out.")
    | describe_problems(*OF_WRITE, *OF_BODY, BatchRefused),
}
CHECK_LIVENESS: Options = {
    "summary": "Check that the process runs",
    "responses": describe_success(200, "The process runs.") | describe_problems(*ANYWHERE),
}
CHECK_READINESS: Options = {
    "summary": "Check that requests can be served",
    "responses": describe_success(200, "Requests can be served.") | describe_problems(*ANYWHERE, *OF_DATABASE),
}
