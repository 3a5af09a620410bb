//! Tails a run, and resumes after failures.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::contract::runicornapi::v1::metric_service_client::MetricServiceClient;
use crate::contract::runicornapi::v1::tail_metrics_response::Event;
use crate::contract::runicornapi::v1::TailMetricsRequest;
use crate::lines::Lines;

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Prints the points of a run as they are logged, until it ends. However often
/// the connection fails, no point is lost or printed twice: the stream resumes
/// after the last printed message. A program that is to resume after its own
/// restart stores each message's resume_token together with the message's
/// points.
pub async fn follow(
    server: &Endpoint,
    run: &str,
    cut_after: usize,
    out: &mut Lines,
) -> crate::Result<()> {
    let mut tail = Tail {
        // run_ids are sent together with the token: proxies route by them.
        request: TailMetricsRequest {
            run_ids: vec![run.into()],
            heartbeat_interval: Some(prost_types::Duration {
                seconds: HEARTBEAT.as_secs() as i64,
                nanos: 0,
            }),
            ..Default::default()
        },
        cut_after,
        messages: 0,
        failures: 0,
    };
    loop {
        match tail.connection(server, out).await {
            Ok(()) => return Ok(()),
            Err(status) if resumable(&status) => {
                tail.failures += 1;
                sleep(delay(tail.failures, &status)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

struct Tail {
    request: TailMetricsRequest,
    cut_after: usize,
    messages: usize,
    failures: u32, // consecutive
}

impl Tail {
    /// Prints the points of one connection. Returns Ok only after the `end` of
    /// the run, or when the limit of points is reached.
    async fn connection(&mut self, server: &Endpoint, out: &mut Lines) -> Result<(), Status> {
        let mut client = MetricServiceClient::new(server.connect_lazy());
        let call = client.tail_metrics(self.request.clone());
        let mut stream = timeout(2 * HEARTBEAT, call)
            .await
            .map_err(silent)??
            .into_inner();
        while let Some(message) = timeout(2 * HEARTBEAT, stream.message())
            .await
            .map_err(silent)??
        {
            if !matches!(message.event, Some(Event::Heartbeat(_))) {
                self.failures = 0; // a heartbeat is no progress: each connection begins with one
            }
            match &message.event {
                // Discard the points printed of this run; they are sent again.
                Some(Event::LogReset(reset)) => {
                    out.print(json!({"log_reset": reset.reason().as_str_name()}))
                }
                Some(Event::Batch(batch)) if !out.batch(batch) => return Ok(()),
                _ => {}
            }
            self.request.resume_token = message.resume_token;
            self.messages += 1;
            if self.messages == self.cut_after {
                return Err(Status::unavailable("the connection was dropped"));
            }
        }
        Ok(())
    }
}

/// The computer slept, or the server hangs but keeps the connection.
fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::unavailable("no message for two heartbeats")
}

/// Returns whether the call can be resumed: the server is unavailable, or the
/// connection failed, which proxies report as an error without a reason. Any
/// other error is final.
fn resumable(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Internal | Code::Unknown | Code::Cancelled => !status
            .get_details_error_info()
            .is_some_and(|info| info.domain == "runicorn-grpc"),
        _ => false,
    }
}

/// Grows from 0.2 s to 10 s, is jittered, and is never shorter than the server's
/// RetryInfo.
fn delay(failures: u32, status: &Status) -> Duration {
    let grown = Duration::from_millis(200u64 << (failures - 1).min(6)).min(Duration::from_secs(10));
    let minimum = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .unwrap_or_default();
    grown.mul_f64(fastrand::f64() / 2.0 + 0.5).max(minimum)
}
