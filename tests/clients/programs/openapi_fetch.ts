// Runs every operation with the client that openapi-typescript and openapi-fetch make, and prints what came of it.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Task = components["schemas"]["TaskPublic"];
type Operation = components["schemas"]["BatchOperation"];
type Problem = components["schemas"]["Problem"];
type Answer = { data?: unknown; error?: Problem; response: Response };

const LIST = "/api/{user_id}/tasks";
const TASK = "/api/{user_id}/tasks/{task_id}";
const COMPLETE = "/api/{user_id}/tasks/{task_id}/complete";
const CHANGES = "/api/{user_id}/tasks/changes";
const BATCH = "/api/{user_id}/tasks/batch";
const UNKNOWN = "00000000-0000-7000-8000-000000000000";
const LONG = "x".repeat(70_000);

const [command, baseUrl, user_id] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl });
const path = { user_id };
const stranger = { user_id: "not a user" };
const outcomes: [string, number][] = [];

function note(operation: string, { error, response }: Answer): void {
  outcomes.push([operation, response.status]);
  if (response.status < 400) return;
  assert(error);
  assert(error.type.startsWith("urn:todo:problem:"));
  assert.equal(error.status, response.status);
  for (const fault of error.errors ?? []) {
    const place: string | undefined = fault.pointer ?? fault.parameter ?? fault.header;
    assert(place && fault.detail);
  }
}

async function create(): Promise<Task> {
  const { data } = await api.POST(LIST, { params: { path }, body: { title: "Buy milk" } });
  assert(data);
  return data;
}

async function callLists(): Promise<void> {
  note("create_task", await api.POST(LIST, { params: { path }, body: { title: "Buy milk" } }));
  const badKey = { "Idempotency-Key": "a key with spaces" };
  note("create_task", await api.POST(LIST, { params: { path, header: badKey }, body: { title: "Buy milk" } }));
  note("create_task", await api.POST(LIST, { params: { path }, body: { title: "Buy milk", description: LONG } }));
  note("create_task", await api.POST(LIST, { params: { path }, body: { title: " " } }));
  note("list_tasks", await api.GET(LIST, { params: { path, query: { priority: ["low", "high"], sort: "-due_at" } } }));
  note("list_tasks", await api.GET(LIST, { params: { path, query: { cursor: "damaged" } } }));
  note("list_tasks", await api.GET(LIST, { params: { path, query: { limit: 0 } } }));
  const pending = { status: "pending" } as const;
  note("complete_tasks", await api.PATCH(LIST, { params: { path, query: pending }, body: { completed: true } }));
  note("complete_tasks", await api.PATCH(LIST, { params: { path: stranger, query: pending }, body: { completed: true } }));
  note("delete_tasks", await api.DELETE(LIST, { params: { path, query: { status: "completed" } } }));
  note("delete_tasks", await api.DELETE(LIST, { params: { path: stranger, query: { status: "all" } } }));
}

async function callTask(): Promise<void> {
  const known = { user_id, task_id: (await create()).id };
  const unknown = { user_id, task_id: UNKNOWN };
  const foreign = { ...stranger, task_id: UNKNOWN };
  const header = { "If-Match": '"99"' };
  const malformed = { "If-Match": "unquoted" };
  const body = { title: "Buy oat milk" };
  const long = { description: LONG };

  note("get_task", await api.GET(TASK, { params: { path: known } }));
  note("get_task", await api.GET(TASK, { params: { path: known, header: { "If-None-Match": '"1"' } } }));
  note("get_task", await api.GET(TASK, { params: { path: known, header: { "If-None-Match": "unquoted" } } }));
  note("get_task", await api.GET(TASK, { params: { path: unknown } }));
  note("get_task", await api.GET(TASK, { params: { path: foreign } }));

  note("update_task", await api.PATCH(TASK, { params: { path: known }, body }));
  note("update_task", await api.PATCH(TASK, { params: { path: known, header: malformed }, body }));
  note("update_task", await api.PATCH(TASK, { params: { path: unknown }, body }));
  note("update_task", await api.PATCH(TASK, { params: { path: known, header }, body }));
  note("update_task", await api.PATCH(TASK, { params: { path: known }, body: long }));
  note("update_task", await api.PATCH(TASK, { params: { path: foreign }, body }));

  note("put_task", await api.PUT(TASK, { params: { path: known }, body }));
  note("put_task", await api.PUT(TASK, { params: { path: known, header: malformed }, body }));
  note("put_task", await api.PUT(TASK, { params: { path: unknown }, body }));
  note("put_task", await api.PUT(TASK, { params: { path: known, header }, body }));
  note("put_task", await api.PUT(TASK, { params: { path: known }, body: long }));
  note("put_task", await api.PUT(TASK, { params: { path: foreign }, body }));

  note("complete_task", await api.PATCH(COMPLETE, { params: { path: known } }));
  note("complete_task", await api.PATCH(COMPLETE, { params: { path: known }, body: { completed: true } }));
  note("complete_task", await api.PATCH(COMPLETE, { params: { path: known, header: malformed } }));
  note("complete_task", await api.PATCH(COMPLETE, { params: { path: unknown } }));
  note("complete_task", await api.PATCH(COMPLETE, { params: { path: known, header } }));
  note("complete_task", await api.PATCH(COMPLETE, { params: { path: foreign } }));

  note("delete_task", await api.DELETE(TASK, { params: { path: known, header: malformed } }));
  note("delete_task", await api.DELETE(TASK, { params: { path: known, header } }));
  note("delete_task", await api.DELETE(TASK, { params: { path: foreign } }));
  note("delete_task", await api.DELETE(TASK, { params: { path: known } }));
  note("delete_task", await api.DELETE(TASK, { params: { path: known } }));
}

async function callSync(): Promise<void> {
  const id = crypto.randomUUID();
  const params = { path };
  const creation: Operation = { op: "create", id, task: { title: "Buy milk" } };
  const stale: Operation = { op: "update", id, task: { completed: true }, if_version: [99] };

  const applied = await api.POST(BATCH, { params, body: { operations: [creation] } });
  note("apply_batch", applied);
  assert.equal(applied.data?.results[0]?.task?.title, "Buy milk");
  const refused = await api.POST(BATCH, { params, body: { operations: [stale] } });
  note("apply_batch", refused);
  assert.equal(refused.error?.errors?.[0]?.code, "precondition-failed");
  const long: Operation = { ...creation, task: { title: "Buy milk", description: LONG } };
  note("apply_batch", await api.POST(BATCH, { params, body: { operations: [long] } }));
  note("apply_batch", await api.POST(BATCH, { params, body: { operations: [] } }));

  const listed = await api.GET(CHANGES, { params: { path, query: { limit: 1000 } } });
  note("list_changes", listed);
  assert.equal(listed.data?.changes.at(-1)?.task?.id, id);
  const deletion: Operation = { op: "delete", id, if_version: [1] };
  note("apply_batch", await api.POST(BATCH, { params, body: { operations: [deletion] } }));
  const next = await api.GET(CHANGES, { params: { path, query: { since: listed.data.next } } });
  note("list_changes", next);
  assert.deepEqual(next.data?.changes, [{ id, task: null }]);
  note("list_changes", await api.GET(CHANGES, { params: { path, query: { since: "damaged" } } }));
  note("list_changes", await api.GET(CHANGES, { params: { path, query: { limit: 0 } } }));

  const header = { "If-None-Match": "*" };
  const fresh = { path: { user_id, task_id: crypto.randomUUID() }, header };
  note("put_task", await api.PUT(TASK, { params: fresh, body: { title: "Buy milk" } }));
  note("put_task", await api.PUT(TASK, { params: fresh, body: { title: "Buy milk" } }));
  const used = { path: { user_id, task_id: id }, header };
  note("put_task", await api.PUT(TASK, { params: used, body: { title: "Buy milk" } }));
}

async function callHealth(): Promise<void> {
  note("check_liveness", await api.GET("/health/live"));
  note("check_readiness", await api.GET("/health/ready"));
}

async function putBack(): Promise<void> {
  const { data: listed } = await api.GET(LIST, { params: { path } });
  for (const task of listed ?? []) {
    const params = { path: { user_id, task_id: task.id } };
    const { data } = await api.PUT(TASK, { params, body: task });
    assert.deepEqual(data, task);
  }
}

if (command === "put_back") {
  await putBack();
} else {
  await callLists();
  await callTask();
  await callSync();
  await callHealth();
}
console.log(JSON.stringify(outcomes));
