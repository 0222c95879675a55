import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";
import { unwrap, type Problem, type Task } from "./tasks.js";

export type Operation = components["schemas"]["BatchOperation"];
export type Fault = components["schemas"]["ProblemFault"];
/** Returns what to send instead of a change that was refused, or nothing to give it up; it may ask the user. */
export type Resolve = (mine: Operation, theirs: Task | undefined, fault: Fault) => Promise<Operation | undefined>;

const CHANGES = "/api/{user_id}/tasks/changes";
const BATCH = "/api/{user_id}/tasks/batch";
const REFUSED = [409, 413, 422];
const REFUSALS = 10;

/** A user's tasks, and the changes that wait to be sent. An app saves its first four members, in one transaction. */
export class Replica {
  tasks = new Map<string, Task>(); // as the service last told
  next?: string; // the position in the feed
  queue = new Map<string, Operation>(); // what waits, at most one change of each task
  sent: Operation[] = []; // the batch without an answer, which is sent again exactly as it was
  private readonly api;
  private readonly params;

  constructor(baseUrl: string, user_id: string, private readonly resolve: Resolve) {
    this.api = createClient<paths>({ baseUrl });
    this.params = { path: { user_id } };
  }

  /** Keep a change for the next `sync`; it is refused there if another device has changed the task by then. */
  change(change: Operation): void {
    const seen = this.tasks.get(change.id);
    if (change.op !== "create" && seen) change = { if_version: [seen.version], ...change };
    const waiting = this.queue.get(change.id);
    if (waiting?.op === "create" && change.op === "update") {
      this.queue.set(change.id, { ...waiting, task: { ...waiting.task, ...change.task } });
    } else if (waiting?.op === "update" && change.op === "update") {
      this.queue.set(change.id, { ...waiting, task: { ...waiting.task, ...change.task } });
    } else if (waiting?.op === "create") {
      this.queue.delete(change.id);
    } else {
      this.queue.set(change.id, change);
    }
  }

  /** Send what was changed here, then fetch what was changed elsewhere; one at a time. Throws while offline. */
  async sync(): Promise<void> {
    for (let refusals = 0, length = 100; this.sent.length || this.queue.size; ) {
      if (!this.sent.length) {
        this.sent = [...this.queue.values()].slice(0, length);
        this.sent.forEach(({ id }) => this.queue.delete(id));
      }
      const answer = await this.api.POST(BATCH, { params: this.params, body: { operations: this.sent } });
      if (answer.error && REFUSED.includes(answer.response.status) && refusals++ < REFUSALS) {
        if (answer.response.status === 413) length = Math.ceil(this.sent.length / 2);
        await this.settle(answer.error);
      } else {
        this.accept(unwrap(answer).results);
      }
    }
    await this.pull();
  }

  private async pull(): Promise<void> {
    let [tasks, since] = [new Map(this.next ? this.tasks : []), this.next];
    for (let more = true; more; ) {
      const answer = await this.api.GET(CHANGES, { params: { ...this.params, query: { since } } });
      if (answer.response.status === 410) {
        [tasks, since] = [new Map(), undefined]; // begin again: what does not come is gone
        continue;
      }
      const page = unwrap(answer);
      for (const { id, task } of page.changes) task ? tasks.set(id, task) : tasks.delete(id);
      [since, more] = [page.next, page.has_more];
    }
    [this.tasks, this.next] = [tasks, since];
  }

  private accept(results: components["schemas"]["TaskState"][]): void {
    for (const { id, task } of results) {
      task ? this.tasks.set(id, task) : this.tasks.delete(id);
      const later = this.queue.get(id); // it was made on top of what was sent
      if (task && later && later.op !== "create") later.if_version = [task.version];
    }
    this.sent = [];
  }

  /** Fetch what is there, and decide on each change at fault: nothing of a batch that is refused has happened. */
  private async settle({ errors = [] }: Problem): Promise<void> {
    await this.pull();
    const decided: (Operation | undefined)[] = [];
    for (const [place, mine] of this.sent.entries()) {
      const fault = errors.find(({ pointer }) => pointer?.split("/")[2] === String(place));
      const isThere = mine.op === "create" && this.tasks.has(mine.id); // the batch was carried out, long ago
      decided.push(fault ? await this.resolve(mine, this.tasks.get(mine.id), fault) : isThere ? undefined : mine);
    }
    const later = [...this.queue.values()];
    [this.sent, this.queue] = [[], new Map()];
    for (const change of [...decided, ...later]) if (change) this.change(change);
  }
}
