// The page of the API, made of /openapi.json in the browser.
import { byId, make, onSlash } from "/page/dom.js";
import { field, tryIt } from "/page/form.js";
import { inline, markdown } from "/page/markdown.js";

let doc;

const last = (path) => path.split("/").pop();
const typeOf = (s) => (s.$ref ? last(s.$ref) : s.type === "array" ? `${typeOf(s.items)}[]` : s.format || s.type || "any");
const soft = (text) => make("span", { className: "soft" }, text);
const resolve = (schema) => (schema.$ref ? doc.components.schemas[last(schema.$ref)] || {} : schema);
// contentOf returns the first content of a body or a response.
const contentOf = (body) => Object.values(body?.content || {})[0];

// schemaList shows the fields of a schema. Nested ones are made on demand, so
// recursive messages are possible.
function schemaList(schema) {
  const target = resolve(schema.type === "array" ? schema.items : schema);
  const list = make("ul", { className: "schema" });
  if (target.enum) list.append(make("li", {}, target.enum.join(" · ")));
  for (const [name, value] of Object.entries(target.properties || {})) {
    const item = make("li", {}, make("code", {}, name), " ", soft(typeOf(value)), " ", ...inline(value.description || ""));
    const inner = resolve(value.type === "array" ? value.items : value);
    if (inner.properties || inner.enum) {
      const more = make("details", {}, make("summary", { className: "soft" }, typeOf(value)));
      more.addEventListener("toggle", () => more.childElementCount > 1 || more.append(schemaList(value)));
      item.append(more);
    }
    list.append(item);
  }
  if (!list.childElementCount) list.append(make("li", {}, typeOf(schema)));
  return list;
}

// example returns an initial body. It has only required fields: an empty value of
// another field may mean "remove it".
function example(schema) {
  const target = resolve(schema);
  const entries = Object.entries(target.properties || {}).filter(([name]) => target.required?.includes(name));
  return JSON.stringify(Object.fromEntries(entries.map(([name, f]) => {
    const t = resolve(f);
    const value = f.type === "array" ? [] : t.properties ? {} : t.enum ? t.enum[0] : f.type === "boolean" ? false : f.type === "integer" ? 0 : "";
    return [name, value];
  })), null, 2);
}

function parameters(params, inputs) {
  return make("dl", { className: "params" }, ...params.flatMap((param) => [
    make("dt", {}, make("code", {}, param.name), " ", soft(`${param.in} ${typeOf(param.schema)}${param.required ? ", required" : ""}`)),
    make("dd", {}, inputs.get(param), ...markdown(param.description)),
  ]));
}

// fill makes the content of a call when it is first opened.
function fill(box, call) {
  const params = call.parameters || [];
  const bodySchema = contentOf(call.requestBody)?.schema;
  const inputs = new Map(params.map((param) => [param, field(param, resolve)]));
  box.append(...markdown(call.description));
  if (params.length) box.append(make("h3", {}, "Parameters"), parameters(params, inputs));
  let body;
  if (bodySchema) {
    body = make("textarea", { value: example(bodySchema), spellcheck: false, ariaLabel: "Body" });
    box.append(make("h3", {}, "Body"), schemaList(bodySchema), body);
  }
  const ok = call.responses["200"];
  const answer = contentOf(ok)["x-item-schema"] || contentOf(ok).schema;
  const errors = Object.keys(call.responses).filter((status) => status >= 400).join(", ");
  box.append(make("h3", {}, "Answer ", soft(typeOf(answer))), ...markdown(ok.description), schemaList(answer));
  box.append(make("h3", {}, "Errors ", soft(errors)), schemaList({ $ref: "#/components/schemas/ErrorResponse" }));
  box.append(...tryIt(call, box, inputs, body));
}

function callBox(call) {
  const brief = call.summary.split(/:\s/)[0];
  const box = make("details", { className: "call", id: call.operationId },
    make("summary", {}, make("span", { className: "verb", data: { verb: call.method } }, call.method.toUpperCase()), " ",
      make("span", { className: "path" }, call.path), " ", make("span", { className: "brief soft" }, ...inline(brief))));
  box.dataset.text = `${call.method} ${call.path} ${call.operationId} ${call.description}`.toLowerCase();
  box.addEventListener("toggle", () => {
    if (!box.open) return;
    if (box.childElementCount === 1) fill(box, call);
    history.replaceState(null, "", `#${box.id}`);
  });
  return box;
}

// find shows the calls that contain every word of the search.
function find() {
  const text = byId("find").value.trim();
  const words = text.toLowerCase().split(/\s+/);
  const boxes = [...document.querySelectorAll("details.call")];
  for (const box of boxes) box.hidden = !words.every((one) => box.dataset.text.includes(one));
  for (const section of byId("services").children) section.hidden = !section.querySelector("details.call:not([hidden])");
  const count = boxes.filter((box) => !box.hidden).length;
  byId("found").textContent = !text ? "" : count ? `${count} of ${boxes.length} calls` : `Nothing is found for “${text}”. Names of calls, parts of paths and words of their descriptions can be found.`;
}

function render() {
  byId("about").replaceChildren(...markdown(doc.info.description), make("p", { className: "soft" }, `Version ${doc.info.version}.`));
  const calls = Object.entries(doc.paths).flatMap(([path, ops]) => Object.entries(ops).map(([method, op]) => ({ ...op, path, method })));
  byId("services").append(...doc.tags.map((tag) => make("section", {}, make("h2", {}, tag.name),
    make("details", {}, make("summary", { className: "soft" }, `About ${tag.name}`), ...markdown(tag.description)), ...calls.filter((call) => call.tags.includes(tag.name)).map(callBox))));
  const named = document.getElementById(location.hash.slice(1));
  named?.setAttribute("open", "");
  named?.scrollIntoView();
}

async function load() {
  try {
    const response = await fetch("/openapi.json");
    doc = await response.json();
    render();
  } catch (err) {
    byId("about").textContent = `openapi.json cannot be read: ${err}`;
  }
}

byId("find").addEventListener("input", find);
byId("find").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.target.value = "";
    find();
  }
  if (event.key === "Enter") document.querySelector("details.call:not([hidden]) summary")?.focus();
});
onSlash(byId("find"));
load();
