// The live part of the first page: lists, and the tail of one run. All texts
// are set as text, never as HTML.
"use strict";

const refreshEvery = 10000; // ms between two looks at the lists
const retryAfter = 1500; // ms before a broken tail is resumed
const historyPoints = 2000; // per metric; what comes live is full

const byId = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const word = (text, prefix) => (text || "").replace(prefix, "").toLowerCase().replaceAll("_", " ");

// series holds the points of the run that is followed, by metric.
let series = new Map();
let followed; // {name, abort} of that run
let live = false; // the history is here, what comes now is new
let fresh = 0;

function headers(more) {
  const token = byId("token").value.trim();
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// failure makes an Error of the API's JSON.
async function failure(resp) {
  const text = await resp.text();
  try {
    const { error } = JSON.parse(text);
    const hint = error.reason === "TOKEN_INVALID" ? "This server demands a token. Enter yours above. " : "";
    return Object.assign(new Error(`${hint}${error.reason}: ${error.message}`), { httpStatus: resp.status });
  } catch {
    return new Error(`${resp.status} ${resp.statusText}`);
  }
}

async function getJSON(path) {
  const resp = await fetch(path, { headers: headers({}) });
  if (!resp.ok) throw await failure(resp);
  return resp.json();
}

function trouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

async function refresh() {
  try {
    const [{ viewers }, { experiments, total_size: total }] = await Promise.all([
      getJSON("/v1/viewers"), getJSON("/v1/experiments?viewer=-&page_size=25"),
    ]);
    trouble("");
    byId("viewers").replaceChildren(...viewers.map((v) => make("tr", {},
      ...[v.viewer, v.generation, v.version, word(v.health?.state, /^VIEWER_STATE_/), v.url].map((text) => make("td", {}, text || "")))));
    byId("total").textContent = total === undefined ? "" : `The newest of ${total}.`;
    byId("experiments").replaceChildren(...experiments.map(experimentRow));
    if (!followed && experiments.length) follow(experiments.find((e) => e.status === "EXPERIMENT_STATUS_RUNNING") || experiments[0]);
  } catch (err) {
    trouble(String(err.message || err));
  }
}

function experimentRow(e) {
  const choose = make("button", { type: "button", className: "link" }, e.path || e.run_id);
  choose.addEventListener("click", () => follow(e));
  const row = make("tr", {}, make("td", {}, choose),
    ...[word(e.status, /^EXPERIMENT_STATUS_/), e.viewer, e.create_time ? new Date(e.create_time).toLocaleString() : "", e.run_id].map((text) => make("td", {}, text)));
  row.dataset.name = e.resource_name;
  row.classList.toggle("chosen", e.resource_name === followed?.name);
  return row;
}

// follow shows a run instead of the one before.
async function follow(experiment) {
  followed?.abort.abort();
  const mine = { name: experiment.resource_name, abort: new AbortController() };
  followed = mine;
  clear();
  byId("run").textContent = `${experiment.path} on ${experiment.viewer}`;
  for (const row of byId("experiments").children) row.classList.toggle("chosen", row.dataset.name === mine.name);
  let token = "";
  while (followed === mine) {
    try {
      if (await tail(mine, token, (t) => { token = t; })) return;
    } catch (err) {
      if (mine.abort.signal.aborted) return;
      state(`waiting: ${err.message}`);
      if (err.httpStatus >= 400 && err.httpStatus < 500 && err.httpStatus !== 429) return;
    }
    await new Promise((done) => setTimeout(done, retryAfter));
  }
}

// tail reads the events of one connection; true means that the run has ended.
// It is no EventSource, which cannot send a token.
async function tail(run, token, keep) {
  const query = new URLSearchParams({ "history_downsample.max_points": historyPoints });
  if (token) query.set("resume_token", token);
  else query.set("run_ids", run.name);
  const resp = await fetch(`/v1/metrics:tail?${query}`, { headers: headers({ Accept: "text/event-stream" }), signal: run.abort.signal });
  if (!resp.ok) throw await failure(resp);
  const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return ended;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (!data) continue;
      const message = JSON.parse(data.slice(6));
      if (message.error) throw new Error(message.error.message);
      take(message);
      keep(message.resume_token); // with the points, so that none is lost or comes twice
      ended = ended || Boolean(message.end);
    }
  }
}

function take(message) {
  if (message.log_reset) clear();
  if (message.batch) message.batch.series.forEach(add);
  if (message.caught_up) live = true;
  if (message.caught_up || message.batch) state(live ? "live" : "reading the history…");
  if (message.heartbeat?.last_error) state(`waiting for the Viewer: ${message.heartbeat.last_error.message}`);
  if (message.end) state(`ended: ${word(message.end.reason, /^END_REASON_/)}`);
  if (message.batch) requestAnimationFrame(draw);
}

// add takes points of a metric. Number() reads "NaN" and "Infinity" as they are.
function add({ metric_name: name, kind, steps, values }) {
  if (kind !== "METRIC_KIND_NUMBER") return;
  if (!series.has(name)) {
    series.set(name, { steps: [], values: [] });
    const names = [...series.keys()].sort();
    const chosen = byId("metric").value || names.find((n) => n.includes("loss")) || names[0];
    byId("metric").replaceChildren(...names.map((n) => make("option", { value: n, selected: n === chosen }, n)));
    byId("metric").disabled = false;
  }
  const one = series.get(name);
  for (let i = 0; i < steps.length; i++) {
    one.steps.push(Number(steps[i]));
    one.values.push(Number(values[i]));
  }
  if (live) fresh += steps.length;
}

function clear() {
  series = new Map();
  live = false;
  fresh = 0;
  byId("metric").replaceChildren();
  byId("metric").disabled = true;
  state("connecting…");
  draw();
}

function state(text) {
  byId("state").textContent = text;
  byId("state").classList.toggle("live", text === "live");
}

function draw() {
  const one = series.get(byId("metric").value) || { steps: [], values: [] };
  const odd = one.values.filter((v) => !Number.isFinite(v)).length;
  byId("points").textContent = one.steps.length;
  byId("odd").textContent = odd ? `, ${odd} of them NaN or ±Inf (red)` : "";
  byId("fresh").textContent = fresh;
  byId("latest").textContent = one.steps.length ? `${short(one.values.at(-1))} at step ${one.steps.at(-1)}` : "";
  drawChart(byId("chart"), one);
}

byId("commands").textContent = byId("commands").textContent.replaceAll("HOST", location.origin);
byId("metric").addEventListener("change", draw);
byId("token").addEventListener("change", () => {
  const before = followed;
  followed = undefined;
  before?.abort.abort();
  refresh();
});
window.addEventListener("resize", draw);
setInterval(() => document.hidden || refresh(), refreshEvery);
draw();
refresh();
