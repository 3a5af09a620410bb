package example;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import runicornapi.v1.MetricBatch;
import runicornapi.v1.MetricKind;
import runicornapi.v1.MetricSeries;

/** Prints one JSON object per line. */
final class Lines {
  private final int limit;
  private int count;

  /** A limit of 0 means no limit. */
  Lines(int limit) {
    this.limit = limit;
  }

  void print(JsonObject line) {
    System.out.println(line);
  }

  /** Prints the points of a batch; false means that the limit is reached. */
  boolean print(MetricBatch batch) {
    for (MetricSeries series : batch.getSeriesList()) {
      for (int i = 0; i < series.getStepsCount(); i++) {
        JsonObject line = new JsonObject();
        line.addProperty("metric", series.getMetricName());
        line.addProperty("step", series.getSteps(i));
        line.add("value", value(series, i));
        print(line);
        if (++count == limit) {
          return false;
        }
      }
    }
    return true;
  }

  /** JSON cannot represent NaN and the infinities, so they are texts. */
  private static JsonPrimitive value(MetricSeries series, int i) {
    if (series.getKind() == MetricKind.METRIC_KIND_TEXT) {
      return new JsonPrimitive(series.getTexts(i));
    }
    double value = series.getValues(i);
    if (series.getKind() == MetricKind.METRIC_KIND_BOOLEAN) {
      return new JsonPrimitive(value != 0);
    }
    return Double.isFinite(value) ? new JsonPrimitive(value) : new JsonPrimitive(Double.toString(value));
  }
}
