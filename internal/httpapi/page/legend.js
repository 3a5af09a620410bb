// One run of the chart: its colour, its state, its value, its exports.
import { hasToken, pathOf, save } from "/page/api.js";
import { badge, make } from "/page/dom.js";
import { nameOf, statusOf } from "/page/runs.js";
import { short } from "/page/scale.js";
import { Series } from "/page/series.js";

const formats = [["CSV", "csv"], ["Parquet", "parquet"], ["Arrow", "arrow_file"], ["JSON", "json"], ["HTML report", "html"], ["Files (zip)", "zip"]];
const ends = { END_REASON_DELETED: "deleted", END_REASON_NOT_FOUND: "not found", END_REASON_FINISHED: "finished", END_REASON_FAILED: "failed", END_REASON_INTERRUPTED: "interrupted" };

export class ChartedRun {
  series = new Series();
  metrics; // [{metric_name, kind}]; undefined until they were read
  hasMoreMetrics = false;
  caughtUp = false;
  stale = false; // series is from an earlier stream; the next one replaces it
  end = "";
  #status = make("span");
  #value = make("span", { className: "value" });
  #facts = make("span", { className: "facts" });

  constructor(run, color, remove) {
    this.run = run;
    this.color = color;
    this.name = nameOf(run);
    const close = make("button", { type: "button", className: "close", title: "Remove from the chart", ariaLabel: `Remove ${this.name} from the chart` }, "×");
    close.addEventListener("click", remove);
    this.item = make("li", { data: { color } },
      make("span", { className: "swatch" }), make("span", { className: "name" }, this.name), this.#status, this.#value, this.#facts, exports(run), close);
    this.item.querySelector(".swatch").style.background = `var(${color})`;
  }

  get isRunning() { return !this.end && statusOf(this.run) === "running"; }

  // restart resets the state of the stream. The points stay until the next stream has
  // new ones, so that the chart does not flicker.
  restart() {
    this.stale = true;
    this.caughtUp = false;
    this.end = "";
  }

  // clear removes the points.
  clear() {
    this.series = new Series();
    this.stale = false;
  }

  // take handles a message of the stream about this run.
  take(message) {
    if (message.log_reset || (this.stale && (message.batch || message.caught_up))) this.clear();
    for (const series of message.batch?.series || []) if (series.kind !== "METRIC_KIND_TEXT") this.series.add(series);
    if (message.caught_up) this.caughtUp = true;
    if (message.status_change) this.run = { ...this.run, status: message.status_change.status };
    if (message.end) this.end = ends[message.end.reason] || message.end.viewer_status || "ended";
  }

  // show updates the item: whether the run's Viewer is down, whether the stream is
  // connected, and the point at the cursor, if any.
  show(lost, connected, reading) {
    const { series } = this;
    const status = this.end || statusOf(this.run);
    this.#status.replaceChildren(lost ? badge("viewer down", "down") : this.isRunning && this.caughtUp && connected ? badge("live") : badge(status));
    const point = reading || (series.steps.length ? { step: series.steps.at(-1), value: series.values.at(-1) } : undefined);
    this.#value.textContent = point ? `${short(point.value)} at step ${point.step}` : "no points";
    const shown = series.count > series.steps.length ? `${series.steps.length} of ${series.count} points` : `${series.steps.length} points`;
    const odd = series.oddCount;
    this.#facts.textContent = [this.run.viewer, series.steps.length ? shown : "", odd ? `${odd} NaN or ±Inf (red)` : ""].filter(Boolean).join(" · ");
  }
}

// exports returns the links to the files of a run.
function exports(run) {
  const problem = make("span", { className: "why" });
  const links = formats.map(([text, format]) => {
    const href = `${pathOf(run)}:export?format=${format}`;
    const link = make("a", { href }, text);
    link.addEventListener("click", async (event) => {
      problem.textContent = "";
      if (!hasToken()) return;
      event.preventDefault();
      try {
        await save(href);
      } catch (err) {
        problem.textContent = err.message;
      }
    });
    return link;
  });
  return make("details", { className: "exports" }, make("summary", {}, "Export"), make("span", { className: "links" }, ...links, problem));
}
