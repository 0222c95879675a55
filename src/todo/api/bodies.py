"""Reads request bodies: limited in time and size, of a supported media type, and strictly as JSON.

RFC 8259 leaves open what a repeated member, NaN or a byte order mark means, so that two programs may read one body
differently. Such a body is refused.
"""

import asyncio
import json
import math
from collections.abc import Iterable, Sequence
from email.message import Message
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from todo.api.faults import FAULTS_COUNT, make_pointer, name_faults
from todo.errors import BodyTimeout, BodyTooLarge, Fault, InvalidInput, MalformedRequest, UnsupportedMediaType

UNKNOWN_MEMBER = "Extra inputs are not permitted"  # Pydantic's message

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


class _JsonRequest(Request):
    """A request whose body has been read and parsed."""

    def __init__(self, request: Request, body: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body
        self._json = value


def parse_json(body: bytes) -> object:
    """Parse JSON (RFC 8259) in UTF-8, and refuse whatever another parser might read differently.

    Raises MalformedRequest.
    """
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not valid UTF-8.") from None
    except (ValueError, RecursionError):
        raise MalformedRequest from None


async def read_json(request: Request, members: frozenset[str]) -> Request:
    """Read the body, a JSON object with some of these members, and return the request with it.

    Raises BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedRequest and InvalidInput.
    """
    body = await _read_body(request)
    if not body:
        return _JsonRequest(request, body, None)
    _check_media_type(request)
    value = parse_json(body)
    if not isinstance(value, dict):
        raise InvalidInput(faults=[Fault(source="pointer", name="", detail="must be a JSON object")])
    # Pydantic would make an error of each, or one without a name.
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
    faults = (Fault(source="pointer", name=make_pointer([name]), detail=UNKNOWN_MEMBER) for name in unknown)
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
        raise MalformedRequest("The body is incomplete.") from None  # nobody will read this
    request.state.is_body_read = True
    return bytes(body)


def _check_media_type(request: Request) -> None:
    declared = request.headers.get("content-type", "")
    if declared == JSON and "content-encoding" not in request.headers:  # what nearly every client sends
        return
    header = Message()
    header["Content-Type"] = declared
    charset = header.get_content_charset("utf-8")
    # RFC 9110, section 12.5.1, and RFC 5789, section 2.2
    accepted, name = ([JSON, MERGE_PATCH], "Accept-Patch") if request.method == "PATCH" else ([JSON], "Accept")
    is_json = header.get_content_type() in accepted
    if not is_json or charset != "utf-8" or request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType(headers={name: ", ".join(accepted)})


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
