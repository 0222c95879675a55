"""Validate the constraint that the revision before has relaxed.

It reads the whole table, which stops no request: in a transaction of its own, it holds no lock that anybody waits for.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the revision."""
    op.execute("ALTER TABLE tasks VALIDATE CONSTRAINT ck_tasks_idempotency_key")


def downgrade() -> None:
    """Take the revision back: a constraint that is valid is none the worse."""
