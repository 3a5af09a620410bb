// Helpers for the document. Texts are set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

// make returns an element with properties and children; a string is a text.
export function make(tag, props = {}, ...children) {
  const { data, ...rest } = props;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, data);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

// word turns the name of an enum value into words: EXPERIMENT_STATUS_RUNNING
// into "running".
export const word = (name, prefix) => (name || "").replace(prefix, "").toLowerCase().replaceAll("_", " ");

// badge returns a status as a coloured word; style.css has a colour for each kind.
export const badge = (text, kind = text) => make("span", { className: "badge", data: { kind } }, text);

const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// ago returns how long ago a time of the API was.
export function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  const [unit, length] = units.find(([, size]) => seconds >= size) || units.at(-1);
  return `${Math.floor(seconds / length)} ${unit} ago`;
}

// timeOf returns an element that shows a time of the API.
export function timeOf(time) {
  return time ? make("time", { dateTime: time, title: new Date(time).toLocaleString() }, ago(time)) : "";
}

// onSlash moves the focus to a field when "/" is pressed outside of fields.
export function onSlash(field) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
}
