// The tasks of `user` at `api`, both from this page's query: what a frontend does with the API, by fetch alone.
const query = new URLSearchParams(location.search);
const LIST = `${query.get("api")}/api/${query.get("user")}/tasks`;
// What tracing in a browser adds to each request.
const TRACE = {
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  tracestate: "todo=1",
  baggage: "page=tasks",
};

const find = (selector) => document.querySelector(selector);

async function call(method, url, body, headers = {}) {
  find("#problem").textContent = "";
  const type = body ? { "Content-Type": "application/json" } : {};
  const request = { method, headers: { ...TRACE, ...type, ...headers }, body: body && JSON.stringify(body) };
  let response;
  try {
    response = await fetch(url, request);
  } catch (error) {
    find("#problem").textContent = `unreachable: ${error.message}`;
    throw error;
  }
  if (!response.ok) {
    const problem = await response.json();
    const places = (problem.errors ?? []).map((fault) => `${fault.pointer ?? fault.parameter}: ${fault.detail}`);
    find("#problem").textContent = [
      `${problem.status} ${problem.type} ${response.headers.get("X-Request-ID") === problem.request_id}`,
      ...places,
    ].join("\n");
    throw new Error(problem.title);
  }
  return response;
}

function show(task, etag, item = find("#task").content.firstElementChild.cloneNode(true)) {
  const [completed, title] = item.querySelectorAll("input");
  const [save, remove] = item.querySelectorAll("button");
  item.className = task.completed ? "completed" : "pending";
  completed.checked = task.completed;
  title.value = task.title;
  item.querySelector("small").textContent = `version ${task.version}`;
  const condition = { "If-Match": etag };
  const change = async (method, url, body) => {
    const response = await call(method, url, body, condition);
    show(await response.json(), response.headers.get("ETag"), item);
  };
  completed.onchange = () => change("PATCH", `${task.url}/complete`, { completed: completed.checked });
  save.onclick = () => change("PATCH", task.url, { title: title.value });
  remove.onclick = async () => {
    await call("DELETE", task.url, undefined, condition);
    item.remove();
  };
  return item;
}

async function list(url) {
  const response = await call("GET", url);
  // An entity tag is that of a version: the members of a list have none of their own.
  find("#tasks").append(...(await response.json()).map((task) => show(task, `"${task.version}"`)));
  const next = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
  find("#more").hidden = !next;
  find("#more").onclick = () => list(next);
}

find("#filter").onsubmit = (event) => {
  event.preventDefault();
  find("#tasks").replaceChildren();
  const filters = [...new FormData(event.target)].filter(([, value]) => value);
  list(`${LIST}?${new URLSearchParams([...filters, ["limit", "2"]])}`);
};

find("#create").onsubmit = async (event) => {
  event.preventDefault();
  const { title, priority } = Object.fromEntries(new FormData(event.target));
  const body = { title, priority: priority || null };
  const response = await call("POST", LIST, body, { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") });
  const address = response.headers.get("Location");
  const task = await (await call("GET", address)).json();
  find("#tasks").prepend(show(task, response.headers.get("ETag")));
};

find("#filter").requestSubmit();
