"""Create the feeds of changes: their tables, and a first row for every user.

A process of the version before writes without them. Until the last one has ended, a reader of a feed may miss what it
has written: so the positions that are given out in the first hour become void at its end. docs/operations.md says what
to do where an update takes longer.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CREATE_TABLES = """
CREATE TABLE task_feeds (
    user_id text NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT pk_task_feeds PRIMARY KEY (user_id)
) WITH (fillfactor = 50);

CREATE TABLE task_tombstones (
    user_id text NOT NULL,
    deleted_at timestamptz NOT NULL,
    id uuid NOT NULL,
    CONSTRAINT pk_task_tombstones PRIMARY KEY (user_id, deleted_at, id)
);
CREATE INDEX ix_task_tombstones_user_id_id_deleted_at ON task_tombstones (user_id, id, deleted_at);

CREATE TABLE task_feed_generation (
    is_only boolean NOT NULL DEFAULT true,
    begins_at timestamptz NOT NULL,
    CONSTRAINT pk_task_feed_generation PRIMARY KEY (is_only),
    CONSTRAINT ck_task_feed_generation_is_only CHECK (is_only)
);
"""

# Volatile, and so with a snapshot of its own: it sees what was committed while its caller waited for a lock.
CREATE_FUNCTION = """
CREATE FUNCTION find_deleted_tasks(owner text, ids uuid[]) RETURNS SETOF uuid LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT task_tombstones.id FROM task_tombstones
    WHERE task_tombstones.user_id = owner AND task_tombstones.id = ANY (ids)
        AND task_tombstones.deleted_at > now() - interval '90 days';
END
"""

# Before the change of the constraint, which locks the table.
FILL_TABLES = """
INSERT INTO task_feeds (user_id, changed_at) SELECT user_id, max(updated_at) FROM tasks GROUP BY user_id;

INSERT INTO task_feed_generation (begins_at) VALUES (now() + interval '1 hour');
"""

# Whoever serves with a role of its own goes on without a grant. Not by format(): `migrate --sql` would double each `%`.
COPY_GRANTS = """
DO $$
DECLARE reader text;
BEGIN
    FOR reader IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = 'tasks'::regclass AND grantee <> relowner
        GROUP BY grantee HAVING count(*) FILTER (WHERE privilege_type = 'INSERT') > 0
    LOOP
        EXECUTE concat('GRANT SELECT, INSERT, UPDATE, DELETE ON task_feeds, task_tombstones TO ', reader);
        EXECUTE concat('GRANT EXECUTE ON FUNCTION find_deleted_tasks TO ', reader);
        EXECUTE concat('GRANT SELECT ON task_feed_generation TO ', reader);
    END LOOP;
END
$$
"""

# A task that is created under an id of the client's has a fingerprint without a key. Validated by the next revision,
# since that reads the whole table, and this one has locked it.
RELAX_CONSTRAINT = """
-- squawk-ignore ban-drop-constraint
ALTER TABLE tasks DROP CONSTRAINT ck_tasks_idempotency_key;

ALTER TABLE tasks ADD CONSTRAINT ck_tasks_idempotency_key
    CHECK (char_length(idempotency_key) BETWEEN 1 AND 255
        AND (idempotency_key IS NULL OR fingerprint IS NOT NULL)) NOT VALID;
"""

TAKE_BACK = """
ALTER TABLE tasks DROP CONSTRAINT ck_tasks_idempotency_key;

UPDATE tasks SET fingerprint = NULL WHERE idempotency_key IS NULL AND fingerprint IS NOT NULL;

ALTER TABLE tasks ADD CONSTRAINT ck_tasks_idempotency_key
    CHECK (char_length(idempotency_key) BETWEEN 1 AND 255
        AND (idempotency_key IS NULL) = (fingerprint IS NULL));

DROP FUNCTION find_deleted_tasks;

DROP TABLE task_feeds, task_tombstones, task_feed_generation;
"""


def upgrade() -> None:
    """Apply the revision."""
    for statements in (CREATE_TABLES, CREATE_FUNCTION, FILL_TABLES, COPY_GRANTS, RELAX_CONSTRAINT):
        op.execute(statements)


def downgrade() -> None:
    """Take the revision back."""
    op.execute(TAKE_BACK)
