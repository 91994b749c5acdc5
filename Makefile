# `make run` shows emshop at work on a fresh machine. Rust is assumed, nothing else.

# Outside the tree: it keeps the listing clean, and RocksDB, the longest part of a build, is compiled once for all clones.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/emshop/target
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/emshop/tools
export PATH := $(TOOLS):$(PATH)

PROGRAMS := $(CARGO_TARGET_DIR)/release

# One profile and one set of features for everything, tests included, for the same reason.
ALL := --release --workspace

.PHONY: help run build tools test lint docs bench load figures

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

run: tools build ## Start everything, drive orders through it, show what became of them; ARGS="--once" ends there
	$(PROGRAMS)/emshop demo $(ARGS)

build: ## Build emshop and emshop-loadgen
	cargo build $(ALL) --bins

tools: ## Install what is missing: a C++ compiler, libclang, nats-server
	@scripts/tools

test: tools ## Run all tests, those on real servers included
	@scripts/test $(ARGS)

lint: ## Check format and lints
	cargo fmt --all --check
	cargo clippy $(ALL) --all-targets -- -D warnings

docs: ## Write the generated pages of docs/ again
	EMSHOP_WRITE_DOCS=1 cargo test --release -p emshop-proto page_is_fresh

bench: ## Run the benchmarks
	cargo bench --workspace --bench '*' $(ARGS)

load: build ## Drive load at a running server; ARGS="--target http://127.0.0.1:50051 --workload submit"
	$(PROGRAMS)/emshop-loadgen $(ARGS)

# A quick sitting is no publication: it goes to the target folder.
figures: tools build ## Measure everything; AGAINST=emshop beside another build, PEERS=1 others too, ROUNDS=5, QUICK=1 in minutes
	$(PROGRAMS)/emshop-figures $(if $(AGAINST),--against $(AGAINST)) $(if $(PEERS),--peers) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(LONG_ROUNDS),--long-rounds $(LONG_ROUNDS)) $(if $(QUICK),--quick --out $(CARGO_TARGET_DIR)/figures) $(ARGS)
