"""Index tasks by the time of their last change, for those who ask what has changed."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# `migrate` has built it already, while requests went on, by a statement that no transaction can have. Where it has not,
# as in SQL that is printed for an empty database, there are no requests to stop.
CREATE_INDEX = """
DO $$
BEGIN
    IF to_regclass('ix_tasks_user_id_updated_at_id') IS NULL THEN
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_tasks_user_id_updated_at_id ON tasks (user_id, updated_at, id);
    END IF;
END
$$
"""


def upgrade() -> None:
    """Apply the revision."""
    op.execute(CREATE_INDEX)


def downgrade() -> None:
    """Take the revision back."""
    op.execute("DROP INDEX ix_tasks_user_id_updated_at_id")
