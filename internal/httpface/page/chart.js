// A line chart of one metric on a canvas. Values that are not finite are gaps,
// with a mark on the lower edge.
"use strict";

const margin = { top: 10, right: 12, bottom: 26, left: 64 };

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
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const value = low + part * (high - low);
    pen.moveTo(margin.left, y(value));
    pen.lineTo(width - margin.right, y(value));
    pen.fillText(short(value), margin.left - 8, y(value));
  }
  pen.stroke();
  pen.textBaseline = "alphabetic";
  pen.textAlign = "left";
  pen.fillText(`step ${short(left)}`, margin.left, height - 8);
  pen.textAlign = "right";
  pen.fillText(short(right), width - margin.right, height - 8);

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
