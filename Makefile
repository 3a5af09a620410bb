# Everything that a developer runs. CI runs .ci/run.
.PHONY: help generate lint test full releases
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

generate: ## make gen/ and protos/ out of proto/
	go generate .

lint: ## check the contract and the code
	go tool -modfile=tools/buf/go.mod buf lint
	go tool -modfile=tools/buf/go.mod buf format -d --exit-code proto
	go tool -modfile=tools/buf/go.mod buf breaking proto --against proto/baseline.binpb
	go vet ./...
	go tool -modfile=tools/lint/go.mod golangci-lint run ./...

test: ## run the tests; those with real Viewers where Python is
	go test ./...

full: lint ## run all tests, with real Viewers, and the generators of every language
	RUNICORN_E2E=required go test -race -timeout=30m ./...
	tools/languages/protoc.sh
	tools/languages/tonic.sh
	tools/languages/openapi.sh full
	tools/languages/flight.sh
	tools/releases.sh

releases: ## say whether PyPI has a release of Runicorn that was never tried
	tools/releases.sh
