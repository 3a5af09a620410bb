// The points of one metric of one run, bounded in number.

// maxPoints is how many points of a series the page holds.
export const maxPoints = 4000;

export class Series {
  steps = [];
  values = [];
  count = 0; // of the points that the run has, as far as they are known
  oddCount = 0; // of those here that are NaN or ±Inf

  // add takes points as the API sends them. Number() reads its 64-bit integers,
  // which are strings, and "NaN" and "Infinity".
  add({ steps, values, total_count: total }) {
    this.count += Number(total ?? steps.length);
    for (let i = 0; i < steps.length; i++) {
      this.steps.push(Number(steps[i]));
      this.values.push(Number(values[i]));
    }
    while (this.steps.length > maxPoints) this.#halve();
    this.oddCount = this.values.filter((v) => !Number.isFinite(v)).length;
  }

  // #halve keeps of each four points the lowest, and the first that is not
  // finite or else the highest, so that peaks and gaps stay, and the last point.
  #halve() {
    const kept = [];
    for (let i = 0; i < this.values.length; i += 4) {
      const group = [i, i + 1, i + 2, i + 3].filter((j) => j < this.values.length);
      const finite = group.filter((j) => Number.isFinite(this.values[j])).sort((a, b) => this.values[a] - this.values[b]);
      const odd = group.find((j) => !Number.isFinite(this.values[j]));
      kept.push(...new Set([finite[0], odd ?? finite.at(-1)].filter((j) => j !== undefined).sort((a, b) => a - b)));
    }
    const last = this.values.length - 1;
    if (kept.at(-1) !== last) kept.push(last);
    this.steps = kept.map((i) => this.steps[i]);
    this.values = kept.map((i) => this.values[i]);
  }
}
