// Numbers of a chart: ranges, round ticks and their texts.

// short writes a number in at most five digits.
export const short = (v) => {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "Inf" : "−Inf";
  const size = Math.abs(v);
  return size !== 0 && (size >= 1e6 || size < 1e-3) ? v.toExponential(2) : String(+v.toPrecision(5));
};

// extent returns the minimum and the maximum of finite numbers, never an empty
// range; undefined if there are none.
export function extent(lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const n of list) {
      if (!Number.isFinite(n)) continue;
      if (n < low) low = n;
      if (n > high) high = n;
    }
  }
  if (low > high) return undefined;
  if (low < high) return [low, high];
  const half = Math.abs(low) / 2 || 0.5;
  return [low - half, high + half];
}

// ticks returns about count round numbers in a range. It counts them, because adding
// a step that is smaller than a number's precision changes nothing.
export function ticks([low, high], count) {
  const minStep = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(minStep));
  const step = unit * ([1, 2, 5].find((n) => n * unit >= minStep) || 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: count + 1 }, (_, i) => (first + i) * step).filter((v) => v >= low && v <= high);
}

// nearest returns the index of the point whose step is nearest, -1 if there is
// none. Steps are in the order of logging and may go back.
export function nearest(steps, step) {
  let best = -1;
  for (let i = 0; i < steps.length; i++) {
    if (best < 0 || Math.abs(steps[i] - step) <= Math.abs(steps[best] - step)) best = i;
  }
  return best;
}
