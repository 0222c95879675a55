// Does what each line of the input says with the replica of the examples, and prints what it then has.
import { createInterface } from "node:readline";
import { Replica, type Operation } from "./replica.js";

type Command = { change: Operation } | { sync: true };

const [baseUrl, user] = process.argv.slice(2) as [string, string];
const asked: (string | undefined)[] = [];
const replica = new Replica(baseUrl, user, async (mine, theirs, fault) => {
  asked.push(fault.code);
  return mine.op === "update" && theirs ? { ...mine, if_version: [theirs.version] } : undefined;
});

for await (const line of createInterface({ input: process.stdin })) {
  const command: Command = JSON.parse(line);
  let isOnline = true;
  if ("change" in command) {
    replica.change(command.change);
  } else {
    await replica.sync().catch((error: unknown) => {
      if (!(error instanceof TypeError)) throw error; // what fetch throws without an answer
      isOnline = false;
    });
  }
  const waiting = replica.sent.length + replica.queue.size;
  console.log(JSON.stringify({ tasks: [...replica.tasks.values()], waiting, asked, isOnline }));
}
