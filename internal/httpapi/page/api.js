// Calls of the API: JSON, event streams and files, with the token if there is one.

let token = "";

export const setToken = (text) => { token = text.trim(); };
export const hasToken = () => token !== "";

// APIError is an error response of the API. violations are the refused fields: [{field, description}].
export class APIError extends Error {
  constructor(httpStatus, error, retryAfter) {
    super(error.message);
    this.httpStatus = httpStatus;
    this.reason = error.reason;
    this.violations = error.details?.find((detail) => detail.field_violations)?.field_violations || [];
    this.retryAfter = retryAfter;
  }

  // isFinal reports whether the same call would fail again.
  get isFinal() { return this.httpStatus < 500 && this.httpStatus !== 429; }
}

// call sends a GET. It fails with an APIError, or with an Error if there was no
// response.
async function call(path, headers, signal) {
  let response;
  try {
    response = await fetch(path, { headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers, signal });
  } catch (err) {
    if (signal?.aborted && signal.reason.name !== "TimeoutError") throw err;
    throw new Error("runicorn-grpc does not answer", { cause: err });
  }
  if (response.ok) return response;
  const text = await response.text();
  let error;
  try {
    error = JSON.parse(text).error;
  } catch { /* the response is not from the server, but from a proxy */ }
  throw new APIError(response.status, error || { message: `${response.status} ${response.statusText}` }, Number(response.headers.get("Retry-After")));
}

export async function getJSON(path, signal) {
  const response = await call(path, {}, signal);
  return response.json();
}

// events yields the messages of a stream of server-sent events. An EventSource
// would do the same, but cannot send a token.
export async function* events(path, signal) {
  const response = await call(path, { Accept: "text/event-stream" }, signal);
  let rest = "";
  for await (const text of chunks(response.body)) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (!data) continue;
      const message = JSON.parse(data.slice(6));
      if (message.error) throw new APIError(message.error.code === 16 ? 401 : 503, message.error);
      yield message;
    }
  }
}

// chunks yields the texts of a body, and ends the request when its caller stops.
export async function* chunks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => { /* the request has already ended */ });
  }
}

// save downloads a file with the token, which a plain link cannot send.
export async function save(path) {
  const response = await call(path, {});
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") || "")?.[1] || "export";
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

// pathOf returns the path of an experiment in the API.
export const pathOf = ({ viewer, run_id: id }) => `/v1/viewers/${encodeURIComponent(viewer)}/experiments/${encodeURIComponent(id)}`;

// Poller repeats work while the page is visible. The next call starts an interval
// after the last one has ended, so that calls never overlap.
export class Poller {
  #work;
  #interval;
  #timer;
  #abort;

  // work(signal) handles its own errors.
  constructor(work, interval) {
    this.#work = work;
    this.#interval = interval;
    document.addEventListener("visibilitychange", () => { document.hidden ? this.stop() : this.now(); });
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  // now calls immediately, and aborts a call in progress.
  async now() {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    await this.#work(AbortSignal.any([abort.signal, AbortSignal.timeout(20000)]));
    if (this.#abort === abort && !abort.signal.aborted) this.#timer = setTimeout(() => this.now(), this.#interval);
  }
}
