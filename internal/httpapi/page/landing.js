// The first page: the lists of Viewers and of runs, and a chart of some runs.
import { APIError, getJSON, hasToken, Poller, setToken } from "/page/api.js";
import { Charted, maxRuns } from "/page/charted.js";
import { Commands, copyButton } from "/page/commands.js";
import { byId, onSlash } from "/page/dom.js";
import { RunList } from "/page/runs.js";
import { isDown, viewerRow } from "/page/viewers.js";

const interval = 3000; // ms between two reads of a list; a check waits up to a second for a Viewer
const typingDelay = 300; // ms after the last letter of a filter
const pageStep = 50;
const maxPage = 200; // maximum number of runs in the list; a filter finds others

let viewers = [];
let listed = { runs: [], filter: "", total: 0, unreachable: new Set(), isUnread: true };
let pageSize = pageStep;
let typing;
let isUntouched = true; // no run was selected yet
let linkProblem = "";

const link = new URLSearchParams(location.hash.slice(1)); // the selection in the address of the page

const isLost = (run) => listed.unreachable.has(run.viewer) || viewers.some((v) => v.viewer === run.viewer && isDown(v));
const charted = new Charted(isLost, selectionChanged);
const list = new RunList(byId("runs"), choose);
const viewersPoller = new Poller(readViewers, interval);
const runsPoller = new Poller(readRuns, interval);
const commands = new Commands(() => {
  const { grpcPort } = document.body.dataset;
  return { address: `${location.hostname}${grpcPort === "0" ? "" : `:${grpcPort}`}`, tls: location.protocol === "https:", token: hasToken() };
});

// trouble shows an error about the server itself, and asks for a token if the server
// requires one.
function trouble(err) {
  const needsToken = err instanceof APIError && err.httpStatus === 401;
  if (needsToken) {
    byId("login").hidden = false;
    viewersPoller.stop(); // until there is another token
    runsPoller.stop();
  }
  byId("trouble").textContent = !err ? "" : needsToken ? `This server requires a token. ${hasToken() ? "The one given is not valid." : "Enter yours above."}` : err.message;
  byId("trouble").hidden = !err;
}

async function readViewers(signal) {
  try {
    ({ viewers } = await getJSON("/v1/viewers", signal));
    trouble();
  } catch (err) {
    if (signal.reason?.name === "AbortError") return;
    if (err.httpStatus === 401) viewers = [];
    trouble(err);
  }
  byId("side").classList.toggle("stale", !byId("trouble").hidden);
  byId("viewers").replaceChildren(...viewers.map(viewerRow));
  showRuns();
}

async function readRuns(signal) {
  const filter = byId("filter").value.trim();
  const query = new URLSearchParams({ viewer: "-", page_size: pageSize, allow_partial: "true" });
  if (filter) query.set("filter", filter);
  try {
    const answer = await getJSON(`/v1/experiments?${query}`, signal);
    filterError("");
    takeRuns(filter, answer);
  } catch (err) {
    if (signal.reason?.name === "AbortError") return;
    const refused = err.violations?.find(({ field }) => field === "filter");
    if (refused) filterError(refused.description);
    else if (err.reason === "VIEWER_UNREACHABLE") takeRuns(filter, { experiments: [], unreachable: viewers });
    else if (err.httpStatus !== 401) byId("runs-note").textContent = err.message;
    else {
      takeRuns(filter, { experiments: [], unreachable: [] });
      trouble(err);
    }
  }
}

// takeRuns sets the list; Viewers that do not answer keep their last runs.
function takeRuns(filter, answer) {
  const unreachable = new Set(answer.unreachable.map(({ viewer }) => viewer));
  const old = filter === listed.filter ? listed.runs.filter((run) => unreachable.has(run.viewer)) : [];
  const runs = [...answer.experiments, ...old];
  if (old.length) runs.sort((a, b) => (b.create_time || "").localeCompare(a.create_time || ""));
  listed = { runs, filter, total: answer.total_size, unreachable, notRead: answer.not_read_count };
  if (isUntouched && runs.length) {
    choose(runs.find((run) => run.status === "EXPERIMENT_STATUS_RUNNING") || runs[0], false);
  }
  charted.update(runs);
  if (viewers.some((v) => unreachable.has(v.viewer) && !isDown(v))) viewersPoller.now();
  showRuns();
}

function filterError(text) {
  byId("filter-error").textContent = text;
  byId("filter-error").hidden = !text;
  byId("filter").setAttribute("aria-invalid", Boolean(text));
  if (text) byId("runs-note").textContent = listed.runs.length ? "The list is that of the filter before." : "";
}

function showRuns() {
  const { runs, total } = listed;
  list.show(runs, isLost);
  byId("runs").hidden = runs.length === 0;
  if (byId("filter-error").hidden) byId("runs-note").textContent = note();
  byId("more").hidden = !(total > runs.length && pageSize < maxPage);
  charted.show();
}

// note describes the list, or why it is empty.
function note() {
  const { runs, filter, total, unreachable, notRead } = listed;
  const lost = [...new Set([...unreachable, ...viewers.filter(isDown).map(({ viewer }) => viewer)])].join(", ");
  const parts = linkProblem ? [linkProblem] : [];
  if (runs.length) parts.push(total > runs.length ? `The newest ${runs.length} of ${total} runs.` : `${runs.length} ${runs.length === 1 ? "run" : "runs"}.`);
  else if (!byId("trouble").hidden) return "";
  else if (listed.isUnread) return "Reading the list of runs…";
  else if (lost) parts.push("No runs are known.");
  else if (filter) parts.push("No run matches the filter.");
  else parts.push("There are no runs yet. They appear here when one is created.");
  if (lost) parts.push(`No answer from ${lost}${runs.length ? ": those runs are shown as last known" : ""}.`);
  if (notRead) parts.push(`${notRead} more are still being read for this filter.`);
  if (total > runs.length && pageSize >= maxPage) parts.push("Narrow the filter to see others.");
  if (charted.names.size === maxRuns) parts.push(`The chart has room for ${maxRuns} runs, and is full.`);
  return parts.join(" ");
}

function choose(run, beside) {
  if (!charted.choose(run, beside)) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  byId("chart-section").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
}

// selectionChanged updates the page for the runs and the metric of the chart.
function selectionChanged() {
  isUntouched &&= charted.names.size === 0;
  list.mark(charted.names);
  const hash = new URLSearchParams([...charted.names].map((name) => ["run", name]));
  if (charted.metric) hash.set("metric", charted.metric);
  const filter = byId("filter").value.trim();
  if (filter) hash.set("filter", filter);
  history.replaceState(null, "", `#${hash}`);
  showCommands(filter);
}

function showCommands(filter) {
  const texts = { list: commands.list(filter) };
  const hasPoints = charted.shown !== "";
  if (hasPoints) texts.points = commands.points(charted.runs, charted.shown, charted.isRunning);
  for (const [what, { grpcurl, python }] of Object.entries(texts)) {
    byId(`${what}-grpcurl`).textContent = grpcurl;
    byId(`${what}-python`).textContent = python;
  }
  for (const id of ["points-grpcurl", "points-python"]) byId(id).closest(".command").hidden = !hasPoints;
}

// filterChanged reads the list immediately.
function filterChanged() {
  clearTimeout(typing);
  pageSize = pageStep;
  selectionChanged();
  runsPoller.now();
}

// openLink selects what a link to this page names.
async function openLink() {
  const names = link.getAll("run").slice(0, maxRuns);
  const answers = await Promise.allSettled(names.map((name) => getJSON(`/v1/experiments/${encodeURIComponent(name)}?view=basic`)));
  for (const { value } of answers) if (value) charted.choose(value.experiment, true);
  const failed = answers.find(({ reason }) => reason);
  linkProblem = failed ? `A run of this link cannot be shown: ${failed.reason.message}.` : "";
}

// start shows the lists, and the selection in the address of the page.
async function start() {
  viewersPoller.now();
  if (!charted.names.size) await openLink();
  selectionChanged();
  runsPoller.now();
}

byId("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filterChanged, typingDelay);
});
byId("filter").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "Escape") {
    event.preventDefault();
    if (event.key === "Escape") event.target.value = "";
    filterChanged();
    list.focus();
  }
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  filterChanged();
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(byId("token").value);
  if (charted.names.size) charted.again();
  start();
});
byId("more").addEventListener("click", () => {
  pageSize = Math.min(pageSize + pageStep, maxPage);
  runsPoller.now();
});
onSlash(byId("filter"));
for (const pre of document.querySelectorAll(".command pre")) pre.before(copyButton(pre));
byId("filter").value = link.get("filter") || "";
charted.metric = link.get("metric") || "";
window.addEventListener("hashchange", () => location.reload());
start();
