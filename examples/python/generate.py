"""Generates the client's stubs into stubs/ from ../../protos."""

import pathlib
import sys

import grpc_tools
from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent
PROTOS = HERE.parent.parent / "protos"
STUBS = HERE / "stubs"


def main():
    # google/ is not generated: googleapis-common-protos provides it.
    files = sorted(PROTOS.glob("runicornapi/**/*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    STUBS.mkdir(exist_ok=True)
    return protoc.main(
        ["protoc", f"-I{PROTOS}", f"-I{well_known}", f"--python_out={STUBS}", f"--pyi_out={STUBS}", f"--grpc_python_out={STUBS}"]
        + [str(file) for file in files]
    )


if __name__ == "__main__":
    sys.exit(main())
