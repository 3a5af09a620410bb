// The points of one metric of one run, bounded in number.
import { extent } from "/page/scale.js";

// maxPoints is how many points of a series the page holds.
export const maxPoints = 4000;

export class Series {
  steps = [];
  values = [];
  count = 0; // known number of points of the run

  // oddCount is the number of points here that are NaN or ±Inf.
  get oddCount() { return this.values.filter((v) => !Number.isFinite(v)).length; }

  // add adds points in the form of the API. Number() reads its 64-bit integers,
  // which are strings, and "NaN" and "Infinity".
  add({ steps, values, total_count: total }) {
    this.count += Number(total ?? steps.length);
    for (let i = 0; i < steps.length; i++) {
      this.steps.push(Number(steps[i]));
      this.values.push(Number(values[i]));
    }
    if (this.steps.length > maxPoints) this.#thin();
  }

  // #thin divides the range of steps into equal parts. Of each it keeps the lowest and
  // the highest point and the first one that is not finite, so that peaks and gaps
  // stay; and it keeps the last point.
  #thin() {
    const [low, high] = extent([this.steps]);
    const parts = new Map();
    this.values.forEach((value, i) => {
      const key = Math.floor(((this.steps[i] - low) / (high - low)) * (maxPoints / 4));
      const part = parts.get(key) || {};
      parts.set(key, part);
      if (!Number.isFinite(value)) part.odd ??= i;
      else if (part.low === undefined) part.low = part.high = i;
      else if (value < this.values[part.low]) part.low = i;
      else if (value >= this.values[part.high]) part.high = i;
    });
    const kept = new Set([...parts.values()].flatMap((part) => [part.low, part.high, part.odd]).filter((i) => i !== undefined));
    kept.add(this.values.length - 1);
    const order = [...kept].sort((a, b) => a - b);
    this.steps = order.map((i) => this.steps[i]);
    this.values = order.map((i) => this.values[i]);
  }
}
