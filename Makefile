# Penstock. `make help` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BIN         := $(CURDIR)/bin/penstock
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help build demo test check unit race short faults clients rocket tools bench fuzz clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

build: ## build the broker at bin/penstock
	@mkdir -p bin
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/penstock

demo: build ## start a broker, stream the Go source tree through it, check it, show the copy account
	go -C bench run ./demo -penstock $(BIN)

test: ## everything quick: checks, unit tests, and a short form of each slow suite
	@./.ci/steps check unit race short

check: ## formatting, vet, staticcheck, import graph
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	go -C bench vet ./...
	go run $(STATICCHECK) ./...
	cd bench && go run $(STATICCHECK) ./...
	go test -count=1 .

unit: ## unit tests of both modules
	go test ./...
	go -C bench test ./...

race: ## the concurrent rooms under the race detector
	go test -race -short ./disk/... ./store/... ./wire/... ./replica/... ./group/... ./kafka/... ./meta/... ./delay/... ./rocket/...

short: build ## a short form of faults, clients, tools and bench
	go -C bench run ./faults -penstock $(BIN) -short all
	go -C bench run ./clients -penstock $(BIN) -short -seed 777
	go -C bench run ./tools -penstock $(BIN) -short
	go -C bench run ./cmd/bench syscalls -penstock $(BIN) -short
	go -C bench run ./rocket -penstock $(BIN) -short

faults: build ## the long fault loops: crash seeds, kill -9, power cuts, full disk, failing calls (needs root, about an hour)
	STORETEST_SEEDS=100000 go test -count=1 -timeout 60m ./disk ./store/... ./replica ./group
	go -C bench run ./faults -penstock $(BIN) all

clients: build ## prove it with unchanged clients of Kafka and RocketMQ, mqadmin, and RocketMQ's own broker on our store; bench/README.md says what it installs (needs Java, Maven, Python, Node)
	go -C bench run ./clients -penstock $(BIN)
	go -C bench run ./rocket -penstock $(BIN) all

rocket: build ## RocketMQ's mqadmin against penstock and a real RocketMQ (needs Java and Maven, 4 minutes)
	go -C bench run ./rocket -penstock $(BIN) -doc ../docs/rocketmq-tools.md tools

tools: build ## Kafka's command line tools against penstock and a real Kafka, Kafka Streams, Kafka Connect (needs Java and Maven, 4 minutes)
	go -C bench run ./tools -penstock $(BIN) -doc ../docs/kafka-tools.md

bench: build ## the figures: CPU per GiB beside the floors and Apache Kafka, acknowledgements, latency, system calls, idle; beside RocketMQ
	go -C bench run ./cmd/bench all -penstock $(BIN)
	go -C bench run ./cmd/bench rocket -penstock $(BIN)

FUZZTIME ?= 10m
fuzz: ## every fuzz target for FUZZTIME each
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz || true); do \
	  echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

clean: ## remove what was built and fetched
	rm -rf bin bench/.cache
