"""Tails a run, and resumes after failures."""

import random
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from contract import metric_service_pb2 as pb
from contract import metric_service_pb2_grpc as services

HEARTBEAT = 5.0  # seconds
BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)


def follow(address, run, cut_after=0):
    """Yields the messages of a tail until the run has ended.

    However often the connection fails, no point is lost or repeated: the stream
    resumes after the last message that the caller has processed.
    A program that must survive its own end stores each message's resume_token
    together with the message's points.
    """
    request = pb.TailMetricsRequest(run_ids=[run])  # are sent together with the token: proxies route by them
    request.heartbeat_interval.seconds = int(HEARTBEAT)
    messages = failures = 0
    while True:
        try:
            # By default channels share connections, so a new one would use the hanging one.
            with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                for message in heard(services.MetricServiceStub(channel).TailMetrics(request)):
                    if not message.HasField("heartbeat"):
                        failures = 0  # a heartbeat is no progress: each connection begins with one
                    yield message
                    request.resume_token = message.resume_token
                    messages += 1
                    if messages == cut_after:
                        break  # the connection drops, as in a network failure
                else:
                    return  # the status is OK only after the `end` of the run
        except grpc.RpcError as error:
            if not resumable(error):
                raise
            failures += 1
            time.sleep(delay(failures, error))


def heard(call):
    """Yields the messages of a call. If there is none for two heartbeats, the call
    is canceled: the computer slept, or the server hangs but keeps the
    connection."""
    while True:
        silence = threading.Timer(2 * HEARTBEAT, call.cancel)
        silence.daemon = True
        silence.start()
        try:
            message = next(call, None)
        finally:
            silence.cancel()
        if message is None:
            return
        yield message


def resumable(error):
    """Returns whether the call can be resumed: the server is unavailable, or the
    connection failed, which proxies report as an error without a reason. Any
    other error is final."""
    if error.code() in BROKEN:
        info = detail(error, error_details_pb2.ErrorInfo)
        return info is None or info.domain != "runicorn-grpc"
    return error.code() == grpc.StatusCode.UNAVAILABLE


def delay(failures, error):
    """Grows from 0.2 s to 10 s, is jittered, and is never shorter than the server's RetryInfo."""
    info = detail(error, error_details_pb2.RetryInfo)
    minimum = info.retry_delay.ToTimedelta().total_seconds() if info else 0.0
    return max(min(0.2 * 2 ** min(failures - 1, 6), 10.0) * random.uniform(0.5, 1.0), minimum)


def detail(error, kind):
    """Returns the detail of a type, or None if the server sent none."""
    status = rpc_status.from_call(error)
    for sent in status.details if status else ():
        found = kind()
        if sent.Unpack(found):
            return found
    return None
