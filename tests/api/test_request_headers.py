"""What the headers of a request are read as: conditions (RFC 9110), and the key of a creation (RFC 9651)."""

import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import pytest
from fastapi import Request

from todo.api.headers import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_ANY,
    PATTERNS,
    hash_etag,
    make_etag,
    read_idempotency_key,
    read_if_match,
    read_if_none_match,
    wants_creation,
)
from todo.errors import InvalidHeader
from todo.models.tasks import TaskRow

LONGEST = "9" * 18

# What a condition says, and which versions of ours it names strongly and weakly.
CONDITIONS: list[tuple[str, set[int], set[int]]] = [
    ('"1"', {1}, set()),
    ('"0123"', set(), set()),
    ('"1234567890"', {1234567890}, set()),
    ('W/"1"', set(), {1}),
    ('"1", "2"', {1, 2}, set()),
    ('"1","2"', {1, 2}, set()),
    ('"1"\t,\t "2"', {1, 2}, set()),
    ('"1" ,, \t,"2"', {1, 2}, set()),
    (', \t"1"', {1}, set()),
    ('"1" ,\t,', {1}, set()),
    ('\t "1" \t', {1}, set()),
    ('W/"1", "2", W/"3"', {2}, {1, 3}),
    ('"1", W/"x", "y", "3"', {1, 3}, set()),
    ('""', set(), set()),
    ('"0"', set(), set()),
    ('"+1"', set(), set()),
    ('"1x"', set(), set()),
    ('"x1"', set(), set()),
    ('"1,2"', set(), set()),
    (f'"{LONGEST}"', {int(LONGEST)}, set()),
    (f'"{LONGEST}0"', set(), set()),
    ('"!", "#", "~", "W/", "\\"', set(), set()),
    ('"\x80\u00e9\xff"', set(), set()),
    ('"x",' * 5000 + '"1"', {1}, set()),
]
MALFORMED_CONDITIONS = [
    *("", " ", ",", "1", '"', '"1', '1"', "'1'", '"1" "2"', '"1""2"', '"1"x"2"', '"1";', '"1", 2', '"1", "2'),
    *('w/"1"', 'W"1"', "W/1", '/"1"', 'W/ "1"', '"a b"', '"\t"', '"\x7f"', '"\x1f"'),
    *("**", "*, *", '*, "1"', '"1", *', "x*", '\x0b"1"', '"1"\x0c', '"x",' * 5000 + '"'),
]
KEYS = [
    *(("a", "a"), ("!", "!"), ("#", "#"), ("~", "~"), ('a"b', 'a"b'), ("\\", "\\"), ("a\\b", "a\\b"), ("a,b", "a,b")),
    *(("k" * 255, "k" * 255), (" \ta\t ", "a"), ("'a'", "'a'")),
    *(('"a"', "a"), ('"!"', "!"), ('"#"', "#"), ('"["', "["), ('"]"', "]"), ('"~"', "~"), ('"\'"', "'")),
    *(('"\\""', '"'), ('"\\\\"', "\\"), ('"\\\\\\""', '\\"'), ('"a\\"b\\\\c"', 'a"b\\c'), ('"\\\\a"', "\\a")),
    *((f'"{"k" * 255}"', "k" * 255), (f'"{255 * chr(92) * 2}"', "\\" * 255)),
]
MALFORMED_KEYS = [
    *(
        "",
        " ",
        "a b",
        "a\tb",
        '" "',
        '"a, b"',
        "\x7f",
        "a\x7f",
        "\x1f",
        "\u00e9",
        "a\u00e9",
        "k" * 256,
        "\x0ba",
        "a\x0c",
        "a\xa0",
    ),
    *(
        '""',
        '"',
        '"a',
        '"a"b',
        '"a""',
        '"\\"',
        '"\\a"',
        '"a\\"',
        '"\x7f"',
        '"\x1f"',
        '"\t"',
        '"\u00e9"',
        f'"{"k" * 256}"',
    ),
]


def request(name: str, *values: str) -> Request:
    """A request with these lines of a header."""
    return Request({"type": "http", "headers": [(name.lower().encode(), value.encode("latin-1")) for value in values]})


def read_known_versions(request: Request) -> set[int]:
    """The versions whose tags `If-None-Match` names."""
    tags = read_if_none_match(request) or ()
    return {int(tag.strip('"')) for tag in tags if re.fullmatch('"[1-9][0-9]{0,17}"', tag)}


@pytest.mark.parametrize(("value", "strong", "weak"), CONDITIONS)
def test_condition_names_versions(value: str, strong: set[int], weak: set[int]) -> None:
    """A tag that was never given out names none; a weak one is no match for a write, and as good for a read."""
    assert read_if_match(request("If-Match", value)) == frozenset(strong)
    assert read_known_versions(request("If-None-Match", value)) == strong | weak


def test_tag_of_a_task_is_its_version() -> None:
    """And is read as that when it comes back."""
    now = datetime(2030, 1, 31)  # noqa: DTZ001 - as rows have it
    task = TaskRow(
        id=UUID(int=0),
        user_id="alice",
        title="A task",
        description=None,
        completed=False,
        completed_at=None,
        due_at=None,
        priority=None,
        tags=[],
        order=None,
        created_at=now,
        updated_at=now,
        version=17,
    )

    assert make_etag(task) == '"17"'
    assert read_if_match(request("If-Match", make_etag(task))) == frozenset({17})


def test_tag_of_anything_else_is_a_hash_of_it() -> None:
    """Half of a SHA-256, over all the parts, so that no two contents share one."""
    assert hash_etag(b"a", b"bc") == f'"{sha256(b"abc").hexdigest()[:32]}"'


def test_condition_may_be_any_or_none() -> None:
    """Without a header a write is unconditional, and a read finds nothing that the client has already."""
    assert read_if_match(request("If-Match")) is None
    assert read_if_match(request("If-Match", " *\t")) is None
    assert read_if_none_match(request("If-None-Match")) == []
    assert read_if_none_match(request("If-None-Match", " *\t")) is None


def test_lines_of_a_condition_are_one_list() -> None:
    """As RFC 9110 says of a list."""
    assert read_if_match(request("If-Match", '"1"', '"2"')) == frozenset({1, 2})
    assert read_known_versions(request("If-None-Match", '"1"', 'W/"2"')) == {1, 2}
    with pytest.raises(InvalidHeader):
        read_if_match(request("If-Match", "*", "*"))


@pytest.mark.parametrize("value", MALFORMED_CONDITIONS)
@pytest.mark.parametrize(("name", "read"), [("If-Match", read_if_match), ("If-None-Match", read_if_none_match)])
def test_malformed_condition_is_refused_by_name(name: str, read: Callable[[Request], object], value: str) -> None:
    """Whoever misspells one does not get what an unconditional request gets."""
    with pytest.raises(InvalidHeader) as caught:
        read(request(name, value))

    [fault] = caught.value.faults
    assert (fault["source"], fault["name"]) == ("header", name)
    assert fault["detail"].startswith("must be ")


@pytest.mark.parametrize(("value", "key"), KEYS)
def test_key_is_read_bare_or_quoted(value: str, key: str) -> None:
    """Both are one key; in quotes, two characters are escaped."""
    assert read_idempotency_key(request("Idempotency-Key", value)) == key


@pytest.mark.parametrize(("values", "wants"), [([], False), (["*"], True), ([" *\t"], True)])
def test_creation_is_wanted_where_nothing_may_exist(values: list[str], *, wants: bool) -> None:
    """Any other PUT is a change."""
    assert wants_creation(request("If-None-Match", *values)) is wants


def test_creation_is_conditional_on_nothing_else() -> None:
    """A tag is refused, and so is `If-Match` beside the star: what the client means is not what it says."""
    both = request("If-None-Match", "*")
    both.scope["headers"].append((b"if-match", b'"1"'))
    refusals = {}
    for wrong in (request("If-None-Match", '"1"'), both):
        with pytest.raises(InvalidHeader) as caught:
            wants_creation(wrong)
        [fault] = caught.value.faults
        refusals[fault["detail"]] = (fault["source"], fault["name"])

    assert refusals == {
        "must be * in a request that changes a task": ("header", "If-None-Match"),
        "must not be sent together with If-Match": ("header", "If-None-Match"),
    }


def test_change_with_a_condition_is_no_creation() -> None:
    """It has `If-Match` alone."""
    assert wants_creation(request("If-Match", '"1"')) is False


def test_key_may_be_left_out() -> None:
    """Then every request creates."""
    assert read_idempotency_key(request("Idempotency-Key")) is None


@pytest.mark.parametrize("values", [*([value] for value in MALFORMED_KEYS), ["a", "b"], ["a", "a"]])
def test_malformed_key_is_refused_by_name(values: list[str]) -> None:
    """Two of them as well: nobody can tell which is meant."""
    with pytest.raises(InvalidHeader) as caught:
        read_idempotency_key(request("Idempotency-Key", *values))

    [fault] = caught.value.faults
    assert (fault["source"], fault["name"]) == ("header", "Idempotency-Key")
    assert fault["detail"].startswith("must be 1 to 255 ")


def test_published_patterns_say_what_is_read() -> None:
    """To the letter, but for bytes that are no text; any tag and no other character may be between the quotes."""
    conditions = [value for value, _, _ in CONDITIONS] + ["*"]
    keys = [value for value, _ in KEYS]
    for name, right, wrong in [
        ("If-Match", conditions, MALFORMED_CONDITIONS),
        ("If-None-Match", conditions, MALFORMED_CONDITIONS),
        ("Idempotency-Key", keys, MALFORMED_KEYS),
    ]:
        pattern = PATTERNS[name]
        assert not re.search(r"\*\+|\?P|\\x", pattern), "what JavaScript cannot read"
        matched = [value for value in right + wrong if re.search(pattern, value.strip("\t "))]
        assert matched == [value for value in right if value.isascii()]


def test_headers_are_published_with_their_patterns() -> None:
    """As optional strings, each with a word on what it does."""
    published = [IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY]

    assert {each["name"]: each["schema"].get("pattern") for each in published} == PATTERNS
    for each in (*published, IF_NONE_MATCH_ANY):
        assert (each["in"], each["required"], each["schema"]["type"]) == ("header", False, "string")
        assert each["description"]


def test_condition_of_a_creation_is_published_as_a_star() -> None:
    """Under the name of the other, of which it is the one value that a PUT takes."""
    assert IF_NONE_MATCH_ANY["name"] == "If-None-Match"
    assert IF_NONE_MATCH_ANY["description"] != IF_NONE_MATCH["description"]
    pattern = IF_NONE_MATCH_ANY["schema"]["pattern"]
    assert [value for value in ("*", "**", '"1"', '"*', "", "x*", "*x") if re.search(pattern, value)] == ["*"]
