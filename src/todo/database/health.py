"""What is known about the database since the last contact, and what of that is logged."""

import logging

from todo.database.schema import SERVABLE, Schema, SchemaState

SCHEMA_LINES = {
    SchemaState.CURRENT: (logging.INFO, "serving it"),
    SchemaState.NEWER: (logging.WARNING, "serving it anyway"),
    SchemaState.OUTDATED: (logging.ERROR, "answering 503 until `todo migrate` has run"),
    SchemaState.UNUSABLE: (logging.ERROR, "answering 503; see `todo check`"),
    SchemaState.DENIED: (logging.ERROR, "answering 503 to what needs it until it is granted"),
}

_log = logging.getLogger(__name__)


class Health:
    """Whether the last call succeeded and its successors can (`is_ready`), and whether the schema fits (`is_servable`).

    While the schema does not fit, each call checks it first.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.is_servable = False
        self._schema: Schema | None = None
        self._is_failing = False

    def note_success(self) -> None:
        """Remember that a call succeeded, and log it if the one before failed."""
        self.is_ready = self.is_servable  # the next call may need a privilege that is missing
        if self._is_failing:
            self._is_failing = False
            _log.info("Database available again")

    def note_failure(self, reason: str, level: int = logging.WARNING) -> None:
        """Remember that a call failed, and log why, once until one succeeds."""
        self.is_ready = False
        if not self._is_failing:
            self._is_failing = True
            _log.log(level, "Database unavailable: %s", reason)

    def note_schema(self, schema: Schema) -> None:
        """Remember the state of the schema, and log it when it has changed."""
        known, self._schema = self._schema, schema
        self.is_servable = schema.state in SERVABLE
        self.is_ready = self.is_ready and self.is_servable
        is_new = schema.state is not known.state if known else schema.state is not SchemaState.CURRENT
        if is_new:
            level, consequence = SCHEMA_LINES[schema.state]
            _log.log(level, "The schema is %s (%s): %s", schema.state.value, schema.found, consequence)
