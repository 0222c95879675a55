"""Reads request headers: conditions (RFC 9110, section 13) and the idempotency key."""

import re
from collections.abc import Collection
from hashlib import sha256

from fastapi import Request

from todo.api.parameters import Parameter
from todo.errors import Fault, InvalidHeader
from todo.models.fields import IDEMPOTENCY_KEY_LENGTH, IdempotencyKey, Versions
from todo.models.tasks import TaskRow

# RFC 9110, sections 8.8.3 and 5.6.1; possessive, so that a long header is read once.
_TAG = r'(?:W/)?"[!#-~\x80-\xff]*+"'
_OPAQUE_TAG = re.compile(r'"[^"]*"')
HASH_LENGTH = 32  # in hexadecimal digits
_TAGS = re.compile(rf"[\t ,]*+{_TAG}(?:[\t ]*+,[\t ,]*+{_TAG})*+[\t ,]*+")
# A tag of this API: a version, which fits into 64 bits, without leading zeros.
_OUR_TAG = re.compile(r'(W/)?"([1-9][0-9]{,17})"')
# A string as in RFC 9651, section 3.3.3, or its content without quotes.
_KEY = re.compile(
    rf"(?P<bare>[!#-~][!-~]{{0,{IDEMPOTENCY_KEY_LENGTH - 1}}})"
    rf'|"(?P<quoted>(?:[!#-\[\]-~]|\\["\\]){{1,{IDEMPOTENCY_KEY_LENGTH}}})"'
)

# For OpenAPI, in ECMAScript with the flag `u`: no named groups, no possessive quantifiers, and ASCII alone.
PATTERNS = {
    "If-Match": rf"^(\*|{_TAGS.pattern})$".replace("*+", "*").replace(r"\x80-\xff", ""),
    "Idempotency-Key": rf"^({_KEY.pattern})$".replace("?P<bare>", "").replace("?P<quoted>", ""),
}
PATTERNS["If-None-Match"] = PATTERNS["If-Match"]


def _describe(name: str, description: str) -> Parameter:
    schema = {"type": "string", "pattern": PATTERNS[name]}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


IF_MATCH = _describe(
    "If-Match", "Carry out the request only if the task has one of these entity tags; `*` matches any."
)
IF_NONE_MATCH = _describe("If-None-Match", "Return the task only if it has none of these entity tags.")
IF_NONE_MATCH_ANY = {
    **_describe("If-None-Match", "`*` creates the task under this id, unless there is or was one."),
    "schema": {"type": "string", "pattern": r"^\*$"},  # openapi-python-client takes no `const` in a header
}
IDEMPOTENCY_KEY = _describe(
    "Idempotency-Key", "Makes the request safe to repeat: the same key and body return the same task."
)


def make_etag(task: TaskRow) -> str:
    """Return the entity tag of a task: its version."""
    return f'"{task.version}"'


def hash_etag(*parts: bytes) -> str:
    """Return the entity tag of what has no version: a hash of all that is sent."""
    digest = sha256()
    for part in parts:
        digest.update(part)
    return f'"{digest.hexdigest()[:HASH_LENGTH]}"'


def read_if_match(request: Request) -> Versions | None:
    """Return the versions that `If-Match` allows, None for any; a weak tag matches nothing. Raises InvalidHeader."""
    header = _read(request, "If-Match")
    if header in (None, "*"):
        return None
    return frozenset(int(version) for weak, version in _OUR_TAG.findall(header) if not weak)


def read_if_none_match(request: Request) -> Collection[str] | None:
    """Return the entity tags in `If-None-Match` without the `W/` of weak ones, None for any. Raises InvalidHeader."""
    header = _read(request, "If-None-Match")
    return None if header == "*" else _OPAQUE_TAG.findall(header or "")


def wants_creation(request: Request) -> bool:
    """Whether `If-None-Match` is `*`: change nothing that exists. Raises InvalidHeader for any other condition."""
    if read_if_none_match(request):
        raise _make_fault("If-None-Match", "must be * in a request that changes a task")
    if "If-None-Match" not in request.headers:
        return False
    if "If-Match" in request.headers:
        raise _make_fault("If-None-Match", "must not be sent together with If-Match")
    return True


def read_idempotency_key(request: Request) -> IdempotencyKey | None:
    """Return the idempotency key; `a` and `"a"` are the same. Raises InvalidHeader."""
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
        raise _make_fault(name, 'must be * or a list of entity tags, such as "1", "2"')
    return header


def _make_fault(name: str, detail: str) -> InvalidHeader:
    return InvalidHeader(faults=[Fault(source="header", name=name, detail=detail)])
