"""Every error that this service raises on purpose; nothing here knows of HTTP frameworks or databases.

TodoError                      sent to the client as a problem document
├── MalformedRequest           400
├── InvalidCursor              400
├── InvalidHeader              400
├── NoSuchResource             404
├── TaskNotFound               404
├── MethodNotAllowed           405
├── BodyTimeout                408
├── BatchRefused               409
├── ChangesExpired             410
├── TaskDeleted                410
├── PreconditionFailed         412
├── BodyTooLarge               413
├── UnsupportedMediaType       415
├── InvalidInput               422
├── IdempotencyKeyReused       422
├── InternalError              500
├── DatabaseUnavailable        503
│   └── DatabaseMisconfigured
├── OutcomeUnknown             503
├── SchemaOutdated             503
├── Overloaded                 503
└── DeadlineExceeded           504
BrokenEnvironment              one line on standard error, exit status 1
└── BadSetting                 exit status 2
StatementFailed                a bug: logged, and sent as an InternalError
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, NotRequired, TypedDict


class BrokenEnvironment(Exception):
    """The program cannot run in this environment; the message is one line that says what to do."""

    exit_status: ClassVar[int] = 1


class BadSetting(BrokenEnvironment):
    """A setting is missing or wrong; the message names the variable and never repeats a secret."""

    exit_status: ClassVar[int] = 2


class StatementFailed(Exception):
    """The database rejected a statement that it should have accepted; the message holds nothing of the row."""


class Fault(TypedDict):
    """One error in a request: where, and why. It never repeats the input."""

    source: Literal["pointer", "parameter", "header"]
    name: str
    detail: str
    code: NotRequired[str]  # which error it is, where a program has to know


class TodoError(Exception):
    """An error that a client gets as a problem document (RFC 9457).

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
    """The request is not valid HTTP or JSON."""

    code = "malformed-request"
    title = "Malformed request"
    status = 400
    detail = "The body is not valid JSON."


class InvalidCursor(TodoError):
    """The cursor is damaged, or from another list."""

    code = "invalid-cursor"
    title = "Invalid cursor"
    status = 400
    detail = "The cursor is not from this list or feed; start again without it."


class InvalidHeader(TodoError):
    """A header is malformed; `faults` names it."""

    code = "invalid-header"
    title = "Invalid header"
    status = 400
    detail = "A header is malformed; `errors` says which."


class NoSuchResource(TodoError):
    """No route has this path."""

    code = "not-found"
    title = "Not found"
    status = 404
    detail = "There is no such resource."


class TaskNotFound(TodoError):
    """The owner has no such task: it never existed, was deleted, or is another user's."""

    code = "task-not-found"
    title = "Task not found"
    status = 404
    detail = "The user has no such task."


class MethodNotAllowed(TodoError):
    """The resource exists, but does not support this method."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status = 405
    detail = "This resource does not support the method; the Allow header lists those that it supports."


class BodyTimeout(TodoError):
    """The client took too long to send its body."""

    code = "body-timeout"
    title = "Body timeout"
    status = 408
    detail = "The body did not arrive in time."


class BatchRefused(TodoError):
    """Operations of a batch cannot be carried out, so none was; `faults` names each of them, and why."""

    code = "batch-refused"
    title = "Batch refused"
    status = 409
    detail = "Nothing was changed, because of the operations in `errors`."


class ChangesExpired(TodoError):
    """The position in the feed is too old, or from before the database was restored."""

    code = "changes-expired"
    title = "Changes expired"
    status = 410
    detail = "The changes since then are not known; begin again without `since`, and drop what does not come."


class TaskDeleted(TodoError):
    """The id was used for a task that was deleted not long ago."""

    code = "task-deleted"
    title = "Task deleted"
    status = 410
    detail = "The user has deleted the task with this id; create another under a new id."


class PreconditionFailed(TodoError):
    """The task is not in the version that `If-Match` names, or exists although `If-None-Match` is `*`."""

    code = "precondition-failed"
    title = "Precondition failed"
    status = 412
    detail = "The task has changed since you read it; read it again."


class BodyTooLarge(TodoError):
    """The body is longer than TODO_MAX_BODY_BYTES."""

    code = "body-too-large"
    title = "Body too large"
    status = 413
    detail = "The body is too large for this service."


class UnsupportedMediaType(TodoError):
    """The body is not declared as plain JSON in UTF-8."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415
    detail = "The body must be JSON in UTF-8, declared as such by Content-Type, and not encoded."


class InvalidInput(TodoError):
    """The request can be read, but breaks rules of this API; `faults` lists where."""

    code = "invalid-input"
    title = "Invalid input"
    status = 422
    detail = "The request breaks the rules of this API; `errors` says where."


class IdempotencyKeyReused(TodoError):
    """The key was used with a different body, for a task that still exists."""

    code = "idempotency-key-reused"
    title = "Idempotency key reused"
    status = 422
    detail = "This Idempotency-Key was used with a different body; use a new one."


class InternalError(TodoError):
    """A bug: the log has the traceback, under the request's id."""

    code = "internal-error"
    title = "Internal error"
    status = 500
    detail = "An unexpected error; the server's log has it under the request id."


class DatabaseUnavailable(TodoError):
    """The database cannot be reached, is overloaded or accepts no writes; nothing was changed."""

    code = "database-unavailable"
    title = "Database unavailable"
    status = 503
    detail = "The database is unavailable; nothing was changed."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class DatabaseMisconfigured(DatabaseUnavailable):
    """The database refuses this service for a reason that only an operator can remove."""

    headers = {"Retry-After": "60"}  # noqa: RUF012 - no instance changes it


class OutcomeUnknown(TodoError):
    """A write was sent, and its result is not known or cannot be sent: it may have happened, and is not retried."""

    code = "outcome-unknown"
    title = "Outcome unknown"
    status = 503
    detail = "The connection to the database was lost; the change may or may not have happened, so read again."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class SchemaOutdated(TodoError):
    """The database's schema is older than this code or lacks what it needs; it is served once that is corrected."""

    code = "schema-outdated"
    title = "Schema outdated"
    status = 503
    detail = "The database's schema does not fit this version of the service; nothing was changed."
    headers = {"Retry-After": "10"}  # noqa: RUF012 - no instance changes it


class Overloaded(TodoError):
    """A large response has no room while so many others wait for slow clients."""

    code = "overloaded"
    title = "Overloaded"
    status = 503
    detail = "Too many large responses wait for slow clients; nothing was changed. Retry, or ask for a smaller page."
    headers = {"Retry-After": "2"}  # noqa: RUF012 - no instance changes it


class DeadlineExceeded(TodoError):
    """The database took longer than the deadline; a write may or may not have happened."""

    code = "deadline-exceeded"
    title = "Deadline exceeded"
    status = 504
    detail = "The database did not answer in time; a write may or may not have happened."
