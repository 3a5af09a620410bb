// The API page: made of /openapi.json in the browser, with no other file.
// All texts are set as text, never as HTML.
"use strict";

const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const byId = (id) => document.getElementById(id);
const last = (path) => path.split("/").pop();
const typeOf = (s) => (s.$ref ? last(s.$ref) : s.type === "array" ? `${typeOf(s.items)}[]` : s.format || s.type || "any");
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
let doc;

const resolve = (schema) => (schema.$ref ? doc.components.schemas[last(schema.$ref)] || {} : schema);
// contentOf returns the first content of a body or an answer.
const contentOf = (body) => Object.values(body?.content || {})[0];

// schemaList shows the fields of a schema; nested ones open on demand, so
// messages that hold each other do no harm.
function schemaList(schema) {
  const target = resolve(schema.type === "array" ? schema.items : schema);
  const list = make("ul", { className: "schema" });
  if (target.enum) list.append(make("li", {}, target.enum.join(" · ")));
  for (const [name, field] of Object.entries(target.properties || {})) {
    const item = make("li", {}, make("code", {}, name), " ", make("span", { className: "type" }, typeOf(field)), " ", field.description || "");
    const inner = resolve(field.type === "array" ? field.items : field);
    if (inner.properties || inner.enum) {
      const more = make("details", {}, make("summary", { className: "type" }, typeOf(field)));
      more.addEventListener("toggle", () => more.childElementCount > 1 || more.append(schemaList(field)));
      item.append(more);
    }
    list.append(item);
  }
  if (!list.childElementCount) list.append(make("li", {}, typeOf(schema)));
  return list;
}

// example makes a body to begin with. It has required fields only: an empty
// value of another one may mean "remove it".
function example(schema) {
  const target = resolve(schema);
  const entries = Object.entries(target.properties || {}).filter(([name]) => target.required?.includes(name));
  return JSON.stringify(Object.fromEntries(entries.map(([name, f]) => {
    const t = resolve(f);
    const value = f.type === "array" ? [] : t.properties ? {} : t.enum ? t.enum[0] : f.type === "boolean" ? false : f.type === "integer" ? 0 : "";
    return [name, value];
  })), null, 2);
}

// field makes the input of a parameter.
function field(param) {
  const several = param.schema.type === "array";
  const type = resolve(several ? param.schema.items : param.schema);
  const choices = type.enum || (type.type === "boolean" ? ["true", "false"] : null);
  if (!choices) return make("input", { placeholder: several ? "several: one, two" : "" });
  return make("select", { multiple: several }, ...(several ? [] : [make("option", { value: "" }, "")]), ...choices.map((c) => make("option", { value: c }, c)));
}

function valuesOf(input, param) {
  if (input.multiple) return [...input.selectedOptions].map((o) => o.value);
  if (param.schema.type === "array") return input.value.split(",").map((v) => v.trim()).filter(Boolean);
  return input.value === "" ? [] : [input.value];
}

// request reads the form of a call.
function request(call, inputs, body) {
  let path = call.path;
  const query = new URLSearchParams();
  for (const [param, input] of inputs) {
    const values = valuesOf(input, param);
    if (param.in === "path") path = path.replace(`{${param.name}}`, encodeURIComponent(values[0] || ""));
    else if (param.in === "query") for (const v of values) query.append(param.name, v);
  }
  const headers = {};
  for (const [param, input] of inputs) if (param.in === "header" && input.value) headers[param.name] = input.value;
  const token = byId("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  return { url: path + (query.size ? `?${query}` : ""), options: { method: call.method.toUpperCase(), headers, body: body?.value } };
}

function curl({ url, options }, stream) {
  const parts = ["curl"];
  if (stream) parts.push("-N");
  if (options.method !== "GET") parts.push("-X", options.method);
  if (options.headers.Authorization) parts.push("-H", '"Authorization: Bearer $TOKEN"');
  for (const name of ["Range", "If-Range"]) if (options.headers[name]) parts.push("-H", shell(`${name}: ${options.headers[name]}`));
  if (options.body !== undefined) parts.push("-H", shell("Content-Type: application/json"), "-d", shell(options.body));
  return [...parts, shell(location.origin + url)].join(" ");
}

// keep is how much of an endless stream stays on the page, in characters.
const keep = 200000;

async function send(req, answer, signal) {
  answer.textContent = "…";
  try {
    const resp = await fetch(req.url, { ...req.options, signal });
    const retry = resp.headers.get("Retry-After");
    answer.textContent = `${resp.status} ${resp.statusText}${retry ? `, try again in ${retry} s` : ""}\n\n`;
    if (resp.headers.get("Content-Type")?.startsWith("application/json")) {
      const text = await resp.text();
      answer.textContent += JSON.stringify(JSON.parse(text), null, 2);
      return;
    }
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      answer.textContent = (answer.textContent + value).slice(-keep);
      answer.scrollTop = answer.scrollHeight;
    }
  } catch (err) {
    answer.textContent += err.name === "AbortError" ? "\nstopped" : `\n${err}`;
  }
}

// tryIt makes the form that calls.
function tryIt(call, inputs, body) {
  const stream = "text/event-stream" in (call.responses["200"].content || {});
  const line = make("pre");
  const answer = make("pre", { className: "answer", hidden: true });
  const go = make("button", { type: "button" }, "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  let abort;
  const show = () => { line.textContent = curl(request(call, inputs, body), stream); };
  const busy = (yes) => { go.disabled = yes; stop.disabled = !yes; };
  go.addEventListener("click", async () => {
    abort = new AbortController();
    answer.hidden = false;
    busy(true);
    await send(request(call, inputs, body), answer, abort.signal);
    busy(false);
  });
  stop.addEventListener("click", () => abort.abort());
  for (const input of [...inputs.values(), body, byId("token")]) input?.addEventListener("input", show);
  show();
  return [make("h3", {}, "Try it"), line, go, " ", stop, answer];
}

// fill makes the inside of a call when it is opened first.
function fill(box, call) {
  const params = call.parameters || [];
  const bodySchema = contentOf(call.requestBody)?.schema;
  const inputs = new Map(params.map((p) => [p, field(p)]));
  box.append(make("p", {}, call.description || ""));
  if (params.length) {
    const rows = params.map((p) => make("tr", {},
      make("td", {}, make("code", {}, p.name), p.required ? " (required)" : "", make("br"), make("span", { className: "type" }, p.in + " " + typeOf(p.schema))),
      make("td", {}, inputs.get(p)), make("td", {}, p.description || "")));
    box.append(make("h3", {}, "Parameters"), make("table", {}, ...rows));
  }
  let body;
  if (bodySchema) {
    body = make("textarea", { value: example(bodySchema), spellcheck: false });
    box.append(make("h3", {}, "Body"), schemaList(bodySchema), body);
  }
  const ok = call.responses["200"];
  const answer = contentOf(ok)["x-item-schema"] || contentOf(ok).schema;
  const errors = Object.keys(call.responses).filter((status) => status >= 400).join(", ");
  box.append(make("h3", {}, "Answer ", make("span", { className: "type" }, typeOf(answer))), make("p", {}, ok.description), schemaList(answer));
  box.append(make("h3", {}, "Errors ", make("span", { className: "type" }, errors)), schemaList({ $ref: "#/components/schemas/ErrorResponse" }));
  box.append(...tryIt(call, inputs, body));
}

function callBox(call) {
  const brief = call.summary.split(/:\s/)[0];
  const box = make("details", { className: "call", id: call.operationId },
    make("summary", {}, make("span", { className: "method" }, call.method.toUpperCase()), make("span", { className: "path" }, call.path), make("span", { className: "brief" }, brief)));
  box.dataset.text = `${call.path} ${call.operationId} ${call.description}`.toLowerCase();
  box.addEventListener("toggle", () => { if (box.open && box.childElementCount === 1) fill(box, call); });
  return box;
}

function render() {
  byId("about").textContent = `${doc.info.description}\n\nVersion ${doc.info.version}.`;
  const calls = Object.entries(doc.paths).flatMap(([path, ops]) => Object.entries(ops).map(([method, op]) => ({ ...op, path, method })));
  for (const tag of doc.tags) {
    const mine = calls.filter((c) => c.tags.includes(tag.name));
    byId("services").append(make("section", {}, make("h2", {}, tag.name), make("p", {}, tag.description || ""), ...mine.map(callBox)));
  }
  byId("find").addEventListener("input", (e) => {
    const text = e.target.value.trim().toLowerCase();
    for (const box of document.querySelectorAll("details.call")) box.hidden = !box.dataset.text.includes(text);
  });
  document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
}

fetch("/openapi.json")
  .then((resp) => resp.json())
  .then((json) => { doc = json; render(); })
  .catch((err) => { byId("about").textContent = `openapi.json cannot be read: ${err}`; });
