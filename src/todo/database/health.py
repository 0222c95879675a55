"""What is known of the database from the last contact with it, and what of that is worth a line in the log."""

import logging

from todo.database.schema import SERVABLE, Schema, SchemaState

SCHEMA_LINES = {
    SchemaState.CURRENT: (logging.INFO, "serving it"),
    SchemaState.NEWER: (logging.WARNING, "serving it all the same"),
    SchemaState.OUTDATED: (logging.ERROR, "answering 503 until `todo migrate` has run"),
    SchemaState.UNUSABLE: (logging.ERROR, "answering 503 until it is; `todo check` says more"),
    SchemaState.DENIED: (logging.ERROR, "answering 503 to what needs that until it is granted"),
}

_log = logging.getLogger(__name__)


class Health:
    """Whether the database can be served: `is_ready` after the last contact, `is_servable` by its schema.

    Where the schema is not servable, each call looks at it first.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.is_servable = False
        self._schema: Schema | None = None
        self._is_troubled = False

    def note_success(self) -> None:
        """Remember that a call went well, and log it where the one before did not."""
        self.is_ready = self.is_servable  # what was not granted may be what the next call needs
        if self._is_troubled:
            self._is_troubled = False
            _log.info("The database answers again")

    def note_trouble(self, reason: str, level: int = logging.WARNING) -> None:
        """Remember that a call failed, and log why, once until one goes well."""
        self.is_ready = False
        if not self._is_troubled:
            self._is_troubled = True
            _log.log(level, "The database does not answer as it should: %s", reason)

    def note_schema(self, schema: Schema) -> None:
        """Remember how the schema stands, and log it where that is news."""
        known, self._schema = self._schema, schema
        self.is_servable = schema.state in SERVABLE
        self.is_ready = self.is_ready and self.is_servable
        is_news = schema.state is not known.state if known else schema.state is not SchemaState.CURRENT
        if is_news:
            level, consequence = SCHEMA_LINES[schema.state]
            _log.log(level, "The database's schema is %s (%s): %s", schema.state.value, schema.found, consequence)
