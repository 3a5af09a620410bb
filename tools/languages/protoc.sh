#!/usr/bin/env bash
# Compiles gen/protos with protoc for every built-in generator in one call
# each, and as Python stubs that are imported together with the packages runicorn
# and googleapis-common-protos. Needs protoc, Python and PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/runicorn-grpc"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

echo "== protoc, nine languages"
RUNICORN_E2E=required go test -count=1 -run 'TestProto' .

echo "== Python stubs beside runicorn"
venv="$cache/python-stubs-1"
if [ ! -x "$venv/bin/python" ] || [ ! -e "$venv/installed" ]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install -q grpcio-tools==1.85.1 googleapis-common-protos==1.76.0 runicorn==0.7.2
  touch "$venv/installed"
fi
mapfile -t files < <(find gen/protos -name '*.proto' -not -path '*/google/*')
"$venv/bin/python" -m grpc_tools.protoc -I gen/protos --python_out="$out" --grpc_python_out="$out" --pyi_out="$out" "${files[@]}"
"$venv/bin/python" - "$out" "${files[@]#gen/protos/}" <<'PYTHON'
import importlib, sys
import runicorn
sys.path.insert(0, sys.argv[1])
for path in sys.argv[2:]:
    name = path.removesuffix(".proto").replace("/", ".")
    importlib.import_module(name + "_pb2")
    importlib.import_module(name + "_pb2_grpc")
print(f"imported {len(sys.argv) - 2} modules beside runicorn {runicorn.__version__} of {runicorn.__file__}")
PYTHON

echo "== every file as Python, google/rpc beside googleapis-common-protos"
mapfile -t all < <(find gen/protos -name '*.proto' -not -path '*/google/protobuf/*')
mkdir "$out/all"
"$venv/bin/python" -m grpc_tools.protoc -I gen/protos --python_out="$out/all" "${all[@]}"
"$venv/bin/python" - "$out/all" <<'PYTHON'
import runpy, sys
from google.rpc import error_details_pb2, status_pb2
for name in ("status", "error_details"):
    runpy.run_path(f"{sys.argv[1]}/google/rpc/{name}_pb2.py")  # fails if it declares another message of the same name
print("the same messages as googleapis-common-protos")
PYTHON
