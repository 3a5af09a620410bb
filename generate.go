// Package runicorngrpc is the root of the repository: it is where
// `go generate .` makes gen/ out of proto/, offline, with the tools pinned in
// tools/, and protos/, which is not committed: the protos in the form for the
// generators of other languages, with all that they import, a copy of
// gen/protos. What the server gives out of gen/ is embedded here. gen/tensorboard
// comes of proto-tensorboard/, which is no part of the contract.
package runicorngrpc

//go:generate go -C tools/proto run ./deps ../../.protodeps
//go:generate go tool -modfile=tools/buf/go.mod buf generate
//go:generate go tool -modfile=tools/buf/go.mod buf generate --template buf.gen.tensorboard.yaml
