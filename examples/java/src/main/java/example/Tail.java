package example;

import com.google.gson.JsonObject;
import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import runicornapi.v1.MetricServiceGrpc;
import runicornapi.v1.TailMetricsRequest;
import runicornapi.v1.TailMetricsResponse;

/**
 * Prints the points of a run as they are logged, until it ends. However often the connection
 * fails, no point is lost or printed twice: the stream resumes after the last printed message. A
 * program that is to resume after its own restart stores each message's resume_token together
 * with the message's points.
 */
final class Tail {
  private static final int HEARTBEAT_SECONDS = 5;

  private final String address;
  private final int cutAfter;
  private final Lines out;
  private final TailMetricsRequest.Builder request;
  private int messages;
  private int failures; // consecutive

  Tail(String address, String run, int cutAfter, Lines out) {
    this.address = address;
    this.cutAfter = cutAfter;
    this.out = out;
    // The run is sent together with the token: proxies route by it.
    request =
        TailMetricsRequest.newBuilder()
            .addRunIds(run)
            .setHeartbeatInterval(Duration.newBuilder().setSeconds(HEARTBEAT_SECONDS));
  }

  void run() throws InterruptedException {
    ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor();
    try {
      while (true) {
        ManagedChannel channel = Main.connect(address);
        try {
          if (!follow(channel, watch)) {
            return;
          }
        } catch (StatusRuntimeException e) {
          if (!resumable(e)) {
            throw e;
          }
          failures++;
          Thread.sleep(delayMillis(failures, e));
        } finally {
          channel.shutdownNow();
        }
      }
    } finally {
      watch.shutdownNow();
    }
  }

  /**
   * Prints the points of one connection. Returns true if the connection is to be dropped, as in a
   * network failure, and false at the end: the status is OK only after the `end` of the run.
   */
  private boolean follow(ManagedChannel channel, ScheduledExecutorService watch) {
    Iterator<TailMetricsResponse> stream = MetricServiceGrpc.newBlockingStub(channel).tailMetrics(request.build());
    while (true) {
      // If there is no message for two heartbeats, the computer slept, or the server hangs but
      // keeps the connection. Shutting down the channel ends the call with UNAVAILABLE.
      Future<?> silence = watch.schedule(channel::shutdownNow, 2 * HEARTBEAT_SECONDS, TimeUnit.SECONDS);
      TailMetricsResponse message;
      try {
        if (!stream.hasNext()) {
          return false;
        }
        message = stream.next();
      } finally {
        silence.cancel(false);
      }
      if (!message.hasHeartbeat()) {
        failures = 0; // a heartbeat is no progress: each connection begins with one
      }
      if (message.hasLogReset()) {
        // Discard the points printed of this run; they are sent again.
        JsonObject line = new JsonObject();
        line.addProperty("log_reset", message.getLogReset().getReason().name());
        out.print(line);
      }
      if (!out.print(message.getBatch())) {
        return false;
      }
      request.setResumeToken(message.getResumeToken());
      if (++messages == cutAfter) {
        return true;
      }
    }
  }

  /**
   * Returns whether the call can be resumed: the server is unavailable, or the connection failed,
   * which proxies report as an error without a reason. Any other error is final.
   */
  private static boolean resumable(StatusRuntimeException error) {
    return switch (error.getStatus().getCode()) {
      case UNAVAILABLE -> true;
      case INTERNAL, UNKNOWN, CANCELLED ->
          detail(error, ErrorInfo.class).filter(info -> info.getDomain().equals("runicorn-grpc")).isEmpty();
      default -> false;
    };
  }

  /** Grows from 0.2 s to 10 s, is jittered, and is never shorter than the server's RetryInfo. */
  private static long delayMillis(int failures, StatusRuntimeException error) {
    double grown = Math.min(200 * Math.pow(2, failures - 1), 10_000);
    Duration minimum = detail(error, RetryInfo.class).map(RetryInfo::getRetryDelay).orElse(Duration.getDefaultInstance());
    double jittered = grown * ThreadLocalRandom.current().nextDouble(0.5, 1);
    return (long) Math.max(jittered, minimum.getSeconds() * 1000 + minimum.getNanos() / 1e6);
  }

  /** Returns the error detail of a type, if the server sent one. */
  static <T extends Message> Optional<T> detail(StatusRuntimeException error, Class<T> type) {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException e) {
          return Optional.empty(); // treated as absent
        }
      }
    }
    return Optional.empty();
  }
}
