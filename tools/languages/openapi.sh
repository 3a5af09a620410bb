#!/usr/bin/env bash
# Runs OpenAPI generators on gen/openapi/runicorn.openapi.json, compiles the
# results, and makes the Python clients read NaN and infinities. Without
# arguments it runs those of CI; "full" adds the others. Needs Go, Python,
# Node.js with npm, and Java.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/runicorn-grpc"
document="$PWD/gen/openapi/runicorn.openapi.json"
out="$(mktemp -d)"
server=""
trap '[ -z "$server" ] || kill "$server"; rm -rf "$out"' EXIT

# venv NAME PACKAGE... prints the folder of a virtual environment.
venv() {
  local dir="$cache/$1"
  if [ ! -e "$dir/installed" ]; then
    python3 -m venv --clear "$dir" >&2
    "$dir/bin/pip" install -q "${@:2}" >&2
    touch "$dir/installed"
  fi
  echo "$dir/bin"
}

# generate GENERATOR runs openapi-generator.
generate() {
  java -jar "$jar" generate -i "$document" -g "$1" -o "$out/$1" >"$out/$1.log" 2>&1 || { cat "$out/$1.log" >&2; return 1; }
}

echo "== openapi-spec-validator"
"$(venv openapi-spec-validator-1 openapi-spec-validator==0.9.0)/openapi-spec-validator" "$document"

echo "== openapi-typescript, tsc --strict"
node="$cache/openapi-typescript-1"
if [ ! -e "$node/installed" ]; then
  mkdir -p "$node"
  npm install --silent --no-audit --no-fund --prefix "$node" openapi-typescript@7.13.0 typescript@5.9.3
  touch "$node/installed"
fi
"$node/node_modules/.bin/openapi-typescript" "$document" -o "$out/api.ts"
"$node/node_modules/.bin/tsc" --strict --noEmit "$out/api.ts"

echo "== openapi-generator python"
generator="$(venv openapi-generator-1 openapi-generator-cli==7.26.0)"
jar="$(find "${generator%/bin}/lib" -name openapi-generator.jar)"
generate python
client="$(venv openapi-generator-python-1 pydantic==2.14.4 python-dateutil==2.9.0.post0 urllib3==2.8.0 typing-extensions==4.16.0)"
go build -o "$out/server" ./cmd/server
"$out/server" --demo --grpc-addr=127.0.0.1:0 --http-addr=127.0.0.1:0 >"$out/banner" 2>"$out/server.log" &
server=$!
for _ in $(seq 100); do
  url="$(grep -o 'http://[0-9.:]*' "$out/banner" || true)"
  [ -z "$url" ] || break
  sleep 0.1
done
PYTHONPATH="$out/python" "$client/python" tools/languages/openapi_read.py "$document" "$url"

[ "${1:-}" = full ] || exit 0

echo "== openapi-generator typescript-fetch, tsc --strict"
generate typescript-fetch
"$node/node_modules/.bin/tsc" --strict --noEmit --target es2020 --moduleResolution node --lib es2020,dom "$out/typescript-fetch/index.ts"

echo "== openapi-generator go, go vet"
generate go
(cd "$out/go" && rm -rf test && GOFLAGS= go mod tidy 2>/dev/null && GOFLAGS= go vet .)

echo "== openapi-python-client"
tool="$(venv openapi-python-client-1 openapi-python-client==0.29.1 ruff==0.17.6)"
PATH="$tool:$PATH" "$tool/openapi-python-client" generate --path "$document" --output-path "$out/opc" --meta none --fail-on-warning
"$tool/python" -m compileall -q "$out/opc"

echo "== datamodel-code-generator"
tool="$(venv datamodel-code-generator-1 datamodel-code-generator==0.89.0)"
"$tool/datamodel-codegen" --input "$document" --input-file-type openapi --output-model-type pydantic_v2.BaseModel --formatters builtin --output "$out/models.py"
"$tool/python" "$out/models.py"
