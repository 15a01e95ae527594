# The two commands a newcomer needs are `make run` and `make test`.

CARGO ?= cargo
DATA_DIR ?= data
BENCH_ARGS ?=

.PHONY: help run test test-tools fmt lint unit doc deny demo fuzz bench otlp

help: ## Show these targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "cargo is not here; install Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer with rustup (https://rustup.rs)"; exit 1; }

run: need-cargo ## Build and run the server in development mode.
	$(CARGO) run --release --locked -- serve --dev --data-dir $(DATA_DIR)

test: need-cargo test-tools fmt lint unit doc ## Format, lints, all tests, documentation.

test-tools: ## Install the few programs the tests call, where they are missing.
	@tests/tools.sh

fmt:
	$(CARGO) fmt --all -- --check

lint:
	$(CARGO) clippy --all-targets --locked -- -D warnings

unit:
	$(CARGO) test --locked

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

deny: need-cargo ## Licences, bans, sources and advisories of all dependencies.
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check licenses bans sources
	@if $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked check advisories; \
	else echo "advisories: skipped, their database could not be fetched"; fi

demo: need-cargo ## Store real archives and JSON, find them, restart, rebuild, verify.
	$(CARGO) test --release --locked --test suite demo -- --nocapture

otlp: need-cargo ## Build with the feature otlp, and test that a collector gets the metrics.
	$(CARGO) clippy --all-targets --locked --features otlp -- -D warnings
	$(CARGO) test --locked --features otlp otlp

fuzz: need-cargo ## A bounded number of generated requests against the OpenAPI document.
	tests/fuzz/schemathesis.sh

bench: need-cargo ## Measure on this machine; BENCH_ARGS=--quick for a short run, --overload for ten times the load, --churn for a long churn.
	$(CARGO) bench --locked --bench throughput -- $(BENCH_ARGS)
