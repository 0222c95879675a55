"""How the faults of a request are named: at most so many, and none at the length at which a client may have sent it."""

from collections.abc import Iterable
from itertools import islice

from todo.errors import Fault, InvalidInput

NAME_LENGTH = 100  # of a member or parameter that is named in an error: a client may have sent any length
FAULTS_COUNT = 20  # that are named in an error: a client may have sent thousands


def name_faults(faults: Iterable[Fault], count: int) -> InvalidInput:
    """Make the error that names the first of so many faults, and says how many more there are."""
    rest = count - FAULTS_COUNT
    detail = f"{InvalidInput.detail[:-1]}, and {rest} more." if rest > 0 else None
    return InvalidInput(detail, faults=list(islice(faults, FAULTS_COUNT)))


def make_pointer(path: Iterable[str | int]) -> str:
    """Write the way to a member as a JSON pointer (RFC 6901, section 3), each name on it cut."""
    return "".join("/" + cut_name(str(part)).replace("~", "~0").replace("/", "~1") for part in path)


def cut_name(name: str) -> str:
    """Return what is told of a name: its beginning, with U+FFFD for each lone surrogate, which is no text."""
    return name[:NAME_LENGTH].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
