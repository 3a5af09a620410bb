"""Reads one long history into pandas in four ways, in turn, and prints the
seconds of each as JSON: history.py GRPC_ADDRESS HTTP_ADDRESS RUN ROUNDS."""

import json
import sys
import time
import urllib.request

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.flight
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import runicorn_grpc
from runicorn_grpc import _contract


def package(grpc_address, _, run):
    with runicorn_grpc.Client(grpc_address) as client:
        return client.history(run).to_pandas()


def make_stubs():
    """The classes that protoc's code would make."""
    import importlib.resources

    pool = descriptor_pool.DescriptorPool()
    packed = importlib.resources.files("runicorn_grpc").joinpath("contract.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(packed).file:
        pool.AddSerializedFile(file.SerializeToString())
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(_contract.PACKAGE + "StreamMetrics" + what)) for what in ("Request", "Response")]


REQUEST, RESPONSE = make_stubs()


def stubs(grpc_address, _, run):
    columns = {}
    with grpc.insecure_channel(grpc_address) as channel:
        call = channel.unary_stream("/runicornapi.v1.MetricService/StreamMetrics", REQUEST.SerializeToString, RESPONSE.FromString)
        for message in call(REQUEST(run_ids=[run])):
            for series in message.batch.series:
                parts = columns.setdefault(series.metric_name, ([], [], []))
                for part, column, dtype in zip(parts, (series.steps, series.times, series.values), ("i8", "f8", "f8")):
                    part.append(np.array(column, dtype))
    if not message.HasField("trailer"):
        raise RuntimeError("cut")
    return pd.DataFrame({name: pd.Series(np.concatenate(values), np.concatenate(steps)) for name, (steps, _, values) in columns.items()})


def arrow(_, http_address, run):
    with urllib.request.urlopen(f"http://{http_address}/v1/experiments/{run}:export?format=EXPORT_FORMAT_ARROW") as answer:
        return pa.ipc.open_stream(answer).read_pandas()


def flight(grpc_address, _, run):
    with pa.flight.connect(f"grpc://{grpc_address}") as client:
        return client.do_get(pa.flight.Ticket(json.dumps({"export": {"run_id": run}}).encode())).read_pandas()


def main():
    *where, rounds = sys.argv[1:]
    seconds = {"package": [], "stubs": [], "arrow": [], "flight": []}
    for _ in range(int(rounds)):
        for way in (package, stubs, arrow, flight):
            began = time.perf_counter()
            frame = way(*where)
            seconds[way.__name__].append(time.perf_counter() - began)
            if len(frame) != 1_000_000:
                raise RuntimeError(f"{way.__name__}: {len(frame)} rows")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
