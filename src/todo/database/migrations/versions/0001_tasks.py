"""Create the table of tasks.

A revision is history: its limits are spelt out here, so that a later change of a constant does not rewrite it.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Taken back, the table is set aside and not dropped, so that its rows are there when it comes again.
BRING_TASKS = r"""
DO $$
BEGIN
    IF to_regclass('tasks_set_aside') IS NOT NULL THEN
        -- Nobody reads the one that is set aside.
        -- squawk-ignore renaming-table
        ALTER TABLE tasks_set_aside RENAME TO tasks;
    ELSE
        CREATE TABLE tasks (
            user_id text NOT NULL,
            id uuid NOT NULL,
            title text NOT NULL,
            description text,
            completed boolean NOT NULL,
            completed_at timestamptz,
            due_at timestamptz,
            priority smallint,
            tags text[] NOT NULL,
            "order" integer,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version bigint NOT NULL DEFAULT 1,
            idempotency_key text,
            fingerprint bytea,
            CONSTRAINT pk_tasks PRIMARY KEY (user_id, id),
            CONSTRAINT ck_tasks_user_id
                CHECK (char_length(user_id) BETWEEN 1 AND 255 AND user_id ~ '^[A-Za-z0-9._~@|:+=-]+$'),
            CONSTRAINT ck_tasks_title
                CHECK (char_length(title) BETWEEN 1 AND 255 AND title = btrim(title,
                    E'\u0009\u000a\u000b\u000c\u000d\u001c\u001d\u001e\u001f\u0020\u0085\u00a0\u1680'
                    '\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a'
                    '\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u200c\u200d\u2060\ufeff')),
            CONSTRAINT ck_tasks_description CHECK (char_length(description) <= 8192),
            CONSTRAINT ck_tasks_completed_at CHECK (completed = (completed_at IS NOT NULL)),
            CONSTRAINT ck_tasks_due_at
                CHECK (due_at BETWEEN '0001-01-01T00:00:00Z' AND '9999-12-31T23:59:59.999999Z'),
            CONSTRAINT ck_tasks_priority CHECK (priority BETWEEN 1 AND 3),
            CONSTRAINT ck_tasks_tags
                CHECK (cardinality(tags) <= 20 AND array_position(tags, NULL) IS NULL
                    AND char_length(array_to_string(tags, '')) <= 1000),
            CONSTRAINT ck_tasks_version CHECK (version >= 1),
            CONSTRAINT ck_tasks_idempotency_key
                CHECK (char_length(idempotency_key) BETWEEN 1 AND 255
                    AND (idempotency_key IS NULL) = (fingerprint IS NULL))
        );
        CREATE INDEX ix_tasks_user_id_created_at_id ON tasks (user_id, created_at, id);
        CREATE UNIQUE INDEX ix_tasks_user_id_idempotency_key ON tasks (user_id, idempotency_key)
            WHERE idempotency_key IS NOT NULL;
    END IF;
END
$$
"""


def upgrade() -> None:
    """Apply the revision."""
    op.execute(BRING_TASKS)


def downgrade() -> None:
    """Take the revision back."""
    op.execute("ALTER TABLE tasks RENAME TO tasks_set_aside")
