"""The SQL that the service sends, for whoever wants to read it or has changed it."""

from tests.database.golden import FILE, write


def test_statements_are_those_that_were_read() -> None:
    """Whoever changes one writes the file again, with `make statements`, and reads what has changed."""
    assert write() == FILE.read_text()
