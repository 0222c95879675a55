"""Alembic's entry point: runs the revisions on the connection that it is handed, or prints them."""

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from todo.database.revisions import VERSION_TABLE
from todo.models import tables  # noqa: F401 - importing it is what fills the metadata

# CHECK constraints are compared by name only, and only where asked for; a test compares their SQL.
COMPARED = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]


def run_online(connection: Connection) -> None:
    """Run the revisions in the transaction that the caller has begun."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        version_table=VERSION_TABLE,
        autogenerate_plugins=COMPARED,
    )
    context.run_migrations()


def run_offline() -> None:
    """Print the revisions' SQL."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=SQLModel.metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"])
