"""The embedded PostgreSQL, used where no DATABASE_URL is set; `postgres.py` is its entry point."""
