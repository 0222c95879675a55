"""The feed of a user's changes: the tick that orders them, the tombstones of deleted tasks, and its pages."""

from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    TIMESTAMP,
    Integer,
    Interval,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    extract,
    func,
    inspect,
    literal_column,
    null,
    select,
    true,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement

from todo.database.compiled import Statement
from todo.database.statements.columns import COLUMNS, ONE, OWNED, OWNER, PUBLIC, PUBLIC_COLUMNS
from todo.database.statements.lists import cut
from todo.models.tables import FeedGeneration, TaskFeed, TaskTombstone, UtcTimestamp

_FEED = inspect(TaskFeed).columns
_TOMBSTONE = inspect(TaskTombstone).columns
_INSTANT = literal_column("interval '1 microsecond'", Interval)
_KEPT = literal_column("interval '91 days'", Interval)  # a day longer than a position is valid
_BEFORE_ALL = literal_column("'-infinity'::timestamptz", TIMESTAMP(timezone=True))
_DIGITS = literal_column("8", Integer)  # of a timeline in the name of a WAL file


def make_tick(condition: ColumnElement[bool]) -> CTE:
    """Advance the owner's feed if a condition holds, and lock it: whatever depends on it happens after that.

    Not to now(), the time at which the statement began, nor to a time that another write has had. So a user's writes
    have times in the order of their commits. Every write takes this lock first, and so no two of them deadlock.
    """
    ticked = postgresql.insert(TaskFeed).from_select(
        ["user_id", "changed_at"], select(OWNER, func.clock_timestamp()).where(condition)
    )
    later = func.greatest(func.clock_timestamp(), _FEED.changed_at + _INSTANT)
    return (
        ticked.on_conflict_do_update(index_elements=[_FEED.user_id], set_={"changed_at": later})
        .returning(_FEED.user_id, _FEED.changed_at)
        .cte("tick")
    )


def tick_for(tasks: ColumnElement[bool]) -> CTE:
    """Advance the feed if there is any of these tasks: a write that finds none leaves nothing behind."""
    return make_tick(exists(select(ONE).where(tasks)))


def read_tick(tick: CTE) -> ColumnElement[Any]:
    """Return the time of a tick: null if its condition does not hold."""
    return select(tick.c.changed_at).scalar_subquery()


def bury(deleted: CTE, tick: CTE) -> list[CTE]:
    """Add the tombstones of what was deleted, and drop those that no position needs any more."""
    rows = select(OWNER, tick.c.changed_at, deleted.c.id).select_from(deleted.join(tick, true()))
    buried = postgresql.insert(TaskTombstone).from_select(["user_id", "deleted_at", "id"], rows).cte("buried")
    # now(), since the index is of no use to a function that returns something else each time.
    is_old = _TOMBSTONE.deleted_at < func.now() - _KEPT
    is_any_deleted = exists(select(ONE).select_from(deleted))
    purged = delete(TaskTombstone).where(_TOMBSTONE.user_id == OWNER, is_old, is_any_deleted).cte("purged")
    return [buried, purged]


def find_deleted(tick: CTE, task_ids: ColumnElement[Any]) -> CTE:
    """Find which of these tasks were deleted, also by writes for which the tick has waited.

    The function sees them because it has a snapshot of its own, unlike the rest of the statement.
    """
    # Taking the user from the tick makes PostgreSQL call the function after it.
    found = (
        func.find_deleted_tasks(tick.c.user_id, task_ids)
        .table_valued(column("id", Uuid))
        .render_derived()
        .lateral("found")
    )
    return select(found.c.id).select_from(tick.join(found, true())).cte("buried_before")


def _read_generation() -> ColumnElement[Any]:
    """Return what tells one history of the database from another, as after a restore to an earlier moment."""
    begins_at = select(inspect(FeedGeneration).columns.begins_at).scalar_subquery()
    begun = case((begins_at <= func.now(), cast(extract("epoch", begins_at), Text)))
    system = select(column("system_identifier")).select_from(func.pg_control_system()).scalar_subquery()
    recovered = (
        select(func.lpad(func.upper(func.to_hex(column("min_recovery_end_timeline"))), _DIGITS, literal_column("'0'")))
        .select_from(func.pg_control_recovery())
        .scalar_subquery()
    )
    written = func.left(func.pg_walfile_name(func.pg_current_wal_insert_lsn()), _DIGITS)
    timeline = case((func.pg_is_in_recovery(), recovered), else_=written)
    neon = func.current_setting(literal_column("'neon.timeline_id'"), true())
    return func.concat_ws(literal_column("'/'"), begun, system, timeline, neon)


def _read_feed() -> CTE:
    changed_at = select(_FEED.changed_at).where(_FEED.user_id == OWNER).scalar_subquery()
    return select(
        type_coerce(func.now(), UtcTimestamp()).label("as_of"),
        _read_generation().label("generation"),
        type_coerce(changed_at, UtcTimestamp()).label("changed_at"),
    ).cte("feed")


def _select_entries() -> Select[Any]:
    """Select the tasks and tombstones after a position, the latter with no more than their ids and times."""
    at = func.coalesce(bindparam("at", type_=_FEED.changed_at.type), _BEFORE_ALL)
    position = tuple_(at, bindparam("after", type_=Uuid))
    began = func.coalesce(bindparam("began", type_=_FEED.changed_at.type), _BEFORE_ALL)
    limit = bindparam("limit", type_=Integer)
    nothing = {name: cast(null(), COLUMNS[name].type).label(name) for name in PUBLIC}
    tombstone = {**nothing, "id": _TOMBSTONE.id, "updated_at": _TOMBSTONE.deleted_at.label("updated_at")}
    changed = (
        select(*PUBLIC_COLUMNS)
        .where(OWNED, tuple_(COLUMNS.updated_at, COLUMNS.id) > position)
        .order_by(COLUMNS.updated_at, COLUMNS.id)
        .limit(limit)
    )
    deleted = (
        select(*tombstone.values())
        .where(
            _TOMBSTONE.user_id == OWNER,
            tuple_(_TOMBSTONE.deleted_at, _TOMBSTONE.id) > position,
            # A client that began without a task need not be told that it is gone.
            _TOMBSTONE.deleted_at > began,
        )
        .order_by(_TOMBSTONE.deleted_at, _TOMBSTONE.id)
        .limit(limit)
    )
    both = union_all(changed, deleted).subquery("both").c
    return select(*both).order_by(both.updated_at, both.id).limit(limit)


@cache  # of two
def compile_changes(*, is_cut: bool) -> Statement:
    """Select a page of the feed after a position: a row, at least, with the feed itself, and one for each entry."""
    feed = _read_feed()
    entries = _select_entries()
    page = cut(entries, lambda row: [row.updated_at, row.id]) if is_cut else entries
    found = page.subquery("entries")
    columns = [found.c[name] for name in (*PUBLIC, *(["total"] if is_cut else []))]
    return Statement(
        select(*feed.c, *columns).select_from(feed.outerjoin(found, true())).order_by(found.c.updated_at, found.c.id)
    )
