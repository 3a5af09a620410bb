"""Follows a run while it trains."""

import time

import grpc

from contract import metric_service_pb2 as pb
from contract import metric_service_pb2_grpc as services


def follow(address, run, cut_after=0):
    """Yields the messages of a tail until the run has ended.

    However often the connection breaks, no point comes twice and none is lost:
    the stream resumes after the last message that the caller has dealt with.
    A program that must survive its own end stores each message's resume_token
    together with the message's points.
    """
    request = pb.TailMetricsRequest(run_ids=[run])
    messages = 0
    while True:
        try:
            with grpc.insecure_channel(address) as channel:
                for message in services.MetricServiceStub(channel).TailMetrics(request):
                    yield message
                    request = pb.TailMetricsRequest(resume_token=message.resume_token)  # a token knows its runs
                    messages += 1
                    if messages == cut_after:
                        break  # the connection drops, as if the network broke
                else:
                    return  # OK comes only after the `end` of the run
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(1)  # a server that restarts needs a moment
