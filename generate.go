// Package runicorngrpc is the root of the repository. `go generate .` generates gen/ from
// proto/, offline and with the tools that tools/ pins, and protos/, a copy of gen/protos
// that is not committed: the protos and all their imports, for the generators of other
// languages. The files of gen/ that the server sends are embedded here. gen/tensorboard is
// generated from proto-tensorboard/, which is not part of the contract.
package runicorngrpc

//go:generate go -C tools/proto run ./deps ../../.protodeps
//go:generate go tool -modfile=tools/buf/go.mod buf generate
//go:generate go tool -modfile=tools/buf/go.mod buf generate --template buf.gen.tensorboard.yaml
