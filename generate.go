// Package runicorngrpc is the root of the repository: it is where
// `go generate .` makes gen/ out of proto/, offline, with the tools pinned in
// tools/, and where the OpenAPI document is embedded, which lies below it.
package runicorngrpc

//go:generate go -C tools/proto run ./deps ../../.protodeps
//go:generate go tool -modfile=tools/buf/go.mod buf generate
