"""Cursors: positions in a list of tasks, as text for a URL.

A cursor names the last task of a page, and has a checksum of that, the owner, the filters and the sort. It is neither a
secret nor a permission: a forged one is another position in a list that its caller may read anyway.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter

from todo.errors import InvalidCursor
from todo.models.fields import Order, Owner, Priority, StorableText
from todo.models.queries import Position, SortKey, TaskQuery

CHECKSUM_BYTES = 12

_positions: Mapping[SortKey, TypeAdapter[tuple[object, UUID]]] = {
    "created_at": TypeAdapter(tuple[AwareDatetime, UUID]),
    "updated_at": TypeAdapter(tuple[AwareDatetime, UUID]),
    "title": TypeAdapter(tuple[StorableText, UUID]),
    "due_at": TypeAdapter(tuple[AwareDatetime | None, UUID]),
    "priority": TypeAdapter(tuple[Priority | None, UUID]),
    "order": TypeAdapter(tuple[Order | None, UUID]),
}


def make_cursor(owner: Owner, query: TaskQuery, position: Position) -> str:
    """Return the cursor of a position in the list of this owner and this query, whatever its limit."""
    place = _positions[query.sort_key].dump_json(position)
    # Without defaults, so that a filter that is added in a later version leaves the cursors of other lists valid.
    which = f"{owner}\n{query.model_dump_json(exclude={'limit', 'cursor'}, exclude_defaults=True)}\n".encode()
    checksum = blake2b(which + place, digest_size=CHECKSUM_BYTES).digest()
    return urlsafe_b64encode(checksum + place).rstrip(b"=").decode()


def read_cursor(owner: Owner, query: TaskQuery, cursor: str) -> Position:
    """Return the position of a cursor; raise InvalidCursor unless it was made for this owner and this query."""
    try:
        data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = Position(*_positions[query.sort_key].validate_json(data[CHECKSUM_BYTES:]))
    except ValueError:
        raise InvalidCursor from None
    # Base64 and JSON can each be written in more than one way: only our own is taken.
    if make_cursor(owner, query, position) != cursor:
        raise InvalidCursor
    return position
