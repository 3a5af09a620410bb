// Prints points, one JSON object per line.
import { type MetricBatch, MetricKind } from "../gen/runicornapi/v1/metric_pb.js";

export interface Point {
  metric: string;
  step: bigint;
  value: number | boolean | string;
}

export function* points(batch: MetricBatch): Generator<Point> {
  for (const { metricName: metric, kind, steps, values, texts } of batch.series) {
    for (const [i, step] of steps.entries()) {
      switch (kind) {
        case MetricKind.TEXT:
          yield { metric, step, value: texts[i] };
          break;
        case MetricKind.BOOLEAN:
          yield { metric, step, value: values[i] !== 0 };
          break;
        default:
          yield { metric, step, value: values[i] };
      }
    }
  }
}

// line writes a point. JSON.stringify does not accept bigint, and writes numbers
// that are not finite as null.
export function line({ metric, step, value }: Point): string {
  const text = typeof value === "number" && !Number.isFinite(value) ? `"${value}"` : JSON.stringify(value);
  return `{"metric":${JSON.stringify(metric)},"step":${step},"value":${text}}`;
}
