"""Makes the generated stubs importable."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "stubs"))

from runicornapi.v1 import experiment_pb2, experiment_service_pb2, experiment_service_pb2_grpc  # noqa: E402, F401
from runicornapi.v1 import metric_pb2, metric_service_pb2, metric_service_pb2_grpc, tail_pb2  # noqa: E402, F401
