// Tails a run, and resumes after failures.
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { MetricService, type TailMetricsResponse } from "../gen/runicornapi/v1/metric_service_pb.js";

const heartbeat = 5; // seconds

// follow yields the messages of a tail until the run has ended. However often
// the connection fails, no point is lost or repeated: the stream resumes after
// the last message that the caller has processed. A program that is to resume
// after its own restart stores each message's resumeToken together with the
// message's points.
export async function* follow(baseUrl: string, run: string, cutAfter = 0): AsyncGenerator<TailMetricsResponse> {
  let resumeToken = "";
  let messages = 0;
  let failures = 0; // consecutive
  for (;;) {
    const connection = new Http2SessionManager(baseUrl);
    const drop = (why: string) => connection.abort(new ConnectError(why, Code.Unavailable));
    // The computer slept, or the server hangs but keeps the connection.
    const watch = () => setTimeout(drop, 2 * heartbeat * 1000, "no message for two heartbeats");
    const metrics = createClient(MetricService, createGrpcTransport({ baseUrl, sessionManager: connection }));
    let silence = watch();
    try {
      // runIds are sent together with the token: proxies route by them.
      const request = { runIds: [run], resumeToken, heartbeatInterval: { seconds: BigInt(heartbeat) } };
      for await (const message of metrics.tailMetrics(request)) {
        clearTimeout(silence); // the time that the caller takes does not count
        if (message.event.case !== "heartbeat") failures = 0; // a heartbeat is no progress: each connection begins with one
        yield message;
        resumeToken = message.resumeToken;
        if (++messages === cutAfter) drop("the connection was dropped");
        silence = watch();
      }
      return; // the status is OK only after the `end` of the run
    } catch (caught) {
      const error = ConnectError.from(caught);
      if (!resumable(error)) throw error;
      await sleep(delay(++failures, error));
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
  }
}

// resumable returns whether the call can be resumed: the server is unavailable,
// or the connection failed, which proxies report as an error without a reason.
// Any other error is final.
function resumable(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Unavailable:
      return true;
    case Code.Internal:
    case Code.Unknown:
    case Code.Canceled:
    case Code.Aborted: // connect-node reports a connection reset so
      return !error.findDetails(ErrorInfoSchema).some(({ domain }) => domain === "runicorn-grpc");
    default:
      return false;
  }
}

// delay returns milliseconds. It grows from 0.2 s to 10 s, is jittered, and is
// never shorter than the server's RetryInfo.
function delay(failures: number, error: ConnectError): number {
  const grown = Math.min(200 * 2 ** (failures - 1), 10_000);
  const minimum = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return Math.max(grown * (0.5 + Math.random() / 2), minimum ? Number(minimum.seconds) * 1000 + minimum.nanos / 1e6 : 0);
}
