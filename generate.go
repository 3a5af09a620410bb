// Package runicorngrpc is the root of the repository. It holds no code: it is
// where `go generate .` makes gen/ out of proto/, offline, with the tools
// pinned in tools/.
package runicorngrpc

//go:generate go -C tools/proto run ./deps ../../.protodeps
//go:generate go tool -modfile=tools/buf/go.mod buf generate
