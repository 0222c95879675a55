"""The SQL that the service sends, for whoever wants to read it or has changed it."""

from collections.abc import Callable

import pytest
from tests import arguments
from tests.database.golden import FILE, write

from todo.database.compiled import Statement
from todo.database.statements.columns import FILTERS
from todo.database.statements.lists import ListShape, compile_list
from todo.database.statements.tasks import compile_complete_all, compile_remove_all
from todo.models.queries import TaskQuery


def test_statements_are_those_that_were_read() -> None:
    """Whoever changes one writes the file again, with `make statements`, and reads what has changed."""
    assert write() == FILE.read_text()


def test_statement_of_a_list_is_compiled_once() -> None:
    """Two lists of one shape differ in parameters alone; compiling takes longer than the rest of a request."""
    shape = ListShape("title", frozenset({"q"}), "first", is_cut=True)

    assert compile_list(shape) is compile_list(ListShape("title", frozenset({"q"}), "first", is_cut=True))


@pytest.mark.parametrize("compile_change", [compile_complete_all, compile_remove_all])
def test_change_of_many_is_compiled_once(compile_change: Callable[[frozenset[str]], Statement]) -> None:
    """Two with the same filters differ in parameters alone."""
    assert compile_change(frozenset({"q", "tag"})) is compile_change(frozenset({"tag", "q"}))


def test_every_parameter_of_a_list_has_its_sql() -> None:
    """One that is only declared would be accepted and ignored."""
    assert set(TaskQuery.model_fields) == {*FILTERS, "sort", "limit", "cursor"}


def test_every_filter_is_among_the_lists_that_all_tests_call() -> None:
    """Whose owners, plans and partitions are looked at."""
    assert {name for filters in arguments.FILTERS for name in filters} == {*FILTERS, "limit"}
