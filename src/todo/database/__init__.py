"""SQL: connections, statements, schema and the embedded server. Nothing here knows HTTP."""
