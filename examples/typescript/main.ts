import { ApiError, Tasks } from "./tasks.js";

const [baseUrl = "http://127.0.0.1:8000", user = "alice"] = process.argv.slice(2);
const tasks = new Tasks(baseUrl, user);

const key = crypto.randomUUID();
const milk = await tasks.create({ title: "Buy milk", tags: ["shop"] }, key);
const again = await tasks.create({ title: "Buy milk", tags: ["shop"] }, key);
console.log("the same task for the same key:", again.id === milk.id);

await tasks.create({ title: "Call the bank", due_at: "2030-01-31T09:30:00Z" });
for await (const task of tasks.list({ status: "pending", limit: 1 })) {
  console.log("to do:", task.title);
}

let attempts = 0;
const edited = await tasks.edit(milk.id, async (task) => {
  if (++attempts === 1) await tasks.toggle(milk.id); // as another device would, in between
  return { title: `${task.title} and bread` };
});
console.log("edited:", edited.title, "completed:", edited.completed, "attempts:", attempts);

try {
  await tasks.create({ title: " " });
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  console.log("refused:", error.problem.type, error.problem.errors?.map((fault) => fault.pointer).join());
}
