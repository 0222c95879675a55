import createClient from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

export type Task = components["schemas"]["TaskPublic"];
export type NewTask = components["schemas"]["TaskCreate"];
export type Changes = components["schemas"]["TaskUpdate"];
export type Filters = NonNullable<operations["list_tasks"]["parameters"]["query"]>;
export type Problem = components["schemas"]["Problem"];

const LIST = "/api/{user_id}/tasks";
const TASK = "/api/{user_id}/tasks/{task_id}";
const ATTEMPTS = 5;

/** An error of the API, with its problem document. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** The tasks of one user. */
export class Tasks {
  private readonly api;

  constructor(baseUrl: string, private readonly user_id: string) {
    this.api = createClient<paths>({ baseUrl });
  }

  /** Create a task; where no answer comes, the key makes it safe to ask again. */
  async create(body: NewTask, key: string = crypto.randomUUID()): Promise<Task> {
    const params = { path: { user_id: this.user_id }, header: { "Idempotency-Key": key } };
    for (let attempt = 1; ; attempt++) {
      try {
        return unwrap(await this.api.POST(LIST, { params, body }));
      } catch (error) {
        if (error instanceof ApiError || attempt === ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200 * attempt));
      }
    }
  }

  /** Read every task that the filters let through, page by page. */
  async *list(query: Filters = {}): AsyncGenerator<Task> {
    const params = { path: { user_id: this.user_id }, query };
    let result = await this.api.GET(LIST, { params });
    for (;;) {
      yield* unwrap(result);
      const next = /<([^>]*)>; rel="next"/.exec(result.response.headers.get("Link") ?? "")?.[1];
      if (!next) return;
      result = await this.api.GET(LIST, { params, fetch: (request: Request) => fetch(new Request(next, request)) });
    }
  }

  /** Edit a task; where another device was quicker, edit what it left. */
  async edit(task_id: string, edit: (task: Task) => Changes | Promise<Changes>): Promise<Task> {
    const path = { user_id: this.user_id, task_id };
    for (let attempt = 1; ; attempt++) {
      const read = await this.api.GET(TASK, { params: { path } });
      const body = await edit(unwrap(read));
      const header = { "If-Match": read.response.headers.get("ETag") ?? "" };
      const changed = await this.api.PATCH(TASK, { params: { path, header }, body });
      if (changed.response.status !== 412 || attempt === ATTEMPTS) return unwrap(changed);
    }
  }

  /** Toggle whether a task is completed. */
  async toggle(task_id: string): Promise<Task> {
    const path = { user_id: this.user_id, task_id };
    return unwrap(await this.api.PATCH("/api/{user_id}/tasks/{task_id}/complete", { params: { path } }));
  }
}

export function unwrap<Data>({ data, error }: { data?: Data; error?: Problem }): Data {
  if (data === undefined) throw error ? new ApiError(error) : new Error("The response has no body.");
  return data;
}
