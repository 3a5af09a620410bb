// Follows a run while it trains.
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { MetricService, type TailMetricsResponse } from "../gen/runicornapi/v1/metric_service_pb.js";

const heartbeat = 5; // seconds

// follow yields the messages of a tail until the run has ended. However often
// the connection breaks, no point comes twice and none is lost: the stream
// resumes after the last message that the caller has dealt with. A program
// that must survive its own end stores each message's resumeToken together
// with the message's points.
export async function* follow(baseUrl: string, run: string, cutAfter = 0): AsyncGenerator<TailMetricsResponse> {
  let resumeToken = "";
  let messages = 0;
  let failures = 0; // in a row
  for (;;) {
    const connection = new Http2SessionManager(baseUrl);
    const drop = (why: string) => connection.abort(new ConnectError(why, Code.Unavailable));
    // The computer slept, or the server is frozen and would keep the connection.
    const watch = () => setTimeout(drop, 2 * heartbeat * 1000, "no message for two heartbeats");
    const metrics = createClient(MetricService, createGrpcTransport({ baseUrl, sessionManager: connection }));
    let silence = watch();
    try {
      // runIds stay beside the token: proxies route by them.
      const request = { runIds: [run], resumeToken, heartbeatInterval: { seconds: BigInt(heartbeat) } };
      for await (const message of metrics.tailMetrics(request)) {
        clearTimeout(silence); // the caller may take its time
        if (message.event.case !== "heartbeat") failures = 0; // a heartbeat is no progress: each connection begins with one
        yield message;
        resumeToken = message.resumeToken;
        if (++messages === cutAfter) drop("the connection was dropped");
        silence = watch();
      }
      return; // OK comes only after the `end` of the run
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

// resumable says whether the server is away for a while, or the call broke on
// its way: a server that is killed behind a proxy looks so. Anything else is
// final.
function resumable(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Unavailable:
      return true;
    case Code.Internal:
    case Code.Unknown:
    case Code.Canceled:
    case Code.Aborted: // what connect-node makes of a connection that was reset
      return !error.findDetails(ErrorInfoSchema).some(({ domain }) => domain === "runicorn-grpc");
    default:
      return false;
  }
}

// delay grows from 0.2 s to 10 s, jittered, and is never shorter than the
// server asks for. Milliseconds.
function delay(failures: number, error: ConnectError): number {
  const grown = Math.min(200 * 2 ** (failures - 1), 10_000);
  const asked = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return Math.max(grown * (0.5 + Math.random() / 2), asked ? Number(asked.seconds) * 1000 + asked.nanos / 1e6 : 0);
}
