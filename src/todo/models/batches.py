"""The batch: changes of several tasks that happen together or not at all."""

from typing import Annotated, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    ModelWrapValidatorHandler,
    PlainValidator,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic import Field as Limits
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypeAliasType

from todo.models.feeds import TaskState
from todo.models.fields import TaskId, read_integer
from todo.models.tasks import TaskCreate, TaskUpdate

OPERATIONS_COUNT = 100
VERSIONS_COUNT = 20
MEMBERS_COUNT = 50  # of an operation or its task, known or not: Pydantic makes an error of each unknown one

Version = Annotated[int, Strict(), Limits(ge=1, le=2**63 - 1), BeforeValidator(read_integer)]
IfVersion: TypeAlias = Annotated[list[Version], Limits(min_length=1, max_length=VERSIONS_COUNT)]


class BatchCreate(BaseModel):
    """Create a task under an id of the client's own; where it has been created so already, nothing happens."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["create"]
    id: TaskId = Limits(description="Any UUID that the user has not used yet.")
    task: TaskCreate


class BatchUpdate(BaseModel):
    """Change the members in `task`; those that are left out keep their values."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["update"]
    id: TaskId
    task: TaskUpdate
    if_version: IfVersion | None = Limits(default=None, description="Only if the task is in one of these versions.")


class BatchDelete(BaseModel):
    """Permanently delete a task; where there is none, nothing happens."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["delete"]
    id: TaskId
    if_version: IfVersion | None = Limits(default=None, description="Only if the task is in one of these versions.")


# With a name, so that generated clients need not find one.
BatchOperation = TypeAliasType(
    "BatchOperation", Annotated[BatchCreate | BatchUpdate | BatchDelete, Discriminator("op")]
)

_MODELS: dict[object, type[BatchCreate | BatchUpdate | BatchDelete]] = {
    "create": BatchCreate,
    "update": BatchUpdate,
    "delete": BatchDelete,
}


def _make_error(member: str, message: str) -> ValidationError:
    fault = PydanticCustomError("operation", message)
    return ValidationError.from_exception_data("Batch", [InitErrorDetails(type=fault, loc=(member,), input=None)])


def _read_operation(value: object) -> BatchOperation:
    # Not by Pydantic's own union, whose errors have the name of the model in their place.
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - Pydantic reports a ValueError
    op, task = value.get("op"), value.get("task")
    model = _MODELS.get(op) if isinstance(op, str) else None
    if model is None:
        raise _make_error("op", "must be create, update or delete")
    if "task" in value and "task" in model.model_fields and not isinstance(task, dict):
        raise _make_error("task", "must be a JSON object")
    if max(len(value), len(task) if isinstance(task, dict) else 0) > MEMBERS_COUNT:
        raise ValueError("has too many members")
    return model.model_validate(value)


class Batch(BaseModel):
    """The body of a batch: operations on as many tasks, all of which happen or none."""

    model_config = ConfigDict(extra="forbid")

    operations: Annotated[
        list[Annotated[BatchOperation, PlainValidator(_read_operation, json_schema_input_type=BatchOperation)]],
        Limits(min_length=1, max_length=OPERATIONS_COUNT),
    ]

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_repeated_ids(cls, value: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        batch = validate(value)
        seen: set[UUID] = set()
        faults: list[InitErrorDetails] = []
        for number, operation in enumerate(batch.operations):
            if operation.id in seen:
                fault = PydanticCustomError("repeated", "must not be repeated: a batch has one operation for each task")
                faults.append(InitErrorDetails(type=fault, loc=("operations", number, "id"), input=None))
            seen.add(operation.id)
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return batch


class BatchResults(BaseModel):
    """The results of a batch: the tasks of its operations, in their order."""

    results: list[TaskState]
