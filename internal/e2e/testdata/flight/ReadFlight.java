import java.io.FileOutputStream;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.arrow.flight.*;
import org.apache.arrow.flight.grpc.CredentialCallOption;
import org.apache.arrow.memory.*;
import org.apache.arrow.vector.*;
import org.apache.arrow.vector.ipc.ArrowStreamWriter;

/**
 * Does in Java what read_flight.py does in Python.
 *
 * <pre>
 * ReadFlight write GRPC RUN FILE     the wide table, as an Arrow stream
 * ReadFlight tail GRPC RUN           a live tail with a resume in the middle
 * ReadFlight refused GRPC RUN TOKEN  calls without a token, and with one
 * </pre>
 */
class ReadFlight {
  static FlightClient client;

  public static void main(String[] args) throws Exception {
    String[] address = args[1].split(":");
    try (BufferAllocator memory = new RootAllocator();
        FlightClient c = FlightClient.builder(memory, Location.forGrpcInsecure(address[0], Integer.parseInt(address[1]))).build()) {
      client = c;
      switch (args[0]) {
        case "write" -> write(args[2], args[3]);
        case "tail" -> tail(args[2]);
        case "refused" -> refused(args[2], args[3]);
        default -> throw new IllegalArgumentException(args[0]);
      }
    }
  }

  static Ticket ticket(String text) {
    return new Ticket(text.getBytes(StandardCharsets.UTF_8));
  }

  static Ticket exportOf(String run) {
    return ticket("{\"export\": {\"run_id\": \"" + run + "\"}}");
  }

  static void write(String run, String path) throws Exception {
    try (FlightStream table = client.getStream(exportOf(run));
        WritableByteChannel file = new FileOutputStream(path).getChannel();
        ArrowStreamWriter out = new ArrowStreamWriter(table.getRoot(), table.getDictionaryProvider(), file)) {
      while (table.next()) {
        out.writeBatch();
      }
    }
  }

  static final Pattern TOKEN = Pattern.compile("\"resume_token\": *\"([^\"]*)\"");

  static void tail(String run) throws Exception {
    List<String> points = new ArrayList<>();
    String resume = "", last = "";
    for (int limit : new int[] {40, Integer.MAX_VALUE}) {
      try (FlightStream stream = client.getStream(
          ticket("{\"tail\": {\"run_ids\": [\"" + run + "\"], \"heartbeat_interval\": \"1s\"" + resume + "}}"))) {
        while (points.size() < limit && stream.next()) {
          last = text(stream.getLatestMetadata());
          Matcher token = TOKEN.matcher(last);
          if (token.find()) {
            resume = ", \"resume_token\": \"" + token.group(1) + "\"";
          }
          if (last.contains("\"caught_up\"") && limit == 40) {
            System.out.println("following");
          }
          add(points, stream.getRoot());
        }
        if (limit == 40) {
          stream.cancel("resume", null);
        }
      }
    }
    if (!last.contains("END_REASON_FINISHED")) {
      throw new AssertionError("the last event is " + last);
    }
    System.out.println("[" + String.join(",", points) + "]");
  }

  static String text(ArrowBuf buffer) {
    byte[] bytes = new byte[(int) buffer.readableBytes()];
    buffer.getBytes(buffer.readerIndex(), bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  static void add(List<String> points, VectorSchemaRoot rows) {
    Float8Vector values = (Float8Vector) rows.getVector("value");
    for (int i = 0; i < rows.getRowCount(); i++) {
      Object text = rows.getVector("text").getObject(i);
      points.add("{\"step\": " + rows.getVector("step").getObject(i) + ", \"metric\": \"" + rows.getVector("metric").getObject(i)
          + "\", \"value\": " + (values.isNull(i) ? "null" : values.get(i)) + ", \"text\": " + (text == null ? "null" : "\"" + text + "\"") + "}");
    }
  }

  static void refused(String run, String token) throws Exception {
    CallOption bearer = new CredentialCallOption(headers -> headers.insert("authorization", "Bearer " + token));
    wantError(FlightStatusCode.UNAUTHENTICATED, "[TOKEN_INVALID]", exportOf(run));
    wantError(FlightStatusCode.NOT_FOUND, "[RUN_NOT_FOUND]", exportOf("nosuchrun"), bearer);
    wantError(FlightStatusCode.TIMED_OUT, "", ticket("{\"tail\": {\"filter\": \"run_id:*\"}}"), bearer, CallOptions.timeout(1, TimeUnit.SECONDS));
    if (count(exportOf(run), bearer) == 0) {
      throw new AssertionError("no rows with a token");
    }
  }

  static long count(Ticket ticket, CallOption... options) throws Exception {
    long rows = 0;
    try (FlightStream table = client.getStream(ticket, options)) {
      while (table.next()) {
        rows += table.getRoot().getRowCount();
      }
    }
    return rows;
  }

  static void wantError(FlightStatusCode code, String reason, Ticket ticket, CallOption... options) throws Exception {
    try {
      count(ticket, options);
    } catch (FlightRuntimeException e) {
      if (e.status().code() != code || !e.getMessage().contains(reason)) {
        throw new AssertionError("want " + code + " " + reason, e);
      }
      return;
    }
    throw new AssertionError("want " + code + " " + reason);
  }
}
