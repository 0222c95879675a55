import { Replica, type Resolve } from "./replica.js";

const [baseUrl = "http://127.0.0.1:8000", user = "alice"] = process.argv.slice(2);

/** Write an update over what another device has left: it has only what was changed here. Give up anything else. */
const resolve: Resolve = async (mine, theirs, fault) => {
  console.log("refused:", mine.op, fault.code);
  return mine.op === "update" && theirs ? { ...mine, if_version: [theirs.version] } : undefined;
};
const phone = new Replica(baseUrl, user, resolve);
const laptop = new Replica(baseUrl, user, resolve);

const id = crypto.randomUUID();
phone.change({ op: "create", id, task: { title: "Buy milk" } });
await phone.sync();
await laptop.sync();

// without the network
phone.change({ op: "update", id, task: { title: "Buy oat milk" } });
laptop.change({ op: "update", id, task: { completed: true } });

// with it
for (const device of [phone, laptop, phone]) await device.sync();
for (const device of [phone, laptop]) {
  const task = device.tasks.get(id);
  console.log("synchronized:", task?.title, "completed:", task?.completed);
}
