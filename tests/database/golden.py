"""Every statement on tasks, laid out for reading: `make statements` writes `statements.sql`, and a test compares it.

sqlglot lays them out, and spells some of it in its own way: `CAST(x AS t)` for `x::t`, `<>` for `!=`.
"""

from collections.abc import Iterator
from pathlib import Path

import sqlglot

from todo.database.compiled import Statement
from todo.database.statements import batch, tasks
from todo.database.statements.columns import FILTERS
from todo.database.statements.feed import compile_changes
from todo.database.statements.lists import ListShape, Start, compile_list
from todo.database.statements.tasks import Change, compile_complete_all, compile_remove_all
from todo.models.queries import Sort

# Falling and rising, of a text in any case, and of what may be null.
SHAPES: list[tuple[Sort, Start]] = [
    ("-created_at", "first"),
    ("-created_at", "value"),
    ("title", "value"),
    ("due_at", "value"),
    ("due_at", "null"),
    ("-priority", "first"),
]
FILE = Path(__file__).with_name("statements.sql")


def find_statements() -> Iterator[tuple[str, Statement]]:
    """Every statement that is made once, under its name, and lists enough to see each thing in which two may differ."""
    for name, found in {**vars(tasks), **vars(batch)}.items():
        if isinstance(found, Statement):
            yield name, found
        elif isinstance(found, Change):
            yield name, found.always
            yield f"{name}, in certain versions", found.guarded
    for filters in (frozenset[str](), frozenset(FILTERS)):
        which = "with every filter" if filters else "without filters"
        yield f"complete all {which}", compile_complete_all(filters)
        yield f"remove all {which}", compile_remove_all(filters)
    for sort, start in SHAPES:
        yield f"list by {sort}, from {start}", compile_list(ListShape(sort, frozenset(), start, is_cut=False))
    for is_cut in (False, True):
        yield f"changes{', cut' if is_cut else ''}", compile_changes(is_cut=is_cut)
    for name in FILTERS:
        yield f"list with {name}", compile_list(ListShape("-created_at", frozenset({name}), "first", is_cut=False))
    for sort in ("-created_at", "due_at"):
        yield f"list by {sort}, cut", compile_list(ListShape(sort, frozenset(FILTERS), "value", is_cut=True))


def lay_out(statement: Statement) -> str:
    """Write a statement for reading."""
    [text] = sqlglot.transpile(statement.text, read="postgres", write="postgres", pretty=True, max_text_width=110)
    constants = [f"-- ${place} is {value!r}" for place, value in enumerate(statement.bind({}), 1) if value is not None]
    return "\n".join([*constants, text])


def write() -> str:
    """Write all of them."""
    return "\n\n".join(f"-- {name}\n{lay_out(statement)};" for name, statement in find_statements()) + "\n"


if __name__ == "__main__":
    FILE.write_text(write())
