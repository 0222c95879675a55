"""The errors of an invalid request: how many a problem document lists, and how it names members and parameters."""

from collections.abc import Iterable
from itertools import islice

from todo.errors import Fault, InvalidInput

NAME_LENGTH = 100  # of a name in a problem document: a client may have sent any length
FAULTS_COUNT = 20  # in a problem document: a client may have made thousands of mistakes


def name_faults(faults: Iterable[Fault], count: int) -> InvalidInput:
    """Make the error that lists the first of `count` faults, and says how many more there are."""
    rest = count - FAULTS_COUNT
    detail = f"{InvalidInput.detail[:-1]}, and {rest} more." if rest > 0 else None
    return InvalidInput(detail, faults=list(islice(faults, FAULTS_COUNT)))


def make_pointer(path: Iterable[str | int]) -> str:
    """Write a path as a JSON pointer (RFC 6901, section 3), with each name cut."""
    return "".join("/" + cut_name(str(part)).replace("~", "~0").replace("/", "~1") for part in path)


def cut_name(name: str) -> str:
    """Return the beginning of a name, with U+FFFD for each lone surrogate."""
    return name[:NAME_LENGTH].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
