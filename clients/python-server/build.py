"""Builds wheels into a folder: build.py FOLDER [GOOS/GOARCH ...], by default for
all platforms. Needs Go, and hatchling in this Python."""

import os
import pathlib
import sys

from hatchling.builders.wheel import WheelBuilder
from hook import TAGS

for platform in sys.argv[2:] or TAGS:
    os.environ["RUNICORN_GRPC_PLATFORM"] = platform
    builder = WheelBuilder(str(pathlib.Path(__file__).resolve().parent))
    for wheel in builder.build(directory=os.path.abspath(sys.argv[1])):
        print(wheel)
