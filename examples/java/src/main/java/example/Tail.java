package example;

import com.google.gson.JsonObject;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import runicornapi.v1.MetricServiceGrpc;
import runicornapi.v1.TailMetricsRequest;
import runicornapi.v1.TailMetricsResponse;

/**
 * Prints the points of a run as they are logged, until it ends. However often the connection
 * breaks, no point is lost or printed twice: a message's token is kept together with its points.
 */
final class Tail {
  private final String address;
  private final int cutAfter;
  private final Lines out;
  private TailMetricsRequest request;
  private int messages;

  Tail(String address, String run, int cutAfter, Lines out) {
    this.address = address;
    this.cutAfter = cutAfter;
    this.out = out;
    request = TailMetricsRequest.newBuilder().addRunIds(run).build();
  }

  void run() throws InterruptedException {
    while (true) {
      ManagedChannel channel = Main.connect(address);
      try {
        if (!follow(channel)) {
          return;
        }
      } catch (StatusRuntimeException e) {
        if (e.getStatus().getCode() != Status.Code.UNAVAILABLE) {
          throw e;
        }
        Thread.sleep(1000); // a server that restarts needs a moment
      } finally {
        channel.shutdownNow();
      }
    }
  }

  /**
   * Prints the points of one connection. True says that the connection is to be dropped, as if the
   * network broke, and false that there is nothing more: OK comes only after the `end` of the run.
   */
  private boolean follow(ManagedChannel channel) {
    Iterator<TailMetricsResponse> stream = MetricServiceGrpc.newBlockingStub(channel).tailMetrics(request);
    while (stream.hasNext()) {
      TailMetricsResponse message = stream.next();
      if (message.hasLogReset()) {
        // What was printed of this run no longer holds; it comes again.
        JsonObject line = new JsonObject();
        line.addProperty("log_reset", message.getLogReset().getReason().name());
        out.print(line);
      }
      if (!out.print(message.getBatch())) {
        return false;
      }
      // A token knows its runs.
      request = TailMetricsRequest.newBuilder().setResumeToken(message.getResumeToken()).build();
      if (++messages == cutAfter) {
        return true;
      }
    }
    return false;
  }
}
