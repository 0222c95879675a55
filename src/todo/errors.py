"""Every error that this service raises on purpose, as a tree; nothing here knows of HTTP frameworks or databases.

TodoError                      answered to the caller as a problem document
├── MalformedRequest           400
├── InvalidCursor              400
├── InvalidHeader              400
├── NoSuchResource             404
├── TaskNotFound               404
├── MethodNotAllowed           405
├── PreconditionFailed         412
├── InvalidInput               422
├── IdempotencyKeyReused       422
├── InternalError              500
├── DatabaseUnavailable        503
│   └── DatabaseMisconfigured
├── OutcomeUnknown             503
├── SchemaOutdated             503
├── Overloaded                 503
└── DeadlineExceeded           504
BrokenEnvironment              one line on standard error and an exit status
└── BadSetting
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, TypedDict


class BrokenEnvironment(Exception):
    """What this program runs on is not as it must be; the message is one line that says how to mend it."""

    exit_status: ClassVar[int] = 1


class BadSetting(BrokenEnvironment):
    """A setting is missing or wrong; the message names the variable and never repeats a secret."""

    exit_status: ClassVar[int] = 2


class StatementFailed(Exception):
    """The database refused a statement that it should have taken; the message holds nothing of the row."""


class Fault(TypedDict):
    """One thing that is wrong with a request: where, and why. It never repeats the input."""

    place: Literal["pointer", "parameter", "header"]
    name: str
    detail: str


class TodoError(Exception):
    """What a caller is told as a problem document (RFC 9457).

    `code` and `title` are stable; the message is the problem's `detail`, and `faults` are its `errors`.
    `headers` go with the response.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]
    detail: ClassVar[str]
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, detail: str | None = None, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or self.detail)
        self.faults = faults
        if headers is not None:
            self.headers = headers


class MalformedRequest(TodoError):
    """The request breaks the rules of HTTP or JSON, before those of this API are asked."""

    code = "malformed-request"
    title = "Malformed request"
    status = 400
    detail = "The body is not valid JSON."


class InvalidCursor(TodoError):
    """The cursor was damaged, or given out for another list."""

    code = "invalid-cursor"
    title = "Invalid cursor"
    status = 400
    detail = "The cursor does not belong to this list; begin again without it."


class InvalidHeader(TodoError):
    """A header is not written as its definition says; `faults` says which."""

    code = "invalid-header"
    title = "Invalid header"
    status = 400
    detail = "A header is malformed; `errors` says which."


class NoSuchResource(TodoError):
    """No route has this path."""

    code = "not-found"
    title = "Not found"
    status = 404
    detail = "There is nothing at this address."


class TaskNotFound(TodoError):
    """The owner has no such task: it never was, it is gone, or it is another user's."""

    code = "task-not-found"
    title = "Task not found"
    status = 404
    detail = "There is no such task."


class MethodNotAllowed(TodoError):
    """The path exists, with other methods."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status = 405
    detail = "This address does not have that method; the Allow header lists those that it has."


class BodyTimeout(TodoError):
    """The client took too long to send its body."""

    code = "body-timeout"
    title = "Body timeout"
    status = 408
    detail = "The body took too long to arrive."


class PreconditionFailed(TodoError):
    """The task is not in the version that `If-Match` names."""

    code = "precondition-failed"
    title = "Precondition failed"
    status = 412
    detail = "The task has changed since; read it again."


class BodyTooLarge(TodoError):
    """The body is longer than TODO_MAX_BODY_BYTES."""

    code = "body-too-large"
    title = "Body too large"
    status = 413
    detail = "The body is longer than this service takes."


class UnsupportedMediaType(TodoError):
    """The body is not declared as plain JSON in UTF-8."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415
    detail = "The body must be JSON in UTF-8, declared as such by Content-Type, and not encoded."


class InvalidInput(TodoError):
    """The request was understood and breaks a rule of the contract; `faults` says which."""

    code = "invalid-input"
    title = "Invalid input"
    status = 422
    detail = "The request breaks the rules of this API; `errors` says where."


class IdempotencyKeyReused(TodoError):
    """The user has a task that was created under this key with another body."""

    code = "idempotency-key-reused"
    title = "Idempotency key reused"
    status = 422
    detail = "This Idempotency-Key belongs to a task that was created with another body; use a new one."


class InternalError(TodoError):
    """A mistake of ours: the log has it, under the request's id."""

    code = "internal-error"
    title = "Internal error"
    status = 500
    detail = "Something went wrong here; the request id finds it in the log."


class DatabaseUnavailable(TodoError):
    """The database cannot be reached, has no room or takes no writes; nothing has happened."""

    code = "database-unavailable"
    title = "Database unavailable"
    status = 503
    detail = "The database cannot be reached at the moment; nothing has happened."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class DatabaseMisconfigured(DatabaseUnavailable):
    """The database refuses this service for a reason that only an operator can mend."""

    headers = {"Retry-After": "60"}  # noqa: RUF012 - no instance changes it


class OutcomeUnknown(TodoError):
    """The connection was lost after a write had been sent: it may or may not have happened, and is not sent again."""

    code = "outcome-unknown"
    title = "Outcome unknown"
    status = 503
    detail = "The connection to the database was lost, and the change may or may not have happened; read it again."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class SchemaOutdated(TodoError):
    """The database's schema is older than this code, or lacks what it needs; once that is mended, it is served."""

    code = "schema-outdated"
    title = "Schema outdated"
    status = 503
    detail = "The database's schema does not fit this version of the service; nothing has happened."
    headers = {"Retry-After": "10"}  # noqa: RUF012 - no instance changes it


class Overloaded(TodoError):
    """Clients are slow to take so much that the answer, which is a large one, is not kept for another."""

    code = "overloaded"
    title = "Overloaded"
    status = 503
    detail = "Too much waits for clients to take it; nothing has changed, try again or ask for a shorter page."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class DeadlineExceeded(TodoError):
    """The database took longer than a request may; a write may or may not have happened."""

    code = "deadline-exceeded"
    title = "Deadline exceeded"
    status = 504
    detail = "The database did not answer in time."
