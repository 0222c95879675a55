"""Problem documents (RFC 9457): the only module that writes them."""

import json
from http import HTTPStatus
from http.client import responses
from typing import Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from todo.api.faults import cut_name, make_pointer, name_faults
from todo.errors import Fault, TodoError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:todo:problem:"
# Python 3.13 has new phrases for these two: with any version, a problem has one type.
PHRASES = {**responses, 413: "Content Too Large", 422: "Unprocessable Content"}
# They describe the body, which is ours: another length would shift every later response of the connection.
_BODY_HEADERS = ("content-length", "content-type", "content-encoding", "transfer-encoding")


class ProblemFault(BaseModel):
    """One error in a request: where it is (in one of `pointer`, `parameter` and `header`), and what is wrong."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    pointer: str = Field(default="", description="Where in the body, as a JSON pointer (RFC 6901).")
    parameter: str = Field(default="", description="The name of the parameter.")
    header: str = Field(default="", description="The name of the header.")
    code: str = Field(default="", description="What is wrong, for programs, where the type does not say it.")
    detail: str = Field(description="What is wrong, for people.")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="Which error this is: stable, for programs.")
    title: str = Field(description="The name of the error, for people.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, for people.")
    request_id: str = Field(description="The `X-Request-ID` of the response.")
    errors: list[ProblemFault] = Field(
        default=[],
        description="The first twenty errors in the request, or every operation of a batch that is at fault.",
    )


def make_problem(error: TodoError, request_id: str) -> dict[str, object]:
    """Return the problem document of an error."""
    problem: dict[str, object] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "request_id": request_id,
    }
    if error.faults:
        problem["errors"] = [
            {
                fault["source"]: fault["name"],
                **({"code": fault["code"]} if "code" in fault else {}),
                "detail": fault["detail"],
            }
            for fault in error.faults
        ]
    return problem


def answer(error: TodoError, request_id: str) -> Response:
    """Return the response to an error."""
    problem = make_problem(error, request_id)
    return Response(json.dumps(problem), status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE)


def answer_errors(app: FastAPI) -> None:
    """Answer every error that a route raises with a problem document."""

    @app.exception_handler(TodoError)
    async def answer_ours(request: Request, error: TodoError) -> Response:
        return answer(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        errors = error.errors()
        faults = (_read_fault(fault["loc"], fault["msg"]) for fault in errors)
        return answer(name_faults(faults, len(errors)), request.state.request_id)

    # Raised only by a function that identifies the owner.
    @app.exception_handler(HTTPException)
    async def answer_refusal(request: Request, error: HTTPException) -> Response:
        return _answer_http(error, request.state.request_id)


def _answer_http(error: HTTPException, request_id: str) -> Response:
    if not HTTPStatus.BAD_REQUEST <= error.status_code < 600:  # noqa: PLR2004 - granian's worker ends at 99 or 1000
        raise ValueError(f"an HTTPException has the status {error.status_code}, which is no error") from error
    phrase = PHRASES.get(error.status_code, "Error")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() not in _BODY_HEADERS}
    problem = {
        "type": TYPE_PREFIX + phrase.lower().replace(" ", "-"),
        "title": phrase.capitalize(),
        "status": error.status_code,
        "detail": str(error.detail),  # FastAPI takes anything
        "request_id": request_id,
    }
    return Response(json.dumps(problem), status_code=error.status_code, headers=headers, media_type=MEDIA_TYPE)


def _read_fault(location: tuple[str | int, ...], message: str) -> Fault:
    place, *path = location
    detail = message.removeprefix("Value error, ")
    if place == "body":
        return Fault(source="pointer", name=make_pointer(path), detail=detail)
    source: Literal["parameter", "header"] = "header" if place == "header" else "parameter"
    return Fault(source=source, name=cut_name(str(path[0])), detail=detail)
