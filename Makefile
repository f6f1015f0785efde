# `make help` lists what there is.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.PHONY: help demo build test test-long test-rust test-e2e test-conformance test-peers test-packages reconcile siege soak fuzz fuzz-bodies screenshots check release fmt bench bench-peers setup clean

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
VENV := $(abspath target)/e2e-venv
LOGS := $(abspath target)/test-logs
PICTURES := $(abspath target)/screenshots
CORES := $(shell nproc)
# Most tests wait, for sockets and for time to pass. Several for each core run at a time.
RUST_TEST_THREADS ?= $(shell expr 4 '*' $(CORES))
PYTEST_PROCESSES ?= $(shell expr 2 '*' $(CORES))
PYTEST := $(VENV)/bin/python -m pytest -q -p no:cacheprovider

# The tests' size: `test` is for every change, `test-long` for a night.
export PROPTEST_CASES ?= 128
export SERIN_TEST_COUNT ?= 300
# Bodies on which serin is held against Python's and Node's parsers; both are required here.
export SERIN_BODIES ?= 2000
export SERIN_PARSERS := required
# Stories of the fault simulator; 200,000 take some hours.
export SERIN_FAULT_STORIES ?= 1600
export CARGO_TERM_COLOR ?= auto
export RUST_TEST_THREADS
export PYTHONDONTWRITEBYTECODE := 1

# For each fuzz target.
FUZZ_SECS ?= 60

# SERIN_BIN names a binary to test; without one it is built here.
ifdef SERIN_BIN
BUILD :=
else
export SERIN_BIN := $(TARGET)/ci/serin
BUILD := build
endif

NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUST_TESTS := cargo nextest run --cargo-profile ci --locked --no-fail-fast --test-threads $(RUST_TEST_THREADS)
else
RUST_TESTS := cargo test --profile ci --locked --no-fail-fast --lib --bins --tests
endif

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 24

demo: ## a stable bot, a canary, signed traffic, and serin between them
	cargo build --profile ci --locked --bin serin
	$(TARGET)/ci/serin demo

# With --tests, so that dependencies are built once, with the features that the tests ask for.
build:
	cargo build --profile ci --locked --bins --tests

# Builds and downloads at the same time what the suites need. If that fails, or a suite fails, the other suites still run.
test: ## everything, at a size for every change
	-$(MAKE) --keep-going -j2 build setup
	$(MAKE) --keep-going test-rust test-e2e test-conformance

test-long: ## the same tests at full size, and the HTTP expectations held against nginx and HAProxy
	$(MAKE) test PROPTEST_CASES=4096 SERIN_TEST_COUNT=5000 SERIN_FAULT_STORIES=200000
	$(MAKE) test-peers

test-rust: build ## the tests in Rust
	@mkdir -p $(LOGS)
	$(RUST_TESTS) 2>&1 | tee $(LOGS)/rust.log

test-e2e: $(BUILD) setup ## real bots, a weight sweep and Prometheus through a running serin
	@mkdir -p $(LOGS)
	cd tests/e2e && $(PYTEST) -n $(PYTEST_PROCESSES) . 2>&1 | tee $(LOGS)/e2e.log

test-conformance: $(BUILD) setup ## HTTP/1.1, HTTP/2 and TLS, byte by byte
	@mkdir -p $(LOGS)
	cd tests/conformance && $(PYTEST) -n $(PYTEST_PROCESSES) . 2>&1 | tee $(LOGS)/conformance.log

test-peers: ## the conformance tests against nginx and HAProxy: are our expectations sane?
	tests/e2e/setup.sh nginx haproxy
	cd tests/conformance && PROXY=nginx $(PYTEST) .
	cd tests/conformance && PROXY=haproxy $(PYTEST) .

test-packages: setup ## installs the files of target/dist on bare root file systems; wants root, and a network
	tests/e2e/setup.sh debootstrap systemd-nspawn
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -c tests/e2e/requirements.txt -r tests/packages/requirements.txt
	[ -f target/dist/SHA256SUMS ] || PROFILE=ci ALLOW_DIRTY=1 packaging/release.sh
	cd tests/packages && $(PYTEST) .

LOAD := cargo test --profile ci --locked --test it -- --nocapture --exact

reconcile: ## 500,000 webhooks of all kinds while everything changes and fails: is each delivered once?
	SERIN_RECONCILE=$(or $(RECONCILE),500000) $(LOAD) reconcile::what_is_answered_with_a_success_was_delivered_once_and_all_else_at_most_once

siege: ## 20,000 connections that are silent or slow, and 500 handshakes a second: what others' webhooks notice
	SERIN_SIEGE=full $(LOAD) siege::webhooks_are_answered_in_time_while_clients_are_silent_or_slow_or_want_handshakes

soak: ## SOAK_SECS (600) of 3,000 requests a second: do memory, descriptors and threads stay, and do the counters add up?
	SERIN_SOAK_SECS=$(or $(SOAK_SECS),600) $(LOAD) soak::memory_descriptors_and_threads_stay_and_all_count_the_same

fuzz: ## every fuzz target for FUZZ_SECS seconds (60), then 100,000 bodies; FUZZ="http2 link" for some targets; wants a nightly toolchain
	FUZZ_SECS=$(FUZZ_SECS) fuzz/run.sh $(FUZZ)
	$(MAKE) fuzz-bodies

fuzz-bodies: ## serin, Python and Node on 100,000 changed bodies, or SERIN_BODIES
	SERIN_BODIES=$(or $(filter-out 2000,$(SERIN_BODIES)),100000) cargo test --profile ci --locked --test it bots_parsers -- --nocapture

screenshots: $(BUILD) setup ## a picture of the page in every situation, in target/screenshots, and the README's
	rm -rf $(PICTURES)
	cd tests/e2e && SERIN_PICTURES=$(PICTURES) SERIN_PLAY_SECS=150 $(PYTEST) test_situations.py
	cp $(PICTURES)/readme.png docs/page.png

setup:
	tests/e2e/setup.sh

check: ## format, lints, licences, known vulnerabilities (where the database can be fetched), documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	packaging/deny.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

fmt: ## format the Rust code
	cargo fmt

release: ## binary, tarball, Debian package, list of components, digests and their origin, in target/dist
	packaging/release.sh

bench: ## the hot path's parts, by criterion
	cargo bench --locked

bench-peers: ## serin beside nginx, HAProxy and others; wants the machine to itself
	bash benches/peers.sh

clean: ## remove what was built
	cargo clean
	rm -rf tests/e2e/node_modules
