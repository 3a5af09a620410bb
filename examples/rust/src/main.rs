//! Uses a runicorn-grpc server: lists experiments, reads a history, follows a
//! run that is training, and reads an error.

mod lines;
mod tail;

use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic::Code;
use tonic_types::StatusExt;

use contract::runicornapi::v1::experiment_service_client::ExperimentServiceClient;
use contract::runicornapi::v1::metric_service_client::MetricServiceClient;
use contract::runicornapi::v1::stream_metrics_response::Event;
use contract::runicornapi::v1::{
    GetExperimentRequest, ListExperimentsRequest, StreamMetricsRequest,
};
use lines::Lines;

#[allow(dead_code)] // the generated code has more than is used here
mod contract {
    tonic::include_proto!("contract");
}

const USAGE: &str = "usage: example [--address HOST:PORT] [--cut-after N] [--points N] list | history RUN | tail RUN | error";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<()> {
    let (mut address, mut cut_after, mut points) = ("127.0.0.1:23310".to_string(), 0, 0);
    let mut rest = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--address" => address = args.next().ok_or(USAGE)?,
            "--cut-after" => cut_after = args.next().ok_or(USAGE)?.parse()?,
            "--points" => points = args.next().ok_or(USAGE)?.parse()?,
            _ => rest.push(arg),
        }
    }
    let server = Endpoint::from_shared(format!("http://{address}"))?;
    let mut out = Lines::new(points);
    match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => list(server.connect_lazy(), &out).await,
        ["history", run] => history(server.connect_lazy(), run, &mut out).await,
        ["tail", run] => tail::follow(&server, run, cut_after, &mut out).await,
        ["error"] => error(server.connect_lazy(), &out).await,
        _ => Err(USAGE.into()),
    }
}

/// Prints all experiments of all Viewers, page by page.
async fn list(channel: Channel, out: &Lines) -> Result<()> {
    let mut experiments = ExperimentServiceClient::new(channel);
    let mut request = ListExperimentsRequest {
        viewer: "-".into(),
        page_size: 100,
        ..Default::default()
    };
    loop {
        let answer = experiments
            .list_experiments(request.clone())
            .await?
            .into_inner();
        for e in answer.experiments {
            out.print(
                json!({"run_id": e.run_id, "path": e.path, "status": e.status().as_str_name()}),
            );
        }
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            return Ok(());
        }
    }
}

/// Prints every point that a run has logged until now.
async fn history(channel: Channel, run: &str, out: &mut Lines) -> Result<()> {
    let request = StreamMetricsRequest {
        run_ids: vec![run.into()],
        ..Default::default()
    };
    let mut messages = MetricServiceClient::new(channel)
        .stream_metrics(request)
        .await?
        .into_inner();
    let mut complete = false;
    while let Some(message) = messages.message().await? {
        complete = matches!(message.event, Some(Event::Trailer(_)));
        if let Some(Event::Batch(batch)) = message.event {
            out.batch(&batch);
        }
    }
    if complete {
        Ok(())
    } else {
        Err("the history is truncated: no trailer".into())
    }
}

/// Requests a run that does not exist, and prints the reason and details of the
/// error.
async fn error(channel: Channel, out: &Lines) -> Result<()> {
    let request = GetExperimentRequest {
        run_id: "20200101_000000_abcdef".into(),
        ..Default::default()
    };
    let Err(status) = ExperimentServiceClient::new(channel)
        .get_experiment(request)
        .await
    else {
        return Err("no error".into());
    };
    let info = status
        .get_details_error_info()
        .ok_or("no error with google.rpc.ErrorInfo")?;
    out.print(json!({"code": name(status.code()), "reason": info.reason, "domain": info.domain, "metadata": info.metadata}));
    Ok(())
}

/// Returns the name of a code as in other languages: NOT_FOUND, not NotFound.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
