# The only entry to every task. `make help` lists them. CI runs `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

NEXTEST_VERSION := 0.9.143
DENY_VERSION := 0.20.2
DEB_VERSION := 3.8.0
RPM_VERSION := 0.21.1

# What the build, the tests and the demo use; `make deps` installs what is absent.
PACKAGES := build-essential pkg-config libnftnl-dev libmnl-dev nftables iproute2 conntrack procps util-linux curl jq \
            nginx-light redis-server dnsmasq-base busybox iptables strace chromium libfaketime python3-venv python3-aiosmtpd rsyslog

# Connections a case of the truth table: enough for 100,000 in all.
SOAK_EACH ?= 2500

# The page is built again when one of these is newer than it.
UI_SOURCES := $(shell find ui proto \( -path ui/node_modules -o -path ui/.node -o -path ui/dist -o -path ui/src/gen -o -path ui/e2e \) -prune -o -type f ! -name .built -print)

# A tree of its own, as firewalld runs where it is installed.
FIREWALLD_BED := $(or $(CNNF_BEDS),/var/cache/cnnf-lab)/firewalld

.PHONY: help deps ui tools build fmt lint proto-baseline api-docs deny check test test-ui screenshots fuzz demo examples soak bench units arm64 package-tools packages test-packages test-memory \
        test-vm beds lab clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

deps: ## install what is missing on Debian or Ubuntu (root); starts none of it
	@packaging/install-deps $(PACKAGES)
	@command -v npm >/dev/null || packaging/install-deps nodejs npm

ui/.built: $(UI_SOURCES)
	ui/build.sh

ui: ui/.built ## build the web page into ui/dist, where something changed; installs node where it is absent (root)

tools: ## install the pinned cargo tools where they are absent
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest --version $(NEXTEST_VERSION)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny --version $(DENY_VERSION)

build: ui ## build everything
	cargo build --locked --workspace

fmt: ## format the sources
	cargo fmt --all

lint: ui ## formatting, clippy (warnings denied), and whether the contract in proto/ is well-formed and only grew
	ui/node_modules/.bin/buf lint proto
	ui/node_modules/.bin/buf breaking proto --against proto/baseline.binpb || \
		{ echo "error: programs in the field rely on what proto/ was: add beside it instead of changing it" >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

proto-baseline: ui ## after a release, and on purpose: make the contract as it is now what later ones must not break
	ui/node_modules/.bin/buf build proto --exclude-source-info -o proto/baseline.binpb

api-docs: tools ## make docs/api.md anew from the comments in proto/
	CNNF_WRITE_REFERENCE=1 cargo nextest run --locked --workspace -E 'test(the_reference_is_current)'

deny: tools ## licences, bans and sources of dependencies
	cargo deny --locked --log-level error check licenses bans sources

check: tools ui lint deny ## everything that needs no root
	cd ui && npm run --silent unit
	cargo nextest run --locked --workspace -E 'not test(/root_/)'

test: deps tools ui lint deny ## everything CI runs (root: makes namespaces of its own)
	cd ui && npm run --silent unit
	cargo build --locked --workspace --bins
	cd ui && npm run --silent e2e
	cargo nextest run --locked --workspace
	$(MAKE) --no-print-directory units
	$(MAKE) --no-print-directory arm64
	integration/examples.sh
	$(MAKE) --no-print-directory demo CHECK=1

test-ui: deps ui ## the page alone: unit tests, and tests in Chromium before a made-up and a real controller (root)
	cargo build --locked --workspace --bins
	cd ui && npm run --silent unit && npm run --silent e2e

screenshots: deps ui ## pictures of every page, dark and light, into ui/e2e/out (root)
	cargo build --locked --workspace --bins
	cd ui && npm run --silent shots

fuzz: ## fuzz every decoder longer than the tests do, with another seed each time: FUZZ_ROUNDS=5000000 a decoder
	FUZZ_ROUNDS=$${FUZZ_ROUNDS:-5000000} FUZZ_SEED=$${FUZZ_SEED:-$$RANDOM$$RANDOM} cargo nextest run --locked --profile soak --workspace \
		-E 'test(/^fuzz::/)'

demo: deps ui ## the story on four small hosts; CHECK=1 verifies each step and exits
	cargo build --locked --workspace --bins
	CHECK=$(CHECK) integration/demo.sh

examples: deps ## the worked examples of examples/ against a real controller (root)
	cargo build --locked --workspace --bins
	integration/examples.sh

soak: deps tools ## the full figures (root, a quarter of an hour): a connection's owner, SOAK_EACH times a case; millions of connections judged
	@mkdir -p target/soak && rm -f target/soak/truth.tsv
	cargo build --locked --workspace --bins
	CNNF_TRUTH_EACH=$(SOAK_EACH) CNNF_TRUTH_ROWS=$(CURDIR)/target/soak/truth.tsv \
		nice cargo nextest run --locked --profile soak -p cnnf-defender -E 'test(root_truth)' --no-capture
	@awk -F'\t' '{ known += $$2; right += $$3; unknown += $$4; wrong += $$5 } \
		END { printf "%d attributions in %d cases: %d right, %d unknown, %d wrong\n", right + unknown + wrong, NR, right, unknown, wrong; \
		exit wrong > 0 || right + unknown < 100000 }' target/soak/truth.tsv
	CNNF_KILLS=1000 nice cargo nextest run --locked --profile soak -p cnnf-defender -E 'test(/^kills::/)' --no-capture
	CNNF_KILLS=1000 nice cargo nextest run --locked --profile soak -p cnnf-controller -E 'test(/^kills::/)' --no-capture
	PROPTEST_CASES=8192 nice cargo nextest run --locked --profile soak -p cnnf-core -p cnnf-host \
		-E 'test(agreement) or test(plan::tests)'

units: ## what systemd thinks of the units, without starting them
	@command -v systemd-analyze >/dev/null || packaging/install-deps systemd
	@cd packaging/systemd && for unit in cnnf-defender:25 cnnf-defender-boot:25 cnnf-controller:15; do \
		systemd-analyze security --offline=yes --no-pager --threshold=$${unit#*:} $${unit%:*}.service | tail -1; \
	done

# It is not linked, so the libraries of this machine do.
arm64: ui ## check the programs for 64-bit ARM; left out, and said, where Rust's target or a C compiler for it cannot be had
	@if timeout 120 rustup target add aarch64-unknown-linux-gnu >/dev/null 2>&1 && packaging/install-deps gcc-aarch64-linux-gnu libc6-dev-arm64-cross; then \
		CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc PKG_CONFIG_ALLOW_CROSS=1 \
			cargo check --locked --target aarch64-unknown-linux-gnu -p cnnf-defender -p cnnf-controller -p cnnfctl; \
	else echo 'left out: no target aarch64-unknown-linux-gnu, or no compiler for it'; fi

package-tools: deps ui # what packs and looks at packages; building the packers takes some ten minutes, once
	@packaging/install-deps jq lintian rpm rpmlint
	@command -v cargo-deb >/dev/null || cargo install --locked cargo-deb --version $(DEB_VERSION)
	@command -v cargo-generate-rpm >/dev/null || cargo install --locked cargo-generate-rpm --version $(RPM_VERSION)

packages: package-tools ## .deb and .rpm of all three programs, in target/packages
	CHECK=1 LINT=1 packaging/build

test-packages: package-tools ## the life of the packages, the guide, Ansible, cloud-init and ten hosts at once, on booted Debian hosts (root; some ten minutes, and the trees once)
	@packaging/install-deps systemd-container debootstrap createrepo-c openssh-client python3-venv
	cargo build --locked --workspace --bins
	for revision in 1 2; do PROFILE=dev OUT=target/packages-test REVISION=$$revision packaging/build; done
	for part in guide fleet manage life; do packaging/test/$$part; done
	CNNF_BEDS=$(FIREWALLD_BED) target/debug/cnnf-lab bed make bookworm --include firewalld
	CNNF_BEDS=$(FIREWALLD_BED) cargo nextest run --locked --workspace -E 'test(root_beside_a_running_firewalld)'

test-memory: build ## an hour of light traffic on booted hosts, in which no part may grow: MEMORY_MINUTES=60 (root; the packages of `make packages` or `make test-packages`)
	packaging/test/memory

test-vm: package-tools ## the dataplane's tests, and the packages, on Debian's own kernel with the native queue, in emulated machines (root, 3 GiB of memory, up to 20 minutes)
	@packaging/install-deps systemd-container debootstrap
	cargo build --locked --workspace --bins
	packaging/test-vm
	PROFILE=dev OUT=target/packages-test packaging/build
	packaging/test/vm

bench: deps ## benchmarks beside the ways of others (root); tables, and target/bench/*.json
	cargo bench --locked -p cnnf-core --bench policy
	cargo bench --locked -p cnnf-core --bench learning
	cargo bench --locked -p cnnf-host --bench owner
	cargo bench --locked -p cnnf-defender --bench steady
	cargo bench --locked -p cnnf-host --bench programming
	cargo bench --locked -p cnnf-controller --bench herd
	cargo build --locked --release -p cnnfctl
	cargo bench --locked -p cnnf-controller --bench rules
	cargo bench --locked -p cnnf-host --bench dataplane

beds: build ## Debian trees for booted hosts of the lab and their tests, in /var/cache/cnnf-lab (root)
	@packaging/install-deps systemd-container debootstrap
	target/debug/cnnf-lab bed make bookworm
	target/debug/cnnf-lab bed make trixie

lab: build ## build and show how to make small worlds of your own
	target/debug/cnnf-lab --help

clean: ## remove what was built
	cargo clean
	rm -rf ui/dist ui/.built ui/src/gen
