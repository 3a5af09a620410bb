// Uses a runicorn-grpc server: lists experiments, reads a history, tails a run,
// and reads an error.
import { parseArgs } from "node:util";

import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { ExperimentStatusSchema } from "../gen/runicornapi/v1/experiment_pb.js";
import { ExperimentService } from "../gen/runicornapi/v1/experiment_service_pb.js";
import { MetricService } from "../gen/runicornapi/v1/metric_service_pb.js";
import { LogResetReasonSchema } from "../gen/runicornapi/v1/tail_pb.js";
import { line, points } from "./lines.js";
import { follow } from "./tail.js";

const usage = "usage: example [--address HOST:PORT] [--cut-after N] [--points N] list | history RUN | tail RUN | error";

const show = (text: string) => process.stdout.write(text + "\n");

// list prints all experiments of all Viewers, page by page.
async function list(transport: Transport) {
  const experiments = createClient(ExperimentService, transport);
  let pageToken = "";
  do {
    const answer = await experiments.listExperiments({ viewer: "-", pageSize: 100, pageToken });
    for (const { runId, path, status } of answer.experiments) {
      show(JSON.stringify({ run_id: runId, path, status: ExperimentStatusSchema.value[status]?.name }));
    }
    pageToken = answer.nextPageToken;
  } while (pageToken);
}

// history prints every point that a run has logged until now.
async function history(transport: Transport, run: string) {
  const metrics = createClient(MetricService, transport);
  let complete = false;
  for await (const { event } of metrics.streamMetrics({ runIds: [run] })) {
    complete = event.case === "trailer";
    if (event.case === "batch") for (const point of points(event.value)) show(line(point));
  }
  if (!complete) throw new Error("the history is truncated: no trailer");
}

// tail prints the points of a run as they are logged, until it ends.
async function tail(baseUrl: string, run: string, cutAfter: number, limit: number) {
  let count = 0;
  for await (const { event } of follow(baseUrl, run, cutAfter)) {
    if (event.case === "logReset") {
      // Discard the points printed of this run; they are sent again.
      show(JSON.stringify({ log_reset: LogResetReasonSchema.value[event.value.reason]?.name }));
    }
    if (event.case !== "batch") continue;
    for (const point of points(event.value)) {
      show(line(point));
      if (++count === limit) return;
    }
  }
}

// error requests a run that does not exist, and prints the reason and details of
// the error.
async function error(transport: Transport) {
  const experiments = createClient(ExperimentService, transport);
  try {
    await experiments.getExperiment({ runId: "20200101_000000_abcdef" });
  } catch (caught) {
    const failure = ConnectError.from(caught);
    for (const { reason, domain, metadata } of failure.findDetails(ErrorInfoSchema)) {
      const code = Code[failure.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
      show(JSON.stringify({ code, reason, domain, metadata }));
      return;
    }
  }
  throw new Error("no error with google.rpc.ErrorInfo");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    address: { type: "string", default: "127.0.0.1:23310" },
    "cut-after": { type: "string", default: "0" },
    points: { type: "string", default: "0" },
  },
});
const [command, run = ""] = positionals;
const baseUrl = `http://${values.address}`;
const connection = new Http2SessionManager(baseUrl);
const transport = createGrpcTransport({ baseUrl, sessionManager: connection });
try {
  switch (command) {
    case "list":
      await list(transport);
      break;
    case "history":
      await history(transport, run);
      break;
    case "tail":
      await tail(baseUrl, run, Number(values["cut-after"]), Number(values.points));
      break;
    case "error":
      await error(transport);
      break;
    default:
      throw new Error(usage);
  }
} finally {
  connection.abort(); // an open connection would keep the process running
}
