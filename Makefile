# `make run` shows emshop at work on a fresh machine. Rust is assumed, nothing else.

# Outside the tree: it keeps the listing clean, and RocksDB, the longest part of a build, is compiled once for all clones.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/emshop/target
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/emshop/tools
export PATH := $(TOOLS):$(PATH)

PROGRAMS := $(CARGO_TARGET_DIR)/release

# Where `cargo install` puts programs too: it is on the path of whoever has Rust.
INSTALLED := $(or $(CARGO_INSTALL_ROOT),$(CARGO_HOME),$(HOME)/.cargo)/bin

# One profile and one set of features for everything, tests included, for the same reason.
ALL := --release --workspace
# What the model checker looks at; it needs a build of its own.
HANDED_OFF := -p emshop-ingress -p emshop-engine -p emshop-log --features shuttle

.PHONY: help run stack build install tools test test-core shipped handoffs lint doc docs soak soak-real fuzz deny advisories bench load figures release

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: tools build ## Start everything, drive orders through it, show what became of them; ARGS="--once" ends there
	$(PROGRAMS)/emshop demo $(ARGS)

stack: tools build ## Start the demo under light load, with Prometheus and a collector of traces beside it
	@scripts/stack $(PROGRAMS)

build: ## Build emshop and emshop-loadgen
	cargo build $(ALL) --bins

install: tools build ## Install emshop and emshop-loadgen beside cargo
	mkdir -p $(INSTALLED)
	install -m 755 $(PROGRAMS)/emshop $(PROGRAMS)/emshop-loadgen $(INSTALLED)

tools: ## Install what is missing: a C++ compiler, libclang, nats-server
	@scripts/tools

test: tools ## Run all tests, those on real servers included
	@scripts/tools tests
	@scripts/test $(ARGS)

test-core: ## Test the rules of the shop and its formats: no C++ compiler, no server
	cargo test --release -p emshop-core -p emshop-proto $(ARGS)

# It takes root, and what a machine that only builds has not: no part of `make test`.
shipped: tools build ## Install, start, upgrade and remove packages, and start containers of this build; as root
	@scripts/tools packages
	cargo test $(ALL) --test packages $(ARGS)
	@scripts/tools containers
	cargo test $(ALL) --test containers $(ARGS)

handoffs: ## Check what threads and tasks hand to each other, under a model checker; SEED=7 SCHEDULES=100000 for others, and more
	$(if $(SCHEDULES),HANDOFFS_SCHEDULES=$(SCHEDULES)) $(if $(filter command line,$(origin SEED)),HANDOFFS_SEED=$(SEED)) \
		cargo test --release $(HANDED_OFF) --lib handoffs

lint: ## Check format and lints
	cargo fmt --all --check
	cargo clippy $(ALL) --all-targets -- -D warnings
	cargo clippy --release $(HANDED_OFF) --all-targets -- -D warnings

doc: ## Make the documentation of the code; dead links are errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(ALL) --no-deps

docs: ## Write what is generated in docs/ again
	EMSHOP_WRITE_DOCS=1 cargo test $(ALL) --test docs --test settings -- --test-threads=1

MINUTES ?= 60
SEED ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null | xargs -I{} printf '%d' 0x{} 2>/dev/null)

soak: ## Simulate shops with faults for MINUTES=60, from seed SEED on (the commit's number by default)
	cargo build --release -p emshop-simulator
	$(PROGRAMS)/simulate --seed $(SEED) --minutes $(MINUTES) --coverage

soak-real: tools ## Strike real processes, servers and disks with faults for MINUTES=60; ARGS="--list" says with which
	cargo test $(ALL) --test soak -- --minutes $(MINUTES) --seed $(SEED) $(ARGS)

# A Debian that boots takes root, and what makes packages takes minutes to compile: not a part of `make test`.
release: export EMSHOP_COMMIT = $(shell git rev-parse HEAD)
release: tools build ## Make a package, an archive, bills of materials and checksums of the programs, in the folder dist of the target folder
	@scripts/tools packages
	@scripts/release

fuzz: ## Look for inputs that are not taken; TARGET=shop for one of fuzz/corpus, SECONDS=60 for each
	@scripts/fuzz "$(TARGET)" "$(or $(SECONDS),60)"

# Not the advisories: their database is on the net, which a build machine may not reach.
deny: ## Check the licences and the sources of all dependencies
	@scripts/tools cargo-deny
	cargo deny check licenses bans sources

advisories: ## Look the dependencies up in the database of known holes
	@scripts/tools cargo-deny
	cargo deny check advisories

bench: ## Run the benchmarks
	cargo bench --workspace --bench '*' $(ARGS)

load: build ## Drive load at a running server; ARGS="--target http://127.0.0.1:50051 --workload submit"
	$(PROGRAMS)/emshop-loadgen $(ARGS)

# A quick sitting is no publication: it goes to the target folder.
figures: tools build ## Measure everything; AGAINST=emshop beside another build, PEERS=1 others too, ROUNDS=5, QUICK=1 in minutes
	$(PROGRAMS)/emshop-figures $(if $(AGAINST),--against $(AGAINST)) $(if $(PEERS),--peers) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(LONG_ROUNDS),--long-rounds $(LONG_ROUNDS)) $(if $(QUICK),--quick --out $(CARGO_TARGET_DIR)/figures) $(ARGS)
