"""Query parameters: described for OpenAPI, checked, and read into a model.

FastAPI reads each parameter by itself, which costs a list of tasks more than the database does, and ignores unknown
and repeated ones. Here a query that is a model is read in one step.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.security import APIKeyQuery
from pydantic import BaseModel, ValidationError

from todo.api.faults import cut_name, name_faults
from todo.api.schemas import REF_TEMPLATE, QuerySchema
from todo.errors import Fault, InvalidInput, MalformedRequest

Model = TypeVar("Model", bound=BaseModel)

Parameter: TypeAlias = dict[str, Any]  # a Parameter Object of OpenAPI


def describe(*parameters: Parameter) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose handler reads these parameters itself."""
    return {"parameters": list(parameters)}


def describe_query(model: type[BaseModel]) -> Iterator[Parameter]:
    """Yield the query parameters of a model."""
    schema = model.model_json_schema(schema_generator=QuerySchema, ref_template=REF_TEMPLATE)
    for name, member in schema["properties"].items():
        described = {"description": member.pop("description")} if "description" in member else {}
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": member, **described}


def find_parameters(dependant: Dependant, openapi_extra: Mapping[str, Any]) -> dict[str, bool]:
    """Return every query parameter of a route and its dependencies, and whether it may be repeated."""
    dependants = list(_flatten(dependant))
    query_params = [field for each in dependants for field in each.query_params]
    fields = get_flat_params(Dependant(query_params=query_params))  # a model is one parameter for each field
    read_by_fastapi = {field.alias: _may_repeat(field.field_info.annotation) for field in fields}
    api_keys = {each.call.model.name: False for each in dependants if isinstance(each.call, APIKeyQuery)}
    described = [parameter for parameter in openapi_extra.get("parameters", ()) if parameter["in"] == "query"]
    read_here = {parameter["name"]: parameter["schema"].get("type") == "array" for parameter in described}
    return read_by_fastapi | api_keys | read_here


def _flatten(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _flatten(dependency)


def _may_repeat(annotation: object) -> bool:
    return any(get_origin(each) in (list, set, frozenset, tuple) for each in (annotation, *get_args(annotation)))


def check_parameters(request: Request, repeatable: Mapping[str, bool]) -> None:
    """Raise InvalidInput if the query has an unknown parameter, or repeats one that may not be repeated."""
    query: bytes = request.scope["query_string"]
    if not query:
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise MalformedRequest("The query is not valid UTF-8.") from None
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in repeatable:
            raise _make_fault(name, "unknown parameter")
        if name in seen and not repeatable[name]:
            raise _make_fault(name, "must not be repeated")
        seen.add(name)


def read_query(request: Request, model: type[Model]) -> Model:
    """Read the query into a model, once its parameters are checked; raise InvalidInput if a value is invalid."""
    given = request.query_params
    fields = model.model_fields
    values = {
        name: given.getlist(name) if get_origin(fields[name].annotation) is list else given[name]
        for name in given
        if name in fields  # the others are for a dependency
    }
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        named = (_name_fault(str(fault["loc"][0]), fault["msg"]) for fault in faults)
        raise name_faults(named, len(faults)) from None


def _name_fault(name: str, message: str) -> Fault:
    return Fault(source="parameter", name=cut_name(name), detail=message.removeprefix("Value error, "))


def _make_fault(name: str, detail: str) -> InvalidInput:
    return InvalidInput(faults=[_name_fault(name, detail)])
