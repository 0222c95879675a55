// Runs every operation with the client that @hey-api/openapi-ts makes, and prints what came of it. Zod checks every
// request and every response, except the requests that are wrong on purpose.
import assert from "node:assert/strict";
import { client } from "./generated/client.gen.js";
import * as api from "./generated/index.js";
import * as z from "zod";

type Answer = { data?: unknown; error?: unknown; response?: Response };

const UNKNOWN = "00000000-0000-7000-8000-000000000000";
const LONG = "x".repeat(70_000);
const UNCHECKED = { requestValidator: undefined };

const [command, baseUrl, user_id] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl });
const path = { user_id };
const stranger = { user_id: "not a user" };
const outcomes: [string, number][] = [];

function note(operation: string, { error, response }: Answer & { error?: api.Problem | {} }): void {
  assert(response, `${operation}: ${String(error)}`);
  outcomes.push([operation, response.status]);
  if (response.status < 400) return;
  assert(error && "type" in error, `${operation}: ${String(error)}`);
  assert(error.type.startsWith("urn:todo:problem:"));
  assert.equal(error.status, response.status);
  for (const fault of error.errors ?? []) {
    const place: string | undefined = fault.pointer ?? fault.parameter ?? fault.header;
    assert(place && fault.detail);
  }
}

async function create(): Promise<api.TaskPublic> {
  const { data } = await api.createTask({ path, body: { title: "Buy milk" }, throwOnError: true });
  return data;
}

async function callLists(): Promise<void> {
  const headers = { "Idempotency-Key": "one-creation" };
  note("create_task", await api.createTask({ path, headers, body: { title: "Buy milk" } }));
  const badKey = { "Idempotency-Key": "a key with spaces" };
  note("create_task", await api.createTask({ path, headers: badKey, body: { title: "Buy milk" }, ...UNCHECKED }));
  note("create_task", await api.createTask({ path, body: { title: "Buy milk", description: LONG }, ...UNCHECKED }));
  note("create_task", await api.createTask({ path, body: { title: " " }, ...UNCHECKED }));
  note("list_tasks", await api.listTasks({ path, query: { priority: ["low", "high"], sort: "-due_at" } }));
  note("list_tasks", await api.listTasks({ path, query: { cursor: "damaged" }, ...UNCHECKED }));
  note("list_tasks", await api.listTasks({ path, query: { limit: 0 }, ...UNCHECKED }));
  const pending = { status: "pending" } as const;
  note("complete_tasks", await api.completeTasks({ path, query: pending, body: { completed: true } }));
  const foreign = { path: stranger, ...UNCHECKED };
  note("complete_tasks", await api.completeTasks({ ...foreign, query: pending, body: { completed: true } }));
  note("delete_tasks", await api.deleteTasks({ path, query: { status: "completed" } }));
  note("delete_tasks", await api.deleteTasks({ ...foreign, query: { status: "all" } }));
}

async function sendRefused(): Promise<void> {
  for (const title of [" ", "\ufeff\n", "x".repeat(256)]) {
    await assert.rejects(api.createTask({ path, body: { title } }), z.ZodError);
  }
}

async function callTask(): Promise<void> {
  const known = { path: { user_id, task_id: (await create()).id } };
  const unknown = { path: { user_id, task_id: UNKNOWN } };
  const foreign = { path: { ...stranger, task_id: UNKNOWN }, ...UNCHECKED };
  const stale = { ...known, headers: { "If-Match": '"99"' } };
  const malformed = { ...known, headers: { "If-Match": "unquoted" }, ...UNCHECKED };
  const body = { title: "Buy oat milk" };
  const long = { ...known, body: { description: LONG }, ...UNCHECKED };

  note("get_task", await api.getTask(known));
  note("get_task", await api.getTask({ ...known, headers: { "If-None-Match": '"1"' } }));
  note("get_task", await api.getTask({ ...known, headers: { "If-None-Match": "unquoted" }, ...UNCHECKED }));
  note("get_task", await api.getTask(unknown));
  note("get_task", await api.getTask(foreign));

  note("update_task", await api.updateTask({ ...known, body }));
  note("update_task", await api.updateTask({ ...malformed, body }));
  note("update_task", await api.updateTask({ ...unknown, body }));
  note("update_task", await api.updateTask({ ...stale, body }));
  note("update_task", await api.updateTask(long));
  note("update_task", await api.updateTask({ ...foreign, body }));

  note("put_task", await api.putTask({ ...known, body }));
  note("put_task", await api.putTask({ ...malformed, body }));
  note("put_task", await api.putTask({ ...unknown, body }));
  note("put_task", await api.putTask({ ...stale, body }));
  note("put_task", await api.putTask(long));
  note("put_task", await api.putTask({ ...foreign, body }));

  note("complete_task", await api.completeTask(known));
  note("complete_task", await api.completeTask({ ...known, body: { completed: true } }));
  note("complete_task", await api.completeTask(malformed));
  note("complete_task", await api.completeTask(unknown));
  note("complete_task", await api.completeTask(stale));
  note("complete_task", await api.completeTask(foreign));

  note("delete_task", await api.deleteTask(malformed));
  note("delete_task", await api.deleteTask(stale));
  note("delete_task", await api.deleteTask(foreign));
  note("delete_task", await api.deleteTask(known));
  note("delete_task", await api.deleteTask(known));
}

async function callSync(): Promise<void> {
  const id = crypto.randomUUID();
  const creation: api.BatchOperation = { op: "create", id, task: { title: "Buy milk" } };
  const stale: api.BatchOperation = { op: "update", id, task: { completed: true }, if_version: [99] };

  const applied = await api.applyBatch({ path, body: { operations: [creation] } });
  note("apply_batch", applied);
  assert.equal(applied.data?.results[0]?.task?.title, "Buy milk");
  const refused = await api.applyBatch({ path, body: { operations: [stale] } });
  note("apply_batch", refused);
  assert(refused.error && "type" in refused.error);
  assert.equal(refused.error.errors?.[0]?.code, "precondition-failed");
  const long: api.BatchOperation = { ...creation, task: { title: "Buy milk", description: LONG } };
  note("apply_batch", await api.applyBatch({ path, body: { operations: [long] }, ...UNCHECKED }));
  note("apply_batch", await api.applyBatch({ path, body: { operations: [] }, ...UNCHECKED }));

  const listed = await api.listChanges({ path, query: { limit: 1000 } });
  note("list_changes", listed);
  assert.equal(listed.data?.changes.at(-1)?.task?.id, id);
  const deletion: api.BatchOperation = { op: "delete", id, if_version: [1] };
  note("apply_batch", await api.applyBatch({ path, body: { operations: [deletion] } }));
  const next = await api.listChanges({ path, query: { since: listed.data.next } });
  note("list_changes", next);
  assert.deepEqual(next.data?.changes, [{ id, task: null }]);
  note("list_changes", await api.listChanges({ path, query: { since: "damaged" }, ...UNCHECKED }));
  note("list_changes", await api.listChanges({ path, query: { limit: 0 }, ...UNCHECKED }));

  const headers = { "If-None-Match": "*" };
  const fresh = { path: { user_id, task_id: crypto.randomUUID() }, headers, body: { title: "Buy milk" } };
  note("put_task", await api.putTask(fresh));
  note("put_task", await api.putTask(fresh));
  note("put_task", await api.putTask({ ...fresh, path: { user_id, task_id: id } }));
}

async function callHealth(): Promise<void> {
  note("check_liveness", await api.checkLiveness());
  note("check_readiness", await api.checkReadiness());
}

async function putBack(): Promise<void> {
  const { data: listed } = await api.listTasks({ path, throwOnError: true });
  for (const task of listed) {
    const { data } = await api.putTask({ path: { user_id, task_id: task.id }, body: task, throwOnError: true });
    assert.deepEqual(data, task);
  }
}

if (command === "put_back") {
  await putBack();
} else {
  await callLists();
  await sendRefused();
  await callTask();
  await callSync();
  await callHealth();
}
console.log(JSON.stringify(outcomes));
