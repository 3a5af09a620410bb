// Package runicorngrpc is the root of the repository: it is where
// `go generate .` makes gen/ out of proto/, offline, with the tools pinned in
// tools/, and protos/, which is not committed: the protos with all that they
// import, for the generators of other languages. The OpenAPI document, which
// lies below gen/, is embedded here.
package runicorngrpc

//go:generate go -C tools/proto run ./deps ../../.protodeps
//go:generate go tool -modfile=tools/buf/go.mod buf generate
//go:generate go tool -modfile=tools/buf/go.mod buf export . -o protos
