"""The types of a task's fields, and their limits.

Each limit is one constant, used by a validator and by a CHECK constraint.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, NewType, get_args
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema
from pydantic import Field as Limits
from typing_extensions import TypeAliasType

USER_ID_PATTERN = r"^[A-Za-z0-9._~@|:+=-]+$"
USER_ID_LENGTH = 255
TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 8192
TAGS_COUNT = 20
TAG_LENGTH = 50
ORDER_RANGE = (-(2**31), 2**31 - 1)
DUE_AT_RANGE = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
IDEMPOTENCY_KEY_LENGTH = 255

# What counts as blank at either end of a text: Unicode's White_Space, the four separators that Python adds to it
# (U+001C to U+001F) and the characters without width. Spelt out, because `\s` and `str.strip()` disagree.
BLANK = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u200c\u200d\u2060\ufeff"
)

Owner = NewType("Owner", str)
"""The user id of an identified caller: only the function that identifies the owner of a request makes one."""

IdempotencyKey = NewType("IdempotencyKey", str)
"""A client's name for one creation, so that repeating it creates nothing; only `api.headers` makes one."""

Versions = frozenset[int]
"""The versions of a task in one of which it must be for a change to happen."""

# A type with a name has a schema of its own in the OpenAPI document.
Priority = TypeAliasType("Priority", Literal["low", "medium", "high"])
PRIORITIES: tuple[Priority, ...] = get_args(Priority.__value__)


# RFC 3339, section 5.6. `datetime.fromisoformat` accepts much more, such as dates without a time.
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)


# Pydantic also takes a UUID in braces, without hyphens or as a URN; each task has one address.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _trim(value: object) -> object:
    return value.strip(BLANK) if isinstance(value, str) else value


def _refuse_unstorable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain a lone surrogate") from error
    return value


def _read_timestamp(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 timestamp with an offset, such as 2030-01-31T09:30:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must lie in the years 1 to 9999 in UTC") from error


def _check_uuid(value: object) -> object:
    if not isinstance(value, UUID) and not (isinstance(value, str) and _UUID.fullmatch(value)):
        raise ValueError("must be a UUID")
    return value


def read_integer(value: object) -> object:
    """Return a number without a fraction as an integer, and any other value unchanged."""
    # To JSON Schema, and so to the schema that this API publishes, 1.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _drop_repeats(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


# The validators' rules, for clients: in ECMAScript (with the flag `u`) and in Python, these mean the same. `\s` differs
# between them, but only in characters that are blank here, and all of these are named.
STORABLE_PATTERN = r"^[^\u0000]*$"
VISIBLE_PATTERN = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085\u180e\u200b-\u200d\u2060\ufeff][^\u0000]*$"


def describe_text(length: int, *, is_trimmed: bool) -> WithJsonSchema:
    """Describe a text in JSON Schema, with its validators' rules as a pattern."""
    if is_trimmed:
        return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": length, "pattern": VISIBLE_PATTERN})
    return WithJsonSchema({"type": "string", "maxLength": length, "pattern": STORABLE_PATTERN})


TaskId = Annotated[UUID, BeforeValidator(_check_uuid)]
_storable = AfterValidator(_refuse_unstorable)
_trimmed = BeforeValidator(_trim)
StorableText = Annotated[str, Strict(), _storable]
Title = Annotated[
    str,
    Strict(),
    Limits(min_length=1, max_length=TITLE_LENGTH),
    _storable,
    _trimmed,
    describe_text(TITLE_LENGTH, is_trimmed=True),
]
Description = Annotated[
    str, Strict(), Limits(max_length=DESCRIPTION_LENGTH), _storable, describe_text(DESCRIPTION_LENGTH, is_trimmed=False)
]
Completed = Annotated[bool, Strict()]
DueAt = Annotated[datetime, BeforeValidator(_read_timestamp), WithJsonSchema({"type": "string", "format": "date-time"})]
Tag = Annotated[
    str,
    Strict(),
    Limits(min_length=1, max_length=TAG_LENGTH),
    _storable,
    _trimmed,
    describe_text(TAG_LENGTH, is_trimmed=True),
]
Tags = Annotated[list[Tag], Limits(max_length=TAGS_COUNT), AfterValidator(_drop_repeats)]
Order = Annotated[int, Strict(), Limits(ge=ORDER_RANGE[0], le=ORDER_RANGE[1]), BeforeValidator(read_integer)]
