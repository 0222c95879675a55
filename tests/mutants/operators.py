"""How a mutant differs from its module: in one place, by one operator of cosmic-ray's or of our own.

Cosmic-ray's change operators and constants. What our modules are made of, calls whose arguments are SQL, tables of
tuples and regular expressions, takes more: here an element, a call, a statement, an alternative or a letter of a
pattern is left out, and a name is swapped for its counterpart.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import FStringString, Name, String
from parso.tree import BaseNode, NodeOrLeaf

PAIRS = [
    ("and_", "or_"),
    ("asc", "desc"),
    ("clock_timestamp", "now"),
    ("fullmatch", "match"),
    ("gt", "lt"),
    ("is_", "is_not"),
    ("is_distinct_from", "is_not_distinct_from"),
    ("lower", "upper"),
    ("nulls_last", "nulls_first"),
    ("outerjoin", "join"),
]
COUNTERPARTS = dict([*PAIRS, *(pair[::-1] for pair in PAIRS)])

SEQUENCES = {"arglist", "testlist_comp", "testlist_star_expr", "dictorsetmaker", "subscriptlist"}
BRACKETS = {"trailer": "([", "atom": "[{"}  # around a single element, which is no sequence; (x) is x
STATEMENTS = {"return_stmt", "raise_stmt", "expr_stmt"}
NEED_ARGUMENTS = {"VariableReplacer", "VariableInserter"}
# What an alternative of a pattern ends at, unless it is escaped or in brackets.
DIVIDERS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<divider>[|()])", re.DOTALL)

Replacement = tuple[NodeOrLeaf, NodeOrLeaf, str]  # from the beginning of one node to the end of another


class Mutant(NamedTuple):
    """A module with one change: the lines that differ, each joined to one, and the whole."""

    line: int
    before: str
    after: str
    code: str


def make_mutants(code: str) -> list[Mutant]:
    """Return every mutant of a module once, in the order of its lines."""
    mutated = dict.fromkeys([*_mutate_by_cosmic_ray(code), *_mutate(code)])
    return sorted(_describe(code, each) for each in mutated if each != code and _is_python(each))


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def _describe(code: str, mutated: str) -> Mutant:
    lines, changed = code.splitlines(), mutated.splitlines()
    first = _count_equal(lines, changed)
    last = min(_count_equal(lines[::-1], changed[::-1]), len(lines) - first, len(changed) - first)
    before, after = (" ".join(map(str.strip, each[first : len(each) - last])) for each in (lines, changed))
    return Mutant(first + 1, before, after, mutated)


def _count_equal(lines: Sequence[str], others: Sequence[str]) -> int:
    pairs = enumerate(zip(lines, others, strict=False))
    return next((number for number, (line, other) in pairs if line != other), min(len(lines), len(others)))


def _mutate_by_cosmic_ray(code: str) -> Iterator[str]:
    nodes = list(ast_nodes(get_ast(code)))
    for name in operator_names():
        if name.rpartition("/")[2] not in NEED_ARGUMENTS:
            operator = get_operator(name)()
            occurrences = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            yield from (str(mutate_code(code, operator, occurrence)) for occurrence in range(occurrences))


def _mutate(code: str) -> Iterator[str]:
    begins = [0, *accumulate(map(len, code.splitlines(keepends=True)))]
    for node in _walk(get_ast(code)):
        for first, last, text in _replace(node):
            start, end = (begins[line - 1] + column for line, column in (first.start_pos, last.end_pos))
            yield code[:start] + text + code[end:]


def _walk(node: NodeOrLeaf) -> Iterator[NodeOrLeaf]:
    if node.type.startswith("import_") or _is_annotation(node) or _is_docstring(node):
        return
    yield node
    if isinstance(node, BaseNode):
        for child in node.children:
            yield from _walk(child)


def _is_annotation(node: NodeOrLeaf) -> bool:
    before = node.parent.children[: node.parent.children.index(node)] if node.parent else []
    mark = "->" if node.parent and node.parent.type == "funcdef" else ":"
    takes_annotation = node.parent is not None and node.parent.type in {"annassign", "param", "tfpdef", "funcdef"}
    return takes_annotation and bool(before) and getattr(before[-1], "value", "") == mark and node.type != "suite"


def _is_docstring(node: NodeOrLeaf) -> bool:
    return node.type == "string" and node.parent is not None and node.parent.type in {"simple_stmt", "file_input"}


def _replace(node: NodeOrLeaf) -> Iterator[Replacement]:
    if isinstance(node, BaseNode):
        if node.type in SEQUENCES:
            yield from _leave_out_elements(node)
        if node.type in BRACKETS and len(node.children) == 3:
            yield from _leave_out_single_element(node)
        if node.type == "atom_expr":
            yield from _leave_out_calls(node)
        if node.type in STATEMENTS:
            yield node, node, "pass"
    elif isinstance(node, Name) and node.value in COUNTERPARTS:
        yield node, node, COUNTERPARTS[node.value]
    elif isinstance(node, String | FStringString):
        yield from ((node, node, text) for text in _alter_text(node))


def _leave_out_elements(node: BaseNode) -> Iterator[Replacement]:
    commas = [number for number, child in enumerate(node.children) if getattr(child, "value", "") == ","]
    if not commas:
        return
    for before, after in pairwise([-1, *commas, len(node.children)]):
        if after - before > 1:
            yield node.children[before + 1], node.children[min(after, len(node.children) - 1)], ""


def _leave_out_single_element(node: BaseNode) -> Iterator[Replacement]:
    opening, element, _ = node.children
    if opening.get_code(include_prefix=False) in BRACKETS[node.type] and element.type not in SEQUENCES:
        yield element, element, ""


def _leave_out_calls(node: BaseNode) -> Iterator[Replacement]:
    for name, call in pairwise(node.children[1:]):
        if call.get_code().startswith("("):
            yield name, call, ""  # of a chain; what is no method is no Python then
    for number, call in enumerate(node.children[1:], 1):
        if isinstance(call, BaseNode) and len(call.children) == 3 and call.children[0].get_code() == "(":
            argument = call.children[1]
            if argument.type not in {"arglist", "argument"}:
                yield node.children[0], node.children[number], argument.get_code()


def _alter_text(node: String | FStringString) -> Iterator[str]:
    opening, text, closing = _split_quotes(node)
    if text and isinstance(node, String):
        yield opening + closing
    dividers = [match.start() for match in DIVIDERS.finditer(text) if match["divider"]]
    for start, end in pairwise([-1, *dividers, len(text)]):
        if start >= 0 and text[start] == "|":
            yield opening + text[:start] + text[end:] + closing
        elif end < len(text) and text[end] == "|":
            yield opening + text[: start + 1] + text[end + 1 :] + closing
    if _is_pattern(node):
        for number in range(len(text)):
            yield opening + text[:number] + text[number + 1 :] + closing


def _split_quotes(node: String | FStringString) -> tuple[str, str, str]:
    match = re.fullmatch(r"(\w*(\"{3}|'{3}|\"|'))(.*)(\2)", node.value, re.DOTALL)
    return (match[1], match[3], match[4]) if match and isinstance(node, String) else ("", node.value, "")


def _is_pattern(node: String | FStringString) -> bool:
    opening = node if isinstance(node, String) else node.parent and node.parent.children[0]
    return bool(opening and re.match(r"[fF]?[rR]", opening.get_code(include_prefix=False)))
