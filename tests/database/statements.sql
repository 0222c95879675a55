-- ADD
INSERT INTO tasks (
  user_id,
  id,
  title,
  description,
  completed,
  completed_at,
  due_at,
  priority,
  tags,
  "order"
)
VALUES
  (
    CAST($1 AS VARCHAR),
    CAST($2 AS UUID),
    CAST($3 AS VARCHAR),
    CAST($4 AS VARCHAR),
    $5,
    CASE WHEN $5 THEN CURRENT_TIMESTAMP END,
    CAST($6 AS TIMESTAMPTZ),
    CAST($7 AS SMALLINT),
    CAST($8 AS TEXT[]),
    CAST($9 AS INT)
  )
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- ADD_ONCE
INSERT INTO tasks (
  user_id,
  id,
  title,
  description,
  completed,
  completed_at,
  due_at,
  priority,
  tags,
  "order",
  idempotency_key,
  fingerprint
)
VALUES
  (
    CAST($1 AS VARCHAR),
    CAST($2 AS UUID),
    CAST($3 AS VARCHAR),
    CAST($4 AS VARCHAR),
    $5,
    CASE WHEN $5 THEN CURRENT_TIMESTAMP END,
    CAST($6 AS TIMESTAMPTZ),
    CAST($7 AS SMALLINT),
    CAST($8 AS TEXT[]),
    CAST($9 AS INT),
    CAST($10 AS VARCHAR),
    $11
  ) ON CONFLICT(user_id, idempotency_key)
WHERE
  idempotency_key IS NOT NULL DO UPDATE SET idempotency_key = excluded.idempotency_key
WHERE
  tasks.fingerprint = excluded.fingerprint
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- GET
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID);

-- EDIT
UPDATE tasks SET title = CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END, description = CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END, completed = CASE WHEN $5 THEN $6 ELSE tasks.completed END, completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN $6 ELSE tasks.completed END
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
  ELSE tasks.completed_at
END, due_at = CASE WHEN $7 THEN CAST($8 AS TIMESTAMPTZ) ELSE tasks.due_at END, priority = CASE WHEN $9 THEN CAST($10 AS SMALLINT) ELSE tasks.priority END, tags = CASE WHEN $11 THEN CAST($12 AS TEXT[]) ELSE tasks.tags END, "order" = CASE WHEN $13 THEN CAST($14 AS INT) ELSE tasks."order" END, updated_at = CASE
  WHEN (
    tasks.title IS DISTINCT FROM CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END
    OR tasks.description IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END
    OR tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN $6 ELSE tasks.completed END
    OR tasks.due_at IS DISTINCT FROM CASE WHEN $7 THEN CAST($8 AS TIMESTAMPTZ) ELSE tasks.due_at END
    OR tasks.priority IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS SMALLINT) ELSE tasks.priority END
    OR tasks.tags IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS TEXT[]) ELSE tasks.tags END
    OR tasks."order" IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS INT) ELSE tasks."order" END
  )
  THEN CLOCK_TIMESTAMP()
  ELSE tasks.updated_at
END, version = (
  tasks.version + CAST(tasks.title IS DISTINCT FROM CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END
  OR tasks.description IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END
  OR tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN $6 ELSE tasks.completed END
  OR tasks.due_at IS DISTINCT FROM CASE WHEN $7 THEN CAST($8 AS TIMESTAMPTZ) ELSE tasks.due_at END
  OR tasks.priority IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS SMALLINT) ELSE tasks.priority END
  OR tasks.tags IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS TEXT[]) ELSE tasks.tags END
  OR tasks."order" IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS INT) ELSE tasks."order" END AS INT)
)
WHERE
  tasks.user_id = CAST($15 AS VARCHAR) AND tasks.id = CAST($16 AS UUID)
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- EDIT, in certain versions
WITH current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)   FOR UPDATE
), changed AS (
  UPDATE tasks SET title = CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END, description = CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END, completed = CASE WHEN $7 THEN $8 ELSE tasks.completed END, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN $8 ELSE tasks.completed END
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
    ELSE tasks.completed_at
  END, due_at = CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END, priority = CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END, tags = CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END, "order" = CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END, updated_at = CASE
    WHEN (
      tasks.title IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END
      OR tasks.description IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END
      OR tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN $8 ELSE tasks.completed END
      OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
      OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
      OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
      OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END
    )
    THEN CLOCK_TIMESTAMP()
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.title IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END
    OR tasks.description IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END
    OR tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN $8 ELSE tasks.completed END
    OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
    OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
    OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
    OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END AS INT)
  )
  FROM current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND tasks.id = current.id
    AND current.version = ANY(
      CAST($17 AS BIGINT[])
    )
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
)
SELECT
  changed.id,
  changed.user_id,
  changed.title,
  changed.description,
  changed.completed,
  TIMEZONE('UTC', changed.completed_at) AS completed_at,
  TIMEZONE('UTC', changed.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[changed.priority] AS priority,
  changed.tags,
  changed."order",
  TIMEZONE('UTC', changed.created_at) AS created_at,
  TIMEZONE('UTC', changed.updated_at) AS updated_at,
  changed.version
FROM current
LEFT OUTER JOIN changed
  ON TRUE;

-- SET_COMPLETED
UPDATE tasks SET completed = $1, completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM $1
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
  ELSE tasks.completed_at
END, updated_at = CASE WHEN (
  tasks.completed IS DISTINCT FROM $1
) THEN CLOCK_TIMESTAMP() ELSE tasks.updated_at END, version = (
  tasks.version + CAST(tasks.completed IS DISTINCT FROM $1 AS INT)
)
WHERE
  tasks.user_id = CAST($2 AS VARCHAR) AND tasks.id = CAST($3 AS UUID)
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- SET_COMPLETED, in certain versions
WITH current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = $3, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM $3
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
    ELSE tasks.completed_at
  END, updated_at = CASE WHEN (
    tasks.completed IS DISTINCT FROM $3
  ) THEN CLOCK_TIMESTAMP() ELSE tasks.updated_at END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM $3 AS INT)
  )
  FROM current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND tasks.id = current.id
    AND current.version = ANY(
      CAST($4 AS BIGINT[])
    )
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
)
SELECT
  changed.id,
  changed.user_id,
  changed.title,
  changed.description,
  changed.completed,
  TIMEZONE('UTC', changed.completed_at) AS completed_at,
  TIMEZONE('UTC', changed.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[changed.priority] AS priority,
  changed.tags,
  changed."order",
  TIMEZONE('UTC', changed.created_at) AS created_at,
  TIMEZONE('UTC', changed.updated_at) AS updated_at,
  changed.version
FROM current
LEFT OUTER JOIN changed
  ON TRUE;

-- TOGGLE
UPDATE tasks SET completed = NOT tasks.completed, completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM (
      NOT tasks.completed
    )
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
  ELSE tasks.completed_at
END, updated_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM (
      NOT tasks.completed
    )
  )
  THEN CLOCK_TIMESTAMP()
  ELSE tasks.updated_at
END, version = (
  tasks.version + CAST(tasks.completed IS DISTINCT FROM (
    NOT tasks.completed
  ) AS INT)
)
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- TOGGLE, in certain versions
WITH current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = NOT tasks.completed, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM (
        NOT tasks.completed
      )
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
    ELSE tasks.completed_at
  END, updated_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM (
        NOT tasks.completed
      )
    )
    THEN CLOCK_TIMESTAMP()
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM (
      NOT tasks.completed
    ) AS INT)
  )
  FROM current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND tasks.id = current.id
    AND current.version = ANY(
      CAST($3 AS BIGINT[])
    )
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
)
SELECT
  changed.id,
  changed.user_id,
  changed.title,
  changed.description,
  changed.completed,
  TIMEZONE('UTC', changed.completed_at) AS completed_at,
  TIMEZONE('UTC', changed.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[changed.priority] AS priority,
  changed.tags,
  changed."order",
  TIMEZONE('UTC', changed.created_at) AS created_at,
  TIMEZONE('UTC', changed.updated_at) AS updated_at,
  changed.version
FROM current
LEFT OUTER JOIN changed
  ON TRUE;

-- REMOVE
DELETE FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
RETURNING tasks.id;

-- REMOVE, in certain versions
WITH current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)   FOR UPDATE
), changed AS (
  DELETE FROM tasks USING   current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND tasks.id = current.id
    AND current.version = ANY(
      CAST($3 AS BIGINT[])
    )
  RETURNING tasks.id
)
SELECT
  changed.id
FROM current
LEFT OUTER JOIN changed
  ON TRUE;

-- complete all without filters
-- $3 is 0
WITH locked AS (
  SELECT
    tasks.id AS id
  FROM tasks
  WHERE
    tasks.user_id = CAST($2 AS VARCHAR) AND tasks.completed <> $1
  ORDER BY
    tasks.id   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = $1, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM $1
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
    ELSE tasks.completed_at
  END, updated_at = CASE WHEN (
    tasks.completed IS DISTINCT FROM $1
  ) THEN CLOCK_TIMESTAMP() ELSE tasks.updated_at END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM $1 AS INT)
  )
  WHERE
    tasks.user_id = CAST($2 AS VARCHAR)
    AND tasks.completed <> $1
    AND (
      SELECT
        COUNT(*) AS count_2
      FROM locked
    ) > CAST($3 AS INT)
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- remove all without filters
-- $2 is 0
WITH locked AS (
  SELECT
    tasks.id AS id
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
  ORDER BY
    tasks.id   FOR UPDATE
), changed AS (
  DELETE FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND (
      SELECT
        COUNT(*) AS count_2
      FROM locked
    ) > CAST($2 AS INT)
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- complete all with every filter
-- $7 is 0
-- $8 is 0
-- $10 is 'completed'
-- $12 is 0
WITH locked AS (
  SELECT
    tasks.id AS id
  FROM tasks
  WHERE
    tasks.user_id = CAST($2 AS VARCHAR)
    AND tasks.due_at >= CAST($3 AS TIMESTAMPTZ)
    AND tasks.due_at < CAST($4 AS TIMESTAMPTZ)
    AND tasks.priority = ANY(
      CAST($5 AS SMALLINT[])
    )
    AND (
      POSITION(LOWER(CAST($6 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($7 AS INT)
      OR POSITION(LOWER(CAST($6 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($8 AS INT)
    )
    AND tasks.completed = (
      CAST($9 AS VARCHAR) = CAST($10 AS VARCHAR)
    )
    AND (
      tasks.tags @> CAST($11 AS TEXT[])
    )
    AND tasks.completed <> $1
  ORDER BY
    tasks.id   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = $1, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM $1
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE CLOCK_TIMESTAMP() END
    ELSE tasks.completed_at
  END, updated_at = CASE WHEN (
    tasks.completed IS DISTINCT FROM $1
  ) THEN CLOCK_TIMESTAMP() ELSE tasks.updated_at END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM $1 AS INT)
  )
  WHERE
    tasks.user_id = CAST($2 AS VARCHAR)
    AND tasks.due_at >= CAST($3 AS TIMESTAMPTZ)
    AND tasks.due_at < CAST($4 AS TIMESTAMPTZ)
    AND tasks.priority = ANY(
      CAST($5 AS SMALLINT[])
    )
    AND (
      POSITION(LOWER(CAST($6 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($7 AS INT)
      OR POSITION(LOWER(CAST($6 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($8 AS INT)
    )
    AND tasks.completed = (
      CAST($9 AS VARCHAR) = CAST($10 AS VARCHAR)
    )
    AND (
      tasks.tags @> CAST($11 AS TEXT[])
    )
    AND tasks.completed <> $1
    AND (
      SELECT
        COUNT(*) AS count_2
      FROM locked
    ) > CAST($12 AS INT)
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- remove all with every filter
-- $6 is 0
-- $7 is 0
-- $9 is 'completed'
-- $11 is 0
WITH locked AS (
  SELECT
    tasks.id AS id
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.due_at >= CAST($2 AS TIMESTAMPTZ)
    AND tasks.due_at < CAST($3 AS TIMESTAMPTZ)
    AND tasks.priority = ANY(
      CAST($4 AS SMALLINT[])
    )
    AND (
      POSITION(LOWER(CAST($5 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($6 AS INT)
      OR POSITION(LOWER(CAST($5 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($7 AS INT)
    )
    AND tasks.completed = (
      CAST($8 AS VARCHAR) = CAST($9 AS VARCHAR)
    )
    AND (
      tasks.tags @> CAST($10 AS TEXT[])
    )
  ORDER BY
    tasks.id   FOR UPDATE
), changed AS (
  DELETE FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.due_at >= CAST($2 AS TIMESTAMPTZ)
    AND tasks.due_at < CAST($3 AS TIMESTAMPTZ)
    AND tasks.priority = ANY(
      CAST($4 AS SMALLINT[])
    )
    AND (
      POSITION(LOWER(CAST($5 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($6 AS INT)
      OR POSITION(LOWER(CAST($5 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($7 AS INT)
    )
    AND tasks.completed = (
      CAST($8 AS VARCHAR) = CAST($9 AS VARCHAR)
    )
    AND (
      tasks.tags @> CAST($10 AS TEXT[])
    )
    AND (
      SELECT
        COUNT(*) AS count_2
      FROM locked
    ) > CAST($11 AS INT)
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- list by -created_at, from first
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($2 AS INT);

-- list by -created_at, from value
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
  AND (tasks.created_at, tasks.id) < (CAST($2 AS TIMESTAMPTZ), CAST($3 AS UUID))
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($4 AS INT);

-- list by title, from value
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
  AND (LOWER(tasks.title) COLLATE "C", tasks.id) > (LOWER(CAST($2 AS VARCHAR)) COLLATE "C", CAST($3 AS UUID))
ORDER BY
  LOWER(tasks.title) COLLATE "C" ASC,
  tasks.id ASC
LIMIT CAST($4 AS INT);

-- list by due_at, from value
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
  AND (
    (tasks.due_at, tasks.id) > (CAST($2 AS TIMESTAMPTZ), CAST($3 AS UUID)) OR tasks.due_at IS NULL
  )
ORDER BY
  tasks.due_at ASC,
  tasks.id ASC
LIMIT CAST($4 AS INT);

-- list by due_at, from null
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.due_at IS NULL AND tasks.id > CAST($2 AS UUID)
ORDER BY
  tasks.due_at ASC,
  tasks.id ASC
LIMIT CAST($3 AS INT);

-- list by -priority, from first
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
ORDER BY
  tasks.priority DESC NULLS LAST,
  tasks.id DESC
LIMIT CAST($2 AS INT);

-- list with status
-- $3 is 'completed'
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.completed = (
    CAST($2 AS VARCHAR) = CAST($3 AS VARCHAR)
  )
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($4 AS INT);

-- list with q
-- $3 is 0
-- $4 is 0
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
  AND (
    POSITION(LOWER(CAST($2 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($3 AS INT)
    OR POSITION(LOWER(CAST($2 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($4 AS INT)
  )
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($5 AS INT);

-- list with tag
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.tags @> CAST($2 AS TEXT[])
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($3 AS INT);

-- list with priority
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.priority = ANY(
    CAST($2 AS SMALLINT[])
  )
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($3 AS INT);

-- list with due_before
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.due_at < CAST($2 AS TIMESTAMPTZ)
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($3 AS INT);

-- list with due_after
SELECT
  tasks.id,
  tasks.user_id,
  tasks.title,
  tasks.description,
  tasks.completed,
  TIMEZONE('UTC', tasks.completed_at) AS completed_at,
  TIMEZONE('UTC', tasks.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[tasks.priority] AS priority,
  tasks.tags,
  tasks."order",
  TIMEZONE('UTC', tasks.created_at) AS created_at,
  TIMEZONE('UTC', tasks.updated_at) AS updated_at,
  tasks.version
FROM tasks
WHERE
  tasks.user_id = CAST($1 AS VARCHAR) AND tasks.due_at >= CAST($2 AS TIMESTAMPTZ)
ORDER BY
  tasks.created_at DESC,
  tasks.id DESC
LIMIT CAST($3 AS INT);

-- list by -created_at, cut
-- $1 is 0
-- $2 is ''
-- $8 is 0
-- $9 is 0
-- $11 is 'completed'
SELECT
  measured.id,
  measured.user_id,
  measured.title,
  measured.description,
  measured.completed,
  TIMEZONE('UTC', measured.completed_at) AS completed_at,
  TIMEZONE('UTC', measured.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[measured.priority] AS priority,
  measured.tags,
  measured."order",
  TIMEZONE('UTC', measured.created_at) AS created_at,
  TIMEZONE('UTC', measured.updated_at) AS updated_at,
  measured.version,
  measured.total
FROM (
  SELECT
    limited.id AS id,
    limited.user_id AS user_id,
    limited.title AS title,
    limited.description AS description,
    limited.completed AS completed,
    limited.completed_at AS completed_at,
    limited.due_at AS due_at,
    limited.priority AS priority,
    limited.tags AS tags,
    limited."order" AS "order",
    limited.created_at AS created_at,
    limited.updated_at AS updated_at,
    limited.version AS version,
    limited.sort_key AS sort_key,
    OCTET_LENGTH(limited.title) + COALESCE(OCTET_LENGTH(limited.description), CAST($1 AS INT)) + OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($2 AS VARCHAR))) AS length,
    SUM(
      OCTET_LENGTH(limited.title) + COALESCE(OCTET_LENGTH(limited.description), CAST($1 AS INT)) + OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($2 AS VARCHAR)))
    ) OVER (ORDER BY limited.sort_key DESC, limited.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total
  FROM (
    SELECT
      tasks.id AS id,
      tasks.user_id AS user_id,
      tasks.title AS title,
      tasks.description AS description,
      tasks.completed AS completed,
      tasks.completed_at AS completed_at,
      tasks.due_at AS due_at,
      tasks.priority AS priority,
      tasks.tags AS tags,
      tasks."order" AS "order",
      tasks.created_at AS created_at,
      tasks.updated_at AS updated_at,
      tasks.version AS version,
      tasks.created_at AS sort_key
    FROM tasks
    WHERE
      tasks.user_id = CAST($3 AS VARCHAR)
      AND tasks.due_at >= CAST($4 AS TIMESTAMPTZ)
      AND tasks.due_at < CAST($5 AS TIMESTAMPTZ)
      AND tasks.priority = ANY(
        CAST($6 AS SMALLINT[])
      )
      AND (
        POSITION(LOWER(CAST($7 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($8 AS INT)
        OR POSITION(LOWER(CAST($7 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($9 AS INT)
      )
      AND tasks.completed = (
        CAST($10 AS VARCHAR) = CAST($11 AS VARCHAR)
      )
      AND tasks.tags @> CAST($12 AS TEXT[])
      AND (tasks.created_at, tasks.id) < (CAST($13 AS TIMESTAMPTZ), CAST($14 AS UUID))
    ORDER BY
      tasks.created_at DESC,
      tasks.id DESC
    LIMIT CAST($15 AS INT)
  ) AS limited
) AS measured
WHERE
  measured.total - measured.length < CAST($16 AS INT)
ORDER BY
  measured.sort_key DESC,
  measured.id DESC;

-- list by due_at, cut
-- $1 is 0
-- $2 is ''
-- $8 is 0
-- $9 is 0
-- $11 is 'completed'
SELECT
  measured.id,
  measured.user_id,
  measured.title,
  measured.description,
  measured.completed,
  TIMEZONE('UTC', measured.completed_at) AS completed_at,
  TIMEZONE('UTC', measured.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[measured.priority] AS priority,
  measured.tags,
  measured."order",
  TIMEZONE('UTC', measured.created_at) AS created_at,
  TIMEZONE('UTC', measured.updated_at) AS updated_at,
  measured.version,
  measured.total
FROM (
  SELECT
    limited.id AS id,
    limited.user_id AS user_id,
    limited.title AS title,
    limited.description AS description,
    limited.completed AS completed,
    limited.completed_at AS completed_at,
    limited.due_at AS due_at,
    limited.priority AS priority,
    limited.tags AS tags,
    limited."order" AS "order",
    limited.created_at AS created_at,
    limited.updated_at AS updated_at,
    limited.version AS version,
    limited.sort_key AS sort_key,
    OCTET_LENGTH(limited.title) + COALESCE(OCTET_LENGTH(limited.description), CAST($1 AS INT)) + OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($2 AS VARCHAR))) AS length,
    SUM(
      OCTET_LENGTH(limited.title) + COALESCE(OCTET_LENGTH(limited.description), CAST($1 AS INT)) + OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($2 AS VARCHAR)))
    ) OVER (ORDER BY limited.sort_key ASC, limited.id ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total
  FROM (
    SELECT
      tasks.id AS id,
      tasks.user_id AS user_id,
      tasks.title AS title,
      tasks.description AS description,
      tasks.completed AS completed,
      tasks.completed_at AS completed_at,
      tasks.due_at AS due_at,
      tasks.priority AS priority,
      tasks.tags AS tags,
      tasks."order" AS "order",
      tasks.created_at AS created_at,
      tasks.updated_at AS updated_at,
      tasks.version AS version,
      tasks.due_at AS sort_key
    FROM tasks
    WHERE
      tasks.user_id = CAST($3 AS VARCHAR)
      AND tasks.due_at >= CAST($4 AS TIMESTAMPTZ)
      AND tasks.due_at < CAST($5 AS TIMESTAMPTZ)
      AND tasks.priority = ANY(
        CAST($6 AS SMALLINT[])
      )
      AND (
        POSITION(LOWER(CAST($7 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($8 AS INT)
        OR POSITION(LOWER(CAST($7 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($9 AS INT)
      )
      AND tasks.completed = (
        CAST($10 AS VARCHAR) = CAST($11 AS VARCHAR)
      )
      AND tasks.tags @> CAST($12 AS TEXT[])
      AND (
        (tasks.due_at, tasks.id) > (CAST($13 AS TIMESTAMPTZ), CAST($14 AS UUID)) OR tasks.due_at IS NULL
      )
    ORDER BY
      tasks.due_at ASC,
      tasks.id ASC
    LIMIT CAST($15 AS INT)
  ) AS limited
) AS measured
WHERE
  measured.total - measured.length < CAST($16 AS INT)
ORDER BY
  measured.sort_key ASC,
  measured.id ASC;
