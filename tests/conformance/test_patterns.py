"""Every pattern of the OpenAPI document means the same in ECMAScript and in Python, and what the validators mean."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Annotated, Any

import pytest
from fastapi import Request
from pydantic import StringConstraints, TypeAdapter, ValidationError

from todo.api.dependencies import UserId
from todo.api.headers import PATTERNS as HEADER_PATTERNS
from todo.api.headers import read_idempotency_key, read_if_match, read_if_none_match, wants_creation
from todo.app import create_app
from todo.database.urls import DatabaseUrl
from todo.errors import InvalidHeader
from todo.models.fields import BLANK, Description, StorableText, Tag, Title
from todo.settings import Settings

NODE = shutil.which("node")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NODE is None, reason="no node")]

MATCH_IN_NODE = """
const { pattern, texts } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const matcher = new RegExp(pattern, "u");
process.stdout.write(JSON.stringify(texts.map((text) => matcher.test(text))));
"""

SURROGATES = range(0xD800, 0xE000)  # no text can be sent that has one by itself
# Every character of the planes that have white space and controls, and a sample of the others.
CHARACTERS = [chr(code) for code in (*range(0x3100), *range(0x3100, sys.maxunicode + 1, 61)) if code not in SURROGATES]
EDGES = ["\0", *BLANK, "\x1b", "!", "\x84", "\x86", "\u200e", "\ufefe", "\uffff", "\U00010000", "\U0010ffff", "a"]
TEXTS = ["", *CHARACTERS, *map("".join, product(EDGES, repeat=2)), *map("".join, product(EDGES[:8], "a", EDGES))]

ASCII = [chr(code) for code in range(0x21, 0x7F)]
HEADERS = [
    *(f"{before}{character}{after}" for character in ASCII for before, after in product(("", '"', 'W/"'), ("", '"'))),
    *("".join(parts) for parts in product(('"1"', 'W/"x"', ",", " ", "*", "a", '\\"', "\t"), repeat=4)),
    *(f"{quote}{'k' * length}{quote}" for quote in ("", '"') for length in (0, 1, 254, 255, 256)),
]
SENDABLE = [header for header in HEADERS if header == header.strip("\t ")]  # a server drops what is around a value


def takes(value_type: Any) -> Callable[[str], bool]:  # noqa: ANN401 - whatever Pydantic can validate
    """Whether a type's validators take a text."""
    adapter = TypeAdapter(value_type)

    def take(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return take


def reads(name: str, read: Callable[[Request], object]) -> Callable[[str], bool]:
    """Whether a header may have a value."""

    def take(value: str) -> bool:
        try:
            read(Request({"type": "http", "headers": [(name.lower().encode(), value.encode())]}))
        except InvalidHeader:
            return False
        return True

    return take


# Each with the service's own judgement, and the texts that it is asked about.
MEANINGS: dict[str, tuple[Callable[[str], bool], list[str]]] = {
    "title": (takes(Title), TEXTS),
    "description": (takes(Description), TEXTS),
    "tags": (takes(Tag), TEXTS),
    "tag": (takes(Tag), TEXTS),
    "q": (takes(StorableText), TEXTS),
    # `.` and `..` are refused besides, and come with no request: a client takes them out of a path.
    "user_id": (takes(UserId), [text for text in (*TEXTS, *HEADERS) if text not in {".", ".."} and len(text) < 256]),
    "If-Match": (reads("If-Match", read_if_match), SENDABLE),
    "If-None-Match": (reads("If-None-Match", read_if_none_match), SENDABLE),
    "If-None-Match of a PUT": (reads("If-None-Match", wants_creation), SENDABLE),
    "Idempotency-Key": (reads("Idempotency-Key", read_idempotency_key), SENDABLE),
}


def find_patterns(node: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every pattern of a document, with the name of its member or parameter."""
    if isinstance(node, list):
        for each in node:
            yield from find_patterns(each, name)
    elif isinstance(node, dict):
        name = node["name"] if "in" in node else name
        if isinstance(node.get("pattern"), str):
            yield name, node["pattern"]
        for key, each in node.items():
            structural = {"schema", "items", "anyOf", "properties", "schemas"}
            yield from find_patterns(each, name if key in structural else key)


PATTERNS = sorted(set(find_patterns(create_app(Settings(), DatabaseUrl({})).openapi())))


def find_meaning(name: str, pattern: str) -> str:
    """The line above that a pattern has: one that a header has in a PUT alone has its own."""
    return f"{name} of a PUT" if name == "If-None-Match" and pattern != HEADER_PATTERNS[name] else name


def match_in_node(pattern: str, texts: list[str]) -> list[bool]:
    """Whether each text matches, as a browser sees it."""
    request = json.dumps({"pattern": pattern, "texts": texts})
    command = [NODE or "node", "-e", MATCH_IN_NODE]
    result = subprocess.run(command, input=request, capture_output=True, text=True, timeout=60, check=True)
    matches: list[bool] = json.loads(result.stdout)
    return matches


def test_every_pattern_is_tried() -> None:
    """A new one needs a line above."""
    assert {find_meaning(*each) for each in PATTERNS} == MEANINGS.keys()


@pytest.mark.parametrize(("name", "pattern"), PATTERNS, ids=[name for name, _ in PATTERNS])
def test_pattern_means_the_same_everywhere(name: str, pattern: str) -> None:
    """In ECMAScript with the flag `u`, in Python, in Pydantic, whose expressions are Rust's, and to the service."""
    takes_in_pydantic = takes(Annotated[str, StringConstraints(pattern=pattern)])
    takes_here, texts = MEANINGS[find_meaning(name, pattern)]
    in_python = [bool(re.fullmatch(pattern, text)) for text in texts]  # `$` alone lets a line end behind it

    assert {True, False} == set(in_python)
    assert match_in_node(pattern, texts) == in_python
    assert list(map(takes_in_pydantic, texts)) == in_python
    assert list(map(takes_here, texts)) == in_python
