# Keytrail: SSH keys in AWS Secrets Manager, rotated and proven. `make help` lists what there is.
# Everything that is built goes below build/; nothing outside this folder is written but Go's caches.

GO      ?= go
BUILD   := build
SCRIPT  := rotate/fleet/host.sh
GOFLAGS += -trimpath
export GOFLAGS
# The functions need none of the old RPC code: https://pkg.go.dev/github.com/aws/aws-lambda-go/lambda
FUNCTION = CGO_ENABLED=0 $(GO) build -tags lambda.norpc -ldflags '-s -w -buildid='

.DEFAULT_GOAL := help
.PHONY: help demo lab test conformance lint bench build package release deploy undeploy clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## rotate and watch the keys of fifteen hosts on this machine, and check every claim
	@$(BUILD)/demo --tools $(BUILD)/hosttools --function $(BUILD)/rotate --events $(BUILD)/events --script $(SCRIPT) \
	  --keytrail $(BUILD)/keytrail --report $(BUILD)/report.html

lab: build ## keep an AWS-compatible lab running here; LABFLAGS=--help explains its flags
	@$(BUILD)/lab --tools $(BUILD)/hosttools --trust $(SCRIPT) $(LABFLAGS)

test: ## run the tests
	$(GO) test -short -p 1 -timeout 20m ./...

# What is long: every row on real accounts under a real sshd and three shells, which needs Linux and root (the same
# rows on hosts of the lab are in make test), and every call and command interrupted.
conformance: ## run the tests that are too long for make test
	$(GO) test -p 1 -timeout 30m -skip TestConformance/./lab ./rotate/fleet ./deploy/e2e/conformance
	$(GO) test -timeout 30m -run 'EveryCall|EveryCommand|AnyCall|WhateverCall' ./deploy/e2e

lint: ## gofmt, vet, staticcheck, and shellcheck where it is installed
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPT) deploy/*.sh; else echo "shellcheck is not installed: skipped"; fi

bench: build ## measure speed and size
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

build: ## build the functions, the command, the lab and the demo for this machine
	@mkdir -p $(BUILD)
	$(FUNCTION) -o $(BUILD)/rotate ./rotate/lambda
	$(FUNCTION) -o $(BUILD)/events ./events/lambda
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o $(BUILD)/hosttools ./deploy/lab/host/tools
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o $(BUILD)/keytrail ./deploy/cmd/keytrail
	$(GO) build -o $(BUILD)/lab ./deploy/lab/cmd
	$(GO) build -o $(BUILD)/demo ./deploy/demo

package: ## zip the functions for AWS, arm64 and amd64; the same source gives the same bytes
	@mkdir -p $(BUILD)
	GOOS=linux GOARCH=arm64 $(FUNCTION) -o $(BUILD)/rotate-arm64/bootstrap ./rotate/lambda
	GOOS=linux GOARCH=amd64 $(FUNCTION) -o $(BUILD)/rotate-amd64/bootstrap ./rotate/lambda
	GOOS=linux GOARCH=arm64 $(FUNCTION) -o $(BUILD)/events-arm64/bootstrap ./events/lambda
	GOOS=linux GOARCH=amd64 $(FUNCTION) -o $(BUILD)/events-amd64/bootstrap ./events/lambda
	@$(GO) build -o $(BUILD)/package ./deploy/cmd/package
	@$(BUILD)/package $(BUILD)/rotate-arm64.zip $(BUILD)/rotate-arm64/bootstrap
	@$(BUILD)/package $(BUILD)/rotate-amd64.zip $(BUILD)/rotate-amd64/bootstrap
	@$(BUILD)/package $(BUILD)/events-arm64.zip $(BUILD)/events-arm64/bootstrap
	@$(BUILD)/package $(BUILD)/events-amd64.zip $(BUILD)/events-amd64/bootstrap

release: package ## gather in build/release what a release has: zips, template, bill of materials, checksums
	@rm -rf $(BUILD)/release && mkdir -p $(BUILD)/release
	@cp $(BUILD)/rotate-arm64.zip $(BUILD)/rotate-amd64.zip $(BUILD)/events-arm64.zip $(BUILD)/events-amd64.zip $(BUILD)/release
	@$(GO) run ./deploy/cmd/release $(BUILD)/release deploy/template.yaml $(BUILD)/rotate-arm64/bootstrap $(BUILD)/rotate-amd64/bootstrap \
	  $(BUILD)/events-arm64/bootstrap $(BUILD)/events-amd64/bootstrap

deploy: package ## deploy to the AWS account of your credentials; deploy/deploy.sh says what it asks for
	@deploy/deploy.sh

undeploy: ## delete the stack; the register, secrets and keys stay
	@deploy/undeploy.sh

clean: ## remove what was built
	rm -rf $(BUILD)
