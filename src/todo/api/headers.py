"""What the headers of a request mean: conditions (RFC 9110, section 13), and the key of a creation."""

import re

from fastapi import Request

from todo.api.parameters import Parameter
from todo.errors import Fault, InvalidHeader
from todo.models.fields import IDEMPOTENCY_KEY_LENGTH, IdempotencyKey, Versions
from todo.models.tasks import TaskRow

# RFC 9110, sections 8.8.3 and 5.6.1; possessive, so that a long header is read once.
_TAG = r'(?:W/)?"[!#-~\x80-\xff]*+"'
_TAGS = re.compile(rf"[\t ,]*+{_TAG}(?:[\t ]*+,[\t ,]*+{_TAG})*+[\t ,]*+")
# One that was given out here: a version, which fits into 64 bits, written in the one way.
_OUR_TAG = re.compile(r'(W/)?"([1-9][0-9]{,17})"')
# A string of RFC 9651, section 3.3.3, or its content alone.
_KEY = re.compile(
    rf"(?P<bare>[!#-~][!-~]{{,{IDEMPOTENCY_KEY_LENGTH - 1}}})"
    rf'|"(?P<quoted>(?:[!#-\[\]-~]|\\["\\]){{1,{IDEMPOTENCY_KEY_LENGTH}}})"'
)

# What clients are told, without groups that have a name, possessive repeats, and bytes that are no text.
PATTERNS = {
    "If-Match": rf"^(\*|{_TAGS.pattern})$".replace("*+", "*").replace(r"\x80-\xff", ""),
    "Idempotency-Key": rf"^({_KEY.pattern})$".replace("?P<bare>", "").replace("?P<quoted>", ""),
}
PATTERNS["If-None-Match"] = PATTERNS["If-Match"]


def _describe(name: str, description: str) -> Parameter:
    schema = {"type": "string", "pattern": PATTERNS[name], "title": name}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


IF_MATCH = _describe("If-Match", "Only if the task has one of these entity tags; `*`: any.")
IF_NONE_MATCH = _describe("If-None-Match", "Only if the task has none of these entity tags.")
IDEMPOTENCY_KEY = _describe("Idempotency-Key", "Sent again with the same body, it answers with the same task.")


def make_etag(task: TaskRow) -> str:
    """Return the entity tag of a task: its version."""
    return f'"{task.version}"'


def read_if_match(request: Request) -> Versions | None:
    """Return the versions of which the task must have one; None means any. A weak tag matches nothing."""
    header = _read(request, "If-Match")
    if header in (None, "*"):
        return None
    return frozenset(int(version) for weak, version in _OUR_TAG.findall(header) if not weak)


def read_if_none_match(request: Request) -> Versions | None:
    """Return the versions that the client has already; None means any. A weak tag matches as a strong one does."""
    header = _read(request, "If-None-Match")
    if header == "*":
        return None
    return frozenset(int(version) for _, version in _OUR_TAG.findall(header or ""))


def read_idempotency_key(request: Request) -> IdempotencyKey | None:
    """Return the key, bare or quoted: `a` and `"a"` are one."""
    values = request.headers.getlist("Idempotency-Key")
    if not values:
        return None
    match = _KEY.fullmatch(", ".join(values).strip("\t "))
    if not match:
        raise _make_fault("Idempotency-Key", "must be 1 to 255 visible ASCII characters, bare or quoted")
    return IdempotencyKey(match["bare"] or re.sub(r"\\(.)", r"\1", match["quoted"]))


def _read(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if not values:
        return None
    header = ", ".join(values).strip("\t ")
    if header != "*" and not _TAGS.fullmatch(header):
        raise _make_fault(name, 'must be * or a list such as "1", "2"')
    return header


def _make_fault(name: str, detail: str) -> InvalidHeader:
    return InvalidHeader(faults=[Fault(place="header", name=name, detail=detail)])
