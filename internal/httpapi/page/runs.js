// The list of runs: a list box in which one or several runs are selected.
import { badge, make, timeOf, word } from "/page/dom.js";
import { short } from "/page/scale.js";

export const nameOf = (run) => [run.path || run.run_id, run.alias].filter(Boolean).join(" · ");
export const statusOf = (run) => word(run.status, /^EXPERIMENT_STATUS_/) || "unknown";

export class RunList {
  #list;
  #choose;
  #rows = new Map(); // by resource name
  #chosen = new Set();

  // choose(run, beside) is called when a run is selected: alone, or with beside in
  // addition to the others.
  constructor(list, choose) {
    this.#list = list;
    this.#choose = choose;
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (!row) return;
      this.#focus(row, true);
      this.#choose(this.#rows.get(row.dataset.name).run, Boolean(event.target.closest(".tick")) || event.ctrlKey || event.metaKey);
    });
    list.addEventListener("keydown", (event) => this.#onKey(event));
  }

  // show shows runs; lost reports whether the Viewer of a run does not answer.
  show(runs, lost) {
    const before = [...this.#rows.keys()].join("\n");
    const focused = document.activeElement?.dataset?.name;
    const kept = this.#rows;
    this.#rows = new Map(runs.map((run) => [run.resource_name, { run, row: kept.get(run.resource_name)?.row || newRow(run) }]));
    for (const { run, row } of this.#rows.values()) fillRow(row, run, lost(run));
    if ([...this.#rows.keys()].join("\n") !== before) {
      this.#list.replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
      if (focused) this.#rows.get(focused)?.row.focus(); // an element loses the focus when it is moved
    }
    this.mark(this.#chosen);
  }

  // mark marks the selected runs, by resource name.
  mark(chosen) {
    this.#chosen = chosen;
    const rows = [...this.#list.children];
    for (const row of rows) row.setAttribute("aria-selected", chosen.has(row.dataset.name));
    if (!rows.some((row) => row.tabIndex === 0) && rows.length) (rows.find((row) => chosen.has(row.dataset.name)) || rows[0]).tabIndex = 0;
  }

  // reveal scrolls the list to a run.
  reveal(name) { this.#rows.get(name)?.row.scrollIntoView({ block: "nearest" }); }

  focus() { this.#list.querySelector("[tabindex='0']")?.focus(); }

  #focus(row, quiet) {
    for (const other of this.#list.children) other.tabIndex = -1;
    row.tabIndex = 0;
    row.focus({ preventScroll: quiet });
  }

  #onKey(event) {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Home: this.#list.firstElementChild, End: this.#list.lastElementChild }[event.key];
    const chosen = event.key === "Enter" || event.key === " ";
    if (to === undefined && !chosen) return;
    event.preventDefault();
    if (to) this.#focus(to);
    if (chosen) this.#choose(this.#rows.get(row.dataset.name).run, event.key === " ");
  }
}

function newRow(run) {
  const row = make("li", { className: "run", tabIndex: -1, data: { name: run.resource_name } });
  row.setAttribute("role", "option");
  return row;
}

function fillRow(row, run, lost) {
  const best = run.best_metric?.value === undefined ? "" : `best ${run.best_metric.metric_name} ${short(Number(run.best_metric.value))}`;
  const status = lost ? badge("viewer down", "down") : badge(statusOf(run));
  row.classList.toggle("lost", lost);
  row.replaceChildren(
    make("span", { className: "tick", title: "Show beside the others (Space)", ariaHidden: "true" }),
    make("span", { className: "name" }, nameOf(run)), status,
    make("span", { className: "facts" }, ...[run.viewer, run.run_id, best].filter(Boolean).flatMap((text) => [make("span", {}, text), " "]), timeOf(run.create_time)));
}
