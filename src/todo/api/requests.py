"""What FastAPI lets through and this API does not: loose JSON, loose media types, and parameters that nobody reads.

RFC 8259 leaves open what a repeated member, NaN or a byte order mark means, so two programs may read one body in two
ways. Here such a body is refused.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from email.message import Message
from itertools import islice
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from todo.errors import (
    BodyTimeout,
    BodyTooLarge,
    Fault,
    InvalidInput,
    MalformedRequest,
    UnsupportedMediaType,
)

NAME_LENGTH = 100  # of a member or parameter that is named in an error: a client may have sent any length
UNKNOWN_MEMBER = "Extra inputs are not permitted"  # Pydantic's words
FAULTS_COUNT = 20  # that are named in an error: a client may have sent thousands

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


class StrictRoute(APIRoute):
    """A route that refuses parameters it does not know and bodies that are not strictly JSON."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # wider is enough
        """Wrap the handler that FastAPI makes."""
        handle = super().get_route_handler()
        members = _find_members(self.body_field.field_info.annotation) if self.body_field else None
        parameters = dict(_find_parameters(self.dependant))

        async def handle_strictly(request: Request) -> Response:
            _check_parameters(request, parameters)
            return await handle(request if members is None else await _read_request(request, members))

        return handle_strictly


class _JsonRequest(Request):
    """A request whose body has been read."""

    def __init__(self, request: Request, body: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body
        self._json = value


def accepted_media_types(method: str) -> Sequence[str]:
    """Return the media types that a method takes."""
    return (JSON, MERGE_PATCH) if method == "PATCH" else (JSON,)


def parse_json(body: bytes) -> object:
    """Parse a body of JSON (RFC 8259) in UTF-8, taking nothing that another parser may read in another way.

    Raises MalformedRequest.
    """
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not text in UTF-8.") from None
    except (ValueError, RecursionError):
        raise MalformedRequest from None


def name_faults(faults: Iterable[Fault], count: int) -> InvalidInput:
    """Make the error that names the first of so many faults, and says how many more there are."""
    rest = count - FAULTS_COUNT
    detail = f"{InvalidInput.detail[:-1]}, and {rest} more." if rest > 0 else None
    return InvalidInput(detail, faults=list(islice(faults, FAULTS_COUNT)))


def make_pointer(path: Iterable[str | int]) -> str:
    """Write the way to a member as a JSON pointer (RFC 6901, section 3), each name on it cut."""
    return "".join("/" + cut_name(str(part)).replace("~", "~0").replace("/", "~1") for part in path)


def cut_name(name: str) -> str:
    """Return what is told of a name: its beginning, with U+FFFD for each lone surrogate, which is no text."""
    return name[:NAME_LENGTH].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _find_members(model: object) -> frozenset[str]:
    """Return the name of every member that a body may have."""
    assert isinstance(model, type)  # noqa: S101 - every body is one model's
    assert issubclass(model, BaseModel)  # noqa: S101
    return frozenset(model.model_fields) | set(getattr(model, "ignored", ()))


def _find_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the name of every query parameter, and whether it may be repeated."""
    for field in dependant.query_params:
        declared = field.field_info.annotation
        if isinstance(declared, type) and issubclass(declared, BaseModel):
            yield from ((name, get_origin(info.annotation) is list) for name, info in declared.model_fields.items())
        else:
            yield field.alias, get_origin(declared) is list


def _check_parameters(request: Request, repeatable: Mapping[str, bool]) -> None:
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError:
        raise MalformedRequest("The query is not text in UTF-8.") from None
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in repeatable:
            raise _make_parameter_fault(name, "is not known here")
        if name in seen and not repeatable[name]:
            raise _make_parameter_fault(name, "must not be repeated")
        seen.add(name)


def _make_parameter_fault(name: str, detail: str) -> InvalidInput:
    return InvalidInput(faults=[Fault(place="parameter", name=cut_name(name), detail=detail)])


async def _read_request(request: Request, members: frozenset[str]) -> Request:
    body = await _read_body(request)
    if not body:
        return _JsonRequest(request, body, None)
    _check_media_type(request)
    value = parse_json(body)
    if not isinstance(value, dict):
        raise InvalidInput(faults=[Fault(place="pointer", name="", detail="must be an object")])
    # Of these Pydantic would make an error each, or one without a name.
    if len(value) > len(members) + FAULTS_COUNT or not _are_text(value):
        raise _refuse_members([name for name in value if name not in members])
    return _JsonRequest(request, body, value)


def _are_text(names: Iterable[str]) -> bool:
    try:
        "".join(names).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _refuse_members(unknown: Sequence[str]) -> InvalidInput:
    faults = (Fault(place="pointer", name=make_pointer([name]), detail=UNKNOWN_MEMBER) for name in unknown)
    return name_faults(faults, len(unknown))


async def _read_body(request: Request) -> bytes:
    limit = request.state.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(request.state.deadline_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTimeout from None
    except ClientDisconnect:
        raise MalformedRequest("The body is not complete.") from None  # nobody is there to read it
    return bytes(body)


def _check_media_type(request: Request) -> None:
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    charset = header.get_content_charset("utf-8")
    is_json = header.get_content_type() in accepted_media_types(request.method)
    if not is_json or charset != "utf-8" or request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType


def _refuse_repeats(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError
    return value


def _refuse_constant(_: str) -> float:
    raise ValueError


def _read_finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_refuse_repeats, parse_constant=_refuse_constant, parse_float=_read_finite
)
