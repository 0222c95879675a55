"""Cursors: positions in a list of tasks or in a feed of changes, as text for a URL.

A cursor names the last task of a page, and has a checksum of that, the owner, the filters and the sort. It is neither a
secret nor a permission: a forged one is another position in what its caller may read anyway.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter

from todo.errors import InvalidCursor
from todo.models.feeds import FeedPosition
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


_feed_positions = TypeAdapter(FeedPosition)


def make_cursor(owner: Owner, query: TaskQuery, position: Position) -> str:
    """Return the cursor of a position in the list of this owner and this query, whatever its limit."""
    payload = _positions[query.sort_key].dump_json(position)
    return _write(_identify_list(owner, query), payload)


def read_cursor(owner: Owner, query: TaskQuery, cursor: str) -> Position:
    """Return the position of a cursor; raise InvalidCursor unless it was made for this owner and this query."""
    try:
        position = Position(*_positions[query.sort_key].validate_json(_read(cursor)))
    except ValueError:
        raise InvalidCursor from None
    # Its checksum is right, and it is written as it is here: JSON and base64 can be written in more than one way.
    if make_cursor(owner, query, position) != cursor:
        raise InvalidCursor
    return position


def make_feed_cursor(owner: Owner, position: FeedPosition) -> str:
    """Return the cursor of a position in the feed of this owner."""
    return _write(_identify_feed(owner), _feed_positions.dump_json(position))


def read_feed_cursor(owner: Owner, cursor: str) -> FeedPosition:
    """Return the position of a cursor; raise InvalidCursor unless it was made for this owner's feed."""
    try:
        position = _feed_positions.validate_json(_read(cursor))
    except ValueError:
        raise InvalidCursor from None
    if make_feed_cursor(owner, position) != cursor:
        raise InvalidCursor
    return position


def _identify_list(owner: Owner, query: TaskQuery) -> bytes:
    # Without defaults, so that a filter that is added in a later version leaves the cursors of other lists valid.
    return f"{owner}\n{query.model_dump_json(exclude={'limit', 'cursor'}, exclude_defaults=True)}\n".encode()


def _identify_feed(owner: Owner) -> bytes:
    return f"{owner}\nchanges\n".encode()


def _write(which: bytes, payload: bytes) -> str:
    checksum = blake2b(which + payload, digest_size=CHECKSUM_BYTES).digest()
    return urlsafe_b64encode(checksum + payload).rstrip(b"=").decode()


def _read(cursor: str) -> bytes:
    """Return what a cursor holds, unchecked; raise ValueError if it is not base64."""
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[CHECKSUM_BYTES:]
