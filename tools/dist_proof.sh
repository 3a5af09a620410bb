#!/usr/bin/env bash
# Tests the packages that make dist has written to dist/: the checksums match, the deb
# installs, runs and uninstalls completely, systemd accepts the unit, and
# the image serves under runc as user 65532 with a read-only root and drains on SIGTERM.
# Needs root on a Debian machine without this package; installs runc if it is missing.
# An argument limits it to deb or image.
set -euo pipefail
cd "$(dirname "$0")/.."
what="${1:-all}"
arch="$(dpkg --print-architecture)"
work="$(mktemp -d)"
container="runicorn-grpc-proof-$$"
trap 'runc delete -f "$container" 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "dist proof: $*" >&2; exit 1; }
# await PID URL waits until the process answers 200, and prints the answer.
await() {
  for _ in $(seq 300); do
    curl -fs "$2" && return
    kill -0 "$1" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

(cd dist && sha256sum -c --quiet SHA256SUMS)

prove_deb() {
  deb=$(ls dist/*_"$arch".deb)
  ! dpkg -s runicorn-grpc >/dev/null 2>&1 || fail "the package is installed already"
  dpkg -i "$deb" >/dev/null
  version="$(runicorn-grpc --version)"
  tag="$(dpkg-deb -f "$deb" Version)"
  case $tag in
    0.0.0~*) ;; # there is no tag
    *) [[ $version == *"v$tag "* ]] || fail "the package of $tag has the command $version" ;;
  esac
  systemd-analyze verify /lib/systemd/system/runicorn-grpc.service
  exposure="$(systemd-analyze security --offline=true /lib/systemd/system/runicorn-grpc.service | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')"
  [ "$(echo "$exposure" | tr -d .)" -le 15 ] || fail "the exposure of the unit is $exposure"
  # The command accepts the installed configuration.
  RUNICORN_GRPC_GRPC_ADDR=127.0.0.1:0 RUNICORN_GRPC_HTTP_ADDR=127.0.0.1:0 RUNICORN_GRPC_STATE_DIR="$work" \
    runicorn-grpc --config=/etc/runicorn-grpc/config.yaml >"$work/deb.log" 2>&1 &
  pid=$!
  for _ in $(seq 100); do grep -q '^HTTP' "$work/deb.log" && break; sleep 0.1; done
  await "$pid" "$(sed -n 's/^HTTP *\(.*\)/\1/p' "$work/deb.log")readyz" >/dev/null || fail "$(cat "$work/deb.log")"
  kill "$pid"
  wait "$pid" || fail "the installed command did not end well: $(cat "$work/deb.log")"
  dpkg --purge runicorn-grpc >/dev/null
  for path in /usr/bin/runicorn-grpc /etc/runicorn-grpc /lib/systemd/system/runicorn-grpc.service; do
    [ ! -e "$path" ] || fail "$path is left after purge"
  done
  echo "deb: $version, exposure of the unit $exposure"
}

prove_image() {
  command -v runc >/dev/null || apt-get install -y -qq --no-install-recommends runc >/dev/null
  mkdir -p "$work/oci" "$work/bundle/rootfs"
  tar -xf dist/*_oci.tar -C "$work/oci"
  python3 tools/oci_unpack.py "$work/oci" "$arch" "$work/bundle" 'http-addr=127.0.0.1:23399' 'grpc-addr=127.0.0.1:23398'
  (cd "$work/bundle" && exec runc run "$container") >"$work/runc.log" 2>&1 &
  pid=$!
  await "$pid" http://127.0.0.1:23399/readyz >"$work/readyz" || fail "$(cat "$work/runc.log")"
  main="$(runc state "$container" | sed -n 's/.*"pid": \([0-9]*\),/\1/p')"
  [ "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$main/status")" = 65532 ] || fail "the user is not 65532"
  awk '$5 == "/" && $6 ~ /^ro(,|$)/ { found = 1 } END { exit !found }' "/proc/$main/mountinfo" || fail "the root is not read-only"
  runc kill "$container" TERM
  wait "$pid" || fail "the container did not end well: $(cat "$work/runc.log")"
  grep -q 'msg=drained in_time=true' "$work/runc.log" || fail "it did not drain: $(cat "$work/runc.log")"
  echo "image: user 65532, read-only root, $(cat "$work/readyz"), drained on SIGTERM, $(du -h dist/*_oci.tar | cut -f1)"
}

[ "$what" = image ] || prove_deb
[ "$what" = deb ] || prove_image
