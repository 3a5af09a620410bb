package runicorngrpc

import (
	"embed"
	"io/fs"
)

// OpenAPI is the OpenAPI 3.1 document of the contract. What is generated is
// embedded here because every generation empties gen/, so gen/ cannot hold a
// Go file of ours.
//
//go:embed gen/openapi/runicorn.openapi.json
var OpenAPI []byte

//go:embed gen/protos
var protos embed.FS

// Protos returns the protos in the form for the code generators of other
// languages, with all that they import.
func Protos() fs.FS {
	sub, err := fs.Sub(protos, "gen/protos")
	if err != nil {
		panic(err) // only if the name above is no valid path
	}
	return sub
}
