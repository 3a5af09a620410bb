// Follows a run while it trains.
import { setTimeout } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { MetricService, type TailMetricsResponse } from "../gen/runicornapi/v1/metric_service_pb.js";

// follow yields the messages of a tail until the run has ended. However often
// the connection breaks, no point comes twice and none is lost: the stream
// resumes after the last message that the caller has dealt with. A program
// that must survive its own end stores each message's resumeToken together
// with the message's points.
export async function* follow(baseUrl: string, run: string, cutAfter = 0): AsyncGenerator<TailMetricsResponse> {
  let resumeToken = "";
  let messages = 0;
  for (;;) {
    const connection = new Http2SessionManager(baseUrl);
    const metrics = createClient(MetricService, createGrpcTransport({ baseUrl, sessionManager: connection }));
    try {
      // A token knows its runs.
      for await (const message of metrics.tailMetrics(resumeToken ? { resumeToken } : { runIds: [run] })) {
        yield message;
        resumeToken = message.resumeToken;
        if (++messages === cutAfter) connection.abort(new ConnectError("the connection was dropped", Code.Unavailable));
      }
      return; // OK comes only after the `end` of the run
    } catch (caught) {
      if (ConnectError.from(caught).code !== Code.Unavailable) throw caught;
      await setTimeout(1000); // a server that restarts needs a moment
    } finally {
      connection.abort();
    }
  }
}
