"""A multi-user todo service: FastAPI, SQLModel and PostgreSQL."""

from importlib.metadata import version

__version__ = version("todo-backend")
