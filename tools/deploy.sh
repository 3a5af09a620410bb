#!/usr/bin/env bash
# Checks the Kubernetes manifests, as files and as kustomize combines them,
# against the schemas of Kubernetes. Needs Go, Python, PyPI and the Go module proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate==1.37.0
validate() { "$work/venv/bin/kubernetes-validate" --strict --quiet "$@"; }

validate deploy/kubernetes/server.yaml deploy/kubernetes/haproxy.yaml
go run sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 build deploy/kubernetes >"$work/all.yaml"
validate "$work/all.yaml"
# Prove that the check finds mistakes: a misspelled field and a value of another type.
for mistake in 's/readinessProbe:/readynessProbe:/' 's/maxUnavailable: 1$/maxUnavailable: {}/'; do
  sed "$mistake" deploy/kubernetes/server.yaml >"$work/planted.yaml"
  if validate "$work/planted.yaml" >/dev/null 2>&1; then
    echo "deploy: a planted mistake was not found: $mistake" >&2
    exit 1
  fi
done
# HAProxy reads its own configuration, with the certificate and the names that it lacks here.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
  -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost 2>/dev/null
cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
export RUNICORN_CERT="$work/both.pem"
for i in 1 2 3; do
  export "RUNICORN_REPLICA_$i=127.0.0.1:1" "RUNICORN_REPLICA_${i}_HTTP=127.0.0.1:1"
done
PATH="$PATH:/usr/sbin" haproxy -c -q -f deploy/haproxy/haproxy.cfg
echo "the manifests and the configuration of HAProxy are valid"
