"""What the headers of a request mean: conditions (RFC 9110, section 13)."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from todo.errors import Fault, InvalidHeader
from todo.models import TaskPublic, Versions

# RFC 9110, sections 8.8.3 and 5.6.1; possessive, so that a long header is read once.
_TAG = r'(?:W/)?"[!#-~\x80-\xff]*+"'
_TAGS = re.compile(rf"[\t ,]*+{_TAG}(?:[\t ]*+,[\t ,]*+{_TAG})*+[\t ,]*+")
# One that was given out here: a version, which fits into 64 bits, written in the one way.
_OUR_TAG = re.compile(r'(W/)?"([1-9][0-9]{0,17})"', re.ASCII)
PATTERN = rf"^(\*|{_TAGS.pattern})$".replace("*+", "*").replace(r"\x80-\xff", "")


# For the schema alone: what FastAPI refuses is a 422, and a malformed header is a 400.
_published = WithJsonSchema({"type": "string", "pattern": PATTERN})
IF_MATCH = "Only if the task has one of these entity tags; `*`: any."
IF_NONE_MATCH = "Only if the task has none of these entity tags."


def make_etag(task: TaskPublic) -> str:
    """Return the entity tag of a task: its version."""
    return f'"{task.version}"'


def read_if_match(
    request: Request, _: Annotated[str | None, _published, Header(alias="If-Match", description=IF_MATCH)] = None
) -> Versions | None:
    """Return the versions of which the task must have one; None means any. A weak tag matches nothing."""
    header = _read(request, "If-Match")
    if header in (None, "*"):
        return None
    return frozenset(int(version) for weak, version in _OUR_TAG.findall(header) if not weak)


def read_if_none_match(
    request: Request,
    _: Annotated[str | None, _published, Header(alias="If-None-Match", description=IF_NONE_MATCH)] = None,
) -> Versions | None:
    """Return the versions that the client has already; None means any. A weak tag matches as a strong one does."""
    header = _read(request, "If-None-Match")
    if header == "*":
        return None
    return frozenset(int(version) for _, version in _OUR_TAG.findall(header or ""))


IfMatch = Annotated[Versions | None, Depends(read_if_match)]
IfNoneMatch = Annotated[Versions | None, Depends(read_if_none_match)]


def _read(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if not values:
        return None
    header = ", ".join(values).strip("\t ")
    if header != "*" and not _TAGS.fullmatch(header):
        raise InvalidHeader(faults=[Fault(place="header", name=name, detail='must be * or a list such as "1", "2"')])
    return header
