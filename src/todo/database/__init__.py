"""SQL: connections, statements and schema. Nothing here knows HTTP."""
