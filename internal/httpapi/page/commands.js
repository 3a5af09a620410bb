// The calls that read what the page shows, as lines for a terminal and for Python.

const formatCharacters = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

// literal returns a text as a string literal of JSON and of Python. Invisible and
// bidirectional control characters are escaped, so that the copied text is the text
// that is displayed.
const literal = (value) => JSON.stringify(value).replace(formatCharacters, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// Commands describes the server: {address, tls, token} with the address of gRPC,
// and whether callers need TLS and a token.
export class Commands {
  #server;

  constructor(server) { this.#server = server; }

  grpcurl(service, method, request) {
    const { address, tls, token } = this.#server();
    return ["grpcurl", tls ? "" : "-plaintext", token ? `-H "authorization: Bearer $TOKEN"` : "", `-d ${shell(literal(request))} \\\n `,
      address, `runicornapi.v1.${service}/${method}`].filter(Boolean).join(" ");
  }

  python(...lines) {
    const { address, tls, token } = this.#server();
    const target = literal(tls ? `https://${address}` : address);
    const auth = token ? `, token=os.environ["TOKEN"]` : "";
    return [token ? "import os\n" : "", "from runicorn_grpc import Client\n\n", `client = Client(${target}${auth})\n`, lines.join("\n")].join("");
  }

  // list returns the calls that list the runs.
  list(filter) {
    return {
      grpcurl: this.grpcurl("ExperimentService", "ListExperiments", { viewer: "-", ...(filter && { filter }) }),
      python: this.python(`for run in client.experiments(${filter ? `${literal(filter)}, ` : ""}viewer="-"):`, "    print(run.run_id, run.path, run.status)"),
    };
  }

  // points returns the calls that read the points of the chart: as a stream while a
  // run is running, else as a table.
  points(runs, metric, running) {
    const ids = runs.map((run) => run.resource_name);
    const of = `${ids.length === 1 ? literal(ids[0]) : `[${ids.map(literal).join(", ")}]`}, [${literal(metric)}]`;
    return {
      grpcurl: this.grpcurl("MetricService", running ? "TailMetrics" : "StreamMetrics", { run_ids: ids, metric_names: [metric] }),
      python: running
        ? this.python(`for point in client.tail(${of}).points():`, "    print(point.run_id, point.step, point.value)")
        : this.python(`print(client.history(${of}).to_pandas())`),
    };
  }
}

// copyButton returns a button that copies the text of an element.
export function copyButton(source) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
  button.setAttribute("aria-label", `Copy ${source.getAttribute("aria-label")}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch { // without TLS, browsers have no clipboard: the text is selected instead
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
}
