// The chart with its selected runs and metric, and their stream.
import { APIError, getJSON, pathOf, Poller } from "/page/api.js";
import { Chart } from "/page/chart.js";
import { byId, make } from "/page/dom.js";
import { ChartedRun } from "/page/legend.js";
import { statusOf } from "/page/runs.js";
import { short } from "/page/scale.js";
import { Tail } from "/page/tail.js";

// maxRuns is the number of runs for which the chart has colours.
export const maxRuns = 8;
const metricsInterval = 5000; // ms between two reads of the metrics of the runs

export class Charted {
  #runs = new Map(); // of ChartedRun, by resource name
  #metric = "";
  #followed = ""; // runs and metric of the stream
  #connected = false;
  #trouble = "";
  #frame = 0;
  #readings = new Map();
  #isLost;
  #changed;
  #tail = new Tail({
    message: (message) => this.#take(message),
    broken: (err, again) => {
      this.#connected = false;
      if (again) for (const run of this.#runs.values()) run.restart();
      this.#setTrouble(`${err.message}; trying again`);
    },
    failed: (err) => this.#setTrouble(err.message),
  });
  #chart = new Chart(byId("chart"), (readings, x) => this.#showCursor(readings, x));
  #metricsPoller = new Poller((signal) => this.#readMetrics(signal), metricsInterval);

  // isLost reports whether the Viewer of a run is down; changed is called when the
  // selection of runs or the metric changes.
  constructor(isLost, changed) {
    this.#isLost = isLost;
    this.#changed = changed;
    byId("metric").addEventListener("change", (event) => {
      this.#setMetric(event.target.value);
      this.#follow();
    });
    document.addEventListener("visibilitychange", () => this.#follow());
  }

  get names() { return new Set(this.#runs.keys()); }
  get runs() { return [...this.#runs.values()].map(({ run }) => run); }
  // metric is the selected metric; shown is empty if the runs do not have it.
  get metric() { return this.#metric; }
  set metric(name) { this.#metric = name; }
  get shown() { return byId("metric").value; }
  get isRunning() { return [...this.#runs.values()].some((run) => run.isRunning); }

  // choose selects a run: alone, or in addition to the others, from which choosing it
  // again removes it. It returns false if there is no colour left.
  choose(run, beside) {
    const name = run.resource_name;
    if (beside && this.#runs.has(name)) {
      this.remove(name);
      return true;
    }
    if (beside && this.#runs.size === maxRuns) return false;
    const kept = this.#runs.get(name);
    if (!beside) this.#runs.clear();
    this.#runs.set(name, kept || new ChartedRun(run, this.#freeColor(), () => this.remove(name)));
    this.#selectionChanged();
    return true;
  }

  remove(name) {
    this.#runs.delete(name);
    this.#selectionChanged();
  }

  // update sets the state of the runs from lists. A run that is running again is
  // followed again.
  update(runs) {
    for (const run of runs) {
      const charted = this.#runs.get(run.resource_name);
      if (!charted) continue;
      if (charted.end && statusOf(run) === "running" && statusOf(charted.run) !== "running") this.#followed = "";
      charted.run = run;
    }
    this.#follow();
  }

  // again reads everything again, for example with another token.
  again() {
    this.#metricsPoller.now();
    this.#followed = "";
    this.#follow();
  }

  #freeColor() {
    const used = new Set([...this.#runs.values()].map(({ color }) => color));
    return Array.from({ length: maxRuns }, (_, i) => `--run-${i}`).find((color) => !used.has(color));
  }

  #selectionChanged() {
    byId("legend").replaceChildren(...[...this.#runs.values()].map(({ item }) => item));
    this.#showMetrics();
    this.#metricsPoller.now();
  }

  async #readMetrics(signal) {
    for (const run of this.#runs.values()) {
      if (run.metrics && !run.isRunning) continue;
      try {
        const { metrics, next_page_token: more } = await getJSON(`${pathOf(run.run)}/metrics`, signal);
        run.metrics = metrics;
        run.hasMoreMetrics = more !== "";
      } catch (err) {
        if (signal.aborted) return;
        if (!run.metrics) this.#setTrouble(err.message);
        if (err instanceof APIError && err.isFinal) run.metrics ||= [];
      }
    }
    if (!signal.aborted) this.#showMetrics();
  }

  #setMetric(name) {
    if (name === this.#metric) return;
    this.#metric = name;
    for (const run of this.#runs.values()) run.clear();
  }

  // #showMetrics lists the metrics, and selects another one if the selected one is not
  // among them.
  #showMetrics() {
    const known = [...this.#runs.values()].flatMap((run) => run.metrics || []);
    const names = [...new Set(known.filter((m) => m.kind !== "METRIC_KIND_TEXT").map((m) => m.metric_name))].sort();
    const select = byId("metric");
    if (JSON.stringify(names) !== JSON.stringify([...select.options].map(({ value }) => value))) {
      select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    }
    select.title = [...this.#runs.values()].some((run) => run.hasMoreMetrics) ? "The first 1000 metrics of each run" : "";
    select.disabled = names.length === 0;
    const complete = [...this.#runs.values()].every((run) => run.metrics);
    if (names.length && !names.includes(this.#metric) && complete) {
      this.#setMetric(names.find((name) => name === "loss") || names.find((name) => name.includes("loss")) || names[0]);
    }
    select.value = this.#metric;
    this.#follow();
  }

  // #follow follows the current selection. A page that is not visible follows nothing.
  #follow() {
    const wanted = document.hidden || !this.shown ? "" : JSON.stringify([...this.#runs.keys(), this.#metric]);
    if (wanted !== this.#followed) {
      this.#followed = wanted;
      this.#connected = false;
      this.#trouble = "";
      for (const run of this.#runs.values()) run.restart();
      if (wanted) this.#tail.start(this.runs, this.#metric);
      else this.#tail.stop();
    }
    this.#changed();
    this.show();
  }

  #take(message) {
    this.#connected = true;
    const { last_error: error, upstream_state: state } = message.heartbeat || {};
    if (message.heartbeat) this.#trouble = state === "UPSTREAM_STATE_FAILING" ? error?.message || "A Viewer does not answer." : "";
    else if (message.batch) this.#trouble = "";
    [...this.#runs.values()].find(({ run }) => run.viewer === message.viewer && run.run_id === message.run_id)?.take(message);
    this.show();
  }

  #setTrouble(text) {
    this.#trouble = text;
    this.show();
  }

  #showCursor(readings, x) {
    this.#readings = readings;
    this.#showLegend();
    const tip = byId("tip");
    tip.hidden = readings.size === 0;
    if (tip.hidden) return;
    tip.replaceChildren(...[...readings].map(([key, { name, step, value }]) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = `var(${this.#runs.get(key)?.color})`;
      return make("div", {}, swatch, make("b", {}, short(value)), ` step ${step} `, make("span", { className: "soft" }, name));
    }));
    const onRight = x > byId("chart").clientWidth / 2;
    tip.style.left = onRight ? "" : `${x + 12}px`;
    tip.style.right = onRight ? `${byId("chart").clientWidth - x + 12}px` : "";
  }

  // show updates the chart, its legend and its status, once for all messages of a
  // frame.
  show() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#showNow();
    });
  }

  #showNow() {
    this.#chart.show([...this.#runs].map(([key, { name, color, series }]) => ({ key, name, color, steps: series.steps, values: series.values })), this.#metric);
    this.#showLegend();
    byId("stream").textContent = this.#trouble;
    byId("empty").textContent = this.#whyEmpty();
  }

  #showLegend() {
    for (const [name, run] of this.#runs) run.show(this.#isLost(run.run), this.#connected, this.#readings.get(name));
  }

  // #whyEmpty returns why the chart is empty; an empty text if it is not.
  #whyEmpty() {
    const runs = [...this.#runs.values()];
    if (!runs.length) return "Choose a run in the list to see its metrics.";
    if (runs.some(({ series }) => series.values.some(Number.isFinite))) return "";
    const lost = runs.find((run) => this.#isLost(run.run));
    if (lost) return `Viewer ${lost.run.viewer} does not answer. The chart comes when it does.`;
    if (this.#trouble) return this.#trouble;
    if (runs.some((run) => !run.metrics)) return "Reading which metrics there are…";
    const which = runs.length === 1 ? `${runs[0].name} has` : "These runs have";
    if (!runs.some((run) => run.metrics.length)) {
      return this.isRunning ? `${which} logged no metrics yet. They appear here when they come.` : `${which} ended, and logged no metrics.`;
    }
    if (!byId("metric").options.length) return `${which} logged texts, but no numbers.`;
    if (runs.some(({ series }) => series.steps.length)) return `All values of ${this.#metric} are NaN or ±Inf.`;
    if (runs.some((run) => !run.caughtUp && !run.end)) return "Reading the history…";
    return `${which} no values of ${this.#metric}.`;
  }
}
