-- ADD
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    TRUE ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
)
INSERT INTO tasks (
  user_id,
  id,
  title,
  description,
  completed,
  due_at,
  priority,
  tags,
  "order",
  completed_at,
  created_at,
  updated_at
)
SELECT
  CAST($1 AS VARCHAR) AS anon_1,
  CAST($2 AS UUID) AS anon_2,
  CAST($3 AS VARCHAR) AS anon_3,
  CAST($4 AS VARCHAR) AS anon_4,
  CAST($5 AS BOOLEAN) AS anon_5,
  CAST($6 AS TIMESTAMPTZ) AS anon_6,
  CAST($7 AS SMALLINT) AS anon_7,
  CAST($8 AS TEXT[]) AS anon_8,
  CAST($9 AS INT) AS anon_9,
  CASE WHEN CAST($5 AS BOOLEAN) THEN tick.changed_at END AS anon_10,
  tick.changed_at,
  tick.changed_at AS changed_at__1
FROM tick
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- ADD_ONCE
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    TRUE ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
)
INSERT INTO tasks (
  user_id,
  id,
  title,
  description,
  completed,
  due_at,
  priority,
  tags,
  "order",
  completed_at,
  created_at,
  updated_at,
  idempotency_key,
  fingerprint
)
SELECT
  CAST($1 AS VARCHAR) AS anon_1,
  CAST($2 AS UUID) AS anon_2,
  CAST($3 AS VARCHAR) AS anon_3,
  CAST($4 AS VARCHAR) AS anon_4,
  CAST($5 AS BOOLEAN) AS anon_5,
  CAST($6 AS TIMESTAMPTZ) AS anon_6,
  CAST($7 AS SMALLINT) AS anon_7,
  CAST($8 AS TEXT[]) AS anon_8,
  CAST($9 AS INT) AS anon_9,
  CASE WHEN CAST($5 AS BOOLEAN) THEN tick.changed_at END AS anon_10,
  tick.changed_at,
  tick.changed_at AS changed_at__1,
  CAST($10 AS VARCHAR) AS anon_11,
  CAST($11 AS BYTEA) AS anon_12
FROM tick ON CONFLICT(user_id, idempotency_key)
WHERE
  idempotency_key IS NOT NULL DO UPDATE SET idempotency_key = excluded.idempotency_key
WHERE
  tasks.fingerprint = excluded.fingerprint
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- ADD_UNDER_ID
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    TRUE ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), buried_before AS (
  SELECT
    found.id AS id
  FROM tick
  JOIN LATERAL FIND_DELETED_TASKS(tick.user_id, ARRAY[CAST($2 AS UUID)]) AS found(id)
    ON TRUE
), added AS (
  INSERT INTO tasks (
    user_id,
    id,
    title,
    description,
    completed,
    due_at,
    priority,
    tags,
    "order",
    completed_at,
    created_at,
    updated_at,
    fingerprint
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CAST($2 AS UUID) AS anon_2,
    CAST($3 AS VARCHAR) AS anon_3,
    CAST($4 AS VARCHAR) AS anon_4,
    CAST($5 AS BOOLEAN) AS anon_5,
    CAST($6 AS TIMESTAMPTZ) AS anon_6,
    CAST($7 AS SMALLINT) AS anon_7,
    CAST($8 AS TEXT[]) AS anon_8,
    CAST($9 AS INT) AS anon_9,
    CASE WHEN CAST($5 AS BOOLEAN) THEN tick.changed_at END AS anon_10,
    tick.changed_at AS changed_at,
    tick.changed_at AS changed_at__1,
    CAST($10 AS BYTEA) AS anon_11
  FROM tick
  WHERE
    NOT (
      EXISTS(
        SELECT
          1
        FROM buried_before
      )
    ) ON CONFLICT(user_id, id) DO NOTHING
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
)
SELECT
  added.id,
  added.user_id,
  added.title,
  added.description,
  added.completed,
  TIMEZONE('UTC', added.completed_at) AS completed_at,
  TIMEZONE('UTC', added.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[added.priority] AS priority,
  added.tags,
  added."order",
  TIMEZONE('UTC', added.created_at) AS created_at,
  TIMEZONE('UTC', added.updated_at) AS updated_at,
  added.version,
  EXISTS(
    SELECT
      1
    FROM buried_before
  ) AS is_deleted
FROM tick
LEFT OUTER JOIN added
  ON TRUE;

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
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($7 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($7 AS VARCHAR) AND tasks.id = CAST($8 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
)
UPDATE tasks SET title = CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END, description = CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END, completed = CASE WHEN $5 THEN CAST($6 AS BOOLEAN) ELSE tasks.completed END, completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS BOOLEAN) ELSE tasks.completed END
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE (
    SELECT
      tick.changed_at
    FROM tick
  ) END
  ELSE tasks.completed_at
END, due_at = CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END, priority = CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END, tags = CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END, "order" = CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END, updated_at = CASE
  WHEN (
    tasks.title IS DISTINCT FROM CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END
    OR tasks.description IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END
    OR tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS BOOLEAN) ELSE tasks.completed END
    OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
    OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
    OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
    OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END
  )
  THEN (
    SELECT
      tick.changed_at
    FROM tick
  )
  ELSE tasks.updated_at
END, version = (
  tasks.version + CAST(tasks.title IS DISTINCT FROM CASE WHEN $1 THEN CAST($2 AS VARCHAR) ELSE tasks.title END
  OR tasks.description IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.description END
  OR tasks.completed IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS BOOLEAN) ELSE tasks.completed END
  OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
  OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
  OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
  OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END AS INT)
)
WHERE
  tasks.user_id = CAST($7 AS VARCHAR)
  AND tasks.id = CAST($8 AS UUID)
  AND (
    SELECT
      tick.changed_at
    FROM tick
  ) IS NOT NULL
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- EDIT, in certain versions
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL   FOR UPDATE
), changed AS (
  UPDATE tasks SET title = CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END, description = CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END, completed = CASE WHEN $7 THEN CAST($8 AS BOOLEAN) ELSE tasks.completed END, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN CAST($8 AS BOOLEAN) ELSE tasks.completed END
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, due_at = CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END, priority = CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END, tags = CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END, "order" = CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END, updated_at = CASE
    WHEN (
      tasks.title IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END
      OR tasks.description IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END
      OR tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN CAST($8 AS BOOLEAN) ELSE tasks.completed END
      OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
      OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
      OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
      OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.title IS DISTINCT FROM CASE WHEN $3 THEN CAST($4 AS VARCHAR) ELSE tasks.title END
    OR tasks.description IS DISTINCT FROM CASE WHEN $5 THEN CAST($6 AS VARCHAR) ELSE tasks.description END
    OR tasks.completed IS DISTINCT FROM CASE WHEN $7 THEN CAST($8 AS BOOLEAN) ELSE tasks.completed END
    OR tasks.due_at IS DISTINCT FROM CASE WHEN $9 THEN CAST($10 AS TIMESTAMPTZ) ELSE tasks.due_at END
    OR tasks.priority IS DISTINCT FROM CASE WHEN $11 THEN CAST($12 AS SMALLINT) ELSE tasks.priority END
    OR tasks.tags IS DISTINCT FROM CASE WHEN $13 THEN CAST($14 AS TEXT[]) ELSE tasks.tags END
    OR tasks."order" IS DISTINCT FROM CASE WHEN $15 THEN CAST($16 AS INT) ELSE tasks."order" END AS INT)
  )
  FROM current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
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
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($2 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($2 AS VARCHAR) AND tasks.id = CAST($3 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
)
UPDATE tasks SET completed = CAST($1 AS BOOLEAN), completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE (
    SELECT
      tick.changed_at
    FROM tick
  ) END
  ELSE tasks.completed_at
END, updated_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
  )
  THEN (
    SELECT
      tick.changed_at
    FROM tick
  )
  ELSE tasks.updated_at
END, version = (
  tasks.version + CAST(tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN) AS INT)
)
WHERE
  tasks.user_id = CAST($2 AS VARCHAR)
  AND tasks.id = CAST($3 AS UUID)
  AND (
    SELECT
      tick.changed_at
    FROM tick
  ) IS NOT NULL
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- SET_COMPLETED, in certain versions
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = CAST($3 AS BOOLEAN), completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($3 AS BOOLEAN)
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, updated_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($3 AS BOOLEAN)
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM CAST($3 AS BOOLEAN) AS INT)
  )
  FROM current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
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
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
)
UPDATE tasks SET completed = NOT tasks.completed, completed_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM (
      NOT tasks.completed
    )
  )
  THEN CASE WHEN tasks.completed THEN NULL ELSE (
    SELECT
      tick.changed_at
    FROM tick
  ) END
  ELSE tasks.completed_at
END, updated_at = CASE
  WHEN (
    tasks.completed IS DISTINCT FROM (
      NOT tasks.completed
    )
  )
  THEN (
    SELECT
      tick.changed_at
    FROM tick
  )
  ELSE tasks.updated_at
END, version = (
  tasks.version + CAST(tasks.completed IS DISTINCT FROM (
    NOT tasks.completed
  ) AS INT)
)
WHERE
  tasks.user_id = CAST($1 AS VARCHAR)
  AND tasks.id = CAST($2 AS UUID)
  AND (
    SELECT
      tick.changed_at
    FROM tick
  ) IS NOT NULL
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, TIMEZONE('UTC', tasks.completed_at) AS completed_at, TIMEZONE('UTC', tasks.due_at) AS due_at, (
  CAST('{low,medium,high}' AS TEXT[])
)[tasks.priority] AS priority, tasks.tags, tasks."order", TIMEZONE('UTC', tasks.created_at) AS created_at, TIMEZONE('UTC', tasks.updated_at) AS updated_at, tasks.version;

-- TOGGLE, in certain versions
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL   FOR UPDATE
), changed AS (
  UPDATE tasks SET completed = NOT tasks.completed, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM (
        NOT tasks.completed
      )
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, updated_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM (
        NOT tasks.completed
      )
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
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
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
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
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), removed AS (
  DELETE FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
  RETURNING tasks.id
), buried AS (
  INSERT INTO task_tombstones (
    user_id,
    deleted_at,
    id
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    tick.changed_at AS changed_at,
    removed.id AS id
  FROM removed
  JOIN tick
    ON TRUE
), purged AS (
  DELETE FROM task_tombstones
  WHERE
    task_tombstones.user_id = CAST($1 AS VARCHAR)
    AND task_tombstones.deleted_at < CURRENT_TIMESTAMP - INTERVAL '91 DAYS'
    AND (
      EXISTS(
        SELECT
          1
        FROM removed
      )
    )
)
SELECT
  removed.id
FROM removed;

-- REMOVE, in certain versions
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = CAST($2 AS UUID)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), current AS (
  SELECT
    tasks.id AS id,
    tasks.version AS version
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL   FOR UPDATE
), changed AS (
  DELETE FROM tasks USING   current
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = CAST($2 AS UUID)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
    AND tasks.id = current.id
    AND current.version = ANY(
      CAST($3 AS BIGINT[])
    )
  RETURNING tasks.id
), buried AS (
  INSERT INTO task_tombstones (
    user_id,
    deleted_at,
    id
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    tick.changed_at AS changed_at,
    changed.id AS id
  FROM changed
  JOIN tick
    ON TRUE
), purged AS (
  DELETE FROM task_tombstones
  WHERE
    task_tombstones.user_id = CAST($1 AS VARCHAR)
    AND task_tombstones.deleted_at < CURRENT_TIMESTAMP - INTERVAL '91 DAYS'
    AND (
      EXISTS(
        SELECT
          1
        FROM changed
      )
    )
)
SELECT
  changed.id
FROM current
LEFT OUTER JOIN changed
  ON TRUE;

-- BATCH
WITH asked AS (
  SELECT
    anon_2.position AS position,
    anon_2.op AS op,
    anon_2.id AS id,
    anon_2.versions AS versions,
    anon_2.fingerprint AS fingerprint,
    anon_2.set_title AS set_title,
    anon_2.set_description AS set_description,
    anon_2.set_completed AS set_completed,
    anon_2.set_due_at AS set_due_at,
    anon_2.set_priority AS set_priority,
    anon_2.set_tags AS set_tags,
    anon_2.set_order AS set_order,
    anon_2.new_title AS new_title,
    anon_2.new_description AS new_description,
    anon_2.new_completed AS new_completed,
    anon_2.new_due_at AS new_due_at,
    anon_2.new_priority AS new_priority,
    anon_2.new_tags AS new_tags,
    anon_2.new_order AS new_order
  FROM JSONB_TO_RECORDSET(CAST(CAST($2 AS VARCHAR) AS JSONB)) AS anon_2(position INT, op TEXT, id UUID, versions BIGINT[], fingerprint TEXT, set_title BOOLEAN, set_description BOOLEAN, set_completed BOOLEAN, set_due_at BOOLEAN, set_priority BOOLEAN, set_tags BOOLEAN, set_order BOOLEAN, new_title TEXT, new_description TEXT, new_completed BOOLEAN, new_due_at TIMESTAMPTZ, new_priority SMALLINT, new_tags TEXT[], new_order INT)
), tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    (
      EXISTS(
        SELECT
          1
        FROM asked
        WHERE
          asked.op = 'create'
      )
    )
    OR (
      EXISTS(
        SELECT
          1
        FROM tasks
        WHERE
          tasks.user_id = CAST($1 AS VARCHAR) AND tasks.id = ANY(
            CAST($3 AS UUID[])
          )
      )
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), buried_before AS (
  SELECT
    found.id AS id
  FROM tick
  JOIN LATERAL FIND_DELETED_TASKS(tick.user_id, CAST($3 AS UUID[])) AS found(id)
    ON TRUE
), current AS (
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
    tasks.fingerprint AS fingerprint
  FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = ANY(
      CAST($3 AS UUID[])
    )
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL   FOR UPDATE
), judged AS (
  SELECT
    asked.position AS position,
    asked.op AS op,
    asked.id AS id,
    asked.versions AS versions,
    asked.fingerprint AS fingerprint,
    asked.set_title AS set_title,
    asked.set_description AS set_description,
    asked.set_completed AS set_completed,
    asked.set_due_at AS set_due_at,
    asked.set_priority AS set_priority,
    asked.set_tags AS set_tags,
    asked.set_order AS set_order,
    asked.new_title AS new_title,
    asked.new_description AS new_description,
    asked.new_completed AS new_completed,
    asked.new_due_at AS new_due_at,
    asked.new_priority AS new_priority,
    asked.new_tags AS new_tags,
    asked.new_order AS new_order,
    current.id IS NOT NULL AS is_found,
    current.id IS NOT NULL
    AND (
      asked.op = 'create'
      OR asked.op = 'update'
      AND NOT (
        asked.versions IS NULL OR current.version = ANY(
          asked.versions
        )
      )
    ) AS is_kept,
    CASE
      WHEN (
        asked.op = 'create'
        AND current.id IS NOT NULL
        AND current.fingerprint IS DISTINCT FROM DECODE(asked.fingerprint, 'hex')
      )
      THEN 'id-taken'
      WHEN (
        asked.op = 'create'
        AND current.id IS NULL
        AND asked.id IN (
          SELECT
            buried_before.id
          FROM buried_before
        )
      )
      THEN 'task-deleted'
      WHEN (
        asked.op = 'update' AND current.id IS NULL
      )
      THEN 'task-not-found'
      WHEN (
        asked.op = 'update'
        AND NOT (
          asked.versions IS NULL OR current.version = ANY(
            asked.versions
          )
        )
        AND NOT (
          (
            NOT asked.set_title OR current.title IS NOT DISTINCT FROM asked.new_title
          )
          AND (
            NOT asked.set_description OR current.description IS NOT DISTINCT FROM asked.new_description
          )
          AND (
            NOT asked.set_completed OR current.completed IS NOT DISTINCT FROM asked.new_completed
          )
          AND (
            NOT asked.set_due_at OR current.due_at IS NOT DISTINCT FROM asked.new_due_at
          )
          AND (
            NOT asked.set_priority OR current.priority IS NOT DISTINCT FROM asked.new_priority
          )
          AND (
            NOT asked.set_tags OR current.tags IS NOT DISTINCT FROM asked.new_tags
          )
          AND (
            NOT asked.set_order OR current."order" IS NOT DISTINCT FROM asked.new_order
          )
        )
      )
      THEN 'precondition-failed'
      WHEN (
        asked.op = 'delete'
        AND current.id IS NOT NULL
        AND NOT (
          asked.versions IS NULL OR current.version = ANY(
            asked.versions
          )
        )
      )
      THEN 'precondition-failed'
    END AS fault
  FROM asked
  LEFT OUTER JOIN current
    ON current.id = asked.id
), removed AS (
  DELETE FROM tasks USING   judged
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = ANY(
      CAST($3 AS UUID[])
    )
    AND tasks.id = judged.id
    AND judged.op = 'delete'
    AND (
      SELECT
        COUNT(judged.fault) AS count_1
      FROM judged
    ) = 0
  RETURNING tasks.id
), buried AS (
  INSERT INTO task_tombstones (
    user_id,
    deleted_at,
    id
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    tick.changed_at AS changed_at,
    removed.id AS id
  FROM removed
  JOIN tick
    ON TRUE
), purged AS (
  DELETE FROM task_tombstones
  WHERE
    task_tombstones.user_id = CAST($1 AS VARCHAR)
    AND task_tombstones.deleted_at < CURRENT_TIMESTAMP - INTERVAL '91 DAYS'
    AND (
      EXISTS(
        SELECT
          1
        FROM removed
      )
    )
), created AS (
  INSERT INTO tasks (
    user_id,
    id,
    title,
    description,
    completed,
    due_at,
    priority,
    tags,
    "order",
    completed_at,
    created_at,
    updated_at,
    fingerprint
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    judged.id AS id,
    judged.new_title AS new_title,
    judged.new_description AS new_description,
    judged.new_completed AS new_completed,
    judged.new_due_at AS new_due_at,
    judged.new_priority AS new_priority,
    judged.new_tags AS new_tags,
    judged.new_order AS new_order,
    CASE WHEN judged.new_completed THEN tick.changed_at END AS anon_3,
    tick.changed_at AS changed_at,
    tick.changed_at AS changed_at__1,
    DECODE(judged.fingerprint, 'hex') AS decode_1
  FROM judged
  JOIN tick
    ON TRUE
  WHERE
    judged.op = 'create'
    AND NOT judged.is_found
    AND (
      SELECT
        COUNT(judged.fault) AS count_1
      FROM judged
    ) = 0
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
), updated AS (
  UPDATE tasks SET title = CASE WHEN judged.set_title THEN judged.new_title ELSE tasks.title END, description = CASE WHEN judged.set_description THEN judged.new_description ELSE tasks.description END, completed = CASE WHEN judged.set_completed THEN judged.new_completed ELSE tasks.completed END, completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CASE WHEN judged.set_completed THEN judged.new_completed ELSE tasks.completed END
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, due_at = CASE WHEN judged.set_due_at THEN judged.new_due_at ELSE tasks.due_at END, priority = CASE WHEN judged.set_priority THEN judged.new_priority ELSE tasks.priority END, tags = CASE WHEN judged.set_tags THEN judged.new_tags ELSE tasks.tags END, "order" = CASE WHEN judged.set_order THEN judged.new_order ELSE tasks."order" END, updated_at = CASE
    WHEN (
      tasks.title IS DISTINCT FROM CASE WHEN judged.set_title THEN judged.new_title ELSE tasks.title END
      OR tasks.description IS DISTINCT FROM CASE WHEN judged.set_description THEN judged.new_description ELSE tasks.description END
      OR tasks.completed IS DISTINCT FROM CASE WHEN judged.set_completed THEN judged.new_completed ELSE tasks.completed END
      OR tasks.due_at IS DISTINCT FROM CASE WHEN judged.set_due_at THEN judged.new_due_at ELSE tasks.due_at END
      OR tasks.priority IS DISTINCT FROM CASE WHEN judged.set_priority THEN judged.new_priority ELSE tasks.priority END
      OR tasks.tags IS DISTINCT FROM CASE WHEN judged.set_tags THEN judged.new_tags ELSE tasks.tags END
      OR tasks."order" IS DISTINCT FROM CASE WHEN judged.set_order THEN judged.new_order ELSE tasks."order" END
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.title IS DISTINCT FROM CASE WHEN judged.set_title THEN judged.new_title ELSE tasks.title END
    OR tasks.description IS DISTINCT FROM CASE WHEN judged.set_description THEN judged.new_description ELSE tasks.description END
    OR tasks.completed IS DISTINCT FROM CASE WHEN judged.set_completed THEN judged.new_completed ELSE tasks.completed END
    OR tasks.due_at IS DISTINCT FROM CASE WHEN judged.set_due_at THEN judged.new_due_at ELSE tasks.due_at END
    OR tasks.priority IS DISTINCT FROM CASE WHEN judged.set_priority THEN judged.new_priority ELSE tasks.priority END
    OR tasks.tags IS DISTINCT FROM CASE WHEN judged.set_tags THEN judged.new_tags ELSE tasks.tags END
    OR tasks."order" IS DISTINCT FROM CASE WHEN judged.set_order THEN judged.new_order ELSE tasks."order" END AS INT)
  )
  FROM judged
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR)
    AND tasks.id = ANY(
      CAST($3 AS UUID[])
    )
    AND tasks.id = judged.id
    AND judged.op = 'update'
    AND NOT judged.is_kept
    AND (
      SELECT
        COUNT(judged.fault) AS count_1
      FROM judged
    ) = 0
  RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.completed_at, tasks.due_at, tasks.priority, tasks.tags, tasks."order", tasks.created_at, tasks.updated_at, tasks.version
)
SELECT
  task.id,
  task.user_id,
  task.title,
  task.description,
  task.completed,
  TIMEZONE('UTC', task.completed_at) AS completed_at,
  TIMEZONE('UTC', task.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[task.priority] AS priority,
  task.tags,
  task."order",
  TIMEZONE('UTC', task.created_at) AS created_at,
  TIMEZONE('UTC', task.updated_at) AS updated_at,
  task.version,
  judged.fault
FROM judged
LEFT OUTER JOIN (
  SELECT
    created.id AS id,
    created.user_id AS user_id,
    created.title AS title,
    created.description AS description,
    created.completed AS completed,
    created.completed_at AS completed_at,
    created.due_at AS due_at,
    created.priority AS priority,
    created.tags AS tags,
    created."order" AS "order",
    created.created_at AS created_at,
    created.updated_at AS updated_at,
    created.version AS version
  FROM created
  UNION ALL
  SELECT
    updated.id AS id,
    updated.user_id AS user_id,
    updated.title AS title,
    updated.description AS description,
    updated.completed AS completed,
    updated.completed_at AS completed_at,
    updated.due_at AS due_at,
    updated.priority AS priority,
    updated.tags AS tags,
    updated."order" AS "order",
    updated.created_at AS created_at,
    updated.updated_at AS updated_at,
    updated.version AS version
  FROM updated
  UNION ALL
  SELECT
    current.id AS id,
    current.user_id AS user_id,
    current.title AS title,
    current.description AS description,
    current.completed AS completed,
    current.completed_at AS completed_at,
    current.due_at AS due_at,
    current.priority AS priority,
    current.tags AS tags,
    current."order" AS "order",
    current.created_at AS created_at,
    current.updated_at AS updated_at,
    current.version AS version
  FROM current, judged
  WHERE
    current.id = judged.id AND judged.is_kept
) AS task
  ON task.id = judged.id
ORDER BY
  judged.position;

-- complete all without filters
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($2 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($2 AS VARCHAR) AND tasks.completed <> CAST($1 AS BOOLEAN)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), changed AS (
  UPDATE tasks SET completed = CAST($1 AS BOOLEAN), completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, updated_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN) AS INT)
  )
  WHERE
    tasks.user_id = CAST($2 AS VARCHAR)
    AND tasks.completed <> CAST($1 AS BOOLEAN)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- remove all without filters
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), removed AS (
  DELETE FROM tasks
  WHERE
    tasks.user_id = CAST($1 AS VARCHAR) AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
  RETURNING tasks.id
), buried AS (
  INSERT INTO task_tombstones (
    user_id,
    deleted_at,
    id
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    tick.changed_at AS changed_at,
    removed.id AS id
  FROM removed
  JOIN tick
    ON TRUE
), purged AS (
  DELETE FROM task_tombstones
  WHERE
    task_tombstones.user_id = CAST($1 AS VARCHAR)
    AND task_tombstones.deleted_at < CURRENT_TIMESTAMP - INTERVAL '91 DAYS'
    AND (
      EXISTS(
        SELECT
          1
        FROM removed
      )
    )
)
SELECT
  COUNT(*) AS count_1
FROM removed;

-- complete all with every filter
-- $7 is 0
-- $8 is 0
-- $10 is 'completed'
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($2 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
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
        AND tasks.completed <> CAST($1 AS BOOLEAN)
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), changed AS (
  UPDATE tasks SET completed = CAST($1 AS BOOLEAN), completed_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
    )
    THEN CASE WHEN tasks.completed THEN NULL ELSE (
      SELECT
        tick.changed_at
      FROM tick
    ) END
    ELSE tasks.completed_at
  END, updated_at = CASE
    WHEN (
      tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN)
    )
    THEN (
      SELECT
        tick.changed_at
      FROM tick
    )
    ELSE tasks.updated_at
  END, version = (
    tasks.version + CAST(tasks.completed IS DISTINCT FROM CAST($1 AS BOOLEAN) AS INT)
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
    AND tasks.completed <> CAST($1 AS BOOLEAN)
    AND (
      SELECT
        tick.changed_at
      FROM tick
    ) IS NOT NULL
  RETURNING tasks.id
)
SELECT
  COUNT(*) AS count_1
FROM changed;

-- remove all with every filter
-- $6 is 0
-- $7 is 0
-- $9 is 'completed'
WITH tick AS (
  INSERT INTO task_feeds (
    user_id,
    changed_at
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    CLOCK_TIMESTAMP() AS clock_timestamp_1
  WHERE
    EXISTS(
      SELECT
        1
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
    ) ON CONFLICT(user_id) DO UPDATE SET changed_at = GREATEST(CLOCK_TIMESTAMP(), task_feeds.changed_at + INTERVAL '1 MICROSECOND')
  RETURNING task_feeds.user_id, task_feeds.changed_at
), removed AS (
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
        tick.changed_at
      FROM tick
    ) IS NOT NULL
  RETURNING tasks.id
), buried AS (
  INSERT INTO task_tombstones (
    user_id,
    deleted_at,
    id
  )
  SELECT
    CAST($1 AS VARCHAR) AS anon_1,
    tick.changed_at AS changed_at,
    removed.id AS id
  FROM removed
  JOIN tick
    ON TRUE
), purged AS (
  DELETE FROM task_tombstones
  WHERE
    task_tombstones.user_id = CAST($1 AS VARCHAR)
    AND task_tombstones.deleted_at < CURRENT_TIMESTAMP - INTERVAL '91 DAYS'
    AND (
      EXISTS(
        SELECT
          1
        FROM removed
      )
    )
)
SELECT
  COUNT(*) AS count_1
FROM removed;

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

-- changes
WITH feed AS (
  SELECT
    CURRENT_TIMESTAMP AS as_of,
    CONCAT_WS(
      '/',
      CASE
        WHEN (
          (
            SELECT
              task_feed_generation.begins_at
            FROM task_feed_generation
          ) <= CURRENT_TIMESTAMP
        )
        THEN CAST(EXTRACT(EPOCH FROM (
          SELECT
            task_feed_generation.begins_at
          FROM task_feed_generation
        )) AS TEXT)
      END,
      (
        SELECT
          system_identifier
        FROM PG_CONTROL_SYSTEM()
      ),
      CASE
        WHEN PG_IS_IN_RECOVERY()
        THEN (
          SELECT
            LPAD(HEX(min_recovery_end_timeline), 8, '0') AS lpad_1
          FROM PG_CONTROL_RECOVERY()
        )
        ELSE LEFT(PG_WALFILE_NAME(PG_CURRENT_WAL_INSERT_LSN()), 8)
      END,
      CURRENT_SETTING('neon.timeline_id', TRUE)
    ) AS generation,
    (
      SELECT
        task_feeds.changed_at
      FROM task_feeds
      WHERE
        task_feeds.user_id = CAST($1 AS VARCHAR)
    ) AS changed_at
)
SELECT
  TIMEZONE('UTC', feed.as_of) AS as_of,
  feed.generation,
  TIMEZONE('UTC', feed.changed_at) AS changed_at,
  entries.id,
  entries.user_id,
  entries.title,
  entries.description,
  entries.completed,
  TIMEZONE('UTC', entries.completed_at) AS completed_at,
  TIMEZONE('UTC', entries.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[entries.priority] AS priority,
  entries.tags,
  entries."order",
  TIMEZONE('UTC', entries.created_at) AS created_at,
  TIMEZONE('UTC', entries.updated_at) AS updated_at,
  entries.version
FROM feed
LEFT OUTER JOIN (
  SELECT
    "both".id AS id,
    "both".user_id AS user_id,
    "both".title AS title,
    "both".description AS description,
    "both".completed AS completed,
    "both".completed_at AS completed_at,
    "both".due_at AS due_at,
    "both".priority AS priority,
    "both".tags AS tags,
    "both"."order" AS "order",
    "both".created_at AS created_at,
    "both".updated_at AS updated_at,
    "both".version AS version
  FROM (
    (
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
        tasks.version AS version
      FROM tasks
      WHERE
        tasks.user_id = CAST($1 AS VARCHAR)
        AND (tasks.updated_at, tasks.id) > (COALESCE(CAST($2 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ)), CAST($3 AS UUID))
      ORDER BY
        tasks.updated_at,
        tasks.id
      LIMIT CAST($4 AS INT)
    )
    UNION ALL
    (
      SELECT
        task_tombstones.id AS id,
        CAST(NULL AS TEXT) AS user_id,
        CAST(NULL AS TEXT) AS title,
        CAST(NULL AS TEXT) AS description,
        CAST(NULL AS BOOLEAN) AS completed,
        CAST(NULL AS TIMESTAMPTZ) AS completed_at,
        CAST(NULL AS TIMESTAMPTZ) AS due_at,
        CAST(NULL AS SMALLINT) AS priority,
        CAST(NULL AS TEXT[]) AS tags,
        CAST(NULL AS INT) AS "order",
        CAST(NULL AS TIMESTAMPTZ) AS created_at,
        task_tombstones.deleted_at AS updated_at,
        CAST(NULL AS BIGINT) AS version
      FROM task_tombstones
      WHERE
        task_tombstones.user_id = CAST($1 AS VARCHAR)
        AND (task_tombstones.deleted_at, task_tombstones.id) > (COALESCE(CAST($2 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ)), CAST($3 AS UUID))
        AND task_tombstones.deleted_at > COALESCE(CAST($5 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ))
      ORDER BY
        task_tombstones.deleted_at,
        task_tombstones.id
      LIMIT CAST($4 AS INT)
    )
  ) AS "both"
  ORDER BY
    "both".updated_at,
    "both".id
  LIMIT CAST($4 AS INT)
) AS entries
  ON TRUE
ORDER BY
  entries.updated_at,
  entries.id;

-- changes, cut
-- $2 is 0
-- $3 is 0
-- $4 is ''
-- $5 is 0
WITH feed AS (
  SELECT
    CURRENT_TIMESTAMP AS as_of,
    CONCAT_WS(
      '/',
      CASE
        WHEN (
          (
            SELECT
              task_feed_generation.begins_at
            FROM task_feed_generation
          ) <= CURRENT_TIMESTAMP
        )
        THEN CAST(EXTRACT(EPOCH FROM (
          SELECT
            task_feed_generation.begins_at
          FROM task_feed_generation
        )) AS TEXT)
      END,
      (
        SELECT
          system_identifier
        FROM PG_CONTROL_SYSTEM()
      ),
      CASE
        WHEN PG_IS_IN_RECOVERY()
        THEN (
          SELECT
            LPAD(HEX(min_recovery_end_timeline), 8, '0') AS lpad_1
          FROM PG_CONTROL_RECOVERY()
        )
        ELSE LEFT(PG_WALFILE_NAME(PG_CURRENT_WAL_INSERT_LSN()), 8)
      END,
      CURRENT_SETTING('neon.timeline_id', TRUE)
    ) AS generation,
    (
      SELECT
        task_feeds.changed_at
      FROM task_feeds
      WHERE
        task_feeds.user_id = CAST($1 AS VARCHAR)
    ) AS changed_at
)
SELECT
  TIMEZONE('UTC', feed.as_of) AS as_of,
  feed.generation,
  TIMEZONE('UTC', feed.changed_at) AS changed_at,
  entries.id,
  entries.user_id,
  entries.title,
  entries.description,
  entries.completed,
  TIMEZONE('UTC', entries.completed_at) AS completed_at,
  TIMEZONE('UTC', entries.due_at) AS due_at,
  (
    CAST('{low,medium,high}' AS TEXT[])
  )[entries.priority] AS priority,
  entries.tags,
  entries."order",
  TIMEZONE('UTC', entries.created_at) AS created_at,
  TIMEZONE('UTC', entries.updated_at) AS updated_at,
  entries.version,
  entries.total
FROM feed
LEFT OUTER JOIN (
  SELECT
    measured.id AS id,
    measured.user_id AS user_id,
    measured.title AS title,
    measured.description AS description,
    measured.completed AS completed,
    measured.completed_at AS completed_at,
    measured.due_at AS due_at,
    measured.priority AS priority,
    measured.tags AS tags,
    measured."order" AS "order",
    measured.created_at AS created_at,
    measured.updated_at AS updated_at,
    measured.version AS version,
    measured.length AS length,
    measured.total AS total
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
      COALESCE(OCTET_LENGTH(limited.title), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($3 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($4 AS VARCHAR))), CAST($5 AS INT)) AS length,
      SUM(
        COALESCE(OCTET_LENGTH(limited.title), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($3 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($4 AS VARCHAR))), CAST($5 AS INT))
      ) OVER (ORDER BY limited.updated_at, limited.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total
    FROM (
      SELECT
        "both".id AS id,
        "both".user_id AS user_id,
        "both".title AS title,
        "both".description AS description,
        "both".completed AS completed,
        "both".completed_at AS completed_at,
        "both".due_at AS due_at,
        "both".priority AS priority,
        "both".tags AS tags,
        "both"."order" AS "order",
        "both".created_at AS created_at,
        "both".updated_at AS updated_at,
        "both".version AS version
      FROM (
        (
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
            tasks.version AS version
          FROM tasks
          WHERE
            tasks.user_id = CAST($1 AS VARCHAR)
            AND (tasks.updated_at, tasks.id) > (COALESCE(CAST($6 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ)), CAST($7 AS UUID))
          ORDER BY
            tasks.updated_at,
            tasks.id
          LIMIT CAST($8 AS INT)
        )
        UNION ALL
        (
          SELECT
            task_tombstones.id AS id,
            CAST(NULL AS TEXT) AS user_id,
            CAST(NULL AS TEXT) AS title,
            CAST(NULL AS TEXT) AS description,
            CAST(NULL AS BOOLEAN) AS completed,
            CAST(NULL AS TIMESTAMPTZ) AS completed_at,
            CAST(NULL AS TIMESTAMPTZ) AS due_at,
            CAST(NULL AS SMALLINT) AS priority,
            CAST(NULL AS TEXT[]) AS tags,
            CAST(NULL AS INT) AS "order",
            CAST(NULL AS TIMESTAMPTZ) AS created_at,
            task_tombstones.deleted_at AS updated_at,
            CAST(NULL AS BIGINT) AS version
          FROM task_tombstones
          WHERE
            task_tombstones.user_id = CAST($1 AS VARCHAR)
            AND (task_tombstones.deleted_at, task_tombstones.id) > (COALESCE(CAST($6 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ)), CAST($7 AS UUID))
            AND task_tombstones.deleted_at > COALESCE(CAST($9 AS TIMESTAMPTZ), CAST('-infinity' AS TIMESTAMPTZ))
          ORDER BY
            task_tombstones.deleted_at,
            task_tombstones.id
          LIMIT CAST($8 AS INT)
        )
      ) AS "both"
      ORDER BY
        "both".updated_at,
        "both".id
      LIMIT CAST($8 AS INT)
    ) AS limited
  ) AS measured
  WHERE
    measured.total - measured.length < CAST($10 AS INT)
  ORDER BY
    measured.updated_at,
    measured.id
) AS entries
  ON TRUE
ORDER BY
  entries.updated_at,
  entries.id;

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
-- $2 is 0
-- $3 is ''
-- $4 is 0
-- $10 is 0
-- $11 is 0
-- $13 is 'completed'
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
    COALESCE(OCTET_LENGTH(limited.title), CAST($1 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($3 AS VARCHAR))), CAST($4 AS INT)) AS length,
    SUM(
      COALESCE(OCTET_LENGTH(limited.title), CAST($1 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($3 AS VARCHAR))), CAST($4 AS INT))
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
      tasks.user_id = CAST($5 AS VARCHAR)
      AND tasks.due_at >= CAST($6 AS TIMESTAMPTZ)
      AND tasks.due_at < CAST($7 AS TIMESTAMPTZ)
      AND tasks.priority = ANY(
        CAST($8 AS SMALLINT[])
      )
      AND (
        POSITION(LOWER(CAST($9 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($10 AS INT)
        OR POSITION(LOWER(CAST($9 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($11 AS INT)
      )
      AND tasks.completed = (
        CAST($12 AS VARCHAR) = CAST($13 AS VARCHAR)
      )
      AND tasks.tags @> CAST($14 AS TEXT[])
      AND (tasks.created_at, tasks.id) < (CAST($15 AS TIMESTAMPTZ), CAST($16 AS UUID))
    ORDER BY
      tasks.created_at DESC,
      tasks.id DESC
    LIMIT CAST($17 AS INT)
  ) AS limited
) AS measured
WHERE
  measured.total - measured.length < CAST($18 AS INT)
ORDER BY
  measured.sort_key DESC,
  measured.id DESC;

-- list by due_at, cut
-- $1 is 0
-- $2 is 0
-- $3 is ''
-- $4 is 0
-- $10 is 0
-- $11 is 0
-- $13 is 'completed'
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
    COALESCE(OCTET_LENGTH(limited.title), CAST($1 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($3 AS VARCHAR))), CAST($4 AS INT)) AS length,
    SUM(
      COALESCE(OCTET_LENGTH(limited.title), CAST($1 AS INT)) + COALESCE(OCTET_LENGTH(limited.description), CAST($2 AS INT)) + COALESCE(OCTET_LENGTH(ARRAY_TO_STRING(limited.tags, CAST($3 AS VARCHAR))), CAST($4 AS INT))
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
      tasks.user_id = CAST($5 AS VARCHAR)
      AND tasks.due_at >= CAST($6 AS TIMESTAMPTZ)
      AND tasks.due_at < CAST($7 AS TIMESTAMPTZ)
      AND tasks.priority = ANY(
        CAST($8 AS SMALLINT[])
      )
      AND (
        POSITION(LOWER(CAST($9 AS VARCHAR)) IN LOWER(tasks.title)) > CAST($10 AS INT)
        OR POSITION(LOWER(CAST($9 AS VARCHAR)) IN LOWER(tasks.description)) > CAST($11 AS INT)
      )
      AND tasks.completed = (
        CAST($12 AS VARCHAR) = CAST($13 AS VARCHAR)
      )
      AND tasks.tags @> CAST($14 AS TEXT[])
      AND (
        (tasks.due_at, tasks.id) > (CAST($15 AS TIMESTAMPTZ), CAST($16 AS UUID)) OR tasks.due_at IS NULL
      )
    ORDER BY
      tasks.due_at ASC,
      tasks.id ASC
    LIMIT CAST($17 AS INT)
  ) AS limited
) AS measured
WHERE
  measured.total - measured.length < CAST($18 AS INT)
ORDER BY
  measured.sort_key ASC,
  measured.id ASC;
