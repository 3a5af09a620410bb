package example;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.List;
import runicornapi.v1.Experiment;
import runicornapi.v1.ExperimentServiceGrpc;
import runicornapi.v1.GetExperimentRequest;
import runicornapi.v1.ListExperimentsRequest;
import runicornapi.v1.ListExperimentsResponse;
import runicornapi.v1.MetricServiceGrpc;
import runicornapi.v1.StreamMetricsRequest;
import runicornapi.v1.StreamMetricsResponse;

/**
 * Uses a runicorn-grpc server: lists experiments, reads a history, tails a run, and reads an
 * error.
 */
public final class Main {
  private static final String USAGE =
      "usage: example [--address HOST:PORT] [--cut-after N] [--points N] list | history RUN | tail RUN | error";

  private final String address;
  private final Lines out;

  private Main(String address, int points) {
    this.address = address;
    out = new Lines(points);
  }

  public static void main(String[] args) throws Exception {
    String address = "127.0.0.1:23310";
    int cutAfter = 0;
    int points = 0;
    List<String> rest = new ArrayList<>();
    for (int i = 0; i < args.length; i++) {
      switch (args[i]) {
        case "--address" -> address = args[++i];
        case "--cut-after" -> cutAfter = Integer.parseInt(args[++i]);
        case "--points" -> points = Integer.parseInt(args[++i]);
        default -> rest.add(args[i]);
      }
    }
    String command = rest.isEmpty() ? "" : rest.get(0);
    String run = rest.size() < 2 ? "" : rest.get(1);
    Main example = new Main(address, points);
    switch (command) {
      case "list" -> example.list();
      case "history" -> example.history(run);
      case "tail" -> new Tail(address, run, cutAfter, example.out).run();
      case "error" -> example.error();
      default -> throw new IllegalArgumentException(USAGE);
    }
  }

  static ManagedChannel connect(String address) {
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
  }

  /** Prints all experiments of all Viewers, page by page. */
  private void list() {
    ManagedChannel channel = connect(address);
    try {
      ExperimentServiceGrpc.ExperimentServiceBlockingStub experiments = ExperimentServiceGrpc.newBlockingStub(channel);
      ListExperimentsRequest.Builder request = ListExperimentsRequest.newBuilder().setViewer("-").setPageSize(100);
      do {
        ListExperimentsResponse answer = experiments.listExperiments(request.build());
        for (Experiment experiment : answer.getExperimentsList()) {
          JsonObject line = new JsonObject();
          line.addProperty("run_id", experiment.getRunId());
          line.addProperty("path", experiment.getPath());
          line.addProperty("status", experiment.getStatus().name());
          out.print(line);
        }
        request.setPageToken(answer.getNextPageToken());
      } while (!request.getPageToken().isEmpty());
    } finally {
      channel.shutdownNow();
    }
  }

  /** Prints every point that a run has logged until now. */
  private void history(String run) {
    ManagedChannel channel = connect(address);
    try {
      var messages =
          MetricServiceGrpc.newBlockingStub(channel).streamMetrics(StreamMetricsRequest.newBuilder().addRunIds(run).build());
      boolean complete = false;
      while (messages.hasNext()) {
        StreamMetricsResponse message = messages.next();
        complete = message.hasTrailer();
        out.print(message.getBatch());
      }
      if (!complete) {
        throw new IllegalStateException("the history is truncated: no trailer");
      }
    } finally {
      channel.shutdownNow();
    }
  }

  /** Requests a run that does not exist, and prints the reason and details of the error. */
  private void error() {
    ManagedChannel channel = connect(address);
    try {
      ExperimentServiceGrpc.newBlockingStub(channel)
          .getExperiment(GetExperimentRequest.newBuilder().setRunId("20200101_000000_abcdef").build());
    } catch (StatusRuntimeException e) {
      ErrorInfo info = Tail.detail(e, ErrorInfo.class).orElseThrow(() -> e);
      JsonObject line = new JsonObject();
      line.addProperty("code", e.getStatus().getCode().name());
      line.addProperty("reason", info.getReason());
      line.addProperty("domain", info.getDomain());
      line.add("metadata", new Gson().toJsonTree(info.getMetadataMap()));
      out.print(line);
      return;
    } finally {
      channel.shutdownNow();
    }
    throw new IllegalStateException("no error with google.rpc.ErrorInfo");
  }
}
