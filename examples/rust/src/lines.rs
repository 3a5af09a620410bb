//! Prints points, one JSON object per line.

use serde_json::{json, Value};

use crate::contract::runicornapi::v1::{MetricBatch, MetricKind, MetricSeries};

pub struct Lines {
    limit: usize,
    count: usize,
}

impl Lines {
    /// A limit of 0 means no limit.
    pub fn new(limit: usize) -> Self {
        Self { limit, count: 0 }
    }

    pub fn print(&self, line: Value) {
        println!("{line}");
    }

    /// Prints the points of a batch; false means that the limit is reached.
    pub fn batch(&mut self, batch: &MetricBatch) -> bool {
        for series in &batch.series {
            for (i, step) in series.steps.iter().enumerate() {
                self.print(
                    json!({"metric": series.metric_name, "step": step, "value": value(series, i)}),
                );
                self.count += 1;
                if self.count == self.limit {
                    return false;
                }
            }
        }
        true
    }
}

/// JSON cannot represent NaN and the infinities, so they are texts.
fn value(series: &MetricSeries, i: usize) -> Value {
    match series.kind() {
        MetricKind::Text => json!(series.texts[i]),
        MetricKind::Boolean => json!(series.values[i] != 0.0),
        _ => match series.values[i] {
            v if v.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            v => json!(v),
        },
    }
}
