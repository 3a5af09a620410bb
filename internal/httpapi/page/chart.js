// A line chart of several series over one axis of steps, on a canvas. Values
// that are not finite are gaps, with a mark on the lower edge.
import { extent, nearest, short, ticks } from "/page/scale.js";

const margin = { top: 28, right: 16, bottom: 40, left: 60 };
const reach = 12; // px; up to this far beyond its ends a series has a value at the cursor

export class Chart {
  #canvas;
  #onCursor;
  #series = [];
  #yName = "";
  #cursor; // a step
  #scales; // of the last drawing; undefined if the chart is empty
  #frame = 0;

  // onCursor(readings, x) is called with the values of the series at the cursor, a Map
  // of {name, step, value} by key, and its position; x is undefined without a cursor.
  constructor(canvas, onCursor) {
    this.#canvas = canvas;
    this.#onCursor = onCursor;
    new ResizeObserver(() => this.#request()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#request());
    canvas.addEventListener("pointermove", (event) => this.#moveTo(this.#stepAt(event.offsetX)));
    canvas.addEventListener("pointerdown", (event) => this.#moveTo(this.#stepAt(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.#moveTo(undefined));
    canvas.addEventListener("blur", () => this.#moveTo(undefined));
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
  }

  // show draws series {key, name, color, steps, values}, where color is a custom
  // property of style.css. They may grow: show is called again then.
  show(series, yName) {
    this.#series = series;
    this.#yName = yName;
    this.#request();
  }

  #request() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
      this.#tell();
    });
  }

  #stepAt(x) { return this.#scales && this.#scales.stepAt(x); }

  #moveTo(step) {
    this.#cursor = step;
    this.#request();
  }

  #onKey(event) {
    if (!this.#scales) return;
    const { steps: [low, high] } = this.#scales;
    const at = this.#cursor ?? high;
    const one = Math.max((high - low) / 100, 1);
    const target = { ArrowLeft: at - one, ArrowRight: at + one, Home: low, End: high, Escape: null }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.#moveTo(target === null ? undefined : Math.min(Math.max(target, low), high));
  }

  // #readings returns the point of each series that is nearest to the cursor.
  #readings() {
    const readings = new Map();
    if (this.#cursor === undefined || !this.#scales) return readings;
    const { x } = this.#scales;
    for (const { key, name, steps, values } of this.#series) {
      const i = nearest(steps, this.#cursor);
      if (i < 0) continue;
      const [first, last] = extent([steps]);
      if (x(this.#cursor) < x(first) - reach || x(this.#cursor) > x(last) + reach) continue;
      readings.set(key, { name, step: steps[i], value: values[i] });
    }
    return readings;
  }

  #tell() {
    const readings = this.#readings();
    const text = [...readings.values()].map(({ name, step, value }) => `${name}: ${short(value)} at step ${step}`).join("; ");
    this.#canvas.setAttribute("aria-valuenow", Math.round(this.#cursor ?? this.#scales?.steps[1] ?? 0));
    this.#canvas.setAttribute("aria-valuetext", text || "no step chosen");
    this.#onCursor(readings, this.#cursor === undefined ? undefined : this.#scales?.x(this.#cursor));
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.width = width * ratio;
    this.#canvas.height = height * ratio;
    const pen = this.#canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(this.#canvas);
    const steps = extent(this.#series.map((one) => one.steps));
    if (!steps || width === 0) {
      this.#scales = undefined;
      return;
    }
    this.#scales = scalesOf(steps, extent(this.#series.map((one) => one.values)) || [0, 1], width, height);
    this.#canvas.setAttribute("aria-valuemin", Math.round(steps[0]));
    this.#canvas.setAttribute("aria-valuemax", Math.round(steps[1]));
    pen.font = `12px ${style.fontFamily}`;
    this.#drawAxes(pen, style);
    for (const one of this.#series) drawLine(pen, this.#scales, one, style.getPropertyValue(one.color));
    pen.fillStyle = style.getPropertyValue("--bad");
    for (const one of this.#series) drawOdd(pen, this.#scales, one);
    this.#drawCursor(pen, style);
  }

  #drawAxes(pen, style) {
    const { x, y, steps, values, width, height } = this.#scales;
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.fillStyle = style.getPropertyValue("--soft-text");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.beginPath();
    for (const value of ticks(values, 5)) {
      pen.moveTo(margin.left, y(value));
      pen.lineTo(width - margin.right, y(value));
      pen.fillText(short(value), margin.left - 8, y(value));
    }
    pen.moveTo(margin.left, height - margin.bottom);
    pen.lineTo(width - margin.right, height - margin.bottom);
    pen.stroke();
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const step of ticks(steps, Math.ceil(width / 100))) pen.fillText(short(step), x(step), height - margin.bottom + 8);
    pen.fillStyle = style.color;
    pen.textAlign = "right";
    pen.fillText("step", width - margin.right, height - 14);
    pen.textAlign = "left";
    pen.fillText(this.#yName.length > 60 ? `${this.#yName.slice(0, 59)}…` : this.#yName, 8, 6, width - 16);
  }

  #drawCursor(pen, style) {
    if (this.#cursor === undefined) return;
    const { x, y, height } = this.#scales;
    pen.strokeStyle = style.getPropertyValue("--soft-text");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x(this.#cursor), margin.top);
    pen.lineTo(x(this.#cursor), height - margin.bottom);
    pen.stroke();
    const readings = this.#readings();
    for (const { key, color } of this.#series) {
      const reading = readings.get(key);
      if (!reading || !Number.isFinite(reading.value)) continue;
      pen.fillStyle = style.getPropertyValue(color);
      dot(pen, x(reading.step), y(reading.value), 4);
    }
  }
}

// scalesOf returns the functions from steps and values to pixels, and back.
function scalesOf(steps, values, width, height) {
  const [left, right] = steps;
  const [low, high] = values;
  const plotWidth = width - margin.left - margin.right;
  const plotHeight = height - margin.top - margin.bottom;
  return {
    steps, values, width, height,
    x: (step) => margin.left + ((step - left) / (right - left)) * plotWidth,
    y: (value) => height - margin.bottom - ((value - low) / (high - low)) * plotHeight,
    stepAt: (x) => Math.min(Math.max(left + ((x - margin.left) / plotWidth) * (right - left), left), right),
  };
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

// drawLine draws a series. A single point between two gaps is a dot.
function drawLine(pen, { x, y }, { steps, values }, color) {
  pen.strokeStyle = color;
  pen.fillStyle = color;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  const alone = [];
  pen.beginPath();
  for (let i = 0; i < steps.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    const begins = i === 0 || !Number.isFinite(values[i - 1]);
    if (begins) pen.moveTo(x(steps[i]), y(values[i]));
    else pen.lineTo(x(steps[i]), y(values[i]));
    if (begins && !Number.isFinite(values[i + 1])) alone.push(i);
  }
  pen.stroke();
  for (const i of alone) dot(pen, x(steps[i]), y(values[i]), 2.5);
}

// drawOdd marks the steps whose value is not finite.
function drawOdd(pen, { x, height }, { steps, values }) {
  for (let i = 0; i < steps.length; i++) {
    if (!Number.isFinite(values[i])) pen.fillRect(x(steps[i]) - 1, height - margin.bottom, 2, 6);
  }
}
