# The two commands a newcomer needs are `make run` and `make test`.

CARGO ?= cargo
DATA_DIR ?= data
BENCH_ARGS ?=
# Random inputs of each target of fuzz-bounded: some seconds for each.
FUZZ_INPUTS ?= 10000
# Tests at once: they wait for servers and disks half of their time.
TEST_THREADS ?= $(shell expr 2 '*' $$(nproc))
# Where install puts the program; empty for cargo's own place.
PREFIX ?=
INSTALL_DIR = $(if $(PREFIX),$(PREFIX),$${CARGO_INSTALL_ROOT:-$${CARGO_HOME:-$$HOME/.cargo}})/bin
# A program that is built already, to install or pack instead of building one.
BINARY ?=
# The program that the targets below run.
G3N ?= target/quick/g3n
# Hardly optimised, so that it is ready in minutes, and again in seconds after a change. For speed: make build.
QUICK = --profile quick --no-default-features --locked --bin g3n
# As run-local serves.
SERVE_ARGS ?= --dev

.PHONY: help run test test-tools fmt lint unit doc deny demo openapi-check mcp-conformance fuzz fuzz-bounded fuzz-coverage fuzz-requests mutants bench bench-peers
.PHONY: install build quick doctor run-local verify smoke-local smoke-remote smoke-cloud

help: ## Show these targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "cargo is not here; install Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer with rustup (https://rustup.rs)"; exit 1; }

run: need-cargo ## Build and run the server in development mode.
	$(CARGO) run $(QUICK) -- serve --dev --data-dir $(DATA_DIR)

test: need-cargo test-tools fmt lint unit doc ## Format, lints, all tests, documentation.

test-tools: ## Install the few programs the tests call, where they are missing.
	@tests/tools.sh

fmt:
	@echo "1 of 4: format"
	$(CARGO) fmt --all -- --check

lint:
	@echo "2 of 4: lints; the first run compiles the dependencies, which takes minutes"
	$(CARGO) clippy --all-targets --locked -- -D warnings

unit:
	@echo "3 of 4: tests; on two cores about 5 minutes of compiling, then 8 of tests, a line for each"
	RUST_TEST_THREADS=$(TEST_THREADS) tests/tidy.sh $(CARGO) test --locked

doc:
	@echo "4 of 4: documentation of the library"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

deny: need-cargo ## Licences, bans, sources and advisories of all dependencies.
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check licenses bans sources
	$(CARGO) deny --locked --manifest-path benches/peers/Cargo.toml --config deny.toml check licenses bans sources
	@if $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked check advisories; \
	else echo "advisories: skipped, their database could not be fetched"; fi

demo: need-cargo ## Store real archives and JSON, find them, restart, rebuild, verify.
	$(CARGO) test --release --locked --test suite demo -- --nocapture

fuzz: need-cargo fuzz-coverage fuzz-requests ## Fuzz each parser for FUZZ_SECONDS (60), guided by coverage; then generated requests against the OpenAPI document.

fuzz-bounded: need-cargo ## The same parsers with a bounded number of random inputs.
	BOLERO_RANDOM_ITERATIONS=$(FUZZ_INPUTS) $(CARGO) test --locked --lib fuzz_

fuzz-coverage: need-cargo
	tests/fuzz/coverage.sh

openapi-check: need-cargo ## Run linters and generated clients (Python, TypeScript) against the OpenAPI document; SKIP where they are not available.
	tests/openapi/check.sh

mcp-conformance: need-cargo ## Run the official MCP suite and other authors' clients (Python, TypeScript); SKIP where they are not available.
	tests/mcp/check.sh

fuzz-requests: need-cargo
	tests/fuzz/schemathesis.sh

mutants: need-cargo ## Put faults into the code, MUTANTS (14) of each module or of MODULE, drawn by SEED (1), and see which the tests notice.
	tests/mutants.sh

bench: need-cargo ## Measure on this machine; BENCH_ARGS=--quick for a short run, --overload for ten times the load, --hostile for ten hostile orgs, --churn for a long churn.
	$(CARGO) bench --locked --bench throughput -- $(BENCH_ARGS)

bench-peers: build ## Measure g3n and thin handlers over a bare log, SQLite, Redis and PostgreSQL; BENCH_ARGS=--quick for a short run, --help for the rest.
	@benches/peers/tools.sh
	$(CARGO) run --release --locked --manifest-path benches/peers/Cargo.toml -- --g3n target/release/g3n $(BENCH_ARGS)

install: build ## Build g3n and install it, its line tables beside it; PREFIX=/usr/local puts it into /usr/local/bin.
	deploy/strip.sh "$(or $(BINARY),target/release/g3n)" "$(INSTALL_DIR)"
	@echo "g3n is $(INSTALL_DIR)/g3n"

build: need-cargo ## Build what is deployed, with all optimisation: target/release/g3n.
	$(CARGO) build --release --locked --bin g3n

quick: need-cargo
	$(CARGO) build $(QUICK)

doctor: quick ## Check whether a server can start here, or the health of the running one; SERVE_ARGS as of g3n serve.
	$(G3N) doctor --output table $(SERVE_ARGS) --data-dir $(DATA_DIR)

run-local: run ## The same as run.

verify: quick ## Check from outside whether the server of run-local, or the one at URL=, keeps its promises.
	$(G3N) verify --output table $(if $(URL),--url $(URL),--config $(DATA_DIR)/profiles.toml --profile dev)

smoke-local: quick ## The same with a temporary server, or the one at URL=.
	@G3N=$(G3N) tests/smoke.sh local $(URL)

smoke-remote: build ## The same with the server at SMOKE_URL and a token in SMOKE_JWT_FILE or SMOKE_JWT.
	@G3N=$(G3N) tests/smoke.sh remote

smoke-cloud: smoke-remote ## The same as smoke-remote.

# Checks and deployment. docs/runbook.md has them in the order in which they are needed.

DEPLOY_DIR ?= $(CURDIR)/deployed
RELEASE = PREFIX='$(DEPLOY_DIR)' deploy/release.sh
CLOUD = deploy/terraform/cloud.sh

.PHONY: ci gate review hooks pack deploy-dev rollback destroy-dev logs deploy-check systemd-check runbook-check \
	doctor-aws deploy-cloud logs-cloud destroy-cloud

ci: ## What runs on every change: make test, and the bounded part of make fuzz.
	.ci/run

gate: need-cargo test-tools ## All checks, with coverage; STRICT=1 fails on what had to be skipped.
	@checks/gate.sh

review: ## Check what is staged for secrets, big files and format, and whether the gate passed for it.
	@checks/review.sh

hooks: ## Have git run the review before each commit.
	@checks/hooks.sh

pack: need-cargo ## Make dist/metarecord-VERSION-TARGET.tar.gz, the same bytes for the same commit, and SHA256SUMS.
	@deploy/pack.sh

deploy-dev: need-cargo ## Pack, deploy below DEPLOY_DIR in development mode, start it and check that it is ready.
	@PREFIX='$(DEPLOY_DIR)' deploy/dev.sh

rollback: ## Roll back to the previous release.
	@$(RELEASE) rollback

destroy-dev: ## Remove what deploy-dev created; its audit is archived first. Asks, or takes CONFIRM=yes.
	@PREFIX='$(DEPLOY_DIR)' deploy/destroy.sh

logs: ## Show the deployed server's log; FOLLOW=1 keeps following it.
	@$(RELEASE) logs $(if $(FOLLOW),--follow)

deploy-check: ## Try the units, the container's command, releases, the review, emergencies and examples with the program that is built.
	@for script in deploy/systemd deploy/confined deploy/releases deploy/review emergencies examples; do tests/$$script.sh || exit 1; done

systemd-check: ## Boot systemd in namespaces of its own (root) and try the unit in its sandbox.
	@tests/deploy/booted.sh

runbook-check: ## Run the runbook's local steps in a copy of this working copy.
	@tests/runbook.sh

doctor-aws: ## Check whether this machine may deploy to AWS, and as which identity.
	@$(CLOUD) doctor

deploy-cloud: need-cargo ## Pack, and deploy to one small instance with Terraform.
	@$(CLOUD) deploy

logs-cloud: ## Show the instance's logs in CloudWatch; FOLLOW=1 keeps following them.
	@$(CLOUD) logs

destroy-cloud: ## Remove what deploy-cloud created, only in a development environment.
	@$(CLOUD) destroy
