"""A PostgreSQL of our own, for a machine without DATABASE_URL; `postgres.py` is the way in."""
