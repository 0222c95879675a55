"""Statements as psycopg runs them: written with SQLAlchemy, compiled once, executed without it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Executable
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

# $1, $2 and so on are what PostgreSQL gets, whatever the style.
DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's

_Prepare: TypeAlias = Callable[[Any], object]  # turns a value of a column's type into what psycopg takes


class Statement:
    """The text of a statement, and the order and types of its parameters."""

    def __init__(self, statement: Executable) -> None:
        compiled = statement.compile(dialect=DIALECT)  # type: ignore[attr-defined]  # every executable clause has it
        self.text: str = compiled.string
        self._parameters = [_describe(name, compiled.binds[name]) for name in compiled.positiontup or ()]

    def bind(self, values: Mapping[str, object]) -> list[object]:
        """Return the values of the parameters in their order; the statement's own constants need not be given."""
        return [
            values.get(name, constant) if prepare is None else prepare(values.get(name, constant))
            for name, prepare, constant in self._parameters
        ]


def _describe(name: str, parameter: BindParameter[Any]) -> tuple[str, _Prepare | None, object]:
    prepare = parameter.type.dialect_impl(DIALECT).bind_processor(DIALECT)
    return name, prepare, parameter.value
