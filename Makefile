# afxlb: `make` lists the targets. Only Go, git, make and root are needed for
# build, test and demo; generate and generate-check need clang too, test-vm Debian's apt.

SHELL   := bash
GO      ?= go
PREFIX  ?= /usr/local
FUZZTIME ?= 10s
BENCH   ?= all
RACE    ?= ./...
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# golangci-lint is built from source into .bin, under its version's name: the
# first `make lint` takes two to three minutes on two cores, each later one seconds.
LINT_VERSION := v2.15.0
LINT         := .bin/golangci-lint-$(LINT_VERSION)

# The same holds for nfpm, which makes deb and rpm. Versions of packages begin with a number,
# grow, and have no hyphen: 1.2.3+4.gabcdef for v1.2.3-4-gabcdef, 1.2.3~rc1 for v1.2.3-rc1, and
# 0~commits without a tag.
NFPM_VERSION    := v2.45.2
NFPM            := .bin/nfpm-$(NFPM_VERSION)
PACKAGES        ?= dist/packages
PACKAGE_VERSION ?= $(shell version=$$(sed -E 's/^v//; s/-(alpha|beta|rc)/~\1/; s/-([0-9]+)-g/+\1.g/; s/-/+/g' <<< '$(VERSION)'); \
	[[ $$version =~ ^[0-9]+\. ]] && echo "$$version" || echo "0~$$(git rev-list --count HEAD 2>/dev/null || echo 0).$$version")

.DEFAULT_GOAL := help
.PHONY: help build generate docs generate-check test test-race fuzz lint test-tools screenshots test-vm test-vm-ci bench pgo bench-once demo install package clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build ./afxlb, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o afxlb ./cmd/afxlb

generate: docs ## Rebuild the BPF objects and their Go bindings (needs clang), and what docs makes
	$(GO) generate ./bpf ./bench/wire

docs: ## Write docs/CONFIG.md, METRICS.md, openapi.json and the config's JSON Schema from the code (make test compares them)
	$(GO) generate ./internal/config ./internal/api ./internal/metrics

generate-check: ## Rebuild the BPF objects in a copy and compare them with the committed ones (needs clang)
	scripts/generate-check

# One package's tests at a time: labs, live traffic and health checks of several
# at once starve each other. -p 1 holds for compiling too, so that is done before. The daemon's
# own mostly wait, and say that they may run beside each other.
test: ## Run all tests; as root, and without root they fail rather than skip
	$(GO) build ./...
	AFXLB_ROOT_TESTS=1 $(GO) test -p 1 -parallel 3 -timeout 20m ./...

test-race: ## Run the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) build -race ./...
	AFXLB_ROOT_TESTS=1 CGO_ENABLED=1 $(GO) test -race -p 1 -parallel 3 -timeout 15m $(RACE)

# Kernels and QEMU come from Debian's mirror into .vm, 750 MB once unpacked. What is
# there stays as it is until somebody removes it. One part: make test-vm RUN=TestNIC/6.1/igb
VM_TESTS := AFXLB_ROOT_TESTS=1 $(GO) test -tags vm -v -count 1
RUN      ?= ^(TestPackages|TestNIC|TestUpper|TestPorts|TestTunnels)$$

test-vm: ## Run the tests and real traffic on three kernels and six NICs, in virtual machines (root, Debian 12)
	$(VM_TESTS) -timeout 3h -run '$(RUN)' ./internal/vmlab

test-vm-ci: ## Run the part of test-vm that CI has time for: zero-copy on the newest kernel
	$(VM_TESTS) -timeout 10m -short -run '^(TestPackages|TestNIC)$$/^newest$$/^(bpf|xsk|virtio-net|virtio-net-spare|igb)$$' ./internal/vmlab

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	scripts/fuzz $(FUZZTIME)

lint: $(LINT) ## Check formatting, go vet and golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [[ -n $$unformatted ]]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -tags vm,tools ./...
	$(LINT) run ./...

$(LINT):
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .bin/golangci-lint $@

test-tools: ## Run the tests that need other people's programs: promtool, tmux, chromium, keepalived, rpm (.ci/run installs them)
	AFXLB_ROOT_TESTS=1 $(GO) test -tags tools -p 1 -count 1 -timeout 10m -run '^TestTools' ./...

# It takes three minutes: the charts of the page show the last two.
screenshots: ## Make the pictures of the web page in docs anew (root, chromium)
	mkdir -p docs/page
	AFXLB_SCREENSHOTS=$(CURDIR)/docs/page AFXLB_ROOT_TESTS=1 $(GO) test -tags tools -count 1 -timeout 10m -run '^TestScreenshots$$' ./cmd/afxlb

bench: ## Measure: table on the terminal, JSON, plots and page in dist/bench (BENCH="engine -h" for more)
	$(GO) build -o dist/bench/bench ./bench
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o dist/bench/afxlb ./cmd/afxlb
	dist/bench/bench $(BENCH)

# What the engine's and the daemon's builds optimise for: packets of known flows and
# first packets of new ones. Run it on a machine that does nothing else.
pgo: ## Renew the profiles that profile-guided optimisation builds with
	$(GO) test -run '^$$' -bench 'KnownFlows|NewFlows' -benchtime 2s -cpuprofile cmd/afxlb/default.pgo -o /dev/null ./engine
	cp cmd/afxlb/default.pgo bench/default.pgo

bench-once: ## Run every Go benchmark once, so that none rots
	$(GO) test -run '^$$' -bench . -benchtime 1x -short ./...

demo: build ## Build a lab of namespaces, balance real traffic in it, kill a backend, clean up (root)
	./afxlb demo

# The unit goes where a package's would be: one in /etc is the administrator's, and wins.
install: build ## Install the binary, unit, manual pages, completion, example config and schema under PREFIX (/usr/local)
	install -D -m 0755 afxlb $(DESTDIR)$(PREFIX)/bin/afxlb
	install -D -m 0644 packaging/afxlb.example.yaml $(DESTDIR)/etc/afxlb/afxlb.example.yaml
	install -D -m 0644 packaging/afxlb.schema.json $(DESTDIR)$(PREFIX)/share/afxlb/afxlb.schema.json
	install -D -m 0644 packaging/afxlb.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/afxlb.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
	sed 's|/usr/local/bin|$(PREFIX)/bin|' packaging/afxlb.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/afxlb.service
	./afxlb man $(DESTDIR)$(PREFIX)/share/man/man8
	./afxlb completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/afxlb
	./afxlb completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_afxlb
	./afxlb completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/afxlb.fish

package: build $(NFPM) ## Make a deb and an rpm in dist/packages
	rm -rf $(PACKAGES)/stage
	mkdir -p $(PACKAGES)/stage
	./afxlb man $(PACKAGES)/stage/man8
	gzip -9n $(PACKAGES)/stage/man8/*.8
	./afxlb completion bash > $(PACKAGES)/stage/afxlb.bash
	./afxlb completion zsh > $(PACKAGES)/stage/_afxlb
	./afxlb completion fish > $(PACKAGES)/stage/afxlb.fish
	sed 's|/usr/local/bin|/usr/bin|' packaging/afxlb.service > $(PACKAGES)/stage/afxlb.service
	for packager in deb rpm; do \
		STAGE=$(PACKAGES)/stage ARCH=$$($(GO) env GOARCH) PACKAGE_VERSION='$(PACKAGE_VERSION)' \
			$(NFPM) package --config packaging/nfpm.yaml --packager $$packager --target $(PACKAGES) || exit; \
	done

$(NFPM):
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv .bin/nfpm $@

clean: ## Remove what the targets built
	rm -rf afxlb dist .bin .vm
