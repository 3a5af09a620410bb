#!/usr/bin/env bash
# Compiles gen/protos with tonic's default build, client and server, and
# checks the generated Rust code. Needs protoc, cargo and crates.io.
set -euo pipefail
cd "$(dirname "$0")/../.."
protos="$PWD/gen/protos"
crate="${XDG_CACHE_HOME:-$HOME/.cache}/runicorn-grpc/tonic-1"
mkdir -p "$crate/src"
cat >"$crate/Cargo.toml" <<'TOML'
[package]
name = "contract"
version = "0.0.0"
edition = "2021"

[dependencies]
prost = "=0.14.6"
prost-types = "=0.14.6"
tonic = "=0.14.9"
tonic-prost = "=0.14.9"

[build-dependencies]
tonic-prost-build = "=0.14.9"
TOML
cat >"$crate/build.rs" <<'RUST'
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = std::env::var("PROTOS")?;
    println!("cargo:rerun-if-changed={protos}");
    println!("cargo:rerun-if-env-changed=FILES");
    let files: Vec<String> = std::env::var("FILES")?.split_whitespace().map(String::from).collect();
    tonic_prost_build::configure()
        .include_file("contract.rs")
        .compile_protos(&files, &[protos])?;
    Ok(())
}
RUST
echo 'include!(concat!(env!("OUT_DIR"), "/contract.rs"));' >"$crate/src/lib.rs"
FILES="$(find "$protos" -name '*.proto' -not -path '*/google/protobuf/*' | sort)" PROTOS="$protos" \
  cargo check --quiet --manifest-path "$crate/Cargo.toml"
echo "tonic compiles the protos"
