// The live stream of some runs: one connection for all, which resumes after an error.
import { events, pathOf } from "/page/api.js";

const historyPoints = 2000; // per run; live points are not downsampled
const heartbeat = "2s"; // delay until a failure of a Viewer is detected
const firstDelay = 1000; // ms before a broken stream is resumed
const longestDelay = 15000;

const sleep = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); });
});

export class Tail {
  #abort;
  #on;

  // on.message(m) is called for each message, on.broken(err) if the stream will be
  // resumed, and on.failed(err) if it will not.
  constructor(on) { this.#on = on; }

  // start follows one metric of runs, instead of the previous ones.
  start(runs, metric) {
    this.stop();
    this.#abort = new AbortController();
    this.#follow(runs, metric, this.#abort.signal);
  }

  stop() { this.#abort?.abort(); }

  async #follow(runs, metric, signal) {
    let token = "";
    let delay = firstDelay;
    const ended = new Set();
    while (!signal.aborted) {
      try {
        for await (const message of events(this.#path(runs, metric, token), signal)) {
          if (signal.aborted) return;
          delay = firstDelay;
          token = message.resume_token; // stored with the points, so that none is lost or duplicated
          if (message.end) ended.add(pathOf(message));
          this.#on.message(message);
        }
        if (ended.size === runs.length) return;
      } catch (err) {
        if (signal.aborted) return;
        if (err.isFinal && !token) {
          this.#on.failed(err);
          return;
        }
        if (err.isFinal) token = ""; // the server may not accept it any more: start again
        if (err.retryAfter) delay = Math.max(delay, err.retryAfter * 1000);
        this.#on.broken(err, token === "");
      }
      await sleep(delay, signal);
      delay = Math.min(2 * delay, longestDelay);
    }
  }

  #path(runs, metric, token) {
    const query = new URLSearchParams({ metric_names: metric, "history_downsample.max_points": historyPoints, heartbeat_interval: heartbeat });
    for (const run of runs) query.append("run_ids", run.resource_name);
    if (token) query.set("resume_token", token);
    return `/v1/metrics:tail?${query}`;
  }
}
