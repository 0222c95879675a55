"""Lists of tasks: every sort, every set of filters, from any position."""

from collections.abc import Callable
from functools import lru_cache, reduce
from operator import add, gt, lt
from typing import Any, Literal, NamedTuple

from sqlalchemy import ARRAY, Integer, Select, and_, asc, bindparam, collate, desc, func, or_, select, tuple_
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from todo.database.compiled import Statement
from todo.database.statements.columns import COLUMNS, PUBLIC, PUBLIC_COLUMNS, match
from todo.models.queries import TEXT_LENGTHS, Sort

LIST_STATEMENTS = 256  # that are cached, of nearly four thousand that a client could ask for

Start = Literal["first", "value", "null"]  # of a page: at the first task, after a value or after a null
_Row = ReadOnlyColumnCollection[str, Any]


class ListShape(NamedTuple):
    """What distinguishes the statements of two lists; lists of one shape differ only in parameters."""

    sort: Sort
    filters: frozenset[str]
    start: Start
    is_cut: bool  # whether the texts of so many tasks may exceed PAGE_BYTES


@lru_cache(LIST_STATEMENTS)
def compile_list(shape: ListShape) -> Statement:
    """Select a page that begins after a position; after an offset, it would shift with every insert and delete."""
    direction, is_past = (desc, lt) if shape.sort.startswith("-") else (asc, gt)
    name = shape.sort.removeprefix("-")
    column, id_ = COLUMNS[name], COLUMNS.id
    after_value, after_id = bindparam("after_value", type_=column.type), bindparam("after_id", type_=id_.type)
    key, after_key = _sort_key(name, column), _sort_key(name, after_value)
    conditions = match(shape.filters)
    if shape.start == "value":
        # No comparison with null is true, so tasks without a value need a condition of their own. Over an index this
        # would have to be a UNION ALL: see docs/decisions.md, 10.
        is_after = is_past(tuple_(key, id_), tuple_(after_key, after_id))
        conditions.append(or_(is_after, key.is_(None)) if column.nullable else is_after)
    elif shape.start == "null":
        conditions.append(and_(key.is_(None), is_past(id_, after_id)))

    # NULLS LAST only where there can be any: the index of the default list does not have that order.
    def order(key: ColumnElement[Any], id_: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [direction(key).nulls_last() if column.nullable else direction(key), direction(id_)]

    page = (
        select(*PUBLIC_COLUMNS).where(*conditions).order_by(*order(key, id_)).limit(bindparam("limit", type_=Integer))
    )
    if not shape.is_cut:
        return Statement(page)
    measured = cut(page.add_columns(key.label("sort_key")), lambda row: order(row.sort_key, row.id))
    row = measured.selected_columns
    return Statement(measured.with_only_columns(*(row[name] for name in (*PUBLIC, "total"))))


def _sort_key(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the key that a column is sorted by: for titles, ignoring case and the server's locale."""
    return collate(func.lower(value), "C") if name == "title" else value


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_to_string(column, "") if isinstance(column.type, ARRAY) else column


def cut(page: Select[Any], order: Callable[[_Row], list[ColumnElement[Any]]]) -> Select[Any]:
    """Leave out what follows the first task with which the texts of a page reach PAGE_BYTES, and add their `total`.

    The lengths are summed over the rows within the limit, without reading a description.
    """
    row = page.subquery("limited").c
    length = reduce(add, (func.coalesce(func.octet_length(_as_text(row[name])), 0) for name in TEXT_LENGTHS))
    total = func.sum(length).over(order_by=order(row), rows=(None, 0))
    measured = select(*row, length.label("length"), total.label("total")).subquery("measured").c
    return (
        select(*measured).where(measured.total - measured.length < bindparam("page_bytes")).order_by(*order(measured))
    )
