package runicorngrpc

import _ "embed"

// OpenAPI is the OpenAPI 2.0 document of the contract as it was generated.
// It is embedded here because gen/ is emptied by every generation and so can
// hold no Go file of ours.
//
//go:embed gen/openapi/runicorn.swagger.json
var OpenAPI []byte
