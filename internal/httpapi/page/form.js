// The form that tries a call of the API, and the same call for curl.
import { chunks, hasToken, setToken } from "/page/api.js";
import { byId, make } from "/page/dom.js";
import { copyButton } from "/page/commands.js";

// keep is how many characters of a response stay on the page.
const keep = 200000;
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// field returns the input of a parameter. resolve follows a $ref.
export function field(param, resolve) {
  const several = param.schema.type === "array";
  const type = resolve(several ? param.schema.items : param.schema);
  const choices = type.enum || (type.type === "boolean" ? ["true", "false"] : null);
  const label = param.name;
  if (!choices) return make("input", { ariaLabel: label, placeholder: several ? "several: one, two" : "" });
  return make("select", { multiple: several, ariaLabel: label }, ...(several ? [] : [make("option", { value: "" })]), ...choices.map((c) => make("option", { value: c }, c)));
}

function valuesOf(input, param) {
  if (input.multiple) return [...input.selectedOptions].map((option) => option.value);
  if (param.schema.type === "array") return input.value.split(",").map((value) => value.trim()).filter(Boolean);
  return input.value === "" ? [] : [input.value];
}

// request reads the form of a call.
function request(call, inputs, body) {
  let path = call.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const [param, input] of inputs) {
    const values = valuesOf(input, param);
    if (param.in === "path") path = path.replace(`{${param.name}}`, encodeURIComponent(values[0] || ""));
    if (param.in === "query") for (const value of values) query.append(param.name, value);
    if (param.in === "header" && values.length) headers[param.name] = values[0];
  }
  setToken(byId("token").value);
  if (hasToken()) headers.Authorization = `Bearer ${byId("token").value.trim()}`;
  if (body) headers["Content-Type"] = "application/json";
  return { url: path + (query.size ? `?${query}` : ""), options: { method: call.method.toUpperCase(), headers, body: body?.value } };
}

function curl({ url, options }, stream) {
  const parts = ["curl"];
  if (stream) parts.push("-N");
  if (options.method !== "GET") parts.push("-X", options.method);
  for (const [name, value] of Object.entries(options.headers)) {
    parts.push("-H", name === "Authorization" ? '"Authorization: Bearer $TOKEN"' : shell(`${name}: ${value}`));
  }
  if (options.body !== undefined) parts.push("-d", shell(options.body));
  return [...parts, shell(location.origin + url)].join(" ");
}

async function send({ url, options }, answer, signal) {
  answer.textContent = "…";
  try {
    const response = await fetch(url, { ...options, signal });
    const retry = response.headers.get("Retry-After");
    answer.textContent = `${response.status} ${response.statusText}${retry ? `, try again in ${retry} s` : ""}\n\n`;
    if (response.headers.get("Content-Type")?.startsWith("application/json")) {
      answer.textContent += JSON.stringify(await response.json(), null, 2).slice(0, keep);
      return;
    }
    for await (const text of chunks(response.body)) {
      answer.textContent = (answer.textContent + text).slice(-keep);
      answer.scrollTop = answer.scrollHeight;
    }
  } catch (err) {
    answer.textContent += err.name === "AbortError" ? "\nstopped" : `\n${err}`;
  }
}

// tryIt returns the form of a call, which is aborted when its box is closed.
export function tryIt(call, box, inputs, body) {
  const isStream = "text/event-stream" in (call.responses["200"].content || {});
  const line = make("pre", { ariaLabel: "call by curl" });
  const answer = make("pre", { className: "answer", hidden: true, tabIndex: 0, ariaLabel: "answer" });
  const go = make("button", { type: "button" }, "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  let abort;
  const show = () => { line.textContent = curl(request(call, inputs, body), isStream); };
  go.addEventListener("click", async () => {
    abort = new AbortController();
    answer.hidden = false;
    go.disabled = true;
    stop.disabled = false;
    await send(request(call, inputs, body), answer, abort.signal);
    go.disabled = false;
    stop.disabled = true;
  });
  stop.addEventListener("click", () => abort.abort());
  box.addEventListener("toggle", () => box.open || abort?.abort());
  for (const input of [...inputs.values(), body, byId("token")]) input?.addEventListener("input", show);
  show();
  return [make("h3", {}, "Try it"), make("div", { className: "command" }, copyButton(line), line), make("p", {}, go, " ", stop), answer];
}
