# Everything that a developer runs. CI runs .ci/run, which is make check.
.PHONY: help generate lint test e2e bench full dist check wheels releases
help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

generate: ## make gen/ and protos/ out of the protos
	go generate .

wheels: ## build the Python client, wheel and sdist, and the server's wheels for all platforms into dist/
	python3 -m venv dist/tools
	dist/tools/bin/pip install -q --disable-pip-version-check hatchling==1.33.0
	cd clients/python && ../../dist/tools/bin/python -m hatchling build -d ../../dist
	dist/tools/bin/python clients/python-server/build.py dist
	rm -r dist/tools

dist: wheels ## build all packages into dist/: archives, debs, OCI image, wheels, checksums
	tools/dist.sh

.protodeps: # the protos of other projects, which buf reads
	go generate .

lint: .protodeps ## check the contract and the code
	go tool -modfile=tools/buf/go.mod buf lint
	go tool -modfile=tools/buf/go.mod buf format -d --exit-code proto
	go tool -modfile=tools/buf/go.mod buf format -d --exit-code proto-tensorboard
	go tool -modfile=tools/buf/go.mod buf breaking proto --against proto/baseline.binpb
	go vet ./...
	go tool -modfile=tools/lint/go.mod golangci-lint run ./...

test: ## run the tests; those with real Viewers where Python is
	go test ./...

e2e: ## run the tests with real Viewers only, and fail where they cannot run
	RUNICORN_E2E=required go test -timeout=30m ./internal/e2e

bench: ## run the benchmarks; the programs in bench/ say in their head how each is run
	go test -run '^$$' -bench . -benchmem ./...

check: ## run what must pass before a change is merged
	.ci/run

full: lint ## run all tests, with real Viewers, and the generators of every language
	RUNICORN_E2E=required RUNICORN_PYTHON_PAIRS=all RUNICORN_EXAMPLES=all RUNICORN_RANDOM_FILTERS=300 RUNICORN_REPLICAS=all RUNICORN_DEPLOY=all go test -race -timeout=60m ./...
	tools/languages/protoc.sh
	tools/languages/tonic.sh
	tools/languages/openapi.sh full
	tools/languages/flight.sh
	tools/deploy.sh
	$(MAKE) dist
	tools/dist_proof.sh
	tools/releases.sh

releases: ## say whether PyPI has a release of Runicorn that was never tried
	tools/releases.sh
