# Fairway: see README.md. Every target does its own set-up.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS   += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin
GO      := go
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X github.com/fairway-mesh/fairway/internal/version.version=$(VERSION)"

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/fairway
	@CGO_ENABLED=0 $(GO) build $(GOFLAGS_BUILD) -o $(BIN)/fairway ./cmd/fairway

.PHONY: demo
demo: build ## Run tutorials A to D on a local mesh, without Kubernetes
	@$(BIN)/fairway demo

.PHONY: test
test: ## Run everything that CI runs
	@./test/run

.PHONY: test-cluster
test-cluster: ## Of that, only the tests on a real Kubernetes cluster made here (root)
	@$(GO) test -count=1 -timeout 40m -parallel 5 -v ./test/cluster

.PHONY: test-gateway-api
test-gateway-api: ## Run the Gateway API's conformance suite on a real cluster made here (root, ten minutes), and write its report
	@$(GO) test -count=1 -timeout 2h -v ./test/gatewayapi -conformance -version $(VERSION) -report $(CURDIR)/docs/gateway-api-conformance.yaml $(if $(ONLY),-only $(ONLY) -report "")

.PHONY: test-learned
test-learned: ## Run all conformance cases with a learned scope from nothing (every third is part of `make test`)
	@FAIRWAY_CONFORMANCE=learned $(GO) test -count=1 -timeout 30m -v ./test/conformance -run 'TestConformance/learned|Sidecars|Hosts|Learned'

.PHONY: test-faults
test-faults: ## Run the tests of faults (docs/reliability.md) in their long form
	@FAIRWAY_FAULTS=long $(GO) test -count=1 -timeout 60m -p 1 -v ./test/faults ./internal/reserve ./informers ./cmd/fairway ./internal/identity ./internal/identity/kube
	@FAIRWAY_FAULTS=long $(GO) test -count=1 -timeout 60m -v ./test/tutorials -run TestBadLink

.PHONY: lint
lint: ## Check format, imports and lint rules
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt is needed on:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

.PHONY: bench
bench: ## Benchmark the parts, against the previous commit
	@./test/bench

.PHONY: bench-load
bench-load: ## Measure the control plane under load (SIZE=S|M|L)
	@$(GO) run ./test/load -size $(or $(SIZE),S)

.PHONY: bench-envoy
bench-envoy: build ## Measure what Fairway's resources cost an Envoy: heap of one more of each, CPU of a request (REQUESTS=1000; root)
	@ENVOY=$$($(BIN)/fairway envoy) $(GO) test -count=1 -timeout 10m -v ./test/envoycost -args -requests $(or $(REQUESTS),1000) | grep -v -e '^=== ' -e '^time='

.PHONY: attack
attack: ## Let hostile tenants, proxies and strangers loose on a control plane (SEED=0 DURATION=5m)
	@$(GO) test ./test/attack -run TestAttack -count 1 -v -timeout 2h -args -seed $(or $(SEED),0) -attack $(or $(DURATION),5m)

.PHONY: soak
soak: ## Change a mesh at random for a while, and compare the memory with that after a fresh start (SEED=0 DURATION=1h)
	@$(GO) test ./test/soak -run TestSoak -count 1 -v -timeout 0 -args -seed $(or $(SEED),0) -soak $(or $(DURATION),1h)

.PHONY: fuzz
fuzz: ## Run every fuzz target for a while (FUZZTIME=10s)
	@./test/fuzz $(or $(FUZZTIME),10s)

.PHONY: chart
chart: ## Package the Helm chart into dist/, with the definitions of the Istio API
	@$(GO) run ./test/chart/package -version $(VERSION)

.PHONY: image
image: ## Build the container image (needs docker or podman)
	@$$(command -v docker || command -v podman) build --build-arg VERSION=$(VERSION) -t ghcr.io/fairway-mesh/fairway:$(VERSION) .

.PHONY: clean
clean: ## Remove what was built here
	@rm -rf $(BIN)

.PHONY: cluster
cluster: ## Start a real Kubernetes cluster on this machine (NODES=1), and print its KUBECONFIG
	@$(GO) run ./test/cluster/up -nodes $(or $(NODES),1)

.PHONY: cluster-down
cluster-down: ## Remove what make cluster started
	@$(GO) run ./test/cluster/up -down

.PHONY: test-kind
test-kind: ## Run the cluster's tests on kind (needs docker or podman)
	@$(GO) test -count=1 -timeout 40m -parallel 5 -v ./test/cluster -run TestCluster -kind
