"""The rules of the layout, read off the code: who may import whom, who may say SQL, who may vouch for an owner."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "todo"
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_FILE_LINES, MOST_FUNCTION_LINES = 300, 40

# From the left to the right: a part imports from its own rank and from those before it.
RANKS = [
    {"settings", "errors", "models"},
    {"database", "embedded"},
    {"api"},
    {"app"},
    {"logs", "client_connections", "port", "server", "worker", "cli", "asgi"},
    {"__main__"},
]
FORBIDDEN = {
    "errors": {"fastapi", "starlette", "sqlalchemy", "sqlmodel", "pydantic"},
    "models": {"fastapi", "starlette"},
    "database": {"fastapi", "starlette"},
    "embedded": {"fastapi", "starlette", "sqlalchemy", "sqlmodel", "pydantic", "alembic"},
    "api": {"sqlalchemy", "sqlmodel", "psycopg", "alembic"},
}
SQL_BUILDERS = {"select", "insert", "update", "delete", "text"}
# Who may touch the table: what declares it, what keeps tasks, and what changes its schema or looks at it.
TASK_STATEMENT = re.compile(r"\b(from|into|update|table|join)\s+tasks\b", re.IGNORECASE)
TASK_SQL = ("models/tables.py", "database/statements/", "database/migrations/")


def name_part(path: Path) -> str:
    """The part of the layout that a module belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def find_rank(part: str) -> int:
    """Where a part stands; the package's own name is known to all."""
    return next((rank for rank, parts in enumerate(RANKS) if part in parts), -1)


def read_imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_calls(path: Path) -> Iterator[str]:
    """The name of every function that a file calls."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_imports_only_from_its_left(path: Path) -> None:
    """The parts stand in one direction, and the outer libraries stay with the part that is theirs."""
    part = name_part(path)
    for module in read_imports(path):
        root, *rest = module.split(".")
        assert root not in FORBIDDEN.get(part, set()), module
        if root == "todo" and rest and part != "__init__":
            assert find_rank(rest[0]) <= find_rank(part), module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_embedded_database_stands_alone(path: Path) -> None:
    """It knows of its own files and the errors, and only the command line knows of it."""
    ours = {module.split(".")[1] for module in read_imports(path) if module.startswith("todo.")}
    if name_part(path) == "embedded":
        assert ours <= {"embedded", "errors"}
    elif name_part(path) != "cli":
        assert "embedded" not in ours


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_and_no_function_is_long(path: Path) -> None:
    """A file has at most 300 lines, and a function 40."""
    source = path.read_text()
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(source.splitlines()) <= MOST_FILE_LINES
    for function in functions:
        assert (function.end_lineno or 0) - function.lineno < MOST_FUNCTION_LINES, function.name


def test_every_part_has_its_place() -> None:
    """A new module at the top must be given a rank before it can be used."""
    parts = {name_part(path) for path in MODULES} - {"__init__"}

    assert parts == set().union(*RANKS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_statements_and_the_migrations_speak_of_tasks_in_sql(path: Path) -> None:
    """No statement on the table, and no use of the table class, is found anywhere else."""
    name = str(path.relative_to(SOURCE))
    if name.startswith(TASK_SQL):
        return
    assert "todo.models.tables.Task" not in read_imports(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not TASK_STATEMENT.search(node.value), node.value
    if not name.startswith("database/"):
        assert not SQL_BUILDERS & set(read_calls(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_sql_is_never_formatted(path: Path) -> None:
    """What goes into `text()` or `execute()` is written out, not put together from strings."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"text", "execute", "exec_driver_sql", "run"}:
                formatted = [part for part in node.args if isinstance(part, ast.JoinedStr | ast.BinOp)]
                assert not formatted, ast.unparse(node)


def test_only_one_function_vouches_for_an_owner() -> None:
    """Whoever holds an `Owner` got it, in the end, from the one dependency that authentication replaces."""
    makers = [str(path.relative_to(SOURCE)) for path in MODULES if "Owner" in read_calls(path)]

    assert makers == ["api/dependencies.py"]
    source = ast.parse((SOURCE / "api/dependencies.py").read_text())
    functions = [node for node in ast.walk(source) if isinstance(node, ast.AsyncFunctionDef)]
    assert [node.name for node in functions if "Owner(" in ast.unparse(node)] == ["trust_path"]
