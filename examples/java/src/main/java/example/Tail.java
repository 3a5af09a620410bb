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
 * breaks, no point is lost or printed twice: the stream resumes after the last message that was
 * printed. A program that must survive its own end stores each message's resume_token together
 * with the message's points.
 */
final class Tail {
  private static final int HEARTBEAT_SECONDS = 5;

  private final String address;
  private final int cutAfter;
  private final Lines out;
  private final TailMetricsRequest.Builder request;
  private int messages;
  private int failures; // in a row

  Tail(String address, String run, int cutAfter, Lines out) {
    this.address = address;
    this.cutAfter = cutAfter;
    this.out = out;
    // The run stays beside the token: proxies route by it.
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
   * Prints the points of one connection. True says that the connection is to be dropped, as if the
   * network broke, and false that there is nothing more: OK comes only after the `end` of the run.
   */
  private boolean follow(ManagedChannel channel, ScheduledExecutorService watch) {
    Iterator<TailMetricsResponse> stream = MetricServiceGrpc.newBlockingStub(channel).tailMetrics(request.build());
    while (true) {
      // Without a message for two heartbeats the computer slept, or the server is frozen and would
      // keep the connection. What ends so is UNAVAILABLE.
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
        // What was printed of this run no longer holds; it comes again.
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
   * Says whether the server is away for a while, or the call broke on its way: a server that is
   * killed behind a proxy looks so. Anything else is final.
   */
  private static boolean resumable(StatusRuntimeException error) {
    return switch (error.getStatus().getCode()) {
      case UNAVAILABLE -> true;
      case INTERNAL, UNKNOWN, CANCELLED ->
          detail(error, ErrorInfo.class).filter(info -> info.getDomain().equals("runicorn-grpc")).isEmpty();
      default -> false;
    };
  }

  /** Grows from 0.2 s to 10 s, jittered, and is never shorter than the server asks for. */
  private static long delayMillis(int failures, StatusRuntimeException error) {
    double grown = Math.min(200 * Math.pow(2, failures - 1), 10_000);
    Duration asked = detail(error, RetryInfo.class).map(RetryInfo::getRetryDelay).orElse(Duration.getDefaultInstance());
    double jittered = grown * ThreadLocalRandom.current().nextDouble(0.5, 1);
    return (long) Math.max(jittered, asked.getSeconds() * 1000 + asked.getNanos() / 1e6);
  }

  /** The detail of a type, if the server sent one. */
  static <T extends Message> Optional<T> detail(StatusRuntimeException error, Class<T> type) {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException e) {
          return Optional.empty(); // as good as none
        }
      }
    }
    return Optional.empty();
  }
}
