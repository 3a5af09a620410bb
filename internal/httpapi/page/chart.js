// A line chart of one metric on a canvas. Values that are not finite are gaps,
// with a mark on the lower edge.
"use strict";

const margin = { top: 10, right: 16, bottom: 26, left: 64 };

const short = (v) => (v !== 0 && (Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3) ? v.toExponential(2) : String(+v.toPrecision(5)));

// extent returns the least and greatest of finite numbers, never an empty
// range.
function extent(numbers) {
  let least = Infinity;
  let greatest = -Infinity;
  for (const n of numbers) {
    if (!Number.isFinite(n)) continue;
    if (n < least) least = n;
    if (n > greatest) greatest = n;
  }
  if (least > greatest) return [0, 1];
  return least === greatest ? [least - 0.5, greatest + 0.5] : [least, greatest];
}

// ticks returns round numbers in a range, about count of them. It counts them,
// because where a step is less than a number's precision, numbers never grow.
function ticks(low, high, count) {
  const least = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(least));
  const step = unit * ([1, 2, 5].find((n) => n * unit >= least) || 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: count + 1 }, (_, i) => (first + i) * step).filter((v) => v >= low && v <= high);
}

// drawChart draws a series {steps, values} over the whole canvas.
function drawChart(canvas, series) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const [left, right] = extent(series.steps);
  const [low, high] = extent(series.values);
  const x = (step) => margin.left + ((step - left) / (right - left)) * (width - margin.left - margin.right);
  const y = (value) => height - margin.bottom - ((value - low) / (high - low)) * (height - margin.top - margin.bottom);

  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = style.color;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.beginPath();
  for (const value of ticks(low, high, 5)) {
    pen.moveTo(margin.left, y(value));
    pen.lineTo(width - margin.right, y(value));
    pen.fillText(short(value), margin.left - 8, y(value));
  }
  pen.stroke();
  pen.textBaseline = "alphabetic";
  pen.textAlign = "center";
  for (const step of ticks(left, right, Math.ceil(width / 150))) pen.fillText(short(step), x(step), height - 6);

  pen.strokeStyle = style.getPropertyValue("--mark");
  pen.lineWidth = 1.5;
  pen.beginPath();
  let gap = true;
  for (let i = 0; i < series.steps.length; i++) {
    const value = series.values[i];
    if (Number.isFinite(value)) {
      if (gap) pen.moveTo(x(series.steps[i]), y(value));
      else pen.lineTo(x(series.steps[i]), y(value));
    }
    gap = !Number.isFinite(value);
  }
  pen.stroke();
  pen.fillStyle = "#c33";
  for (let i = 0; i < series.steps.length; i++) {
    if (!Number.isFinite(series.values[i])) pen.fillRect(x(series.steps[i]) - 1, height - margin.bottom, 2, 5);
  }
}
