"""Uses a runicorn-grpc server: lists experiments, reads a history, tails a run,
and reads an error."""

import argparse
import json
import math
import sys

import grpc
from google.rpc import error_details_pb2

from contract import experiment_pb2, experiment_service_pb2, experiment_service_pb2_grpc
from contract import metric_pb2, metric_service_pb2, metric_service_pb2_grpc, tail_pb2
from tail import detail, follow


def show(**fields):
    print(json.dumps(fields, ensure_ascii=False, allow_nan=False), flush=True)


def points(batch):
    """Yields the metric, step and value of each point; the value as a Python object."""
    for series in batch.series:
        values = series.values
        if series.kind == metric_pb2.METRIC_KIND_TEXT:
            values = series.texts
        elif series.kind == metric_pb2.METRIC_KIND_BOOLEAN:
            values = map(bool, values)
        for step, value in zip(series.steps, values):
            yield series.metric_name, step, value


def show_point(metric, step, value):
    """JSON cannot represent NaN and the infinities, so they are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    show(metric=metric, step=step, value=value)


def list_experiments(options):
    with grpc.insecure_channel(options.address) as channel:
        experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        request = experiment_service_pb2.ListExperimentsRequest(viewer="-", page_size=100)
        while True:
            answer = experiments.ListExperiments(request)
            for e in answer.experiments:
                show(run_id=e.run_id, path=e.path, status=experiment_pb2.ExperimentStatus.Name(e.status))
            request.page_token = answer.next_page_token
            if not request.page_token:
                return


def history(options):
    with grpc.insecure_channel(options.address) as channel:
        metrics = metric_service_pb2_grpc.MetricServiceStub(channel)
        message = None
        for message in metrics.StreamMetrics(metric_service_pb2.StreamMetricsRequest(run_ids=[options.run])):
            for point in points(message.batch):
                show_point(*point)
        if message is None or not message.HasField("trailer"):
            raise RuntimeError("the history is truncated: no trailer")


def tail(options):
    count = 0
    for message in follow(options.address, options.run, options.cut_after):
        if message.HasField("log_reset"):
            # Discard the points printed of this run; they are sent again.
            show(log_reset=tail_pb2.LogResetReason.Name(message.log_reset.reason))
        for point in points(message.batch):
            show_point(*point)
            count += 1
            if count == options.points:
                return


def error(options):
    """Requests a run that does not exist, and prints the reason and details of the error."""
    with grpc.insecure_channel(options.address) as channel:
        experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        try:
            experiments.GetExperiment(experiment_service_pb2.GetExperimentRequest(run_id="20200101_000000_abcdef"))
        except grpc.RpcError as err:
            info = detail(err, error_details_pb2.ErrorInfo)
            if info is not None:
                show(code=err.code().name, reason=info.reason, domain=info.domain, metadata=dict(info.metadata))
                return
        raise RuntimeError("no error with google.rpc.ErrorInfo")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:23310", help="host:port of the server")
    parser.add_argument("--cut-after", type=int, default=0, help="tail: drop the connection once, after this many messages, and resume")
    parser.add_argument("--points", type=int, default=0, help="tail: end after this many points; 0 is the end of the run")
    commands = parser.add_subparsers(required=True)
    for name, call, needs_run in (("list", list_experiments, False), ("history", history, True), ("tail", tail, True), ("error", error, False)):
        command = commands.add_parser(name)
        command.set_defaults(call=call)
        if needs_run:
            command.add_argument("run")
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    try:
        main()
    except (grpc.RpcError, RuntimeError) as failure:
        sys.exit(str(failure))
