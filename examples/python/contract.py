"""Finds the generated stubs, beside the SDK or without it.

The SDK is a package named runicorn, and the contract's package is runicorn.v1.
Python takes a package from one place only, so where the SDK is installed, the
stubs are added to it.
"""

import pathlib
import sys

STUBS = pathlib.Path(__file__).parent / "stubs"
sys.path.insert(0, str(STUBS))

import runicorn  # noqa: E402

if str(STUBS / "runicorn") not in runicorn.__path__:
    runicorn.__path__.append(str(STUBS / "runicorn"))

from runicorn.v1 import experiment_pb2, experiment_service_pb2, experiment_service_pb2_grpc  # noqa: E402, F401
from runicorn.v1 import metric_pb2, metric_service_pb2, metric_service_pb2_grpc  # noqa: E402, F401
